use std::fs;
use std::path::Path;

/// The name of the state in its directory.
pub const STATE_FILE: &str = "state.sqlite3";

/// How a state is copied, and what is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateCopy {
    /// The database file and its write-ahead log.
    Files,
    /// What `VACUUM INTO`, `.backup` and litestream make: the database file alone.
    Snapshot,
    /// The whole directory.
    Directory,
    /// Nothing: the state is lost.
    Nothing,
}

impl StateCopy {
    pub const ALL: [StateCopy; 4] = [
        StateCopy::Files,
        StateCopy::Snapshot,
        StateCopy::Directory,
        StateCopy::Nothing,
    ];

    pub fn make(self, state: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        match self {
            StateCopy::Nothing => {}
            StateCopy::Snapshot => {
                let database = rusqlite::Connection::open(state.join(STATE_FILE)).unwrap();
                let to = to.join(STATE_FILE);
                database
                    .execute("VACUUM INTO ?1", [to.to_str().unwrap()])
                    .unwrap();
            }
            StateCopy::Files | StateCopy::Directory => {
                for entry in fs::read_dir(state).unwrap() {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    if self == StateCopy::Directory || name.starts_with(STATE_FILE) {
                        fs::copy(entry.path(), to.join(&name)).unwrap();
                    }
                }
            }
        }
    }

    pub fn put_back(self, from: &Path, state: &Path) {
        if self == StateCopy::Directory {
            fs::remove_dir_all(state).unwrap();
            fs::create_dir(state).unwrap();
        }
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(state.join(format!("{STATE_FILE}{end}")));
        }
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), state.join(entry.file_name())).unwrap();
        }
    }
}
