use std::collections::BTreeMap;

use rusqlite::Connection;

use super::database::execute;
use super::newest::{self, NewestVersions};
use super::{
    Cursor, Error, FailingStream, PollRow, QuarantineEntry, Repair, Store, SweepRow, counts,
    cursor, damage, failing, missing, older_balances, poll, publisher, quarantine, records,
    stamping::Stamped, stamping::Stamping, sweep, unknown_values, unlisted, unlisted::UnlistedLine,
};
use crate::api::{PerStream, Record, Second, Stream, Timestamp};
use crate::crash;

/// A new version of a record, to be appended to the change log.
#[derive(Debug, Clone)]
pub struct Version {
    /// The record as the service sent it.
    pub record: Record,
    /// Which version of its record it is, from 1.
    pub number: i64,
    /// When it was read.
    pub observed_at: Second,
}

/// Everything that is committed together: what was read, the cursors that it allows, and the poll it belongs to.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The number of the poll that read it, or after which a sweep did.
    pub poll_number: i64,
    /// The new versions, in the order that they get in the change log.
    pub versions: &'a [Version],
    /// What changes in the quarantine.
    pub quarantine: QuarantineBatch<'a>,
    /// Damaged versions that were read again as they were.
    pub repaired: &'a [Repair],
    /// Accounts whose balances are answered with an older date than the stored ones have, since when; none: no longer.
    pub older_balances: Option<&'a BTreeMap<String, Option<Second>>>,
    /// The unknown values of `type` and `status` among the versions, and in how many.
    pub unknown_values: &'a [(&'static str, String, i64)],
    /// What has changed about missing accounts. None if nothing has.
    pub missing: Option<&'a MissingChanges>,
    /// The cursors that have moved.
    pub cursors: &'a [(Stream, Cursor)],
    /// How far the balances of the accounts were asked for.
    pub balances: BalancesProgress,
    /// The streams of which the last polls have newly read everything, or not.
    pub failing: &'a [(Stream, Option<FailingStream>)],
    /// The poll, as far as it has come.
    pub poll: Option<&'a PollRow>,
    /// The sweep, as far as it has come.
    pub sweep: Option<&'a SweepRow>,
}

/// How far a poll has asked for the balances of the accounts.
#[derive(Debug, Clone, Copy, Default)]
pub struct BalancesProgress {
    /// The seq of the account with which the next poll begins, if this one has given up.
    pub next: Option<i64>,
    /// When this poll began to ask for those of every account, if it has all of them.
    pub asked_at: Option<Second>,
}

/// What changes in the quarantine with a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuarantineBatch<'a> {
    /// What is put into it, or seen there again.
    pub added: &'a [QuarantineEntry],
    /// The numbers of what leaves it.
    pub released: &'a [i64],
    /// The numbers of what was tried again and stays there.
    pub kept: &'a [i64],
    /// Records that are listed as they are stored, while another content of theirs is in it.
    pub rivals: &'a [(Stream, String)],
}

/// What has changed about the accounts whose balances the service does not know.
#[derive(Debug, Default)]
pub struct MissingChanges {
    /// The service does not know their balances.
    pub noted: Vec<String>,
    /// They are listed no more.
    pub closed: Vec<String>,
    /// They are listed, or have balances.
    pub seen: Vec<String>,
}

impl Store {
    /// The publish step: appends the versions to the change log and moves the cursors, all or nothing. When it returns,
    /// the batch is on the disk; after an error, nothing of it is.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        if let Some(first_import) = &mut self.first_import {
            first_import.note_all(batch.versions);
        }
        let (appended, moved_to) = self.database.write("commit a batch", |connection| {
            let ended = batch.poll.filter(|poll| poll.ended_at.is_some());
            let lag = match ended {
                // What this batch appends could not be delivered yet.
                Some(_) => publisher::greatest_lag(connection)?,
                None => None,
            };
            let appended = append(
                connection,
                batch,
                self.stamped,
                self.has_lost_versions.get(),
            )?;
            let moved_to = newest::move_on(connection, &self.moved_to)?;
            change_quarantine(connection, &batch.quarantine)?;
            for (field, value, versions) in batch.unknown_values {
                unknown_values::count(connection, field, value, *versions)?;
            }
            if let Some(changed) = batch.older_balances {
                older_balances::note(connection, changed)?;
            }
            if let Some(changes) = batch.missing {
                crash::point();
                change_missing(connection, changes)?;
            }
            for (stream, moved) in batch.cursors {
                crash::point();
                cursor::put(connection, *stream, moved)?;
            }
            if let Some(seq) = batch.balances.next {
                records::begin_balances_at(connection, seq)?;
            }
            if let Some(asked_at) = batch.balances.asked_at {
                records::note_balances_asked(connection, asked_at)?;
            }
            for (stream, failing) in batch.failing {
                crash::point();
                failing::put(connection, *stream, failing.as_ref())?;
            }
            if let Some(row) = batch.sweep {
                crash::point();
                sweep::put(connection, row)?;
            }
            if let Some(row) = batch.poll {
                crash::point();
                poll::put(connection, row, lag)?;
            }
            Ok((appended, moved_to))
        })?;
        self.stamped = appended.stamped;
        self.moved_to = moved_to;
        appended.unlisted.iter().for_each(UnlistedLine::warn);
        self.write_witness();
        if let Some(reach) = batch.sweep.and_then(SweepRow::decides_on) {
            self.decide(reach);
        }
        Ok(())
    }
}

