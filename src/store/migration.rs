use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::database::{Database, Room};
use super::schema::VERSION;
use super::upgrade::{COPIES, copy_of, passes};

/// Bytes a second of the copy of a state: half of the 190 MB that a virtual machine with two busy cores and a solid-state
/// disk copied, because other machines are slower.
const COPIED: u64 = 95_000_000;

/// Bytes a second of a pass over every row: half of the slowest one there. That was layout 1 with 73 MB; layout 3 had
/// 100 MB, layout 8 290 MB.
const READ: u64 = 36_000_000;

/// What a migration of a state to this program's layout takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The state.
    pub file: PathBuf,
    /// Its layout.
    pub found: i64,
    /// The layout of this program.
    pub wanted: i64,
    /// Whether an earlier migration has to be continued.
    pub is_interrupted: bool,
    /// The room that the state takes, and what is left.
    pub room: Room,
    /// The file that keeps the state as it was.
    pub copy: PathBuf,
    /// How often every row is read.
    passes: u32,
}

impl Migration {
    /// Looks at the state in that directory, which a process may have open. Nothing is changed.
    pub fn of(directory: &Path) -> Result<Migration, Error> {
        let database = Database::connect_read_only(&Database::file_in(directory)?)?;
        let found = database.layout()?;
        if found == 0 {
            return Err(Error::Missing(database.file().to_owned()));
        }
        Ok(Migration {
            file: database.file().to_owned(),
            found,
            wanted: VERSION,
            is_interrupted: database.is_upgrading()?,
            room: database.room(),
            copy: copy_of(database.file(), found),
            passes: passes(found),
        })
    }

    /// Whether there is anything to do.
    pub fn is_needed(&self) -> bool {
        self.found < self.wanted || self.is_interrupted
    }

    /// Whether a copy is made first.
    pub fn is_copied(&self) -> bool {
        self.found < self.wanted
    }

    /// Bytes that have to be free, for the copy, and for tables that are written again.
    pub fn needed(&self) -> u64 {
        let times = if self.is_copied() { COPIES } else { 0 };
        self.room.file.saturating_mul(times)
    }

    /// Whether there is less room than that.
    pub fn lacks_room(&self) -> bool {
        self.room.free.is_some_and(|free| free < self.needed())
    }

    /// About how long it takes, rounded up to the second.
    pub fn time(&self) -> Duration {
        let milliseconds = |bytes: u64, a_second: u64| bytes.saturating_mul(1_000) / a_second;
        let copied = if self.is_copied() {
            milliseconds(self.room.file, COPIED)
        } else {
            0
        };
        let passes = u64::from(self.passes);
        let read = milliseconds(self.room.file.saturating_mul(passes), READ);
        Duration::from_secs((copied + read).div_ceil(1_000).max(1))
    }
}
