use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::Error;
use crate::api::{ContentHash, Stream};

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

/// A reader of the change log with a connection of its own, which also keeps a publisher's progress.
#[derive(Debug)]
pub struct ChangeLog {
    pub(super) connection: Connection,
    pub(super) file: PathBuf,
    connector: String,
}

impl ChangeLog {
    pub(super) fn open(file: &Path, connector: &str) -> Result<ChangeLog, Error> {
        Ok(ChangeLog {
            connection: super::connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
            file: file.to_owned(),
            connector: connector.to_owned(),
        })
    }

    /// The connector whose changes these are.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// The id of this state: random, made with it.
    pub fn state_id(&self) -> Result<String, Error> {
        self.connection
            .query_row(
                "SELECT value FROM state WHERE key = 'state_id'",
                [],
                |row| row.get(0),
            )
            .map_err(Error::on(&self.file, "read whose state it is"))
    }

    /// The versions with a seq above `after`, ascending: at most `most`, and no further one once their texts have
    /// `most_bytes` bytes together. Empty at the end of the log.
    pub fn read(&self, after: i64, most: usize, most_bytes: usize) -> Result<Vec<Change>, Error> {
        self.read_until(after, i64::MAX, most, most_bytes)
    }

    /// As [`read`](ChangeLog::read), but none with a seq above `end`.
    pub fn read_until(
        &self,
        after: i64,
        end: i64,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<Change>, Error> {
        let fail = Error::on(&self.file, "read the change log");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, stream, id, number, hash, observed_at, json FROM version
                 WHERE seq > ?1 AND seq <= ?3 ORDER BY seq LIMIT ?2",
            )
            .map_err(&fail)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = statement.query((after, most, end)).map_err(&fail)?;
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while let (true, Some(row)) = (bytes < most_bytes, rows.next().map_err(&fail)?) {
            let change = self.change(row)?;
            bytes += change.json.len();
            changes.push(change);
        }
        Ok(changes)
    }

    /// The versions that a statement selects.
    pub(super) fn changes(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Change>, Error> {
        let fail = Error::on(&self.file, "read the change log");
        let mut statement = self.connection.prepare_cached(sql).map_err(&fail)?;
        let mut rows = statement.query(parameters).map_err(&fail)?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next().map_err(&fail)? {
            changes.push(self.change(row)?);
        }
        Ok(changes)
    }

    fn change(&self, row: &rusqlite::Row) -> Result<Change, Error> {
        let fail = Error::on(&self.file, "read the change log");
        let seq: i64 = row.get(0).map_err(&fail)?;
        let stream: String = row.get(1).map_err(&fail)?;
        let id: String = row.get(2).map_err(&fail)?;
        let number: i64 = row.get(3).map_err(&fail)?;
        let hash: [u8; 16] = row.get(4).map_err(&fail)?;
        let observed_at = row.get(5).map_err(&fail)?;
        let json = row.get(6).map_err(&fail)?;
        let stream = Stream::from_name(&stream).ok_or_else(|| Error::Corrupt {
            file: self.file.clone(),
            detail: format!("version {seq} is of an unknown stream {stream:?}"),
        })?;
        let hash = ContentHash(hash).short();
        let idempotency_key = format!("{}/{stream}/{id}/{number}-{hash}", self.connector);
        Ok(Change {
            seq,
            stream,
            id,
            number,
            idempotency_key,
            observed_at,
            json,
        })
    }
}

pub(super) fn last_seq(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM version")?
        .query_row([], |row| row.get(0))
}