/// What appending a batch has led to.
struct Appended {
    stamped: Stamped,
    /// What the lists leave out for the first time.
    unlisted: Vec<UnlistedLine>,
}

/// Appends the versions to the change log, and lists them. `in_doubt`: a first version may be one of a known record.
fn append(
    connection: &Connection,
    batch: &Batch,
    stamped: Stamped,
    in_doubt: bool,
) -> rusqlite::Result<Appended> {
    let seqs = append_versions(connection, batch, in_doubt)?;
    let mut stamping = Stamping::new(connection, stamped);
    let mut unlisted = Vec::new();
    // How a transaction is listed depends on the records, also on those of this batch.
    for (Version { record, number, .. }, seq) in batch.versions.iter().zip(seqs) {
        crash::point();
        if let Some(left_out) = stamping.stamp(record, seq, *number)? {
            unlisted.extend(unlisted::count(connection, record, *number, left_out)?);
        }
    }
    for repair in batch.repaired {
        crash::point();
        write_again(connection, &mut stamping, repair)?;
    }
    Ok(Appended {
        stamped: stamping.finish()?,
        unlisted,
    })
}

/// Appends the versions to the change log, each as its record's newest one. Their seqs.
fn append_versions(
    connection: &Connection,
    batch: &Batch,
    in_doubt: bool,
) -> rusqlite::Result<Vec<i64>> {
    let swept = batch.sweep.map(|sweep| sweep.number);
    let mut append = connection.prepare_cached(
        "INSERT INTO version (stream, id, number, previous, timestamp, hash, observed_at, poll, sweep, json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut newest = NewestVersions::new(connection);
    let mut seqs = Vec::with_capacity(batch.versions.len());
    let mut versions = PerStream::<i64>::default();
    for Version {
        record,
        number,
        observed_at,
    } in batch.versions
    {
        crash::point();
        let previous = match number {
            1 => None,
            _ => newest.of(record)?,
        };
        let seq = append.insert((
            record.stream,
            &record.id,
            number,
            previous,
            record.timestamp,
            record.hash,
            observed_at,
            batch.poll_number,
            swept,
            &record.json,
        ))?;
        crash::point();
        newest.note(record, seq, *number == 1 && !in_doubt);
        versions[record.stream] += 1;
        seqs.push(seq);
    }
    let new = newest.write()?;
    for stream in Stream::ALL {
        for (rows, more) in [
            (&counts::VERSIONS, versions[stream]),
            (&counts::RECORDS, new[stream]),
        ] {
            if more > 0 {
                crash::point();
                counts::add(connection, rows, stream, more)?;
            }
        }
    }
    Ok(seqs)
}

/// Writes the bytes of a damaged version again. It is listed again, at the next place, and delivered where it was not.
fn write_again(
    connection: &Connection,
    stamping: &mut Stamping,
    repair: &Repair,
) -> rusqlite::Result<()> {
    const REPAIR: &str =
        "UPDATE version SET hash = ?2, json = ?3, stream = ?4, id = ?5 WHERE seq = ?1";
    const FORGET: &str = "DELETE FROM damaged WHERE seq = ?1";
    const DELIVER: &str = "UPDATE refusal SET retry = 1 WHERE seq = ?1 AND reason = ?2";
    let Repair { seq, record } = repair;
    let row = (seq, record.hash, &record.json, record.stream, &record.id);
    execute(connection, REPAIR, row)?;
    execute(connection, FORGET, [seq])?;
    execute(connection, DELIVER, (seq, damage::NOT_SENT))?;
    // What is left out of it was counted when it was committed.
    stamping.stamp_again(record, *seq)
}

fn change_quarantine(connection: &Connection, batch: &QuarantineBatch) -> rusqlite::Result<()> {
    for entry in batch.added {
        crash::point();
        quarantine::put(connection, entry)?;
    }
    for number in batch.released {
        crash::point();
        quarantine::remove(connection, *number)?;
    }
    for number in batch.kept {
        crash::point();
        quarantine::keep(connection, *number)?;
    }
    let now = Timestamp::now().second();
    for (stream, id) in batch.rivals {
        quarantine::see_rival(connection, *stream, id, now)?;
    }
    Ok(())
}

fn change_missing(connection: &Connection, changes: &MissingChanges) -> rusqlite::Result<()> {
    for account in &changes.seen {
        missing::forget(connection, account)?;
    }
    for account in &changes.noted {
        missing::note(connection, account)?;
    }
    for account in &changes.closed {
        missing::close(connection, account)?;
    }
    Ok(())
}
