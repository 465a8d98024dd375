//! The state: one SQLite file that holds the newest version of every record, the change log, the cursors with what is
//! known of the service, the quarantine, the publishers' offsets with what became of what they delivered, and the last
//! polls and sweeps. The only module that touches the disk for state.
//!
//! The `version` table **is** the change log: append-only, numbered by `seq`, and everything downstream reads it by
//! `seq` above a number. The poll loop owns the one [`Store`] and writes through [`Store::commit`]; publishers and
//! the commands beside it work on connections of their own ([`ChangeLog`], [`Overview`], [`Quarantine`],
//! [`Publishers`]), so neither waits for the other: the journal is a write-ahead log. A commit is synced to the disk before it returns (`synchronous=FULL`).

mod commit;
mod cursor;
mod delivery;
mod error;
mod initiation;
mod listing;
mod log;
mod overview;
mod publishers;
mod quarantine;
mod quirks;
mod schema;
mod stamp;
mod sweep;

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{ContentHash, Record, Second, Stream, Timestamp, same_content};

pub use commit::{Batch, PollRow, UNKNOWN_VALUES, Version};
pub use cursor::{Cursor, Range};
pub use delivery::{Delivered, Part, Payment, PaymentState};
pub use error::Error;
pub use initiation::{Entry, Journal, Outcome, Unsettled};
pub use listing::{Listed, Listing, Selection};
pub use log::{Change, ChangeLog};
pub use overview::Overview;
pub use publishers::{Publishers, Refusal};
pub use quarantine::{Kind, Quarantine, Quarantined, Refused};
pub use quirks::{FARTHEST_SHIFT, Quirk, Quirks};
pub use stamp::Stamp;
pub use sweep::{Place, SweepRow};

/// The state file's name within `stateDir`.
pub const FILE: &str = "state.sqlite3";

/// The lock file's name within `stateDir`. It is empty; the lock is on the open file, so a crash releases it.
const LOCK: &str = "lock";

/// Whose state it is. A state that belongs to another one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The connector's `name`, which is part of every idempotency key.
    pub name: String,
    /// The service's `endpoint`.
    pub endpoint: String,
}

/// The state, opened for writing by the one process that may.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    file: PathBuf,
    identity: Identity,
    _lock: File,
}

/// The newest stored version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the change log.
    pub seq: i64,
    /// Which version of its record it is, from 1.
    pub number: i64,
    /// Its own date.
    pub timestamp: Timestamp,
    /// The hash of its text.
    pub hash: ContentHash,
    /// The poll that read it, or after which a sweep did.
    pub poll: i64,
    /// The sweep that found it, if one did.
    pub sweep: Option<i64>,
    /// When it was read.
    pub observed_at: Second,
}

impl Store {
    /// Opens the state in that directory, which is made if it does not exist.
    ///
    /// An error, and nothing is changed, if another process has it open, if it belongs to another connector or
    /// endpoint, was written by a newer version, or is not a state file.
    pub fn open(directory: &Path, identity: &Identity) -> Result<Store, Error> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io {
                doing,
                path,
                source,
            }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io("make the state directory", directory))?;
        let lock = lock(directory)?;
        let file = directory.join(FILE);
        owner_only()
            .open(&file)
            .map_err(io("open the state", &file))?;
        let mut connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::prepare(&mut connection, &file)?;
        let store = Store {
            connection,
            file,
            identity: identity.clone(),
            _lock: lock,
        };
        store.claim()?;
        Ok(store)
    }

    /// Writes down whose state this is, or checks that it is ours.
    fn claim(&self) -> Result<(), Error> {
        let fail = Error::on(&self.file, "read whose state it is");
        let known = |key: &str| {
            self.connection
                .query_row("SELECT value FROM state WHERE key = ?1", [key], |row| {
                    row.get(0)
                })
                .optional()
        };
        let (name, endpoint) = (
            known("name").map_err(&fail)?,
            known("endpoint").map_err(&fail)?,
        );
        match (name, endpoint) {
            (Some(name), Some(endpoint)) => {
                let found = Identity { name, endpoint };
                if found == self.identity {
                    return Ok(());
                }
                Err(Error::OtherIdentity { file: self.file.clone(), found, wanted: self.identity.clone() })
            }
            _ => self
                .connection
                .execute(
                    "INSERT INTO state (key, value)
                     VALUES ('state_id', lower(hex(randomblob(16)))), ('name', ?1), ('endpoint', ?2)",
                    [&self.identity.name, &self.identity.endpoint],
                )
                .map(|_| ())
                .map_err(&fail),
        }
    }

    /// The newest stored version of a record.
    pub fn newest(&self, stream: Stream, id: &str) -> Result<Option<Stored>, Error> {
        let fail = Error::on(&self.file, "look up a record");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT version.seq, version.number, version.timestamp, version.hash, version.poll, version.sweep,
                        version.observed_at
                 FROM record JOIN version ON version.seq = record.seq
                 WHERE record.stream = ?1 AND record.id = ?2",
            )
            .map_err(&fail)?;
        let stored = statement.query_row((stream.name(), id), |row| {
            Ok(Stored {
                seq: row.get(0)?,
                number: row.get(1)?,
                timestamp: timestamp(row, 2)?,
                hash: ContentHash(row.get(3)?),
                poll: row.get(4)?,
                sweep: row.get(5)?,
                observed_at: second(row, 6)?,
            })
        });
        stored.optional().map_err(&fail)
    }

    /// Whether an earlier version of the record than the one of that seq had this content.
    pub fn had_content(&self, seq: i64, record: &Record) -> Result<bool, Error> {
        /// A record that has gone through more states than this is no payment.
        const LONGEST: usize = 100;
        let fail = Error::on(&self.file, "read the versions of a record");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT before.seq, before.json FROM version
                 JOIN version AS before ON before.seq = version.previous WHERE version.seq = ?1",
            )
            .map_err(&fail)?;
        let mut seq = seq;
        for _ in 0..LONGEST {
            let before: Option<(i64, String)> = statement
                .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .map_err(&fail)?;
            match before {
                None => return Ok(false),
                Some((_, json)) if same_content(&json, &record.json) => return Ok(true),
                Some((before, _)) => seq = before,
            }
        }
        Ok(false)
    }

    /// The text of a stored version.
    pub fn json(&self, seq: i64) -> Result<String, Error> {
        self.connection
            .prepare_cached("SELECT json FROM version WHERE seq = ?1")
            .and_then(|mut statement| statement.query_row([seq], |row| row.get(0)))
            .map_err(Error::on(&self.file, "read a version"))
    }

    /// The ids of at most `most` accounts whose first version has a seq in `after..=until`, in the order of their
    /// seqs, which stand beside them.
    pub fn accounts(
        &self,
        after: i64,
        until: i64,
        most: usize,
    ) -> Result<Vec<(i64, String)>, Error> {
        self.connection
            .prepare_cached(
                "SELECT seq, id FROM version INDEXED BY account
                 WHERE stream = 'accounts' AND number = 1 AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
            )
            .and_then(|mut statement| {
                statement.query_map((after, until, most as i64), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            })
            .map_err(Error::on(&self.file, "read the accounts"))
    }

    /// The seq of the newest version; 0 before there is one.
    pub fn last_seq(&self) -> Result<i64, Error> {
        log::last_seq(&self.connection).map_err(Error::on(&self.file, "read the change log"))
    }

    /// The number of the poll that comes next, from 1.
    pub fn next_poll(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT coalesce(max(number), 0) + 1 FROM poll", [], |row| {
                row.get(0)
            })
            .map_err(Error::on(&self.file, "read the polls"))
    }

    /// When the first version was read.
    pub fn first_observed(&self) -> Result<Option<Second>, Error> {
        self.connection
            .query_row(
                "SELECT observed_at FROM version ORDER BY seq LIMIT 1",
                [],
                |row| second(row, 0),
            )
            .optional()
            .map_err(Error::on(&self.file, "read the change log"))
    }

    /// Bytes that the file system has left for the state, if it says so.
    pub fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.file)
    }

    /// A connection of its own to the change log.
    pub fn change_log(&self) -> Result<ChangeLog, Error> {
        ChangeLog::open(&self.file, &self.identity.name)
    }

    /// A connection of its own to the journal of payouts and transfers. There must be no other one.
    pub fn journal(&self) -> Result<Journal, Error> {
        Journal::open(&self.file)
    }
}

