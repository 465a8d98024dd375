//! Payouts and transfers, which `--pay` makes.
//!
//! Each check sends its requests once: a request that is sent again would be a payout too many where the service does not
//! keep its keys. Between two checks, the transactions are looked at: a payout that no answer tells of is there.
//!
//! | file | contents |
//! |---|---|
//! | `plan` | what may be paid |
//! | `memory` | what was paid so far |
//! | `listed` | the transactions that show it |

mod listed;
pub(super) mod memory;
mod plan;

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::asker::{Asked, Asker, CheckRequest};
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::Stream;
use crate::psp::ProbeKey;
use listed::{begin, listed, prove_none_is_unknown};
use memory::Payments;
use plan::AT_ONCE;

pub use plan::PayPlan;

/// How long a payout may take to be listed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at the transactions.
const APART: Duration = Duration::from_secs(5);
/// The time for a service to take up a request whose connection was cut. Otherwise a busy one may take the repetition first.
const HEAD_START: Duration = Duration::from_millis(250);
/// Bytes.
const LONG: usize = 10 * 1024;

pub(super) fn is_made(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    begin(session, payments)?;
    let asked = pay(session, &payments.plan.body(&payments.key("1")))?;
    payments.read("1", &asked)?;
    if asked.status != 201 {
        let got = format!("{} instead of 201", asked.status);
        return Err(wrong_at(Level::Should, got, &[asked.exchange]));
    }
    prove_none_is_unknown(session, payments)
}

pub(super) fn repeated(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let first = payments.of_key("1").ok_or_else(no_payout)?;
    let asked = pay(session, &payments.plan.body(&first.key))?;
    let again = payments.read("1", &asked)?;
    if again.id != first.id {
        return Err(other_ids(
            &[&first.id, &again.id],
            &[first.exchange, again.exchange],
        ));
    }
    prove_none_is_unknown(session, payments)
}

pub(super) fn other_amount(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let first = payments.of_key("1").ok_or_else(no_payout)?;
    let mut body = payments.plan.body(&first.key);
    body["amount"] = json!(payments.plan.other_amount());
    let asked = pay(session, &body)?;
    prove_none_is_unknown(session, payments)?;
    was_judged(&asked)?;
    match asked.status {
        409 | 422 => Ok(()),
        400 => Err(wrong_at(Level::Should, asked.in_words(), &[asked.exchange])),
        _ => Err(wrong(asked.in_words(), &[first.exchange, asked.exchange])),
    }
}

pub(super) fn at_once(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let body = payments.plan.body(&payments.key("4"));
    let kind = payments.plan.kind.name();
    let asker = &session.asker;
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| post(asker, kind, &body)))
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut ids: Vec<(String, usize)> = Vec::new();
    let mut failures = Vec::new();
    for answer in answers {
        let answer = answer.map_err(|_| needs("a check without a bug: please report it"))?;
        match answer.and_then(|asked| payments.read("4", &asked)) {
            Ok(made) if ids.iter().any(|(id, _)| *id == made.id) => {}
            Ok(made) => ids.push((made.id, made.exchange)),
            Err(failed) => failures.push(failed),
        }
    }
    if let [(one, first), (two, second), ..] = &ids[..] {
        return Err(other_ids(&[one, two], &[*first, *second]));
    }
    prove_none_is_unknown(session, payments)?;
    if ids.is_empty() {
        return Err(failures.pop().unwrap_or_else(no_payout));
    }
    let failed = failures
        .into_iter()
        .find(|failed| !asks_to_wait(session, failed));
    match failed {
        // A client without an id asks again and gets it then.
        Some(NotPassed::Wrong(failed)) => {
            Err(wrong_at(Level::Should, failed.got, &failed.exchanges))
        }
        Some(other) => Err(other),
        None => Ok(()),
    }
}

pub(super) fn cut_off(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let body = payments.plan.body(&payments.key("5"));
    let (path, json) = (format!("/{}", payments.plan.kind), body.to_string());
    session.asker.cut(&request(&path, &json))?;
    // If stopping is requested, the repetition says so.
    session.asker.probe().wait(HEAD_START);
    let asked = pay(session, &body)?;
    payments.read("5", &asked)?;
    prove_none_is_unknown(session, payments)
}

