//! What `--change` finds out: how the service shows what somebody changes at the PSP.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::order::created;
use super::query::ListQuery;
use super::session::{ChangeSeen, Session};
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Record, Stream, Timestamp};

/// Between two looks.
const APART: Duration = Duration::from_secs(1);
/// How long what appeared has to stay.
const STAYS: Duration = Duration::from_secs(10);
/// How many pages a look reads at most.
const MOST_PAGES: u64 = 20;
/// Seconds. Transactions are looked at if they changed in that time.
const BEFORE: u64 = 86_400;

type Looked = HashMap<String, Record>;

pub(super) fn appears(session: &Session, stream: Stream) -> Verdict {
    let before = look(session, stream)?;
    person(
        session,
        "Make a transaction at the PSP, then press Enter (s and Enter to skip): ",
    )?;
    let (id, record, clock) = wait_for(session, stream, &before, |before, record| {
        !before.contains_key(&record.id)
    })?;
    let lateness = clock.since(record.timestamp);
    session.remember_change(ChangeSeen { id, lateness });
    Ok(())
}

pub(super) fn changes(session: &Session, stream: Stream) -> Verdict {
    let begun = Timestamp::now();
    let before = look(session, stream)?;
    person(
        session,
        "Change the status of a transaction at the PSP, such as by settling it, then press Enter (s and Enter to skip): ",
    )?;
    let is_changed = |before: &Looked, record: &Record| {
        before
            .get(&record.id)
            .is_none_or(|known| known.json != record.json)
    };
    let (id, record, clock) = wait_for(session, stream, &before, is_changed)?;
    let shown = super::exchange::text(&id);
    let known = before.get(&id);
    // One that changed last more than a day ago was not looked at before.
    let is_new = created(&record).is_none_or(|made| made.second() >= begun.second());
    if known.is_none() && is_new {
        return Err(wrong(
            format!("the change appears as a new transaction, {shown:?}"),
            &[],
        ));
    }
    if known.is_some_and(|known| record.timestamp <= known.timestamp) {
        let got = format!(
            "{shown:?} has changed, and its updatedAt is still {}",
            record.timestamp
        );
        return Err(wrong(got, &[]));
    }
    session.remember_change(ChangeSeen {
        id,
        lateness: clock.since(record.timestamp),
    });
    Ok(())
}

pub(super) fn keeps_its_id(session: &Session, stream: Stream) -> Verdict {
    let before = look(session, stream)?;
    person(
        session,
        "Rename an account at the PSP, then press Enter (s and Enter to skip): ",
    )?;
    let is_changed = |before: &Looked, record: &Record| {
        before
            .get(&record.id)
            .is_none_or(|known| known.json != record.json)
    };
    let (id, ..) = wait_for(session, stream, &before, is_changed)?;
    if before.contains_key(&id) {
        return Ok(());
    }
    let id = super::exchange::text(&id);
    Err(wrong(
        format!("the renamed account has another id, {id:?}"),
        &[],
    ))
}

pub(super) fn stays(session: &Session, stream: Stream) -> Verdict {
    let seen = session.changes_seen();
    if seen.is_empty() {
        return Err(needs("a change that appeared"));
    }
    if !session.asker.probe().wait(STAYS) {
        return Err(stopped());
    }
    let now = look(session, stream)?;
    if let Some(gone) = seen.iter().find(|seen| !now.contains_key(&seen.id)) {
        let id = super::exchange::text(&gone.id);
        return Err(wrong(format!("{id:?} is no longer listed"), &[]));
    }
    let latest = seen
        .iter()
        .map(|seen| seen.lateness)
        .max()
        .unwrap_or_default();
    let lookback = Duration::from_secs(latest.as_secs().div_ceil(60).max(1) * 120);
    if latest > Duration::from_secs(60) {
        let got = format!(
            "changes appear up to {} s after their updatedAt; set \"lookback\" to \"{}m\"",
            latest.as_secs(),
            lookback.as_secs() / 60
        );
        return Err(wrong_at(Level::Should, got, &[]));
    }
    Ok(())
}

/// Asks a person to do something. Nothing can be said unless it is done.
fn person(session: &Session, request: &str) -> Result<(), NotPassed> {
    let ask = session.ask_person.ok_or_else(|| needs("--change"))?;
    match (ask.ask)(request, session.asker.probe().stop())
        .as_deref()
        .map(str::trim)
    {
        Some("") => Ok(()),
        _ => Err(needs("the change that was asked for")),
    }
}

/// Looks until there is a record that is wanted. Returns it with the service's clock.
fn wait_for(
    session: &Session,
    stream: Stream,
    before: &Looked,
    is_wanted: impl Fn(&Looked, &Record) -> bool,
) -> Result<(String, Record, Timestamp), NotPassed> {
    let since = Instant::now();
    let patience = session
        .ask_person
        .map_or(Duration::ZERO, |person| person.patience);
    loop {
        let clock = Timestamp::now();
        let now = look(session, stream)?;
        if let Some((id, record)) = now
            .into_iter()
            .find(|(_, record)| is_wanted(before, record))
        {
            return Ok((id, record, clock));
        }
        if since.elapsed() >= patience {
            let got = format!("nothing new after {} s", patience.as_secs());
            return Err(wrong(got, &[session.asker.count() - 1]));
        }
        if !session.asker.probe().wait(APART) {
            return Err(stopped());
        }
    }
}

/// The records of a list: all accounts, whose date is that of their creation, or the latest transactions.
fn look(session: &Session, stream: Stream) -> Result<Looked, NotPassed> {
    let from = Timestamp::now().second().earlier(BEFORE);
    let mut looked = Looked::new();
    for number in 1..=MOST_PAGES {
        let mut query = ListQuery::page(stream, number);
        if stream == Stream::Transactions {
            query = query.from(from);
        }
        let page = session.fresh_page(&query)?;
        if page.length() == 0 {
            return Ok(looked);
        }
        looked.extend(
            page.records
                .into_iter()
                .map(|record| (record.id.clone(), record)),
        );
    }
    Err(needs(
        "at most 2,000 accounts, and as many transactions a day",
    ))
}

fn stopped() -> NotPassed {
    needs("a run that is not stopped")
}
