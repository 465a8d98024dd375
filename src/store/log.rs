use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::Error;
use crate::api::{ContentHash, Second, Stream, Timestamp};

/// One version of the change log, as publishers take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number in the change log.
    pub seq: i64,
    /// The stream of its record.
    pub stream: Stream,
    /// The key of its record.
    pub id: String,
    /// `<connector>/<stream>/<id>/<n>-<hash>`: the n-th version of the record, and the start of its content's hash, so
    /// that a state that was lost cannot use a key again for other content.
    pub idempotency_key: String,
    /// When it was read, RFC 3339.
    pub observed_at: String,
    /// The record as the service sent it.
    pub json: String,
}

/// A reader of the change log with a connection of its own, which also keeps a publisher's offset.
#[derive(Debug)]
pub struct ChangeLog {
    connection: Connection,
    file: PathBuf,
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

    /// The versions with a seq above `after`, ascending: at most `most`, and no further one once their texts have
    /// `most_bytes` bytes together. Empty at the end of the log.
    pub fn read(&self, after: i64, most: usize, most_bytes: usize) -> Result<Vec<Change>, Error> {
        let fail = Error::on(&self.file, "read the change log");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, stream, id, number, hash, observed_at, json FROM version
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )
            .map_err(&fail)?;
        let mut rows = statement.query((after, most as i64)).map_err(&fail)?;
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while let (true, Some(row)) = (bytes < most_bytes, rows.next().map_err(&fail)?) {
            let change = self.change(row)?;
            bytes += change.json.len();
            changes.push(change);
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
            idempotency_key,
            observed_at,
            json,
        })
    }

    /// The seq of the newest version; 0 before there is one.
    pub fn last_seq(&self) -> Result<i64, Error> {
        last_seq(&self.connection).map_err(Error::on(&self.file, "read the change log"))
    }

    /// A publisher's stored offset: the last seq that it has delivered, 0 before the first.
    pub fn offset(&self, publisher: &str) -> Result<i64, Error> {
        self.connection
            .query_row(
                "SELECT offset FROM publisher WHERE name = ?1",
                [publisher],
                |row| row.get(0),
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(Error::on(&self.file, "read a publisher's offset"))
    }

    /// Stores a publisher's offset, and why it does not deliver, if it does not.
    pub fn store_offset(
        &self,
        publisher: &str,
        kind: &str,
        offset: i64,
        error: Option<&str>,
    ) -> Result<(), Error> {
        let now = Timestamp::now().second();
        let delivered_at: Option<Second> = error.is_none().then_some(now);
        self.connection
            .prepare_cached(
                "INSERT INTO publisher (name, type, offset, delivered_at, error) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO UPDATE SET type = excluded.type, offset = excluded.offset,
                     delivered_at = coalesce(excluded.delivered_at, delivered_at), error = excluded.error",
            )
            .and_then(|mut statement| {
                statement.execute((publisher, kind, offset, delivered_at.map(|at| at.to_string()), error))
            })
            .map(|_| ())
            .map_err(Error::on(&self.file, "store a publisher's offset"))
    }
}

pub(super) fn last_seq(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM version")?
        .query_row([], |row| row.get(0))
}
