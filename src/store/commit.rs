use rusqlite::{OptionalExtension, TransactionBehavior};

use super::{Cursor, Error, Store, cursor};
use crate::api::{Record, Second, Stream, Timestamp};

/// How many polls are remembered.
const POLLS: i64 = 1_000;

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
    /// New versions of each stream, in the order of [`Stream::ALL`].
    pub versions: [i64; 4],
    /// Records that could not be kept.
    pub skipped: i64,
    /// What went wrong first.
    pub error: Option<String>,
}

/// Everything that is committed together: versions, the cursors that they allow, and the poll they belong to.
#[derive(Debug)]
pub struct Batch<'a> {
    /// In the order in which the change log shall have them.
    pub versions: &'a [Version],
    /// The cursors that have moved.
    pub cursors: &'a [(Stream, Cursor)],
    /// The poll, as far as it has come.
    pub poll: &'a PollRow,
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
        let write = || -> rusqlite::Result<()> {
            let mut append = transaction.prepare_cached(
                "INSERT INTO version (stream, id, number, timestamp, hash, observed_at, poll, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let mut point = transaction.prepare_cached(
                "INSERT INTO record (stream, id, seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT (stream, id) DO UPDATE SET seq = excluded.seq",
            )?;
            for Version {
                record,
                number,
                observed_at,
            } in batch.versions
            {
                let stream = record.stream.name();
                let seq = append.insert((
                    stream,
                    &record.id,
                    number,
                    record.timestamp.to_string(),
                    record.hash.0,
                    observed_at.to_string(),
                    batch.poll.number,
                    &*record.json,
                ))?;
                point.execute((stream, &record.id, seq))?;
            }
            for (stream, moved) in batch.cursors {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO cursor (stream, position, numbered, again) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute((
                        stream.name(),
                        moved.position.map(|second| second.to_string()),
                        cursor::write_ranges(&moved.numbered),
                        cursor::write_ranges(&moved.again),
                    ))?;
            }
            let poll = batch.poll;
            let [accounts, balances, beneficiaries, transactions] = poll.versions;
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO poll
                     (number, started_at, ended_at, outcome, requests, retries,
                      accounts, balances, beneficiaries, transactions, skipped, error)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                )?
                .execute((
                    poll.number,
                    poll.started_at.to_string(),
                    poll.ended_at.map(|second| second.to_string()),
                    &poll.outcome,
                    poll.requests,
                    poll.retries,
                    accounts,
                    balances,
                    beneficiaries,
                    transactions,
                    poll.skipped,
                    &poll.error,
                ))?;
            transaction
                .prepare_cached("DELETE FROM poll WHERE number <= ?1")?
                .execute([poll.number - POLLS])?;
            Ok(())
        };
        write().map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// A stream's cursor; the beginning if it has none yet.
    pub fn cursor(&self, stream: Stream) -> Result<Cursor, Error> {
        let row: Option<(Option<String>, String, String)> = self
            .connection
            .query_row(
                "SELECT position, numbered, again FROM cursor WHERE stream = ?1",
                [stream.name()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()
            .map_err(Error::on(&self.file, "read a cursor"))?;
        let Some((position, numbered, again)) = row else {
            return Ok(Cursor::default());
        };
        let read = || {
            Ok(Cursor {
                position: position
                    .map(|text| Timestamp::parse(&text))
                    .transpose()?
                    .map(Timestamp::second),
                numbered: cursor::read_ranges(&numbered)?,
                again: cursor::read_ranges(&again)?,
            })
        };
        read().map_err(|invalid: crate::api::Invalid| self.corrupt(invalid))
    }
}
