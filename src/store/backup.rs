//! Copies of the state: made beside the process that polls, and put back.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::database::{Database, free_bytes, value};
use super::identity::{put_state_value, state_value};
use super::open::{identity, lock};
use super::open_files::{FILE, LOG};
use super::owner_only::owner_only;
use super::restored::{BORN, COPY_MARK, OPEN_MARK};
use super::{Error, Identity, Store};
use crate::api::{Second, Timestamp};
use crate::ownership;

/// What a backup's name begins and ends with. In between is when it was made.
const NAME: (&str, &str) = ("state-", ".sqlite3");

/// The part of a name in between: `20261126T001600Z`.
const DATE: usize = 16;

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
    /// How many older ones were removed.
    pub removed: usize,
}

/// A state that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// Where the state is that was there before; none if there was none.
    pub aside: Option<PathBuf>,
}

/// Copies the state in that directory to a new file in the directory `to`, which is made if it does not exist, and keeps
/// the newest `keep` copies there. The process that polls goes on meanwhile.
pub fn backup(directory: &Path, to: &Path, keep: usize) -> Result<Backup, Error> {
    let database = Database::beside(directory)?;
    make_directory(to)?;
    let needed = database.run("read the size of the state", |connection| {
        let pages: i64 = value(connection, "PRAGMA page_count", [])?;
        let size: i64 = value(connection, "PRAGMA page_size", [])?;
        Ok(u64::try_from(pages.saturating_mul(size)).unwrap_or(0))
    })?;
    if let Some(free) = free_bytes(to).filter(|free| *free < needed) {
        return Err(Error::NoRoom {
            doing: "make a backup",
            file: to.to_owned(),
            needed,
            free,
        });
    }
    let date = compact(Timestamp::now());
    let file = to.join(format!("{}{date}{}", NAME.0, NAME.1));
    let new = to.join(format!(".{}{date}.new", NAME.0));
    copy(&database, &new)?;
    fs::rename(&new, &file).map_err(Error::io(COPYING, &file))?;
    sync_directory(to)?;
    let removed = remove_older(to, keep)?;
    let now = Timestamp::now().second().to_string();
    let noted = database.write("note in the state that a backup was made", |connection| {
        put_state_value(connection, BACKED_UP_AT, &now)
    });
    if let Err(error) = noted {
        log::warn!("the backup is made, but `status` does not know: {error}");
    }
    Ok(Backup {
        size: fs::metadata(&file).map_or(0, |metadata| metadata.len()),
        removed,
        file,
    })
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
    make_directory(directory)?;
    let lock = lock(directory)?;
    if !from.exists() {
        return Err(Error::Missing(from.to_owned()));
    }
    let copied = Database::connect(from)?;
    if copied.layout()? == 0 {
        return Err(Error::NotOurs(from.to_owned()));
    }
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

/// Copies a state to a file that nobody else can read, marks it as a copy, checks it, and syncs it.
fn copy(database: &Database, to: &Path) -> Result<(), Error> {
    let io = || Error::io(COPYING, to);
    // One that is there was left by a try that did not come to its end.
    if let Err(error) = fs::remove_file(to)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(io()(error));
    }
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
        let _ = fs::remove_file(to);
    })
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

/// Removes all but the newest backups.
fn remove_older(directory: &Path, keep: usize) -> Result<usize, Error> {
    let reading = || Error::io("look for older backups in", directory);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading())? {
        let name = entry.map_err(reading())?.file_name();
        let name = name.to_string_lossy();
        let date = name
            .strip_prefix(NAME.0)
            .and_then(|rest| rest.strip_suffix(NAME.1));
        if date.is_some_and(|date| date.len() == DATE && date.ends_with('Z')) {
            names.push(name.into_owned());
        }
    }
    // Their dates sort as texts.
    names.sort_unstable();
    let older = names.len().saturating_sub(keep);
    for name in &names[..older] {
        let file = directory.join(name);
        fs::remove_file(&file).map_err(Error::io("remove the older backup", &file))?;
    }
    Ok(older)
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
