use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Params, Row};

use super::database::{Database, execute, optional};
use super::{Error, Store, counts, damage};
use crate::api::{ContentHash, Second, Stream};

/// How many elements without a usable id are kept of each stream. None of them can replace an earlier one, so without a
/// limit a broken service would fill the disk.
const MOST_WITHOUT_ID: i64 = 1_000;

/// Bytes of their texts.
const MOST_BYTES_WITHOUT_ID: i64 = 16 << 20;

const COLUMNS: &str = "number, stream, id, kind, reason, first_seen, last_seen, retry, hash, json";

/// What is being done when reading fails.
pub(super) const READ: &str = "read the quarantine";

/// Why a record is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineKind {
    /// It breaks the API. A version of its record that does not releases it.
    Contract,
    /// Another content has its id. A sweep accepts it once the other one is no longer listed.
    DuplicateId,
}

/// A record on its way into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The stream that listed it.
    pub stream: Stream,
    /// Its key, if it has one that can be used.
    pub id: Option<String>,
    /// Why it is not accepted.
    pub kind: QuarantineKind,
    /// Why, in words for a person.
    pub reason: String,
    /// The hash of its text.
    pub hash: ContentHash,
    /// The exact text that the service sent.
    pub json: Arc<str>,
    /// When it was read.
    pub seen_at: Second,
}

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The number by which commands name it.
    pub number: i64,
    /// The stream that listed it.
    pub stream: Stream,
    /// Its key; empty if it has none that can be used.
    pub id: String,
    /// Why it is not accepted.
    pub kind: QuarantineKind,
    /// Why, in words for a person.
    pub reason: String,
    /// When it was first read.
    pub first_seen: Second,
    /// When it was last read.
    pub last_seen: Second,
    /// Whether the next poll is to take it again.
    pub retry: bool,
    /// The exact text that the service sent; none if it is damaged in the state.
    pub json: Option<String>,
}

/// The quarantine, beside the process that polls: for the operator.
#[derive(Debug)]
pub struct Quarantine(Database);

