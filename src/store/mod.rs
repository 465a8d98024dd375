//! The state: one SQLite file that holds the newest version of every record, the change log, the cursors, the
//! publishers' offsets and the last polls. The only module that touches the disk for state.
//!
//! The `version` table **is** the change log: append-only, numbered by `seq`, and everything downstream reads it by
//! `seq` above a number. The poll loop owns the one [`Store`] and writes through [`Store::commit`]; publishers and
//! `status` read on connections of their own ([`ChangeLog`], [`Overview`]), so neither waits for the other: the journal
//! is a write-ahead log. A commit is synced to the disk before it returns (`synchronous=FULL`).

mod commit;
mod cursor;
mod error;
mod log;
mod overview;
mod schema;

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::api::{ContentHash, Stream, Timestamp};

pub use commit::{Batch, PollRow, Version};
pub use cursor::{Cursor, Range};
pub use error::Error;
pub use log::{Change, ChangeLog};
pub use overview::{CursorLine, Overview, PublisherLine, StreamCount};

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
    /// The poll that read it.
    pub poll: i64,
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
        let mut owner_only = fs::OpenOptions::new();
        owner_only
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600);
        let lock_file = directory.join(LOCK);
        let lock = owner_only
            .open(&lock_file)
            .map_err(io("open the lock", &lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked(directory.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(io("lock", &lock_file)(source)),
        }
        let file = directory.join(FILE);
        owner_only
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
                "SELECT version.seq, version.number, version.timestamp, version.hash, version.poll
                 FROM record JOIN version ON version.seq = record.seq
                 WHERE record.stream = ?1 AND record.id = ?2",
            )
            .map_err(&fail)?;
        let row = statement
            .query_row((stream.name(), id), |row| {
                let timestamp: String = row.get(2)?;
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    timestamp,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })
            .optional()
            .map_err(&fail)?;
        let Some((seq, number, timestamp, hash, poll)) = row else {
            return Ok(None);
        };
        let timestamp = Timestamp::parse(&timestamp).map_err(|invalid| self.corrupt(invalid))?;
        Ok(Some(Stored {
            seq,
            number,
            timestamp,
            hash: ContentHash(hash),
            poll,
        }))
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

    /// A connection of its own to the change log.
    pub fn change_log(&self) -> Result<ChangeLog, Error> {
        ChangeLog::open(&self.file, &self.identity.name)
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        Error::Corrupt {
            file: self.file.clone(),
            detail: what.to_string(),
        }
    }
}

/// Opens a connection and sets what holds for every one of them.
fn connect(file: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    /// A commit of a full batch takes tenths of a second; a disk that is slower than this is reported.
    const PATIENCE: Duration = Duration::from_secs(30);
    let fail = Error::on(file, "open the state");
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(&fail)?;
    connection.busy_timeout(PATIENCE).map_err(&fail)?;
    Ok(connection)
}
