use super::memory::{PaymentTransaction, Payments};
use crate::api::{Record, Second, Stream, Timestamp};
use crate::check::query::ListQuery;
use crate::check::seen::SampledPage;
use crate::check::session::Session;
use crate::check::verdict::{NotPassed, needs};

/// Seconds. Transactions that are dated so much before the first payout are looked at, too.
const BEFORE: u64 = 600;

/// Looks at the transactions before the first payout.
pub(super) fn begin(session: &Session, payments: &Payments) -> Result<(), NotPassed> {
    if payments.looked_at_from().is_some() {
        return Ok(());
    }
    let first = session.page(&ListQuery::page(Stream::Transactions, 1))?;
    let from = first.clock.min(Timestamp::now()).second().earlier(BEFORE);
    let ids = transactions(session, from)?
        .into_iter()
        .map(|(_, record)| record.id.to_string());
    payments.begin(from, ids.collect());
    Ok(())
}

/// The transactions that are due to payouts of this run.
pub(super) fn listed(
    session: &Session,
    payments: &Payments,
) -> Result<Vec<PaymentTransaction>, NotPassed> {
    let Some(from) = payments.looked_at_from() else {
        return Ok(Vec::new());
    };
    let transactions = transactions(session, from)?.into_iter();
    Ok(transactions
        .filter_map(|(exchange, record)| payments.due(exchange, &record))
        .collect())
}

/// It is wrong if more transactions are due to this run than payouts that it knows of.
pub(super) fn prove_none_is_unknown(
    session: &Session,
    payments: &Payments,
) -> Result<(), NotPassed> {
    payments.prove_none_is_unknown(&listed(session, payments)?)
}

/// The transactions from a second on, each with the number of its exchange.
fn transactions(session: &Session, from: Second) -> Result<Vec<(usize, Record)>, NotPassed> {
    let list = session.fresh_list(Stream::Transactions, Some(from))?;
    if !list.is_whole {
        return Err(needs("fewer transactions at the same time"));
    }
    let numbered = |page: SampledPage| {
        let records = page.records.into_iter();
        records.map(move |record| (page.exchange, record))
    };
    Ok(list.pages.into_iter().flat_map(numbered).collect())
}