/// How files of the state are opened, and made if they do not exist.
fn owner_only() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600);
    options
}

/// Keeps every other process out of the state until it is dropped. An error if another one has it.
fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let io = |doing| {
        let path = path.clone();
        move |source| Error::Io {
            doing,
            path,
            source,
        }
    };
    let lock = owner_only().open(&path).map_err(io("open the lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(directory.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(io("lock")(source)),
    }
}

/// A value as a JSON column has it.
fn to_json(value: &impl Serialize) -> String {
    // These are numbers, texts and dates: nothing that JSON could not hold.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a JSON column.
fn from_json<T: DeserializeOwned>(row: &Row, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unusable(column, error))
}

/// Reads a column that holds a record's own date.
fn timestamp(row: &Row, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    Timestamp::parse(&text).map_err(|invalid| unusable(column, invalid))
}

/// Reads a column that holds a second.
fn second(row: &Row, column: usize) -> rusqlite::Result<Second> {
    timestamp(row, column).map(Timestamp::second)
}

/// Reads a column that holds a second or nothing.
fn optional_second(row: &Row, column: usize) -> rusqlite::Result<Option<Second>> {
    let text: Option<String> = row.get(column)?;
    text.map(|_| second(row, column)).transpose()
}

/// Reads a column that holds a stream's name.
fn stream(row: &Row, column: usize) -> rusqlite::Result<Stream> {
    let name: String = row.get(column)?;
    Stream::from_name(&name).ok_or_else(|| unusable(column, format!("there is no stream {name:?}")))
}

/// A column that does not hold what this program writes there.
fn unusable(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// Opens a connection and sets what holds for every one of them.
fn connect(file: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    /// A commit of a full batch takes tenths of a second; a disk that is slower than this is reported.
    const PATIENCE: Duration = Duration::from_secs(30);
    let fail = Error::on(file, "open the state");
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(&fail)?;
    connection.busy_timeout(PATIENCE).map_err(&fail)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(&fail)?;
    Ok(connection)
}

/// Bytes that the file system of a file has left for who is not root.
fn free_bytes(file: &Path) -> Option<u64> {
    let file_system = nix::sys::statvfs::statvfs(file).ok()?;
    Some(file_system.blocks_available() * file_system.fragment_size())
}

/// Opens the state in that directory beside the process that polls.
fn open_existing(directory: &Path, flags: OpenFlags) -> Result<(Connection, PathBuf), Error> {
    let file = directory.join(FILE);
    if !file.exists() {
        return Err(Error::Missing(file));
    }
    let connection = connect(&file, flags)?;
    match schema::check(&connection, &file)? {
        0 => Err(Error::Missing(file)),
        found if found < schema::VERSION => Err(Error::Older { file, found }),
        _ => Ok((connection, file)),
    }
}
