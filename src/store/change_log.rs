use rusqlite::{Params, Row};

use super::database::{Database, limit};
use super::identity::state_id;
use super::{Error, damage, restored};
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

    /// Whether the version of that seq has that idempotency key. Of a damaged version the hash at the end is not known.
    pub fn has(&self, seq: i64, key: &str) -> Result<bool, Error> {
        let sql = format!("SELECT {CHANGE} FROM version WHERE seq = ?1");
        let has = |row: &Row| {
            let change = self.change(row)?;
            let name = self.name(row)?;
            Ok(match change {
                Ok(change) => change.idempotency_key == key,
                Err(_) => key.starts_with(&name),
            })
        };
        let has = self
            .database
            .optional("read the change log", &sql, [seq], has)?;
        Ok(has.unwrap_or(false))
    }

    /// The seq of the first version above `after`; none at the end of the log.
    pub fn next_seq(&self, after: i64) -> Result<Option<i64>, Error> {
        const NEXT: &str = "SELECT min(seq) FROM version WHERE seq > ?1";
        self.database.value("read the change log", NEXT, [after])
    }

    /// If the state was put back, and its lost branch used that seq: the seq of the last version before that branch.
    pub fn before_lost(&self, seq: i64) -> Result<Option<i64>, Error> {
        self.database.run("read the restores", |connection| {
            restored::before_lost(connection, seq)
        })
    }

    /// The versions with a seq above `after` and up to `end`, ascending: at most `most`, and no further one once their
    /// texts have `most_bytes` bytes together. They end before a damaged version; it is an error if that is the first one.
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
        let (changes, damaged) = self.database.run("read the change log", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((after, limit(most), end))?;
            let (mut changes, mut bytes) = (Vec::new(), 0);
            while let (true, Some(row)) = (bytes < most_bytes, rows.next()?) {
                let change = match self.change(row)? {
                    Ok(change) => change,
                    Err(damaged) => return Ok((changes, Some(damaged))),
                };
                bytes += change.json.len();
                changes.push(change);
            }
            Ok((changes, None))
        })?;
        match damaged {
            Some(damaged) if changes.is_empty() => Err(self.is_damaged(damaged)),
            _ => Ok(changes),
        }
    }

    /// The versions that a query for the columns of a [`CHANGE`] gives. It is an error if one is damaged.
    pub(super) fn changes(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Vec<Change>, Error> {
        let changes: Vec<Result<Change, (i64, Stream)>> =
            self.database
                .all(doing, sql, parameters, |row| self.change(row))?;
        let changes: Result<Vec<Change>, _> = changes.into_iter().collect();
        changes.map_err(|damaged| self.is_damaged(damaged))
    }

    /// Notes that a version is damaged. The error that says so.
    fn is_damaged(&self, (seq, stream): (i64, Stream)) -> Error {
        match self.database.note_damage(&[(seq, stream)]) {
            Ok(()) => Error::Damaged { stream, seq },
            Err(error) => error,
        }
    }

    /// The beginning of the idempotency key of a row, up to the hash.
    fn name(&self, row: &Row) -> rusqlite::Result<String> {
        let (stream, id, number): (Stream, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(format!("{}/{stream}/{id}/{number}-", self.connector))
    }

    /// The version of a row; seq and stream if it is damaged.
    fn change(&self, row: &Row) -> rusqlite::Result<Result<Change, (i64, Stream)>> {
        let seq = row.get(0)?;
        let (stream, id, number): (Stream, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let Some(json) = damage::text(row, 4, 6)? else {
            return Ok(Err((seq, stream)));
        };
        let hash = ContentHash::of(&json);
        Ok(Ok(Change {
            seq,
            idempotency_key: self.name(row)? + &hash.short(),
            stream,
            id,
            number,
            observed_at: row.get(5)?,
            json,
        }))
    }
}
