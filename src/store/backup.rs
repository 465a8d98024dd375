//! Copies of the state: made beside the process that polls, and put back.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::copies::Copies;
use super::database::{Database, free_bytes, value};
use super::identity::{put_state_value, state_id, state_value};
use super::open::{identity, lock};
use super::open_files::{FILE, LOG};
use super::owner_only::owner_only;
use super::restored::{BORN, COPY_MARK, OPEN_MARK};
use super::{Error, Identity, Store};
use crate::api::{Second, Timestamp};
use crate::{crash, ownership};

/// The key of the time at which the newest backup was made.
const BACKED_UP_AT: &str = "backed_up_at";

const COPYING: &str = "copy the state to";

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
    /// Its size. Bytes.
    pub size: u64,
    /// How many older ones of the same connector were removed.
    pub removed: usize,
}

/// A state that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// Where the state is that was there before; none if there was none.
    pub aside: Option<PathBuf>,
}

/// Copies the state in that directory to a new file in the directory `to`, which is made if it does not exist, and keeps
/// the newest `keep` copies of this connector there. The process that polls goes on meanwhile.
///
/// No file is replaced, and no copy of another connector is removed.
pub fn backup(directory: &Path, to: &Path, keep: usize) -> Result<Backup, Error> {
    let database = Database::beside(directory)?;
    let _lock = one_at_a_time(directory)?;
    let (owner, state_id) = database.run("read whose state it is", |connection| {
        Ok((identity(connection)?, state_id(connection)?))
    })?;
    let owner = owner.ok_or_else(|| Error::Missing(database.file().to_owned()))?;
    make_directory(to)?;
    let copies = Copies::of(&owner, to);
    copies.remove_abandoned()?;
    let new = copies.unfinished(&state_id);
    remove_copy(&new)?;
    check_room(&database, to)?;
    let date = compact(Timestamp::now());
    copy(&database, &new)?;
    crash::point();
    let file = copies.name(&new, date)?;
    sync_directory(to)?;
    let metadata = fs::metadata(&file).map_err(Error::io("find the backup", &file))?;
    let now = Timestamp::now().second().to_string();
    let noted = database.write("note in the state that a backup was made", |connection| {
        put_state_value(connection, BACKED_UP_AT, &now)
    });
    if let Err(error) = noted {
        log::warn!("the backup is made, but `status` does not know: {error}");
    }
    Ok(Backup {
        size: metadata.len(),
        removed: copies.remove_older(&file, keep)?,
        file,
    })
}

