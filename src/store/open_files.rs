//! The files of a state that is open: each must stay the file that was opened.
//!
//! Whoever removes or replaces one under a process lets it write to a file that nobody finds again, or lets a second
//! process in beside it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The state file's name within `stateDir`.
pub(super) const FILE: &str = "state.sqlite3";

/// The name of its write-ahead log.
pub(super) const LOG: &str = "state.sqlite3-wal";

/// The lock file's name within `stateDir`. It is empty; the lock is on the open file, so a crash releases it.
pub(super) const LOCK: &str = "lock";

/// Where SQLite's processes find each other.
const SHARED_MEMORY: &str = "state.sqlite3-shm";

/// Device and inode of a file.
type FileId = (u64, u64);

/// The files of a state as they were when it was opened. One that was not there is left out.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Vec<(PathBuf, FileId)>);

impl OpenFiles {
    /// Those of that state file.
    pub fn of(file: &Path) -> OpenFiles {
        let paths = [FILE, LOG, SHARED_MEMORY, LOCK].map(|name| file.with_file_name(name));
        let files = paths.into_iter().filter_map(|path| {
            let id = id(&path)?;
            Some((path, id))
        });
        OpenFiles(files.collect())
    }

    /// One that was removed or replaced.
    pub fn replaced(&self) -> Option<&Path> {
        let mut files = self.0.iter();
        let (path, _) = files.find(|(path, opened)| id(path) != Some(*opened))?;
        Some(path)
    }

    /// Whether somebody else's files are in their place, or the state is gone: then nothing there may be touched.
    pub fn are_others(&self) -> bool {
        self.0.iter().any(|(path, opened)| match id(path) {
            Some(now) => now != *opened,
            None => path.ends_with(FILE),
        })
    }
}

fn id(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
