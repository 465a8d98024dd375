use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::{Error, Store};
use crate::api::{ContentHash, Second, Stream};

/// How many elements without a usable id are kept of each stream: what has no id cannot replace what it was before.
const WITHOUT_ID: i64 = 1_000;

/// Why a record is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It breaks the API. A version of its record that does not releases it.
    Contract,
    /// Another content has its id. A sweep accepts it when the other one is listed no more.
    DuplicateId,
}

impl Kind {
    /// As the state has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Contract => "contract",
            Kind::DuplicateId => "duplicate",
        }
    }
}

/// A record that is not accepted, on its way into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The stream that listed it.
    pub stream: Stream,
    /// Its key, if it has one that can be used.
    pub id: Option<String>,
    /// Why it is not accepted.
    pub kind: Kind,
    /// Why, in words for a person.
    pub reason: String,
    /// The hash of its text.
    pub hash: ContentHash,
    /// The exact text that the service sent.
    pub json: Box<str>,
    /// When it was read.
    pub seen_at: Second,
}

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// By which commands name it.
    pub number: i64,
    /// The stream that listed it.
    pub stream: Stream,
    /// Its key; empty if it has none that can be used.
    pub id: String,
    /// Why it is not accepted.
    pub kind: Kind,
    /// Why, in words for a person.
    pub reason: String,
    /// When it was first read.
    pub first_seen: Second,
    /// When it was last read.
    pub last_seen: Second,
    /// Whether the next poll is to take it again.
    pub retry: bool,
    /// The exact text that the service sent.
    pub json: String,
}

const COLUMNS: &str = "number, stream, id, kind, reason, first_seen, last_seen, retry, json";

fn read(row: &Row) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        number: row.get(0)?,
        stream: super::stream(row, 1)?,
        id: row.get(2)?,
        kind: kind(row, 3)?,
        reason: row.get(4)?,
        first_seen: super::second(row, 5)?,
        last_seen: super::second(row, 6)?,
        retry: row.get(7)?,
        json: row.get(8)?,
    })
}

fn kind(row: &Row, column: usize) -> rusqlite::Result<Kind> {
    let name: String = row.get(column)?;
    Ok(match name == Kind::DuplicateId.name() {
        true => Kind::DuplicateId,
        false => Kind::Contract,
    })
}

/// Puts a record into quarantine, or notes that it was seen again. Of an id only the newest text that breaks the API is
/// kept.
pub(super) fn put(connection: &Connection, refused: &Refused) -> rusqlite::Result<()> {
    let stream = refused.stream.name();
    let id = refused.id.as_deref().unwrap_or_default();
    let seen_at = refused.seen_at.to_string();
    let mut first_seen = seen_at.clone();
    if refused.kind == Kind::Contract && !id.is_empty() {
        let before: Option<String> = connection
            .prepare_cached(
                "DELETE FROM quarantine WHERE stream = ?1 AND id = ?2 AND kind = 'contract' AND hash <> ?3
                 RETURNING first_seen",
            )?
            .query_row((stream, id, refused.hash.0), |row| row.get(0))
            .optional()?;
        first_seen = before.unwrap_or(first_seen);
    }
    connection
        .prepare_cached(
            "INSERT INTO quarantine (stream, id, hash, kind, reason, first_seen, last_seen, retry, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)
             ON CONFLICT (stream, id, hash) DO UPDATE
             SET kind = excluded.kind, reason = excluded.reason, last_seen = excluded.last_seen",
        )?
        .execute((
            stream,
            id,
            refused.hash.0,
            refused.kind.name(),
            &refused.reason,
            first_seen,
            seen_at,
            &*refused.json,
        ))?;
    if id.is_empty() {
        connection
            .prepare_cached(
                "DELETE FROM quarantine WHERE number IN (SELECT number FROM quarantine WHERE stream = ?1 AND id = ''
                 ORDER BY last_seen DESC, number DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute((stream, WITHOUT_ID))?;
    }
    Ok(())
}

/// Removes a record from quarantine. False if it is not there.
pub(super) fn remove(connection: &Connection, number: i64) -> rusqlite::Result<bool> {
    let removed = connection
        .prepare_cached("DELETE FROM quarantine WHERE number = ?1")?
        .execute([number])?;
    Ok(removed > 0)
}

/// Notes that a record was tried again in vain.
pub(super) fn keep(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE quarantine SET retry = 0 WHERE number = ?1")?
        .execute([number])?;
    Ok(())
}

/// Notes that the version of a record is still listed that is kept instead of what is in quarantine.
pub(super) fn see_rival(
    connection: &Connection,
    stream: Stream,
    id: &str,
    seen_at: Second,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE quarantine SET rival_seen = ?3 WHERE stream = ?1 AND id = ?2 AND kind = 'duplicate'",
        )?
        .execute((stream.name(), id, seen_at.to_string()))?;
    Ok(())
}

