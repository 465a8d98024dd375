use rusqlite::{Connection, Params, Row};

use super::database::{Database, limit, optional, value};
use super::{Error, restored};
use crate::api::{ContentHash, Stream};

/// The columns that make a [`Change`].
pub(super) const CHANGE: &str = "version.seq, version.stream, version.id, version.number, version.hash, version.observed_at, version.json";

/// One version of the change log, as publishers take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number in the change log.
    pub seq: i64,
    /// The stream of its record.
    pub stream: Stream,
    /// The key of its record.
    pub id: String,
    /// Which version of its record it is, from 1.
    pub number: i64,
    /// `<connector>/<stream>/<id>/<n>-<hash>`: the n-th version of the record, and the start of its content's hash, so
    /// that a state that was lost cannot use a key again for other content.
    pub idempotency_key: String,
    /// When it was read, RFC 3339.
    pub observed_at: String,
    /// The record as the service sent it.
    pub json: String,
}

/// The change log, read on a connection of its own.
#[derive(Debug)]
pub struct ChangeLog {
    pub(super) database: Database,
    /// The connector whose changes these are.
    pub connector: String,
}

impl ChangeLog {
    /// The id of this state: random, made with it.
    pub fn state_id(&self) -> Result<String, Error> {
        self.database.run("read whose state it is", state_id)
    }

    /// The first version with a seq above `after`; none at the end of the log.
    pub fn next(&self, after: i64) -> Result<Option<Change>, Error> {
        Ok(self.read(after, i64::MAX, 1, 1)?.pop())
    }

    /// If the state was put back, and its lost branch used that seq: the seq of the last version before that branch.
    pub fn before_lost(&self, seq: i64) -> Result<Option<i64>, Error> {
        self.database.run("read the restores", |connection| {
            restored::before_lost(connection, seq)
        })
    }

    /// The versions with a seq above `after` and up to `end`, ascending: at most `most`, and no further one once their
    /// texts have `most_bytes` bytes together.
    pub fn read(
        &self,
        after: i64,
        end: i64,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<Change>, Error> {
        let sql = format!(
            "SELECT {CHANGE} FROM version WHERE seq > ?1 AND seq <= ?3 ORDER BY seq LIMIT ?2"
        );
        self.database.run("read the change log", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((after, limit(most), end))?;
            let (mut changes, mut bytes) = (Vec::new(), 0);
            while let (true, Some(row)) = (bytes < most_bytes, rows.next()?) {
                let change = self.change(row)?;
                bytes += change.json.len();
                changes.push(change);
            }
            Ok(changes)
        })
    }

    /// The versions that a query for the columns of a [`CHANGE`] gives.
    pub(super) fn changes(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Vec<Change>, Error> {
        self.database
            .all(doing, sql, parameters, |row| self.change(row))
    }

    fn change(&self, row: &Row) -> rusqlite::Result<Change> {
        let (stream, id, number): (Stream, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let hash: ContentHash = row.get(4)?;
        Ok(Change {
            seq: row.get(0)?,
            idempotency_key: format!("{}/{stream}/{id}/{number}-{}", self.connector, hash.short()),
            stream,
            id,
            number,
            observed_at: row.get(5)?,
            json: row.get(6)?,
        })
    }
}

/// The id of a state.
pub(super) fn state_id(connection: &Connection) -> rusqlite::Result<String> {
    value(
        connection,
        "SELECT value FROM state WHERE key = 'state_id'",
        [],
    )
}

/// What a state says of itself under that key.
pub(super) fn state_value(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    const VALUE: &str = "SELECT value FROM state WHERE key = ?1";
    optional(connection, VALUE, [key], |row| row.get(0))
}

/// The seq of the newest version; 0 before there is one.
pub(super) fn last_seq(connection: &Connection) -> rusqlite::Result<i64> {
    value(connection, "SELECT coalesce(max(seq), 0) FROM version", [])
}
