use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::{DamagedInitiation, Identity, InitiationState};
use crate::api::{Stream, escaped};

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory around the state could not be made, opened or locked.
    #[error("cannot {doing} {}: {source}; check what is there, its owner and its mode", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },

    /// Another process has the state open.
    #[error(
        "the state in {} is in use by another generic-connector; two would deliver everything twice: stop the other \
        one first, or give this one its own \"stateDir\"",
        .0.display()
    )]
    Locked(PathBuf),

    /// A connector of another name, or for another service, made the state.
    #[error(
        "{} belongs to connector {:?} at {}, but the configuration says {:?} at {}: a cursor of one service must never \
         serve another. Give this connector a \"stateDir\" of its own, or move that directory away to start over. If \
         it is the same service under a new name or address, stop the connector and run: \
         sqlite3 {0} \"UPDATE state SET value = '{6}' WHERE key = 'endpoint'; \
         UPDATE state SET value = '{5}' WHERE key = 'name'\"",
        file.display(), found.name, found.endpoint, wanted.name, wanted.endpoint,
        wanted.name.replace('\'', "''"), wanted.endpoint.replace('\'', "''")
    )]
    OtherIdentity {
        file: PathBuf,
        /// Whose it is.
        found: Identity,
        /// The connector that is configured.
        wanted: Identity,
    },

    /// A newer version of this program wrote the state.
    #[error(
        "{} has layout {found}, and this version of generic-connector knows {known} at most: install the newer \
         version again, or restore the copy of the state from before the upgrade",
        file.display()
    )]
    Newer {
        file: PathBuf,
        /// Its layout.
        found: i64,
        /// The newest layout known here.
        known: i64,
    },

    /// The file is a SQLite database, but of another program.
    #[error("{} is not a state file of generic-connector: choose another \"stateDir\"", .0.display())]
    NotOurs(PathBuf),

    /// The file system does not support the write-ahead log, as some network file systems do not.
    #[error("{} cannot use a write-ahead log (SQLite answers {mode:?}): put \"stateDir\" on a local file system", file.display())]
    NoJournal {
        file: PathBuf,
        /// The mode that SQLite offers instead.
        mode: String,
    },

    /// The file is damaged or no database at all.
    #[error(
        "{} is damaged or not a state file ({detail}): stop the connector, and restore a backup or move the file away to \
        start over, which reads and delivers everything again",
        file.display()
    )]
    Corrupt { file: PathBuf, detail: String },

    /// A file of the state was removed or replaced while the state was open.
    #[error(
        "{} was removed or replaced while generic-connector had it open, so nothing more is written. If you have put another \
        state there, start generic-connector again. Otherwise find out what changes that directory, run verify, and start it \
        again",
        .0.display()
    )]
    Replaced(PathBuf),

    /// The text of a version is not the one that was stored.
    #[error("{stream}: the version of seq {seq} is damaged in the state, so it is not used")]
    Damaged { stream: Stream, seq: i64 },

    /// What the journal has of a payout or transfer is not what was written down.
    #[error(transparent)]
    DamagedInitiation(DamagedInitiation),

    /// The disk is full. Nothing of the batch was stored.
    #[error("the disk is full: cannot {doing} in {}; free some space, the next poll continues there", file.display())]
    Full { doing: &'static str, file: PathBuf },

    /// The disk failed, or the file reached a quota or a size limit. Nothing of the batch was stored.
    #[error(
        "cannot {doing} in {}: {source}; is the disk full or failing, or the file over a quota or a size limit? The \
        next poll continues there",
        file.display()
    )]
    Disk {
        doing: &'static str,
        file: PathBuf,
        source: rusqlite::Error,
    },

    /// An older version of this program wrote the state, which is only to be read.
    #[error(
        "{} has layout {found}, of an older version of generic-connector: start run or poll once with this version, \
        which migrates it and keeps a copy",
        file.display()
    )]
    Older {
        file: PathBuf,
        /// Its layout.
        found: i64,
    },

    /// The state is being brought to the layout of this version, or that was interrupted.
    #[error(
        "{} is being migrated to the layout of this version: wait until run or poll has done that. If none of them \
         is running, start one: it continues",
        .0.display()
    )]
    Upgrading(PathBuf),

    /// The disk has too little room for what is to be done. Nothing was changed.
    #[error(
        "cannot {doing}: {} MB are needed beside {}, and {} MB are free: free some space first",
        needed.div_ceil(1_000_000), file.display(), free / 1_000_000
    )]
    NoRoom {
        /// What was to be done.
        doing: &'static str,
        /// The state file.
        file: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are left.
        free: u64,
    },

    /// Connectivity has not asked for a list with a bound above what it was shown.
    #[error(
        "{0}: Connectivity has asked for nothing above what it was shown, so there is nothing to agree to"
    )]
    NoBound(Stream),

    /// There is no record of that number in quarantine.
    #[error("no quarantined record {0}; see generic-connector quarantine list")]
    NotQuarantined(i64),

    /// There is no publisher of that name.
    #[error("there is no publisher \"{name}\" in the state, which has: {}", known.join(", "))]
    NoPublisher {
        name: String,
        /// The publishers that the state has.
        known: Vec<String>,
    },

    /// The process that runs delivers to it.
    #[error(
        "the running connector still delivers to \"{0}\": restart it, so that it has the configuration without this \
         publisher"
    )]
    PublisherInUse(String),

    /// A replay from there would leave out what is not delivered yet.
    #[error(
        "the publisher \"{publisher}\" has delivered only up to seq {offset}: begin there or earlier"
    )]
    NotDelivered { publisher: String, offset: i64 },

    /// A version cannot be put aside, because the publisher has delivered it or it does not exist.
    #[error(
        "the publisher \"{publisher}\" has delivered everything up to seq {offset}, and the last one is {last}: it \
        does not have to deliver {seq}"
    )]
    NotToBeDelivered {
        publisher: String,
        seq: i64,
        offset: i64,
        /// The seq of the newest version.
        last: i64,
    },

    /// The publisher's target does not refuse that version.
    #[error("\"{publisher}/{seq}\" is not in quarantine; see generic-connector quarantine list")]
    NotRefused { publisher: String, seq: i64 },

    /// There is no payout or transfer with that `idempotencyKey`.
    #[error(
        "there is no payout or transfer with the idempotencyKey \"{}\"; see generic-connector initiation list",
        escaped(.0)
    )]
    NoInitiation(String),

    /// A payout or transfer cannot be settled while the service is being asked for it.
    #[error(
        "the service is being asked for \"{}\" at the moment; try again when generic-connector initiation list shows \
        another state than open",
        escaped(.0)
    )]
    InitiationOpen(String),

    /// A payout or transfer has another outcome already, which Connectivity may know.
    #[error(
        "\"{}\" is already settled: it was {}{}",
        escaped(key),
        state.name(),
        id.as_ref().map(|id| format!(" as \"{}\"", escaped(id))).unwrap_or_default()
    )]
    InitiationSettled {
        key: String,
        state: InitiationState,
        /// What the service calls it, if it is made.
        id: Option<String>,
    },

    /// The id is that of another payout or transfer.
    #[error(
        "the id \"{}\" belongs to \"{}\" already; look up at the PSP which of the two was made, and settle the other \
        one as refused",
        escaped(id),
        escaped(key)
    )]
    InitiationIdTaken {
        id: String,
        /// The `idempotencyKey` of the one that has it.
        key: String,
    },

    /// There may be a state, and this user must not look.
    #[error(
        "you may not read {}: run the command as root, or as {}, who has it",
        path.display(),
        user(*owner)
    )]
    NotPermitted { path: PathBuf, owner: Option<u32> },

    /// This user may not write to the state, or make files beside it. SQLite does that even to read.
    #[error(
        "cannot {doing} in {}: this user may not write to it or to its directory, and SQLite does that even to read: run the \
        command as root, or as {}, who has it; as one of them, check the modes of both, and whether the file system is \
        mounted read-only",
        file.display(),
        user(*owner)
    )]
    NotWritable {
        doing: &'static str,
        file: PathBuf,
        /// The user who has it, by id.
        owner: Option<u32>,
    },

    /// Another process makes a backup of the state.
    #[error("another backup of the state in {} is being made: try again when it has ended", .0.display())]
    BackupRuns(PathBuf),

    /// There is no such file to put back.
    #[error("there is no file {}: give the path of a copy that generic-connector backup has made", .0.display())]
    NoCopy(PathBuf),

    /// The file that is to be put back is not a copy, or a damaged one. Nothing was changed.
    #[error(
        "{} cannot be put back: it is not a copy of a state, or it is damaged ({detail}): give another copy, or unpack \
        this one first if it is packed; the state is as it was",
        file.display()
    )]
    NotACopy { file: PathBuf, detail: String },

    /// There is no state to read.
    #[error("there is no state at {}: is \"stateDir\" the connector's, and has the connector run?", .0.display())]
    Missing(PathBuf),

    /// SQLite failed for another reason.
    #[error("SQLite cannot {doing} in {}: {source}", file.display())]
    Sqlite {
        doing: &'static str,
        file: PathBuf,
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether the state cannot be used any more, so that trying again would not help.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::Corrupt { .. } | Error::Replaced(_))
    }

    /// Makes the error of something that was being done with that file.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io {
            doing,
            path,
            source,
        }
    }

    /// What SQLite answered when something was being done to that file.
    pub(super) fn sqlite(source: rusqlite::Error, doing: &'static str, file: &Path) -> Error {
        let file = file.to_owned();
        if let rusqlite::Error::FromSqlConversionFailure(_, _, cause) = &source
            && let Some(damaged) = cause.downcast_ref::<DamagedInitiation>()
        {
            return Error::DamagedInitiation(damaged.clone());
        }
        let is_unusable = matches!(
            source,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        );
        match source.sqlite_error_code() {
            _ if is_unusable => Error::Corrupt {
                file,
                detail: source.to_string(),
            },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt {
                file,
                detail: source.to_string(),
            },
            // Not if somebody has moved the file away.
            Some(ErrorCode::ReadOnly) if !was_moved(&source) => {
                let metadata = std::fs::metadata(&file);
                let owner = metadata.ok().map(|metadata| metadata.uid());
                Error::NotWritable { doing, file, owner }
            }
            Some(ErrorCode::DiskFull) => Error::Full { doing, file },
            Some(ErrorCode::SystemIoFailure) => Error::Disk {
                doing,
                file,
                source,
            },
            _ => Error::Sqlite {
                doing,
                file,
                source,
            },
        }
    }
}

/// The user who has a file, in a sentence.
fn user(id: Option<u32>) -> String {
    id.map_or("the user".to_owned(), |uid| {
        format!("the user with the id {uid} (sudo -u '#{uid}')")
    })
}

/// Whether SQLite does not write because the file has lost its name.
fn was_moved(source: &rusqlite::Error) -> bool {
    let error = source.sqlite_error();
    error.is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_DBMOVED)
}
