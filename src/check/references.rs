//! What records say about other records, and about what Formance asks for.

use std::collections::HashSet;
use std::rc::Rc;

use super::seen::Sample;
use super::session::Session;
use super::verdict::{Verdict, needs, wrong};
use crate::api::{Initiation, Members, Stream};
use crate::formance::LeftOut;

pub(super) fn exist(session: &Session, stream: Stream) -> Verdict {
    let transactions = session.records(stream)?;
    let accounts = session.sample(Stream::Accounts).ok();
    let beneficiaries = session.sample(Stream::Beneficiaries).ok();
    let known_accounts = whole_ids(&[accounts, beneficiaries]);
    let known_transactions = whole_ids(&[Some(transactions.clone())]);
    if known_accounts.is_none() && known_transactions.is_none() {
        return Err(needs("a list that was read whole (--all)"));
    }
    for (exchange, text) in transactions.texts() {
        let Ok(record) = Members::read(text) else {
            continue;
        };
        for (field, known) in [
            ("sourceAccountID", &known_accounts),
            ("destinationAccountID", &known_accounts),
            ("relatedTransactionID", &known_transactions),
        ] {
            let named = record.text(field).unwrap_or_default();
            // That of a payout or transfer may be its idempotencyKey.
            if field == "relatedTransactionID" && is_initiated(&record) {
                continue;
            }
            let is_known = known.as_ref().is_none_or(|known| known.contains(&*named));
            if !named.is_empty() && !is_known {
                let id = record.text("id").unwrap_or_default();
                let (id, named) = (super::exchange::text(&id), super::exchange::text(&named));
                let got = format!("{id:?}: \"{field}\" is {named:?}, which no list has");
                return Err(wrong(got, &[exchange]));
            }
        }
    }
    Ok(())
}

pub(super) fn accounts_can_be_asked_for(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for page in &sample.pages {
        for record in &page.records {
            if let Some(left_out) = LeftOut::of(record) {
                let got = format!("{:?}: {left_out}", super::exchange::text(&record.id));
                return Err(wrong(got, &[page.exchange]));
            }
        }
    }
    Ok(())
}

fn is_initiated(record: &Members) -> bool {
    let kind = record.text("type").unwrap_or_default();
    Initiation::ALL
        .iter()
        .any(|initiation| initiation.transaction_type() == kind)
}

/// The ids of lists; none unless all were read whole.
fn whole_ids(lists: &[Option<Rc<Sample>>]) -> Option<HashSet<String>> {
    let mut ids = HashSet::new();
    for list in lists {
        let list = list.as_ref().filter(|list| list.is_whole)?;
        ids.extend(list.records().map(|record| record.id.to_string()));
        let unusable = list.pages.iter().flat_map(|page| &page.unusable);
        ids.extend(unusable.filter_map(|one| one.id.clone()));
    }
    Some(ids)
}
