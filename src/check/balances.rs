//! The balances of accounts.

use std::collections::HashSet;
use std::time::Duration;

use super::account_balances::AccountBalances;
use super::session::Session;
use super::verdict::{NotPassed, Verdict, needs, wrong};
use crate::api::object::Balances;
use crate::api::{Record, Stream};

/// How many accounts are asked for unless all are.
pub(super) const SAMPLE: usize = 20;
/// How many accounts are asked for again.
const AGAIN: usize = 5;
/// How often one account is asked for.
const TIMES: usize = 4;
/// Between two looks at an amount.
const APART: Duration = Duration::from_secs(2);

pub(super) fn are_there(session: &Session, _: Stream) -> Verdict {
    let most = if session.all_balances {
        usize::MAX
    } else {
        SAMPLE
    };
    for account in accounts(session, most)? {
        let balances = session.balances(&account)?;
        let Ok(object) = serde_json::from_str::<Balances>(&balances.record.json) else {
            continue;
        };
        let mut currencies = HashSet::new();
        let mut all = object.balances.iter().map(|balance| &*balance.currency);
        if let Some(twice) = all.find(|currency| !currencies.insert(*currency)) {
            let account = super::exchange::text(&account);
            let twice = super::exchange::text(twice);
            return Err(wrong(
                format!("{account:?}: {twice} is there twice"),
                &[balances.exchange],
            ));
        }
    }
    Ok(())
}

pub(super) fn decode_ids(session: &Session, _: Stream) -> Verdict {
    let accounts = accounts(session, SAMPLE)?;
    let encoded = |id: &str| {
        let bytes = id.bytes().map(|byte| format!("%{byte:02X}"));
        format!("/accounts/{}/balances", bytes.collect::<String>())
    };
    let account = accounts.first().ok_or_else(|| needs("an account"))?;
    let asked = session.asker.balances_at(&encoded(account))?;
    AccountBalances::read(account, &asked)?;
    Ok(())
}

pub(super) fn unknown_account(session: &Session, _: Stream) -> Verdict {
    let id = format!("generic-connector-check-{:08x}", fastrand::u32(..));
    let asked = session.asker.balances(&id)?;
    if asked.status == 404 {
        return Ok(());
    }
    Err(wrong(asked.in_words(), &[asked.exchange]))
}

pub(super) fn dates_ascend(session: &Session, _: Stream) -> Verdict {
    let accounts = accounts(session, 1)?;
    let account = accounts.first().ok_or_else(|| needs("an account"))?;
    let mut newest: Option<AccountBalances> = None;
    for _ in 0..TIMES {
        let now = AccountBalances::ask(&session.asker, account)?;
        if let Some(newest) = &newest
            && now.at() < newest.at()
        {
            let got = format!("\"at\" is {} after {}", now.at(), newest.at());
            return Err(wrong(got, &[newest.exchange, now.exchange]));
        }
        newest = Some(now);
    }
    Ok(())
}

pub(super) fn dates_follow_amounts(session: &Session, _: Stream) -> Verdict {
    let accounts = accounts(session, AGAIN)?;
    let mut before = Vec::new();
    for account in &accounts {
        before.push(AccountBalances::ask(&session.asker, account)?);
    }
    session.asker.probe().wait(APART);
    for (account, before) in accounts.iter().zip(before) {
        let now = AccountBalances::ask(&session.asker, account)?;
        if now.at() <= before.at() && !now.has_amounts_of(&before) {
            let account = super::exchange::text(account);
            let got = format!(
                "{account:?}: other amounts, \"at\" is {} after {}",
                now.at(),
                before.at()
            );
            return Err(wrong(got, &[before.exchange, now.exchange]));
        }
    }
    Ok(())
}

/// The ids of accounts, spread over the sample.
pub(super) fn accounts(session: &Session, most: usize) -> Result<Vec<String>, NotPassed> {
    let sample = session.records(Stream::Accounts)?;
    let all: Vec<&Record> = sample.records().collect();
    let step = all.len().div_ceil(most).max(1);
    let spread = all.into_iter().step_by(step);
    Ok(spread.map(|account| account.id.to_string()).collect())
}