impl QuarantineKind {
    /// Its name in the state and in `quarantine list`.
    pub fn name(self) -> &'static str {
        match self {
            QuarantineKind::Contract => "contract",
            QuarantineKind::DuplicateId => "duplicate",
        }
    }

    /// The kind of that [`name`](QuarantineKind::name).
    pub fn from_name(name: &str) -> Option<QuarantineKind> {
        let kinds = [QuarantineKind::Contract, QuarantineKind::DuplicateId];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

impl Store {
    /// The streams that have records in quarantine.
    pub fn quarantined_streams(&self) -> Result<Vec<Stream>, Error> {
        let streams = self.database.run(READ, |connection| {
            counts::parts(connection, &counts::QUARANTINED)
        })?;
        let streams = streams.iter();
        Ok(streams
            .filter_map(|(stream, _)| Stream::from_name(stream))
            .collect())
    }

    /// Whether that text of a record is in quarantine.
    pub fn is_quarantined(
        &self,
        stream: Stream,
        id: &str,
        hash: ContentHash,
    ) -> Result<bool, Error> {
        const IS_QUARANTINED: &str =
            "SELECT 1 FROM quarantine WHERE stream = ?1 AND id = ?2 AND hash = ?3";
        self.database.run(READ, |connection| {
            connection
                .prepare_cached(IS_QUARANTINED)?
                .exists((stream, id, hash))
        })
    }

    /// What is in quarantine under an id: numbers and kinds.
    pub fn quarantined_of(
        &self,
        stream: Stream,
        id: &str,
    ) -> Result<Vec<(i64, QuarantineKind)>, Error> {
        const OF_ID: &str = "SELECT number, kind FROM quarantine WHERE stream = ?1 AND id = ?2";
        self.database
            .all(READ, OF_ID, (stream, id), |row| row.try_into())
    }

    /// The contents of a stream that were in quarantine before that second, beside another one of their id, and that
    /// have been listed since then while the other one was not.
    pub fn without_rival(&self, stream: Stream, since: Second) -> Result<Vec<Quarantined>, Error> {
        const WITHOUT_RIVAL: &str = "
            WHERE stream = ?1 AND kind = ?2 AND first_seen < ?3 AND last_seen >= ?3
                AND (rival_seen IS NULL OR rival_seen < ?3)";
        let parameters = (stream, QuarantineKind::DuplicateId, since);
        select(&self.database, WITHOUT_RIVAL, parameters)
    }

    /// The numbers of a stream's records in quarantine that were last seen before that second.
    pub fn quarantined_before(&self, stream: Stream, second: Second) -> Result<Vec<i64>, Error> {
        const BEFORE: &str = "SELECT number FROM quarantine WHERE stream = ?1 AND last_seen < ?2";
        self.database
            .all(READ, BEFORE, (stream, second), |row| row.get(0))
    }

    /// The records in quarantine that the next poll is to take again.
    pub fn retries(&self) -> Result<Vec<Quarantined>, Error> {
        select(&self.database, "WHERE retry = 1", [])
    }
}

impl Quarantine {
    /// Opens that of the state in that directory.
    pub fn open(directory: &Path) -> Result<Quarantine, Error> {
        Database::beside(directory).map(Quarantine)
    }

    /// Every record in it, by number.
    pub fn list(&self) -> Result<Vec<Quarantined>, Error> {
        select(&self.0, "", [])
    }

    /// One record.
    pub fn get(&self, number: i64) -> Result<Quarantined, Error> {
        get(&self.0, number)
    }

    /// Lets the next poll take a record again.
    pub fn retry(&self, number: i64) -> Result<(), Error> {
        const RETRY: &str = "UPDATE quarantine SET retry = 1 WHERE number = ?1";
        let changed = self
            .0
            .execute("mark a record in quarantine", RETRY, [number])?;
        found(number, changed)
    }

    /// Removes a record. It comes back if the service still lists it.
    pub fn drop(&self, number: i64) -> Result<(), Error> {
        let changed = self
            .0
            .run("remove a record from quarantine", |connection| {
                remove(connection, number)
            })?;
        found(number, changed)
    }
}

/// One record. It is an error if it is not in quarantine.
pub(super) fn get(database: &Database, number: i64) -> Result<Quarantined, Error> {
    let found = select(database, "WHERE number = ?1", [number])?;
    let mut found = found.into_iter();
    found.next().ok_or(Error::NotQuarantined(number))
}

/// Puts a record into quarantine, or notes that it was seen again. Of an id, only the newest text that breaks the API
/// is kept.
pub(super) fn put(connection: &Connection, entry: &QuarantineEntry) -> rusqlite::Result<()> {
    const REPLACE: &str = "
        DELETE FROM quarantine WHERE stream = ?1 AND id = ?2 AND kind = ?4 AND hash <> ?3 RETURNING first_seen";
    const PUT: &str = "
        INSERT INTO quarantine (stream, id, hash, kind, reason, first_seen, last_seen, retry, json)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)
        ON CONFLICT (stream, id, hash) DO UPDATE
        SET kind = excluded.kind, reason = excluded.reason, last_seen = excluded.last_seen, json = excluded.json";
    const FORGET_OLDEST: &str = "
        DELETE FROM quarantine WHERE number IN (
            SELECT number FROM (
                SELECT number, count(*) OVER newest AS records, sum(length(CAST(json AS BLOB))) OVER newest AS bytes
                FROM quarantine WHERE stream = ?1 AND id = ''
                WINDOW newest AS (ORDER BY last_seen DESC, number DESC))
            WHERE records > ?2 OR bytes > ?3)";
    let QuarantineEntry {
        stream, kind, hash, ..
    } = *entry;
    let id = entry.id.as_deref().unwrap_or_default();
    let mut first_seen = entry.seen_at;
    if kind == QuarantineKind::Contract && !id.is_empty() {
        let replaced = optional(connection, REPLACE, (stream, id, hash, kind), |row| {
            row.get(0)
        })?;
        first_seen = replaced.unwrap_or(first_seen);
    }
    let row = (
        stream,
        id,
        hash,
        kind,
        &entry.reason,
        first_seen,
        entry.seen_at,
        &*entry.json,
    );
    execute(connection, PUT, row)?;
    if id.is_empty() {
        let limits = (stream, MOST_WITHOUT_ID, MOST_BYTES_WITHOUT_ID);
        execute(connection, FORGET_OLDEST, limits)?;
    }
    Ok(())
}

/// Removes a record from quarantine. How many there were.
pub(super) fn remove(connection: &Connection, number: i64) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM quarantine WHERE number = ?1", [number])
}

/// Notes that a record was tried again and stays in quarantine.
pub(super) fn keep(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    const KEEP: &str = "UPDATE quarantine SET retry = 0 WHERE number = ?1";
    execute(connection, KEEP, [number])
}

/// Notes that the accepted version of a record is still listed, beside the duplicates in quarantine.
pub(super) fn see_rival(
    connection: &Connection,
    stream: Stream,
    id: &str,
    seen_at: Second,
) -> rusqlite::Result<()> {
    const SEE: &str =
        "UPDATE quarantine SET rival_seen = ?4 WHERE stream = ?1 AND id = ?2 AND kind = ?3";
    execute(
        connection,
        SEE,
        (stream, id, QuarantineKind::DuplicateId, seen_at),
    )
}

/// How many records are in quarantine.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    let streams = counts::parts(connection, &counts::QUARANTINED)?;
    Ok(streams.iter().map(|(_, records)| records).sum())
}

fn select(
    database: &Database,
    filter: &str,
    parameters: impl Params,
) -> Result<Vec<Quarantined>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM quarantine {filter} ORDER BY number");
    database.all(READ, &sql, parameters, read)
}

fn read(row: &Row) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        number: row.get(0)?,
        stream: row.get(1)?,
        id: row.get(2)?,
        kind: row.get(3)?,
        reason: row.get(4)?,
        first_seen: row.get(5)?,
        last_seen: row.get(6)?,
        retry: row.get(7)?,
        json: damage::text(row, 8, 9)?,
    })
}

fn found(number: i64, changed: usize) -> Result<(), Error> {
    match changed {
        0 => Err(Error::NotQuarantined(number)),
        _ => Ok(()),
    }
}