/// Keeps other backups of the state in that directory from running until it is dropped. It is an error if one does.
fn one_at_a_time(directory: &Path) -> Result<Option<File>, Error> {
    // Some file systems cannot lock a directory. A backup is made there, too.
    let Ok(lock) = File::open(directory) else {
        return Ok(None);
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(Error::BackupRuns(directory.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Checks that there is room for a copy.
fn check_room(database: &Database, to: &Path) -> Result<(), Error> {
    let needed = database.run("read the size of the state", |connection| {
        let pages: i64 = value(connection, "PRAGMA page_count", [])?;
        let size: i64 = value(connection, "PRAGMA page_size", [])?;
        Ok(u64::try_from(pages.saturating_mul(size)).unwrap_or(0))
    })?;
    match free_bytes(to) {
        Some(free) if free < needed => Err(Error::NoRoom {
            doing: "make a backup",
            file: to.to_owned(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// When `backup` last copied this state.
pub(super) fn backed_up_at(connection: &Connection) -> rusqlite::Result<Option<Second>> {
    let at = state_value(connection, BACKED_UP_AT)?;
    Ok(at.and_then(|text| Second::try_from(text).ok()))
}

/// Puts a copy in the place of the state in that directory, and does what follows. The state that is there is kept beside
/// it.
///
/// It is an error, and nothing is changed, if a process has the state open, or if the file is not a state of this connector,
/// is damaged, or is of a newer version of this program.
pub fn put_back(directory: &Path, wanted: &Identity, from: &Path) -> Result<PutBack, Error> {
    find_copy(from)?;
    make_directory(directory)?;
    let lock = lock(directory)?;
    let copied = open_copy(from)?;
    match copied.run("read whose state it is", identity)? {
        Some(found) if found != *wanted => {
            return Err(Error::OtherIdentity {
                file: from.to_owned(),
                found,
                wanted: wanted.clone(),
            });
        }
        _ => {}
    }
    let new = directory.join("state.sqlite3.new");
    copy(&copied, &new)?;
    let aside = set_aside(directory)?;
    let file = directory.join(FILE);
    fs::rename(&new, &file).map_err(Error::io("put back", &file))?;
    sync_directory(directory)?;
    drop(lock);
    // Opening it does what follows from its mark.
    Store::open(directory, wanted)?;
    Ok(PutBack { aside })
}

/// Checks that a copy is there, and that this user may read it.
fn find_copy(from: &Path) -> Result<(), Error> {
    match access(from, Access::READ_OK) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::NoCopy(from.to_owned())),
        Err(Errno::ACCESS) => Err(Error::NotPermitted {
            path: from.to_owned(),
            owner: fs::metadata(from).ok().map(|metadata| metadata.uid()),
        }),
        Err(error) => Err(Error::io("read", from)(error.into())),
    }
}

/// Opens a copy. It is an error if the file is not one.
fn open_copy(from: &Path) -> Result<Database, Error> {
    let not_a_copy = |detail: &str| Error::NotACopy {
        file: from.to_owned(),
        detail: detail.to_owned(),
    };
    if !from.is_file() {
        return Err(not_a_copy("it is not a file"));
    }
    let opened = Database::connect(from).and_then(|copy| Ok((copy.layout()?, copy)));
    match opened {
        Ok((0, _)) => Err(not_a_copy("it is empty")),
        Ok((_, copy)) => Ok(copy),
        Err(Error::Corrupt { detail, .. }) => Err(not_a_copy(&detail)),
        Err(Error::NotOurs(_)) => Err(not_a_copy("it is a database of another program")),
        Err(error) => Err(error),
    }
}

/// Copies a state to a file that nobody else can read, marks it as a copy, checks it, and syncs it.
fn copy(database: &Database, to: &Path) -> Result<(), Error> {
    let io = || Error::io(COPYING, to);
    remove_copy(to)?;
    let file = ownership::open(owner_only().create_new(true), to).map_err(io())?;
    let copied = database
        .execute("copy the state", "VACUUM INTO ?1", [to.to_string_lossy()])
        .and_then(|_| Database::connect(to))
        .and_then(|copy| copy.run("mark the copy", mark))
        .and_then(|check| match check.as_str() {
            "ok" => Ok(()),
            _ => Err(Error::Corrupt {
                file: database.file().to_owned(),
                detail: check,
            }),
        })
        .and_then(|()| file.sync_all().map_err(io()));
    // Half a copy would be in the way.
    copied.inspect_err(|_| {
        let _ = remove_copy(to);
    })
}

/// Removes a copy that did not come to its end, if one is there, and its journal. SQLite would take the journal for that of
/// the next file with this name.
fn remove_copy(unfinished: &Path) -> Result<(), Error> {
    let mut journal = unfinished.as_os_str().to_owned();
    journal.push("-journal");
    for file in [unfinished, Path::new(&journal)] {
        if let Err(error) = fs::remove_file(file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::io("remove the unfinished copy", file)(error));
        }
    }
    Ok(())
}

/// Marks a copy, and checks it: "ok" if it is not damaged.
fn mark(connection: &Connection) -> rusqlite::Result<String> {
    // One file is all of it.
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    connection.execute(
        "INSERT OR REPLACE INTO state (key, value) VALUES (?1, '1')",
        [COPY_MARK],
    )?;
    let marks = "DELETE FROM state WHERE key IN (?1, ?2)";
    connection.execute(marks, [OPEN_MARK, BORN])?;
    value(connection, "PRAGMA quick_check(1)", [])
}

/// Moves the state that is there out of the way. Where it is then; none if there was none.
fn set_aside(directory: &Path) -> Result<Option<PathBuf>, Error> {
    let before = directory.join(FILE);
    if !before.exists() {
        return Ok(None);
    }
    let name = format!("{FILE}.before-{}", compact(Timestamp::now()));
    let aside = directory.join(&name);
    for (from, to) in [(LOG, format!("{name}-wal")), (FILE, name)] {
        let from = directory.join(from);
        if from.exists() {
            fs::rename(&from, directory.join(to)).map_err(Error::io("move aside", &from))?;
        }
    }
    let _ = fs::remove_file(directory.join("state.sqlite3-shm"));
    Ok(Some(aside))
}

/// A date as names of files carry it: `20261126T001600Z`.
fn compact(date: Timestamp) -> String {
    date.second().to_string().replace(['-', ':'], "")
}

fn make_directory(directory: &Path) -> Result<(), Error> {
    ownership::make_directory(directory).map_err(Error::io("make the directory", directory))
}

fn sync_directory(directory: &Path) -> Result<(), Error> {
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io("sync", directory))
}
