use std::cell::Cell;
use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::database::{Database, execute, optional};
use super::first_import::FirstImport;
use super::identity::{put_state_value, state_value};
use super::open_files::{FILE, LOCK, LOG};
use super::owner_only::owner_only;
use super::restored::{self, BORN, Evidence, OPEN_MARK};
use super::seq::last_seq;
use super::stamping::Stamped;
use super::witness::{self, Witness};
use super::{ChangeLog, Error, Journal, PublisherState, journal_copy, publisher, upgrade};
use crate::api::Stream;
use crate::notify::LongStart;
use crate::ownership;

/// Whose state it is. Another connector cannot open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The connector's `name`, which is part of every idempotency key.
    pub name: String,
    /// The service's `endpoint`.
    pub endpoint: String,
}

/// The state, opened by the one process that owns it.
#[derive(Debug)]
pub struct Store {
    pub(super) database: Database,
    identity: Identity,
    /// What is known of its stamps.
    pub(super) stamped: Stamped,
    /// The id up to which transactions were moved from the table of new ones.
    pub(super) moved_to: String,
    /// The transactions that a first import has brought so far, until it has come to its end.
    pub(super) first_import: Option<FirstImport>,
    /// Whether a record was found whose newest version is damaged such that it is read as a new one.
    pub(super) has_lost_versions: Cell<bool>,
    _lock: File,
}

impl Store {
    /// Opens the state in that directory, and makes both if they do not exist.
    ///
    /// A state that was put back from an older copy is noticed, and what follows is done.
    ///
    /// It is an error, and nothing is changed, if another process has it open, if it belongs to another connector or
    /// endpoint, if a newer version of this program wrote it, or if it is not a state file.
    pub fn open(directory: &Path, identity: &Identity) -> Result<Store, Error> {
        ownership::make_directory(directory)
            .map_err(Error::io("make the state directory", directory))?;
        let lock = lock(directory)?;
        keep_others_out(directory);
        let file = directory.join(FILE);
        let had_log = directory.join(LOG).exists();
        ownership::open(&owner_only(), &file).map_err(Error::io("open the state", &file))?;
        let witness = Witness::read(directory);
        let born = born(&file);
        let mut database = Database::connect(&file)?;
        let start = LongStart::begin();
        database.while_it_runs({
            let start = start.clone();
            move || start.goes_on()
        })?;
        upgrade::prepare(&database, &start)?;
        claim(&database, identity)?;
        let evidence = database.run("look whether the state was put back", |connection| {
            Evidence::find(connection, witness.as_ref(), had_log, born.as_deref())
        })?;
        if let Some(evidence) = evidence {
            restored::settle(&database, evidence, witness.as_ref())?;
        }
        journal_copy::begin(&database)?;
        begin(&database, born.as_deref())?;
        database.remember_files();
        let first_import = FirstImport::begin(&database)?;
        let mut store = Store {
            database,
            identity: identity.clone(),
            stamped: Stamped {
                balances: witness.and_then(|witness| witness.stamp(Stream::Balances)),
                ..Stamped::default()
            },
            moved_to: String::new(),
            first_import,
            has_lost_versions: Cell::new(false),
            _lock: lock,
        };
        store.look_at_restores()?;
        store.decide_again()?;
        store.write_witness();
        store.database.runs_quietly()?;
        Ok(store)
    }

    /// Does what follows from a state that was put back, because an operator says that it was.
    pub fn put_back(&mut self) -> Result<(), Error> {
        // What the witness knows was put back with the state.
        restored::settle(&self.database, Evidence::Operator, None)?;
        self.look_at_restores()?;
        self.write_witness();
        Ok(())
    }

    /// Whether a version was read before the state was put back.
    pub fn is_before_restore(&self, seq: i64) -> bool {
        (1..=self.stamped.before_restore).contains(&seq)
    }

    fn look_at_restores(&mut self) -> Result<(), Error> {
        let restored = self.database.run("read the restores", restored::last)?;
        self.stamped.before_restore = restored.map_or(0, |restored| restored.last_seq);
        Ok(())
    }

    /// Replaces the witness, after a commit. One that is older says nothing wrong.
    pub(super) fn write_witness(&self) {
        let written = self
            .database
            .run("read how far the state has come", |connection| {
                Witness::of(connection, self.stamped.balances)
            })
            .and_then(|witness| {
                let directory = self.database.file().parent().unwrap_or(Path::new("."));
                witness.write(directory)
            });
        if let Err(error) = written {
            log::warn!("{error}; a state that is put back would not be noticed");
        }
    }

    /// Notes that this process delivers to these publishers and no others.
    pub fn use_publishers(&self, names: &[String]) -> Result<(), Error> {
        publisher::use_only(&self.database, names)
    }

    /// Notes whether this process polls by the period, and not only once.
    pub fn poll_by_period(&self, by_period: bool) -> Result<(), Error> {
        let value = if by_period { YES } else { "no" };
        self.database.write("note how polls begin", |connection| {
            put_state_value(connection, POLLS_BY_PERIOD, value)
        })
    }

