use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

use super::{Cursor, Error, Refused, Store, SweepRow, listing::Stamping, quarantine, sweep};
use crate::api::{PerStream, Record, Second, Stream, Timestamp};
use crate::crash;

/// How many polls are remembered.
const POLLS: i64 = 1_000;
/// How many unknown values of type and status are remembered. Beyond that they are no values but texts.
pub const UNKNOWN_VALUES: i64 = 1_000;

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

/// What is known of a poll, complete or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollRow {
    /// Which poll, from 1.
    pub number: i64,
    /// When it began.
    pub started_at: Second,
    /// When it ended; none while it runs.
    pub ended_at: Option<Second>,
    /// `running`, `complete`, `partial`, `failed` or `interrupted`.
    pub outcome: String,
    /// HTTP requests made.
    pub requests: i64,
    /// Those of them that were retries.
    pub retries: i64,
    /// New versions.
    pub versions: PerStream<i64>,
    /// Records newly put into quarantine.
    pub quarantined: i64,
    /// What went wrong first.
    pub error: Option<String>,
}

/// Everything that is committed together: what was read, the cursors that it allows, and the poll it belongs to.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The number of the poll that read it, or after which a sweep did.
    pub poll_number: i64,
    /// The new versions, in the order in which the change log shall have them.
    pub versions: &'a [Version],
    /// What is put into quarantine, or seen there again.
    pub refused: &'a [Refused],
    /// The numbers of what leaves the quarantine.
    pub released: &'a [i64],
    /// The numbers of what was tried again and stays there.
    pub kept: &'a [i64],
    /// The records of which something is in quarantine, and which are listed as they are stored.
    pub rivals: &'a [(Stream, String)],
    /// The unknown values of `type` and `status` among the versions, and in how many.
    pub unknown_values: &'a [(&'static str, String, i64)],
    /// The cursors that have moved.
    pub cursors: &'a [(Stream, Cursor)],
    /// The poll, as far as it has come.
    pub poll: Option<&'a PollRow>,
    /// The sweep, as far as it has come.
    pub sweep: Option<&'a SweepRow>,
}

impl Store {
    /// The publish step: appends the versions to the change log and moves the cursors, all or nothing. When it returns,
    /// the batch is on the disk; on an error nothing of it is.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        let fail = Error::on(&self.file, "commit a batch");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&fail)?;
        write(&transaction, &batch).map_err(&fail)?;
        crash::point();
        transaction.commit().map_err(&fail)?;
        crash::point();
        Ok(())
    }

    /// The unknown values of `type` and `status` seen so far: field and value.
    pub fn unknown_values(&self) -> Result<HashSet<(String, String)>, Error> {
        let values = || -> rusqlite::Result<HashSet<(String, String)>> {
            self.connection
                .prepare_cached("SELECT field, value FROM unknown_value")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        values().map_err(Error::on(&self.file, "read the unknown values"))
    }

    /// A stream's cursor; the beginning if it has none yet.
    pub fn cursor(&self, stream: Stream) -> Result<Cursor, Error> {
        self.connection
            .query_row(
                "SELECT position, numbered, again, traits, ended_at, standing FROM cursor WHERE stream = ?1",
                [stream.name()],
                |row| {
                    Ok(Cursor {
                        position: super::optional_second(row, 0)?,
                        numbered: super::from_json(row, 1)?,
                        again: super::from_json(row, 2)?,
                        quirks: super::from_json(row, 3)?,
                        ended_at: super::optional_second(row, 4)?,
                        standing: row.get(5)?,
                    })
                },
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(Error::on(&self.file, "read a cursor"))
    }
}

fn write(transaction: &Transaction, batch: &Batch) -> rusqlite::Result<()> {
    let swept = batch.sweep.map(|sweep| sweep.number);
    let mut append = transaction.prepare_cached(
        "INSERT INTO version (stream, id, number, previous, timestamp, hash, observed_at, poll, sweep, json)
         VALUES (?1, ?2, ?3, CASE WHEN ?3 > 1 THEN (SELECT seq FROM record WHERE stream = ?1 AND id = ?2) END,
                 ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut point = transaction.prepare_cached(
        "INSERT INTO record (stream, id, seq) VALUES (?1, ?2, ?3)
         ON CONFLICT (stream, id) DO UPDATE SET seq = excluded.seq",
    )?;
    let mut stamping = Stamping::new(transaction);
    for Version {
        record,
        number,
        observed_at,
    } in batch.versions
    {
        let stream = record.stream.name();
        crash::point();
        let seq = append.insert((
            stream,
            &record.id,
            number,
            record.timestamp.to_string(),
            record.hash.0,
            observed_at.to_string(),
            batch.poll_number,
            swept,
            &*record.json,
        ))?;
        crash::point();
        point.execute((stream, &record.id, seq))?;
        crash::point();
        stamping.stamp(record.stream, &record.id, seq, record.timestamp)?;
    }
    for refused in batch.refused {
        crash::point();
        quarantine::put(transaction, refused)?;
    }
    for number in batch.released {
        crash::point();
        quarantine::remove(transaction, *number)?;
    }
    for number in batch.kept {
        crash::point();
        quarantine::keep(transaction, *number)?;
    }
    for (stream, id) in batch.rivals {
        quarantine::see_rival(transaction, *stream, id, Timestamp::now().second())?;
    }
    for (field, value, versions) in batch.unknown_values {
        transaction
            .prepare_cached(
                "INSERT INTO unknown_value (field, value, versions, first_seen)
                 SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM unknown_value) < ?5
                     OR EXISTS (SELECT 1 FROM unknown_value WHERE field = ?1 AND value = ?2)
                 ON CONFLICT (field, value) DO UPDATE SET versions = versions + excluded.versions",
            )?
            .execute((
                field,
                value,
                versions,
                Timestamp::now().second().to_string(),
                UNKNOWN_VALUES,
            ))?;
    }
    for (stream, cursor) in batch.cursors {
        crash::point();
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO cursor (stream, position, numbered, again, traits, ended_at, standing)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                stream.name(),
                cursor.position.map(String::from),
                super::to_json(&cursor.numbered),
                super::to_json(&cursor.again),
                super::to_json(&cursor.quirks),
                cursor.ended_at.map(String::from),
                cursor.standing,
            ))?;
    }
    if let Some(row) = batch.sweep {
        crash::point();
        sweep::put(transaction, row)?;
    }
    if let Some(poll) = batch.poll {
        crash::point();
        put_poll(transaction, poll)?;
    }
    Ok(())
}

fn put_poll(transaction: &Transaction, poll: &PollRow) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO poll
             (number, started_at, ended_at, outcome, requests, retries,
              accounts, balances, beneficiaries, transactions, quarantined, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute((
            poll.number,
            poll.started_at.to_string(),
            poll.ended_at.map(String::from),
            &poll.outcome,
            poll.requests,
            poll.retries,
            poll.versions[Stream::Accounts],
            poll.versions[Stream::Balances],
            poll.versions[Stream::Beneficiaries],
            poll.versions[Stream::Transactions],
            poll.quarantined,
            &poll.error,
        ))?;
    transaction
        .prepare_cached("DELETE FROM poll WHERE number <= ?1")?
        .execute([poll.number - POLLS])?;
    Ok(())
}