pub(super) fn broken(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let changes = [
        ("amount", json!("0")),
        ("amount", json!("-1")),
        ("amount", json!("1.5")),
        ("idempotencyKey", Value::Null),
        (
            "destinationAccountId",
            json!("generic-connector-check-nobody"),
        ),
    ];
    let changes: [_; plan::BROKEN] = changes;
    for (number, (field, value)) in changes.into_iter().enumerate() {
        let mut body = payments.plan.body(&payments.key(&format!("6-{number}")));
        if let Some(object) = body.as_object_mut() {
            object.remove(field);
            object.extend((!value.is_null()).then(|| (field.to_owned(), value.clone())));
        }
        let asked = pay(session, &body)?;
        was_judged(&asked)?;
        if !(400..500).contains(&asked.status) {
            let sent = if value.is_null() {
                "missing".to_owned()
            } else {
                value.to_string()
            };
            let got = format!("{field} {sent}: {}", asked.in_words());
            return Err(wrong(got, &[asked.exchange]));
        }
    }
    prove_none_is_unknown(session, payments)
}

/// A service that asks to wait has not looked at what it was asked.
fn was_judged(asked: &Asked) -> Result<(), NotPassed> {
    match asked.status {
        408 | 425 | 429 | 503 => Err(needs("a service that does not ask to wait")),
        _ => Ok(()),
    }
}

pub(super) fn long_texts(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let mut body = payments.plan.body(&payments.key("7"));
    body["description"] = json!("x".repeat(LONG));
    body["metadata"] = (0..50)
        .map(|number| (format!("key-{number}"), json!("value")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let asked = pay(session, &body)?;
    match asked.status {
        400 | 413 | 422 => Ok(()),
        200..300 => payments.read("7", &asked).map(|_| ()),
        _ => Err(wrong(asked.in_words(), &[asked.exchange])),
    }
}

pub(super) fn are_listed(session: &Session, _: Stream) -> Verdict {
    let payments = payments(session)?;
    let made = payments.made();
    if made.is_empty() {
        return Err(no_payout());
    }
    let mut waited = Duration::ZERO;
    let listed = loop {
        prove_none_is_unknown(session, payments)?;
        let listed = listed(session, payments)?;
        let missing = made
            .iter()
            .find(|one| !listed.iter().any(|other| other.id == one.id));
        let Some(missing) = missing else {
            break listed;
        };
        if waited >= PATIENCE {
            let id = super::exchange::text(&missing.id);
            let got = format!("{id:?} is not listed after {} s", waited.as_secs());
            return Err(wrong(got, &[missing.exchange]));
        }
        if !session.asker.probe().wait(APART) {
            return Err(needs("a run that is not stopped"));
        }
        waited += APART;
    };
    for transaction in listed {
        let of = made.iter().find(|one| one.id == transaction.id);
        if of.is_some_and(|one| one.key != transaction.related) {
            let id = super::exchange::text(&transaction.id);
            let got = format!("{id:?} has no relatedTransactionID with the idempotencyKey");
            return Err(wrong_at(Level::Should, got, &[transaction.exchange]));
        }
    }
    Ok(())
}

fn payments(session: &Session) -> Result<&Payments, NotPassed> {
    session.payments.as_ref().ok_or_else(|| needs("--pay"))
}

fn no_payout() -> NotPassed {
    needs("a payout that was made")
}

fn other_ids(ids: &[&str; 2], exchanges: &[usize; 2]) -> NotPassed {
    let [one, two] = ids.map(super::exchange::text);
    wrong(
        format!("{one:?} and {two:?} under one idempotencyKey"),
        exchanges,
    )
}

/// Sends a request for a payout, once.
fn pay(session: &Session, body: &Value) -> Result<Asked, NotPassed> {
    let payments = payments(session)?;
    post(&session.asker, payments.plan.kind.name(), body)
}

fn post(asker: &Asker, kind: &str, body: &Value) -> Result<Asked, NotPassed> {
    let (path, json) = (format!("/{kind}"), body.to_string());
    let sent = asker.ask_once(&request(&path, &json))?;
    sent.map_err(|(exchange, error)| wrong(error, &[exchange]))
}

fn request<'a>(path: &'a str, json: &'a str) -> CheckRequest<'a> {
    CheckRequest {
        key: ProbeKey::Own,
        json: Some(json),
        ..CheckRequest::path(path)
    }
}

/// Whether it is an answer that asks to come again, because the payout is being made.
fn asks_to_wait(session: &Session, failed: &NotPassed) -> bool {
    let NotPassed::Wrong(failed) = failed else {
        return false;
    };
    let all = session.asker.exchanges();
    let mut statuses = failed
        .exchanges
        .iter()
        .filter_map(|number| all.get(*number)?.status());
    statuses.all(|status| matches!(status, 409 | 422 | 425 | 429))
}
