use rusqlite::{Connection, Params, Row};

use super::change_log::CHANGE;
use super::database::{Database, execute, limit};
use super::quarantine::READ;
use super::seq::last_seq;
use super::{Change, Error, PublisherState, Publishers, damage};
use crate::api::{Second, Stream, Timestamp};

const PUT: &str = "INSERT OR REPLACE INTO refusal (publisher, seq, reason, refused_at, retry) VALUES (?1, ?2, ?3, ?4, 0)";

/// A version that a target refuses for its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRefusal {
    /// The publisher.
    pub publisher: String,
    /// The version.
    pub seq: i64,
    /// Its stream.
    pub stream: Stream,
    /// Its record's key.
    pub id: String,
    /// What the target answered.
    pub reason: String,
    /// When it last did.
    pub refused_at: Second,
    /// Whether it is to be delivered again.
    pub retry: bool,
    /// The record as the service sent it; none if it is damaged in the state.
    pub json: Option<String>,
}

impl PublisherState {
    /// The first refused version after that seq.
    pub fn next_refused(&self, after: i64) -> Result<Option<i64>, Error> {
        const NEXT: &str = "SELECT min(seq) FROM refusal WHERE publisher = ?1 AND seq > ?2";
        self.log.database.value(READ, NEXT, (&self.name, after))
    }

    /// Passes over a version that is damaged. It is delivered once it is repaired.
    pub fn pass_over_damaged(&self, seq: i64) -> Result<(), Error> {
        self.log
            .database
            .run("put a version into quarantine", |connection| {
                put(connection, &self.name, seq, damage::NOT_SENT)
            })
    }

    /// Refused versions that the operator wants to be delivered again, at most `most` of them.
    pub fn retries(&self, most: usize) -> Result<Vec<Change>, Error> {
        let sql = format!(
            "SELECT {CHANGE} FROM refusal JOIN version ON version.seq = refusal.seq
             WHERE publisher = ?1 AND retry = 1 ORDER BY version.seq LIMIT ?2"
        );
        self.log.changes(READ, &sql, (&self.name, limit(most)))
    }
}

impl Publishers {
    /// Every version that a target refuses, by publisher and seq.
    pub fn refusals(&self) -> Result<Vec<TargetRefusal>, Error> {
        select(&self.database, "ORDER BY publisher, version.seq", [])
    }

    /// One of them.
    pub fn refusal(&self, publisher: &str, seq: i64) -> Result<TargetRefusal, Error> {
        get(&self.database, publisher, seq)
    }

    /// Lets its publisher deliver one of them again.
    pub fn retry(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        const RETRY: &str = "UPDATE refusal SET retry = 1 WHERE publisher = ?1 AND seq = ?2";
        self.change(RETRY, publisher, seq)
    }

    /// Forgets one of them. It is not delivered there.
    pub fn drop(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        const DROP: &str = "DELETE FROM refusal WHERE publisher = ?1 AND seq = ?2";
        self.change(DROP, publisher, seq)
    }

    /// Puts a version aside that a publisher has yet to deliver, as if the target refused it.
    pub fn skip(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        /// One that was to be tried again, and fails again, stays where it is.
        const KEEP: &str = "UPDATE refusal SET retry = 0 WHERE publisher = ?1 AND seq = ?2";
        let offset = self.offset(publisher)?;
        let beyond = self
            .database
            .run("put a version into quarantine", |connection| {
                if connection.execute(KEEP, (publisher, seq))? > 0 {
                    return Ok(None);
                }
                let last = last_seq(connection)?;
                if (offset + 1..=last).contains(&seq) {
                    put(connection, publisher, seq, "skipped by an operator")?;
                    return Ok(None);
                }
                Ok(Some(last))
            })?;
        match beyond {
            None => Ok(()),
            Some(last) => Err(Error::NotToBeDelivered {
                publisher: publisher.to_owned(),
                seq,
                offset,
                last,
            }),
        }
    }

    fn change(&self, sql: &str, publisher: &str, seq: i64) -> Result<(), Error> {
        let changed = self
            .database
            .execute("change the quarantine", sql, (publisher, seq))?;
        match changed {
            0 => Err(not_refused(publisher, seq)),
            _ => Ok(()),
        }
    }
}

/// A version that a target refuses. It is an error if it does not.
pub(super) fn get(database: &Database, publisher: &str, seq: i64) -> Result<TargetRefusal, Error> {
    const FILTER: &str = "WHERE publisher = ?1 AND version.seq = ?2";
    let found = select(database, FILTER, (publisher, seq))?;
    let mut found = found.into_iter();
    found.next().ok_or_else(|| not_refused(publisher, seq))
}

/// Notes that a target refuses a version.
pub(super) fn put(
    connection: &Connection,
    publisher: &str,
    seq: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    execute(
        connection,
        PUT,
        (publisher, seq, reason, Timestamp::now().second()),
    )
}

/// Forgets the refusals of versions after that seq.
pub(super) fn forget_after(
    connection: &Connection,
    publisher: &str,
    seq: i64,
) -> rusqlite::Result<()> {
    const FORGET: &str = "DELETE FROM refusal WHERE publisher = ?1 AND seq > ?2";
    execute(connection, FORGET, (publisher, seq))
}

/// Forgets that a target refuses a version.
pub(super) fn forget(connection: &Connection, publisher: &str, seq: i64) -> rusqlite::Result<()> {
    const FORGET: &str = "DELETE FROM refusal WHERE publisher = ?1 AND seq = ?2";
    execute(connection, FORGET, (publisher, seq))
}

fn select(
    database: &Database,
    filter: &str,
    parameters: impl Params,
) -> Result<Vec<TargetRefusal>, Error> {
    let sql = format!(
        "SELECT publisher, version.seq, stream, id, reason, refused_at, retry, hash, json
         FROM refusal JOIN version ON version.seq = refusal.seq {filter}"
    );
    database.all(READ, &sql, parameters, read)
}

fn read(row: &Row) -> rusqlite::Result<TargetRefusal> {
    Ok(TargetRefusal {
        publisher: row.get(0)?,
        seq: row.get(1)?,
        stream: row.get(2)?,
        id: row.get(3)?,
        reason: row.get(4)?,
        refused_at: row.get(5)?,
        retry: row.get(6)?,
        json: damage::text(row, 7, 8)?,
    })
}

fn not_refused(publisher: &str, seq: i64) -> Error {
    Error::NotRefused {
        publisher: publisher.to_owned(),
        seq,
    }
}