    /// The part of the state that is a publisher's, on a connection of its own.
    pub fn publisher(&self, name: &str) -> Result<PublisherState, Error> {
        Ok(PublisherState {
            log: ChangeLog {
                database: Database::connect(self.database.file())?,
                connector: self.identity.name.clone(),
            },
            name: name.to_owned(),
        })
    }

    /// A connection of its own to the journal of payouts and transfers. There must be no other one.
    pub fn journal(&self) -> Result<Journal, Error> {
        Journal::open(self.database.file())
    }

    /// The seq of the newest version; 0 before there is one.
    pub fn last_seq(&self) -> Result<i64, Error> {
        self.database.run("read the change log", last_seq)
    }

    /// Bytes that the file system has left for the state, if it says so.
    pub fn free_bytes(&self) -> Option<u64> {
        self.database.free_bytes()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        const CLOSE: &str = "DELETE FROM state WHERE key = ?1";
        // If this fails, it is as if the process had been killed.
        let _ = self.database.execute("close the state", CLOSE, [OPEN_MARK]);
    }
}

/// When a file was made, in nanoseconds since 1970-01-01T00:00:00Z, if the file system says so.
fn born(file: &Path) -> Option<String> {
    let found = statx(CWD, file, AtFlags::empty(), StatxFlags::BTIME).ok()?;
    let born = found.stx_btime;
    let since = i128::from(born.tv_sec) * 1_000_000_000 + i128::from(born.tv_nsec);
    (found.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| since.to_string())
}

/// Marks the state as open, in the file itself: a copy of the file alone has the mark, too.
fn begin(database: &Database, born: Option<&str>) -> Result<(), Error> {
    const DOING: &str = "open the state";
    const PUT: &str = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
    database.write(DOING, |connection| {
        let generation = witness::generation(connection)? + 1;
        execute(connection, PUT, ("generation", generation.to_string()))?;
        if let Some(born) = born {
            execute(connection, PUT, (BORN, born))?;
        }
        execute(connection, PUT, (OPEN_MARK, "1"))
    })?;
    database.run(DOING, |connection| {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    })
}

/// Makes the directory, and the files in it that are the state's, the owner's alone if other users have access. What only
/// the group has is left: somebody has given it that.
fn keep_others_out(directory: &Path) {
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(FILE) || [LOCK, witness::FILE, journal_copy::FILE].contains(&&*name)
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter(is_ours).map(|entry| (entry.path(), 0o600));
    for (path, wanted) in files.chain([(directory.to_owned(), 0o700)]) {
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o007 == 0 {
            continue;
        }
        let shown = path.display();
        match fs::set_permissions(&path, Permissions::from_mode(wanted)) {
            Ok(()) => log::warn!(
                "every user of this machine had access to {shown} (mode {mode:04o}); now only its owner has ({wanted:04o})"
            ),
            Err(error) => log::warn!(
                "every user of this machine has access to {shown} (mode {mode:04o}), and that cannot be changed: {error}; \
                run as its owner or root: chmod {wanted:04o} {shown}"
            ),
        }
    }
}

/// Whether a process has the state in that directory open.
pub fn is_locked(directory: &Path) -> Result<bool, Error> {
    let path = directory.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open the lock", &path)(error)),
    };
    // There is no way to look without trying. A connector that starts at this moment is started again by systemd.
    Ok(matches!(
        lock.try_lock_shared(),
        Err(fs::TryLockError::WouldBlock)
    ))
}

/// Keeps every other process out of the state until it is dropped. It is an error if another one has it.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let lock = ownership::open(&owner_only(), &path).map_err(Error::io("open the lock", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(directory.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// Whose state it is; none if no connector has made it its own.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Option<Identity>> {
    let value = |key| {
        const VALUE: &str = "SELECT value FROM state WHERE key = ?1";
        optional(connection, VALUE, [key], |row| row.get(0))
    };
    let (name, endpoint) = (value("name")?, value("endpoint")?);
    Ok(name
        .zip(endpoint)
        .map(|(name, endpoint)| Identity { name, endpoint }))
}

/// The key under which the state says whether polls come by the period.
const POLLS_BY_PERIOD: &str = "pollsByPeriod";

const YES: &str = "yes";

/// Whether the process that was started last polls by the period, and not only once.
pub(super) fn polls_by_period(connection: &Connection) -> rusqlite::Result<bool> {
    let value = state_value(connection, POLLS_BY_PERIOD)?;
    Ok(value.as_deref() == Some(YES))
}

/// Notes whose state this is, or checks that it is ours.
fn claim(database: &Database, wanted: &Identity) -> Result<(), Error> {
    const CLAIM: &str = "
        INSERT INTO state (key, value)
        VALUES ('state_id', lower(hex(randomblob(16)))), ('name', ?1), ('endpoint', ?2)";
    let found = database.run("read whose state it is", |connection| {
        let found = identity(connection)?;
        if found.is_none() {
            execute(connection, CLAIM, [&wanted.name, &wanted.endpoint])?;
        }
        Ok(found)
    })?;
    match found {
        Some(found) if found != *wanted => Err(Error::OtherIdentity {
            file: database.file().to_owned(),
            found,
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}