impl Store {
    /// The streams that have records in quarantine.
    pub fn quarantined_streams(&self) -> Result<Vec<Stream>, Error> {
        let streams = || -> rusqlite::Result<Vec<Stream>> {
            self.connection
                .prepare_cached("SELECT DISTINCT stream FROM quarantine")?
                .query_map([], |row| super::stream(row, 0))?
                .collect()
        };
        streams().map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// Whether that text of a record is in quarantine.
    pub fn is_quarantined(
        &self,
        stream: Stream,
        id: &str,
        hash: ContentHash,
    ) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT 1 FROM quarantine WHERE stream = ?1 AND id = ?2 AND hash = ?3")
            .and_then(|mut statement| statement.exists((stream.name(), id, hash.0)))
            .map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// What is in quarantine under an id: numbers and kinds.
    pub fn quarantined_of(&self, stream: Stream, id: &str) -> Result<Vec<(i64, Kind)>, Error> {
        let found = || -> rusqlite::Result<Vec<(i64, Kind)>> {
            self.connection
                .prepare_cached(
                    "SELECT number, kind FROM quarantine WHERE stream = ?1 AND id = ?2",
                )?
                .query_map((stream.name(), id), |row| Ok((row.get(0)?, kind(row, 1)?)))?
                .collect()
        };
        found().map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// The contents of a stream that have stood in quarantine beside another one of their id since before that second,
    /// and are listed since then, while the other one is not.
    pub fn without_rival(&self, stream: Stream, since: Second) -> Result<Vec<Quarantined>, Error> {
        let filter = format!(
            "WHERE stream = '{stream}' AND kind = 'duplicate' AND first_seen < '{since}' AND last_seen >= '{since}'
             AND (rival_seen IS NULL OR rival_seen < '{since}')"
        );
        select(&self.connection, &filter).map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// The numbers of a stream's records in quarantine that were last seen before that second.
    pub fn quarantined_before(&self, stream: Stream, second: Second) -> Result<Vec<i64>, Error> {
        let numbers = || -> rusqlite::Result<Vec<i64>> {
            self.connection
                .prepare_cached(
                    "SELECT number FROM quarantine WHERE stream = ?1 AND last_seen < ?2",
                )?
                .query_map((stream.name(), second.to_string()), |row| row.get(0))?
                .collect()
        };
        numbers().map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// The records in quarantine that the next poll is to take again.
    pub fn retries(&self) -> Result<Vec<Quarantined>, Error> {
        select(&self.connection, "WHERE retry = 1")
            .map_err(Error::on(&self.file, "read the quarantine"))
    }
}

/// The quarantine, beside the process that polls: for whoever looks at it.
#[derive(Debug)]
pub struct Quarantine {
    connection: Connection,
    file: PathBuf,
}

impl Quarantine {
    /// Opens that of the state in that directory.
    pub fn open(directory: &Path) -> Result<Quarantine, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let (connection, file) = super::open_existing(directory, flags)?;
        Ok(Quarantine { connection, file })
    }

    /// Every record in it, by number.
    pub fn list(&self) -> Result<Vec<Quarantined>, Error> {
        select(&self.connection, "").map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// One record.
    pub fn get(&self, number: i64) -> Result<Quarantined, Error> {
        let found = select(&self.connection, &format!("WHERE number = {number}"))
            .map_err(Error::on(&self.file, "read the quarantine"))?;
        found
            .into_iter()
            .next()
            .ok_or(Error::NotQuarantined(number))
    }

    /// Lets the next poll take a record again.
    pub fn retry(&self, number: i64) -> Result<(), Error> {
        let changed = self
            .connection
            .execute(
                "UPDATE quarantine SET retry = 1 WHERE number = ?1",
                [number],
            )
            .map_err(Error::on(&self.file, "mark a record in quarantine"))?;
        match changed {
            0 => Err(Error::NotQuarantined(number)),
            _ => Ok(()),
        }
    }

    /// Removes a record. If the service still lists it, it comes again.
    pub fn drop(&self, number: i64) -> Result<(), Error> {
        let removed = remove(&self.connection, number)
            .map_err(Error::on(&self.file, "remove a record from quarantine"))?;
        match removed {
            true => Ok(()),
            false => Err(Error::NotQuarantined(number)),
        }
    }
}

fn select(connection: &Connection, filter: &str) -> rusqlite::Result<Vec<Quarantined>> {
    connection
        .prepare(&format!(
            "SELECT {COLUMNS} FROM quarantine {filter} ORDER BY number"
        ))?
        .query_map([], read)?
        .collect()
}
