use std::path::Path;

use rusqlite::Connection;

use super::Error;

/// The version of the layout below, kept in `user_version`.
const VERSION: i64 = 1;

/// Marks the file as ours, kept in `application_id`: "gcon".
const APPLICATION: i64 = 0x67_63_6f_6e;

/// Dates are RFC 3339 in UTC: nine fractional digits where a record's own date is kept, none elsewhere.
const LAYOUT: &str = "
    -- Whose state this is: state_id, name, endpoint.
    CREATE TABLE state (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The change log. Append-only; a seq is never used again.
    CREATE TABLE version (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        stream      TEXT NOT NULL,
        id          TEXT NOT NULL,
        number      INTEGER NOT NULL, -- which version of its record, from 1
        timestamp   TEXT NOT NULL,    -- the record's own date
        hash        BLOB NOT NULL,    -- of json: the first 16 bytes of its SHA-256
        observed_at TEXT NOT NULL,
        poll        INTEGER NOT NULL, -- the poll that read it
        json        TEXT NOT NULL     -- as the service sent it
    ) STRICT;
    CREATE INDEX account ON version (seq, id) WHERE stream = 'accounts' AND number = 1;

    -- The newest version of every record.
    CREATE TABLE record (
        stream TEXT NOT NULL,
        id     TEXT NOT NULL,
        seq    INTEGER NOT NULL,
        PRIMARY KEY (stream, id)
    ) STRICT, WITHOUT ROWID;

    -- How far each list is known to be complete.
    CREATE TABLE cursor (
        stream   TEXT PRIMARY KEY,
        position TEXT,          -- a second; every record before it has been read
        numbered TEXT NOT NULL, -- JSON: ranges of seconds that the last walk read by page number
        again    TEXT NOT NULL  -- JSON: ranges of seconds that are to be read again
    ) STRICT, WITHOUT ROWID;

    -- How far each publisher has delivered.
    CREATE TABLE publisher (
        name         TEXT PRIMARY KEY,
        type         TEXT NOT NULL,
        offset       INTEGER NOT NULL, -- the last seq delivered
        delivered_at TEXT,
        error        TEXT              -- why it does not deliver, while it does not
    ) STRICT, WITHOUT ROWID;

    -- The last polls; accounts to transactions count the new versions.
    CREATE TABLE poll (
        number        INTEGER PRIMARY KEY,
        started_at    TEXT NOT NULL,
        ended_at      TEXT,
        outcome       TEXT NOT NULL, -- running, complete, partial, failed, interrupted
        requests      INTEGER NOT NULL,
        retries       INTEGER NOT NULL,
        accounts      INTEGER NOT NULL,
        balances      INTEGER NOT NULL,
        beneficiaries INTEGER NOT NULL,
        transactions  INTEGER NOT NULL,
        skipped       INTEGER NOT NULL,
        error         TEXT
    ) STRICT;
";

/// Lays out a new file, or checks that an old one is of this layout. Nothing is written to a file that is refused.
pub(super) fn prepare(connection: &mut Connection, file: &Path) -> Result<(), Error> {
    let fail = Error::on(file, "prepare the state");
    let found = check(connection, file)?;
    // Bytes of cache: the index over ids is written at random. Bytes of journal kept after a large batch.
    for (pragma, value) in [
        ("synchronous", 2),
        ("cache_size", -8_000),
        ("journal_size_limit", 16 << 20),
    ] {
        connection
            .pragma_update(None, pragma, value)
            .map_err(&fail)?;
    }
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(&fail)?;
    if mode != "wal" {
        return Err(Error::NoJournal {
            file: file.to_owned(),
            mode,
        });
    }
    if found == 0 {
        let transaction = connection.transaction().map_err(&fail)?;
        transaction.execute_batch(LAYOUT).map_err(&fail)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION)
            .map_err(&fail)?;
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
    }
    Ok(())
}

/// The version of the file's layout, 0 if it is empty. An error if it is not ours or newer than this program.
pub(super) fn check(connection: &Connection, file: &Path) -> Result<i64, Error> {
    let fail = Error::on(file, "read the state");
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id").map_err(&fail)?;
    let version = number("PRAGMA user_version").map_err(&fail)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(&fail)?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION, VERSION, _) => Ok(VERSION),
        (APPLICATION, newer, _) => Err(Error::Newer {
            file: file.to_owned(),
            found: newer,
            known: VERSION,
        }),
        _ => Err(Error::NotOurs(file.to_owned())),
    }
}
