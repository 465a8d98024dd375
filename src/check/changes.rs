//! What `--change` finds out: how the service shows what somebody changes at the PSP.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::seen::ChangeSeen;
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Record, Stream, Timestamp};

/// Between two looks.
const APART: Duration = Duration::from_secs(1);
/// How long what appeared has to stay.
const STAYS: Duration = Duration::from_secs(10);
/// Seconds. Transactions are looked at if they changed in that time.
const BEFORE: u64 = 86_400;

/// One look at a list.
struct Looked {
    records: HashMap<String, Record>,
    /// The service's clock, or ours if it does not tell.
    clock: Timestamp,
}

impl Looked {
    /// Whether the record was there with another content.
    fn had_otherwise(&self, record: &Record) -> bool {
        let known = self.records.get(&*record.id);
        known.is_some_and(|known| known.json != record.json)
    }

    fn lacks(&self, record: &Record) -> bool {
        !self.records.contains_key(&*record.id)
    }
}

pub(super) fn appears(session: &Session, stream: Stream) -> Verdict {
    let before = look(session, stream)?;
    person(
        session,
        "Make a transaction at the PSP, then press Enter (s and Enter to skip): ",
    )?;
    let is_wanted = |record: &Record| before.lacks(record);
    let (record, lateness) = wait_for(session, stream, &before, is_wanted, |_| None)?;
    let id = record.id.to_string();
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
    let is_new = |record: &Record| {
        let made = record.created_at();
        before.lacks(record) && made.is_none_or(|made| made.second() >= begun.second())
    };
    // One that changed last more than a day ago was not looked at before.
    let is_wanted =
        |record: &Record| before.had_otherwise(record) || before.lacks(record) && !is_new(record);
    let otherwise = |record: &Record| {
        let id = super::exchange::text(&record.id);
        is_new(record).then(|| format!("the change appears as a new transaction, {id:?}"))
    };
    let (record, lateness) = wait_for(session, stream, &before, is_wanted, otherwise)?;
    let known = before.records.get(&*record.id);
    if known.is_some_and(|known| record.timestamp <= known.timestamp) {
        let got = format!(
            "{:?} has changed, and its updatedAt is still {}",
            super::exchange::text(&record.id),
            record.timestamp
        );
        return Err(wrong(got, &[]));
    }
    let id = record.id.to_string();
    session.remember_change(ChangeSeen { id, lateness });
    Ok(())
}

pub(super) fn keeps_its_id(session: &Session, stream: Stream) -> Verdict {
    let before = look(session, stream)?;
    person(
        session,
        "Rename an account at the PSP, then press Enter (s and Enter to skip): ",
    )?;
    let is_wanted = |record: &Record| before.had_otherwise(record);
    let otherwise = |record: &Record| {
        let id = super::exchange::text(&record.id);
        before
            .lacks(record)
            .then(|| format!("the renamed account has another id, {id:?}"))
    };
    wait_for(session, stream, &before, is_wanted, otherwise)?;
    Ok(())
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
    if let Some(gone) = seen.iter().find(|seen| !now.records.contains_key(&seen.id)) {
        let id = super::exchange::text(&gone.id);
        return Err(wrong(format!("{id:?} is no longer listed"), &[]));
    }
    let latest = seen
        .iter()
        .map(|seen| seen.lateness)
        .max()
        .unwrap_or_default();
    if latest > Duration::from_secs(60) {
        let seconds = latest.as_secs();
        let minutes = seconds.div_ceil(60) * 2;
        let got = format!(
            "changes appear up to {seconds} s after their updatedAt; set \"lookback\" to \"{minutes}m\""
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

/// Looks until there is a record that is wanted. Returns it, and how long after its date a look lacked it. If there is none in
/// the end, `otherwise` says what another record shows.
fn wait_for(
    session: &Session,
    stream: Stream,
    before: &Looked,
    is_wanted: impl Fn(&Record) -> bool,
    otherwise: impl Fn(&Record) -> Option<String>,
) -> Result<(Record, Duration), NotPassed> {
    let since = Instant::now();
    let patience = session
        .ask_person
        .map_or(Duration::ZERO, |person| person.patience);
    let mut lacked_at = before.clock;
    loop {
        let now = look(session, stream)?;
        if let Some(record) = now.records.values().find(|record| is_wanted(record)) {
            return Ok((record.clone(), lacked_at.since(record.timestamp)));
        }
        if since.elapsed() >= patience {
            let nothing = || format!("nothing new after {} s", patience.as_secs());
            let got = now.records.values().find_map(&otherwise);
            return Err(wrong(
                got.unwrap_or_else(nothing),
                &[session.asker.count() - 1],
            ));
        }
        lacked_at = now.clock;
        if !session.asker.probe().wait(APART) {
            return Err(stopped());
        }
    }
}

/// The records of a list: all accounts, whose date is that of their creation, or the latest transactions.
fn look(session: &Session, stream: Stream) -> Result<Looked, NotPassed> {
    let latest = Timestamp::now().second().earlier(BEFORE);
    let list = session.fresh_list(stream, (stream == Stream::Transactions).then_some(latest))?;
    if !list.is_whole {
        return Err(needs(
            "at most 2,000 accounts, and as many transactions a day",
        ));
    }
    let clock = list
        .pages
        .last()
        .map_or(Timestamp::now(), |page| page.clock);
    let records = list.pages.into_iter().flat_map(|page| page.records);
    Ok(Looked {
        records: records
            .map(|record| (record.id.to_string(), record))
            .collect(),
        clock,
    })
}

fn stopped() -> NotPassed {
    needs("a run that is not stopped")
}
