use num_bigint::BigInt;
use ureq::http::Uri;

use super::terminal::ask;
use super::{CommandError, Exit};
use crate::api::escaped;
use crate::check::PayPlan;
use crate::cli::PayOptions;
use crate::stop::Stop;

/// What to pay, if that is wanted and confirmed: by the name of the host, on the command line or when it is asked for.
pub(super) fn confirmed(
    options: &PayOptions,
    endpoint: &str,
    stop: &Stop,
) -> Result<Option<PayPlan>, CommandError> {
    let Some(plan) = options.plan() else {
        return Ok(None);
    };
    let usage = |error: String| CommandError::new(Exit::Usage, error);
    plan.check()
        .map_err(|invalid| usage(format!("cannot pay that: {invalid}")))?;
    let uri: Option<Uri> = endpoint.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let announcement = announcement(&plan, endpoint);
    if let Some(given) = &options.yes {
        log::info!("{}", announcement.replace('\n', " "));
        if given.eq_ignore_ascii_case(host) {
            return Ok(Some(plan));
        }
        return Err(usage(format!(
            "--yes is {given:?}, and the host of \"endpoint\" is {host:?}; nothing was sent"
        )));
    }
    let typed = ask(&format!("{announcement}\nType {host} to go on: "), stop);
    if typed.is_some_and(|typed| typed.trim().eq_ignore_ascii_case(host)) {
        return Ok(Some(plan));
    }
    Err(CommandError::failed(format!(
        "{host} was not typed, so nothing was sent; --yes {host} does without the question"
    )))
}

/// How many payouts there will be, and of how much.
fn announcement(plan: &PayPlan, endpoint: &str) -> String {
    let amount: BigInt = plan.amount.parse().unwrap_or_default();
    let sum = &amount * PayPlan::IF_RIGHT;
    let PayPlan {
        kind,
        from,
        to,
        currency,
        ..
    } = plan;
    let other_amount = plan.other_amount();
    let (if_right, at_most) = (PayPlan::IF_RIGHT, PayPlan::AT_MOST);
    format!(
        "--pay makes {kind} at {endpoint} from {} to {}: {if_right} of {amount} {currency} each, {sum} {currency} in all, if the \
        service is right.\nIf it is not, at most {at_most} {kind}; one of them may be of {other_amount}. It ends at the first proof of one \
        that should not be.",
        escaped(from),
        escaped(to)
    )
}
