//! The copies in a directory: their names, and which of them are removed.
//!
//! Several connectors may copy their states to one directory. Each removes only copies of its own state, and replaces none.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, CWD, RenameFlags, access, renameat_with};
use rustix::io::Errno;

use super::database::Database;
use super::open::identity;
use super::{Error, Identity};

/// What a copy's name begins and ends with. In between is when it was made.
const NAME: (&str, &str) = ("state-", ".sqlite3");

/// The part of a name in between: `20261126T001600Z`.
const DATE: usize = 16;

/// What the name of a copy begins and ends with while it is being made.
const UNFINISHED: (&str, &str) = (".state-", ".new");

/// A copy that nobody has written to for so long is not being made any more.
const ABANDONED: Duration = Duration::from_secs(86_400);

/// The name of a copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CopyName {
    /// When it was made. Dates sort as texts.
    date: String,
    /// 1, or more if there are others of the same second.
    number: u32,
}

impl CopyName {
    /// The name in words of a file system.
    fn file_name(&self) -> String {
        let (begin, end) = NAME;
        let date = &self.date;
        match self.number {
            1 => format!("{begin}{date}{end}"),
            number => format!("{begin}{date}-{number}{end}"),
        }
    }

    /// Reads the name of a file; none if it is not that of a copy.
    fn read(name: &str) -> Option<CopyName> {
        let between = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
        let (date, number) = match between.split_once('-') {
            Some((date, number)) => (date, number.parse().ok()?),
            None => (between, 1),
        };
        let is_date = date.len() == DATE && date.ends_with('Z');
        is_date.then(|| CopyName {
            date: date.to_owned(),
            number,
        })
    }
}

/// The copies in a directory.
#[derive(Debug)]
pub(super) struct Copies<'a> {
    directory: &'a Path,
    /// Whose copies may be removed.
    owner: &'a Identity,
}

impl Copies<'_> {
    /// The copies of that connector in a directory.
    pub fn of<'a>(owner: &'a Identity, directory: &'a Path) -> Copies<'a> {
        Copies { directory, owner }
    }

    /// Where the copy of the state with that id is while it is being made. One that is there was left by a try that did not
    /// come to its end.
    pub fn unfinished(&self, state_id: &str) -> PathBuf {
        let (begin, end) = UNFINISHED;
        self.directory.join(format!("{begin}{state_id}{end}"))
    }

    /// Removes copies that were begun and never finished, whoever began them: nobody can use them.
    pub fn remove_abandoned(&self) -> Result<(), Error> {
        for (name, entry) in self.entries()? {
            let (begin, end) = UNFINISHED;
            let is_unfinished =
                name.starts_with(begin) && name.trim_end_matches("-journal").ends_with(end);
            if is_unfinished && is_abandoned(&entry) {
                // It may be another user's.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Gives a copy that is finished its name, which no other file has. Where it is then. `date`: as
    /// `20261126T001600Z`.
    pub fn name(&self, unfinished: &Path, date: String) -> Result<PathBuf, Error> {
        let mut name = CopyName { date, number: 1 };
        loop {
            let file = self.directory.join(name.file_name());
            if rename_to_new(unfinished, &file).map_err(Error::io("make the copy", &file))? {
                return Ok(file);
            }
            name.number += 1;
        }
    }

    /// Removes this connector's older copies, so that `keep` are left with the one that was just made. How many were
    /// removed.
    ///
    /// A copy that is dated after the one just made is of a time when the clock was ahead. It goes first.
    pub fn remove_older(&self, made: &Path, keep: usize) -> Result<usize, Error> {
        let made_name = made.file_name().unwrap_or_default().to_string_lossy();
        let Some(made_name) = CopyName::read(&made_name) else {
            return Ok(0);
        };
        let mut older = Vec::new();
        for (name, entry) in self.entries()? {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let Some(name) = CopyName::read(&name).filter(|name| is_file && *name != made_name)
            else {
                continue;
            };
            let file = entry.path();
            if owner_of(&file).as_ref() == Some(self.owner) {
                older.push((name < made_name, name, file));
            }
        }
        older.sort_unstable();
        let excess = (older.len() + 1).saturating_sub(keep.max(1));
        for (_, _, file) in &older[..excess] {
            fs::remove_file(file).map_err(Error::io("remove the older backup", file))?;
        }
        Ok(excess)
    }

    /// What is in the directory, by name.
    fn entries(&self) -> Result<Vec<(String, DirEntry)>, Error> {
        let entries = fs::read_dir(self.directory).and_then(|entries| {
            let named = |entry: DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry);
            entries.map(|entry| entry.map(named)).collect()
        });
        entries.map_err(Error::io("look for older backups in", self.directory))
    }
}

/// Whether nobody writes to a file any more.
fn is_abandoned(entry: &DirEntry) -> bool {
    let metadata = entry.metadata().ok().filter(fs::Metadata::is_file);
    let written = metadata.and_then(|metadata| metadata.modified().ok());
    // One of the future counts as written now.
    let since = written.and_then(|written| written.elapsed().ok());
    since.is_some_and(|since| since > ABANDONED)
}

/// Whose state a copy is of; none if that cannot be known.
fn owner_of(file: &Path) -> Option<Identity> {
    // Other users may have theirs here, too.
    access(file, Access::READ_OK).ok()?;
    let copy = Database::connect_read_only(file);
    match copy.and_then(|copy| copy.run("read whose state it is", identity)) {
        Ok(owner) => owner,
        Err(_) => {
            log::warn!(
                "{} stays: it has the name of a backup, but it is not a state that can be read. Look at it, and remove \
                it if nobody needs it",
                file.display()
            );
            None
        }
    }
}

/// Renames a file. False if another file has that name already: it is not replaced.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => return Ok(false),
        // NFS and some other file systems cannot do that.
        Err(_) => {}
    }
    match File::create_new(to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    // What is replaced is the empty file that was made just now.
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })?;
    Ok(true)
}
