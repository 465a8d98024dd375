use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Rotating, Secret};

/// Keys of which others must send one, and the file whose change replaces them.
#[derive(Clone)]
pub struct AcceptedKeys {
    keys: Vec<Secret>,
    /// Kept, since others may repeat them.
    earlier: Vec<Secret>,
    /// None if the keys stay as they are until a restart.
    file: Option<PathBuf>,
    /// The state of the file when it was last read and could be used.
    seen: Option<FileState>,
    /// The state of the file that cannot be used, and why: that was said.
    unusable: Option<(FileState, String)>,
    /// Secrets of others that are none of these keys.
    apart: Vec<Rotating>,
    read: Arc<ReadKeys>,
}

/// Reads the keys. An error if there are none that can be used.
type ReadKeys = dyn Fn() -> Result<Vec<Secret>, String> + Send + Sync;

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileState {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl AcceptedKeys {
    /// Reads the keys, and watches the file if there is one.
    pub fn load(
        file: Option<PathBuf>,
        read: impl Fn() -> Result<Vec<Secret>, String> + Send + Sync + 'static,
    ) -> Result<AcceptedKeys, String> {
        // Before the file is read: a change in between is then seen later.
        let seen = file.as_deref().and_then(FileState::of);
        Ok(AcceptedKeys {
            keys: read()?,
            earlier: Vec::new(),
            file,
            seen,
            unusable: None,
            apart: Vec::new(),
            read: Arc::new(read),
        })
    }

    /// The keys, any of which counts.
    pub fn keys(&self) -> &[Secret] {
        &self.keys
    }

    /// Whether a change of their file replaces them while the program runs.
    pub fn can_change(&self) -> bool {
        self.file.is_some()
    }

    /// Whether one of them is one of those.
    pub fn share_one_with(&self, others: &AcceptedKeys) -> bool {
        shares_one(&self.keys, &others.keys)
    }

    /// Lets no later key be one of those.
    pub fn keep_apart_from(&mut self, others: Vec<Rotating>) {
        self.apart = others;
    }

    /// Reads the keys again if their file has changed since it was read. Returns whether they are other ones now. If the
    /// file cannot be used, or has one of `others`, the keys stay, and the error says so once. It is tried again at each
    /// call: the fault may be that of the other file, or of its mode.
    pub fn refresh(&mut self, others: Option<&AcceptedKeys>) -> Result<bool, String> {
        let now = self.file.as_deref().and_then(FileState::of);
        let Some(now) = now.filter(|now| self.seen != Some(*now)) else {
            return Ok(false);
        };
        let keys = match self.usable(others) {
            Ok(keys) => keys,
            Err(reason) => {
                let unusable = Some((now, reason.clone()));
                let is_said = self.unusable == unusable;
                self.unusable = unusable;
                return if is_said { Ok(false) } else { Err(reason) };
            }
        };
        (self.seen, self.unusable) = (Some(now), None);
        if keys == self.keys {
            return Ok(false);
        }
        self.earlier.append(&mut self.keys);
        self.keys = keys;
        Ok(true)
    }

    /// The keys of the file, if they open nothing else.
    fn usable(&self, others: Option<&AcceptedKeys>) -> Result<Vec<Secret>, String> {
        let keys = (self.read)()?;
        let is_taken = |key: &Secret| self.apart.iter().any(|other| other.current() == *key);
        if others.is_some_and(|others| shares_one(&keys, &others.keys)) || keys.iter().any(is_taken)
        {
            return Err("the key opens something else already; use one of its own".to_owned());
        }
        Ok(keys)
    }
}

fn shares_one(keys: &[Secret], others: &[Secret]) -> bool {
    keys.iter().any(|key| others.contains(key))
}

impl FileState {
    /// None if the file is not there, as while it is replaced.
    fn of(path: &Path) -> Option<FileState> {
        let metadata = fs::metadata(path).ok()?;
        Some(FileState {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl fmt::Debug for AcceptedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}
