use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Params, Row, Transaction, TransactionBehavior,
};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Error;
use super::open_files::{FILE, LOG, OpenFiles};
use super::schema::{APPLICATION, VERSION};

/// How long a statement waits for another process's commit. A full batch takes tenths of a second; a disk that is
/// slower than this is reported.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Instructions of SQLite's virtual machine between two calls while a statement runs: less than a millisecond.
const STEPS: i32 = 10_000;

/// Pages of 4096 bytes in the write-ahead log after which a commit copies them into the file. A page that several batches
/// change is copied once: an import of a million records writes a quarter less than with SQLite's 1,000.
const LOG_PAGES: i64 = 16_384;

/// Bytes that the write-ahead log may keep on the disk after its pages were copied.
const KEPT_LOG_BYTES: i64 = 16 << 20;

/// One connection to the state file. Every statement runs through it, so that every error names the file and what was
/// being done.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    file: PathBuf,
    /// None of them if it only reads.
    opened: OpenFiles,
}

/// The room that a state takes, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the file.
    pub file: u64,
    /// Bytes of its write-ahead log.
    pub log: u64,
    /// Bytes that the file system has left, if it says so.
    pub free: Option<u64>,
}

impl Database {
    /// Opens a connection for reading and writing.
    pub fn connect(file: &Path) -> Result<Database, Error> {
        Database::connect_with(file, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Opens a connection for reading.
    pub fn connect_read_only(file: &Path) -> Result<Database, Error> {
        Database::connect_with(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a connection to the state in that directory, beside the process that polls.
    pub fn beside(directory: &Path) -> Result<Database, Error> {
        Database::beside_with(directory, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// As [`beside`](Database::beside), but only to read.
    pub fn beside_read_only(directory: &Path) -> Result<Database, Error> {
        Database::beside_with(directory, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// The file of the state in that directory. It is an error if there is none, or if this user may not read it.
    pub fn file_in(directory: &Path) -> Result<PathBuf, Error> {
        let path = directory.join(FILE);
        // Not by opening it: to close it would end the locks that this process has on it.
        match access(&path, Access::READ_OK) {
            Ok(()) => Ok(path),
            Err(Errno::NOENT) => Err(Error::Missing(path)),
            Err(Errno::ACCESS) => {
                let metadata = std::fs::metadata(directory);
                let owner = metadata.ok().map(|metadata| metadata.uid());
                Err(Error::NotPermitted { path, owner })
            }
            Err(error) => Err(Error::io("read", &path)(error.into())),
        }
    }

    fn beside_with(directory: &Path, flags: OpenFlags) -> Result<Database, Error> {
        let file = Database::file_in(directory)?;
        let database = Database::connect_with(&file, flags)?;
        match database.layout()? {
            0 => Err(Error::Missing(file)),
            found if found < VERSION => Err(Error::Older { file, found }),
            _ if database.is_upgrading()? => Err(Error::Upgrading(file)),
            _ => Ok(database),
        }
    }

    fn connect_with(file: &Path, flags: OpenFlags) -> Result<Database, Error> {
        let connect = || {
            let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(file, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Otherwise a statement whose bound value has decided about an index is planned again at every other value.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            // A commit is on the disk when it returns.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
            connection.pragma_update(None, "journal_size_limit", KEPT_LOG_BYTES)?;
            // What replaces a row removes it, and what is counted of a table is counted then, too.
            connection.pragma_update(None, "recursive_triggers", true)?;
            // The system may have no folder for temporary files that can be written.
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            // This opens the write-ahead log.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        };
        let connection =
            connect().map_err(|source| Error::sqlite(source, "open the state", file))?;
        let mut database = Database {
            connection,
            file: file.to_owned(),
            opened: OpenFiles::default(),
        };
        if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            database.remember_files();
        }
        Ok(database)
    }

    /// Calls this again and again while a statement runs. What it does must be short.
    pub fn while_it_runs(&mut self, mut call: impl FnMut() + Send + 'static) -> Result<(), Error> {
        let goes_on = move || {
            call();
            // It is not interrupted.
            false
        };
        let set = self.connection.progress_handler(STEPS, Some(goes_on));
        set.map_err(|source| Error::sqlite(source, "open the state", &self.file))
    }

    /// Ends what [`while_it_runs`](Database::while_it_runs) has begun.
    pub fn runs_quietly(&mut self) -> Result<(), Error> {
        let set = self.connection.progress_handler(0, None::<fn() -> bool>);
        set.map_err(|source| Error::sqlite(source, "open the state", &self.file))
    }

    /// Remembers which files are open. A new state has not all of them at first.
    pub fn remember_files(&mut self) {
        self.opened = OpenFiles::of(&self.file);
    }

    /// The version of the file's layout, 0 if it is empty. It is an error if the file is not ours or newer than this
    /// program.
    pub fn layout(&self) -> Result<i64, Error> {
        let (application, version, tables) = self.run("read the state", |connection| {
            let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok((
                number("PRAGMA application_id")?,
                number("PRAGMA user_version")?,
                number("SELECT count(*) FROM sqlite_schema")?,
            ))
        })?;
        match (application, version, tables) {
            (0, 0, 0) => Ok(0),
            (APPLICATION, 1..=VERSION, _) => Ok(version),
            (APPLICATION, newer, _) => Err(Error::Newer {
                file: self.file.clone(),
                found: newer,
                known: VERSION,
            }),
            _ => Err(Error::NotOurs(self.file.clone())),
        }
    }

    /// Whether the file is being brought to this layout, in slices.
    pub fn is_upgrading(&self) -> Result<bool, Error> {
        const IS_UPGRADING: &str =
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'upgrade')";
        self.value("read the state", IS_UPGRADING, [])
    }

    /// Bytes that the file system has left for users other than root, if it says so.
    pub fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.file)
    }

    /// The room that the file takes.
    pub fn room(&self) -> Room {
        let size = |file: &Path| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        Room {
            file: size(&self.file),
            log: size(&self.file.with_file_name(LOG)),
            free: self.free_bytes(),
        }
    }

    /// Checks that there is room for `times` as many bytes as the file has.
    pub fn check_room(&self, doing: &'static str, times: u64) -> Result<(), Error> {
        let size = std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        let needed = size.saturating_mul(times);
        match self.free_bytes() {
            Some(free) if free < needed => Err(Error::NoRoom {
                doing,
                file: self.file.clone(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// The state file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Runs statements. An error says what was `doing`, as in "cannot read a cursor".
    pub fn run<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        work(&self.connection).map_err(|source| Error::sqlite(source, doing, &self.file))
    }

    /// As [`run`](Database::run), in one transaction that sees one state of the file.
    pub fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.run(doing, |connection| {
            work(&*connection.unchecked_transaction()?)
        })
    }

    /// Runs methods of this connection in one transaction that sees one state of the file. They must not write.
    pub fn reading<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let begun = self.connection.unchecked_transaction();
        let _transaction = begun.map_err(|source| Error::sqlite(source, doing, &self.file))?;
        work()
    }

    /// As [`run`](Database::run), in one transaction that is committed at the end, or not at all. It is an error if a file of
    /// the state was removed or replaced.
    pub fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let failed = |source| Error::sqlite(source, doing, &self.file);
        // Begun as a reader, it could fail on another writer's commit.
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .map_err(failed)?;
        let result = work(&transaction).map_err(failed)?;
        if let Some(replaced) = self.opened.replaced() {
            drop(transaction);
            return Err(self.leave(replaced));
        }
        crate::crash::point();
        transaction.commit().map_err(failed)?;
        crate::crash::point();
        Ok(result)
    }

    /// Copies the write-ahead log into the file, as far as nobody reads it, unless somebody else's files are there. If that
    /// fails, nothing is lost: what is in the log stays there, and a later commit copies it or says what is wrong.
    pub fn copy_log(&self) {
        if !self.opened.are_others() {
            let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
            let _ = self.connection.query_row(checkpoint, [], |_| Ok(()));
        }
    }

    /// Saves what can be saved, because that file of the state was removed or replaced. The error that says so.
    fn leave(&self, replaced: &Path) -> Error {
        // What is in a log that has no name any more would be lost with this process.
        self.copy_log();
        Error::Replaced(replaced.to_owned())
    }

    /// As [`run`](Database::run), for a single [`value`].
    pub fn value<T: FromSql>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<T, Error> {
        self.run(doing, |connection| value(connection, sql, parameters))
    }

    /// As [`run`](Database::run), for a single [`optional`] row.
    pub fn optional<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        self.run(doing, |connection| {
            optional(connection, sql, parameters, read)
        })
    }

    /// As [`run`](Database::run), for [`all`] rows of a single query.
    pub fn all<C: FromIterator<T>, T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> Result<C, Error> {
        self.run(doing, |connection| all(connection, sql, parameters, read))
    }

    /// As [`run`](Database::run), for a single statement that returns no rows. How many rows it has changed.
    pub fn execute(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<usize, Error> {
        match self.opened.replaced() {
            Some(replaced) => Err(self.leave(replaced)),
            None => self.run(doing, |connection| connection.execute(sql, parameters)),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The last one to close a state removes its write-ahead log, even if that is another one by now.
        if self.opened.are_others() {
            let keep = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            let _ = self.connection.set_db_config(keep, true);
        }
    }
}

/// Bytes that the file system of a file has left for users other than root, if it says so.
pub(super) fn free_bytes(file: &Path) -> Option<u64> {
    let file_system = nix::sys::statvfs::statvfs(file).ok()?;
    Some(file_system.blocks_available() * file_system.fragment_size())
}

/// The value that a query gives, which has one row of one column.
pub(super) fn value<T: FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<T> {
    connection
        .prepare_cached(sql)?
        .query_row(parameters, |row| row.get(0))
}

/// The row of a query, if it has one.
pub(super) fn optional<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached(sql)?
        .query_row(parameters, read)
        .optional()
}

/// Every row of a query.
pub(super) fn all<C: FromIterator<T>, T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    connection
        .prepare_cached(sql)?
        .query_map(parameters, read)?
        .collect()
}

/// Runs a statement that returns no rows.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}

/// A limit as SQLite counts.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_long_statement_says_that_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        std::fs::File::create(&file).unwrap();
        let mut database = Database::connect(&file).unwrap();
        let rows = "CREATE TABLE t AS
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n";
        database.execute("make rows", rows, []).unwrap();

        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let call = move || {
            counted.fetch_add(1, Relaxed);
        };
        database.while_it_runs(call).unwrap();
        let copy = folder.path().join("copy").to_string_lossy().into_owned();
        database.execute("copy", "VACUUM INTO ?1", [copy]).unwrap();
        let during = calls.load(Relaxed);
        assert!(during >= 5, "{during}");

        database.runs_quietly().unwrap();
        database.execute("count", "DELETE FROM t", []).unwrap();
        assert_eq!(calls.load(Relaxed), during);
    }
}
