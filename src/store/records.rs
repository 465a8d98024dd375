use std::ops::RangeInclusive;

use rusqlite::Connection;

use super::database::{limit, optional, value};
use super::identity::{put_state_value, state_value};
use super::newest::seq_of;
use super::{Error, Store, counts, damage, restored};
use crate::api::{ContentHash, Record, Second, Stream, Timestamp, same_content};

/// A record with more versions than this is not looked through to its first one: no payment has so many states.
const LONGEST_HISTORY: usize = 100;

/// The newest stored version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// Its number in the change log.
    pub seq: i64,
    /// Which version of its record it is, from 1.
    pub number: i64,
    /// Its own date.
    pub timestamp: Timestamp,
    /// The hash of its text as it was stored.
    pub hash: ContentHash,
    /// The hash of its text as it is now; another one if it is damaged, none if there is no text of the record any more.
    pub hash_now: Option<ContentHash>,
    /// The poll that read it, or after which a sweep did.
    pub poll: i64,
    /// The sweep that found it, if one did.
    pub sweep: Option<i64>,
    /// When it was read.
    pub observed_at: Second,
}

/// The key of the state under which the seq is noted from which on a poll begins to ask for balances.
const FIRST_BALANCES: &str = "first_balances";

/// Notes that seq.
pub(super) fn begin_balances_at(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    put_state_value(connection, FIRST_BALANCES, &seq.to_string())
}

/// The key of the state under which is noted when the balances of every account were last asked for, with success.
const BALANCES_ASKED_AT: &str = "balances_asked_at";

/// Notes when that was.
pub(super) fn note_balances_asked(connection: &Connection, at: Second) -> rusqlite::Result<()> {
    put_state_value(connection, BALANCES_ASKED_AT, &String::from(at))
}

impl StoredVersion {
    /// Whether its text is the one that was stored.
    pub fn is_intact(&self) -> bool {
        self.hash_now == Some(self.hash)
    }
}

impl Store {
    /// Looks records up in one state of the file. That is faster than a look-up at a time; nothing can be written meanwhile.
    pub fn look_up<T>(&self, work: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        self.database.reading("look up records", || work(self))
    }

    /// How many records the stream has.
    pub fn record_count(&self, stream: Stream) -> Result<u64, Error> {
        let records = self
            .database
            .run("read how many records there are", |connection| {
                counts::get(connection, &counts::RECORDS, stream)
            })?;
        Ok(records.unsigned_abs())
    }

    /// The newest stored version of a record.
    pub fn newest(&self, stream: Stream, id: &str) -> Result<Option<StoredVersion>, Error> {
        const VERSION: &str = "
            SELECT number, timestamp, hash, poll, sweep, observed_at, json, stream = ?2 AND id = ?3
            FROM version WHERE seq = ?1";
        if let (Stream::Transactions, Some(first_import)) = (stream, &self.first_import)
            && !first_import.may_have(id)
        {
            return Ok(None);
        }
        self.database.run("look up a record", |connection| {
            let Some(seq) = seq_of(connection, stream, id)? else {
                return Ok(None);
            };
            let found = optional(connection, VERSION, (seq, stream, id), |row| {
                let is_its = row.get(7)?;
                let text = row.get_ref(6)?.as_str().ok().filter(|_| is_its);
                Ok(StoredVersion {
                    seq,
                    number: row.get(0)?,
                    timestamp: row.get(1)?,
                    hash: row.get(2).unwrap_or(ContentHash([0; 16])),
                    hash_now: text.map(ContentHash::of),
                    poll: row.get(3)?,
                    sweep: row.get(4)?,
                    observed_at: row.get(5)?,
                })
            })?;
            if found
                .as_ref()
                .is_none_or(|found: &StoredVersion| found.number < 1)
            {
                self.has_lost_versions.set(true);
            }
            Ok(found)
        })
    }

    /// Whether a version of the record before the one of that seq had this content.
    pub fn had_content(&self, seq: i64, record: &Record) -> Result<bool, Error> {
        const BEFORE: &str = "
            SELECT before.seq, before.hash, before.json FROM version
            JOIN version AS before ON before.seq = version.previous WHERE version.seq = ?1";
        self.database
            .run("read the versions of a record", |connection| {
                let mut seq = seq;
                for _ in 0..LONGEST_HISTORY {
                    let before: Option<(i64, Option<String>)> =
                        optional(connection, BEFORE, [seq], |row| {
                            Ok((row.get(0)?, damage::text(row, 1, 2)?))
                        })?;
                    match before {
                        None => return Ok(false),
                        Some((_, Some(json))) if same_content(&json, &record.json) => {
                            return Ok(true);
                        }
                        Some((before, _)) => seq = before,
                    }
                }
                Ok(false)
            })
    }

    /// The text of a stored version; none if it is damaged.
    pub fn json(&self, seq: i64) -> Result<Option<String>, Error> {
        const JSON: &str = "SELECT hash, json FROM version WHERE seq = ?1";
        let text = self
            .database
            .optional("read a version", JSON, [seq], |row| damage::text(row, 0, 1))?;
        Ok(text.flatten())
    }

    /// The seq of the account with which the next poll begins to ask for balances.
    pub fn first_balances(&self) -> Result<i64, Error> {
        let doing = "read where balances begin";
        let begin = self
            .database
            .run(doing, |connection| state_value(connection, FIRST_BALANCES))?;
        Ok(begin.and_then(|seq| seq.parse().ok()).unwrap_or(1))
    }

    /// Whether the balances of every account are to be asked for at `now`: they were last asked for `period` seconds ago,
    /// or some of them are not there or cannot be shown.
    pub fn balances_are_due(&self, period: u64, now: Second) -> Result<bool, Error> {
        const DAMAGED: &str = "SELECT EXISTS (SELECT 1 FROM damaged WHERE stream = 'balances')";
        const CLOSED_WITHOUT: &str = "
            SELECT count(*) FROM missing
            WHERE closed AND NOT EXISTS (SELECT 1 FROM other_record WHERE stream = 'balances' AND id = account)";
        self.database
            .run("read when balances were asked for", |connection| {
                let asked_at = state_value(connection, BALANCES_ASKED_AT)?;
                let asked_at = asked_at.and_then(|at| Timestamp::parse(&at).ok());
                let Some(asked_at) = asked_at.map(|at| at.second()) else {
                    return Ok(true);
                };
                let accounts = counts::get(connection, &counts::RECORDS, Stream::Accounts)?;
                let balances = counts::get(connection, &counts::RECORDS, Stream::Balances)?;
                let closed_without: i64 = value(connection, CLOSED_WITHOUT, [])?;
                let restored_at = restored::last(connection)?.map(|restored| restored.noticed_at);
                Ok(asked_at > now
                    || asked_at.later(period) <= now
                    || restored_at >= Some(asked_at)
                    || accounts > balances + closed_without
                    || value(connection, DAMAGED, [])?)
            })
    }

    /// At most `most` accounts whose first version has one of these seqs, in the order of those: seq and id.
    pub fn accounts(
        &self,
        seqs: RangeInclusive<i64>,
        most: usize,
    ) -> Result<Vec<(i64, String)>, Error> {
        const ACCOUNTS: &str = "
            SELECT seq, id FROM version INDEXED BY account
            WHERE stream = 'accounts' AND number = 1 AND seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3";
        self.database.all(
            "read the accounts",
            ACCOUNTS,
            (seqs.start(), seqs.end(), limit(most)),
            |row| row.try_into(),
        )
    }
}
