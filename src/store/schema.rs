use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::{Error, listing};

/// The version of the layout below, kept in `user_version`.
pub(super) const VERSION: i64 = 4;

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
        previous    INTEGER,          -- the seq of the version before; none if it is the first
        timestamp   TEXT NOT NULL,    -- the record's own date
        hash        BLOB NOT NULL,    -- of json: the first 16 bytes of its SHA-256
        observed_at TEXT NOT NULL,
        poll        INTEGER NOT NULL, -- the poll that read it, or after which a sweep did
        sweep       INTEGER,          -- the sweep that found it; none if a poll did
        json        TEXT NOT NULL     -- as the service sent it
    ) STRICT;
    CREATE INDEX account ON version (seq, id) WHERE stream = 'accounts' AND number = 1;

    -- The newest version of every record.
    CREATE TABLE record (
        stream TEXT NOT NULL,
        id     TEXT NOT NULL,
        seq    INTEGER NOT NULL,
        stamp  INTEGER,           -- balances: the date that the listener shows, as in listed
        PRIMARY KEY (stream, id)
    ) STRICT, WITHOUT ROWID;

    -- The lists as the listener shows them: every version, also the superseded ones, under its stamp.
    CREATE TABLE listed (
        stream TEXT NOT NULL,
        stamp  INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z; they increase as the seqs do
        seq    INTEGER NOT NULL,
        PRIMARY KEY (stream, stamp)
    ) STRICT, WITHOUT ROWID;

    -- The lists that Connectivity has asked for.
    CREATE TABLE listing (
        stream   TEXT PRIMARY KEY,
        asked_at TEXT NOT NULL,
        above    INTEGER -- every stamp lies above this one, because the first request was for what is later
    ) STRICT, WITHOUT ROWID;

    -- Payouts and transfers that Connectivity has asked for.
    CREATE TABLE initiation (
        key        TEXT PRIMARY KEY, -- the idempotencyKey
        kind       TEXT NOT NULL,    -- payouts or transfers
        request    TEXT NOT NULL,    -- the body as it was sent, and as it is forwarded
        state      TEXT NOT NULL,    -- open, made, refused, not made, unknown
        asked_at   TEXT NOT NULL,    -- when the service was asked; again within a minute: the first time
        ended_at   TEXT,             -- when its answer was written down, or why there is none
        after      INTEGER NOT NULL, -- the seq of the newest version when the service was asked
        id         TEXT,             -- what the service calls it
        status     INTEGER,          -- of the service's answer, if it is an outcome
        answer     TEXT,             -- the body that is answered
        error      TEXT              -- why there is no outcome
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX initiated ON initiation (id, kind) WHERE id IS NOT NULL;
    CREATE INDEX unsettled ON initiation (asked_at) WHERE state NOT IN ('made', 'refused');

    -- How far each list is known to be complete.
    CREATE TABLE cursor (
        stream   TEXT PRIMARY KEY,
        position TEXT,             -- a second; every record before it has been read
        numbered TEXT NOT NULL,    -- JSON: ranges of seconds that the last walk read by page number
        again    TEXT NOT NULL,    -- JSON: ranges of seconds that are to be read again
        traits   TEXT NOT NULL,    -- JSON: how the service departs from what one would hope for
        ended_at TEXT,             -- when the list was last read to its end
        standing INTEGER NOT NULL  -- polls in a row that left the position, although they read newer records
    ) STRICT, WITHOUT ROWID;

    -- Readings of the whole lists, each from its beginning.
    CREATE TABLE sweep (
        number          INTEGER PRIMARY KEY,
        started_at      TEXT NOT NULL,
        ended_at        TEXT,             -- none while it is under way
        stream          TEXT NOT NULL,    -- the list that it reads
        place           TEXT NOT NULL,    -- JSON: how far it has come there
        seen            INTEGER NOT NULL, -- elements read
        missed          INTEGER NOT NULL, -- records that no poll had found
        changed         INTEGER NOT NULL, -- records that had changed without a newer date
        always_changing INTEGER NOT NULL, -- those of them that had done so in the sweep before, too
        lateness        INTEGER NOT NULL, -- seconds; how far the farthest missed record lay behind the cursor
        unread          TEXT NOT NULL     -- JSON: the lists that could not be read to their end
    ) STRICT;

    -- Records that are not accepted, as the service sent them. A number is never used again.
    CREATE TABLE quarantine (
        number     INTEGER PRIMARY KEY AUTOINCREMENT,
        stream     TEXT NOT NULL,
        id         TEXT NOT NULL,    -- empty if it has none that can be used
        hash       BLOB NOT NULL,    -- of json, as in version
        kind       TEXT NOT NULL,    -- contract: it breaks the API; duplicate: another content has its id
        reason     TEXT NOT NULL,
        first_seen TEXT NOT NULL,
        last_seen  TEXT NOT NULL,
        rival_seen TEXT,             -- of a duplicate: when the version was last seen that was kept instead
        retry      INTEGER NOT NULL, -- 1: the next poll is to take it again
        json       TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX quarantined ON quarantine (stream, id, hash);

    -- Values of type and status that the API does not know. Their records are delivered as they are.
    CREATE TABLE unknown_value (
        field      TEXT NOT NULL, -- type or status
        value      TEXT NOT NULL,
        versions   INTEGER NOT NULL,
        first_seen TEXT NOT NULL,
        PRIMARY KEY (field, value)
    ) STRICT, WITHOUT ROWID;

    -- How far each publisher has delivered.
    CREATE TABLE publisher (
        name         TEXT PRIMARY KEY,
        type         TEXT NOT NULL,
        offset       INTEGER NOT NULL, -- the last seq delivered
        delivered_at TEXT,
        error        TEXT,             -- why it does not deliver, while it does not
        sending      INTEGER,          -- the end of the batch under way, where a batch is sent again as it was
        target       TEXT,             -- formance: the id of the connector that has what is delivered
        replay       INTEGER           -- to be delivered again: everything after this seq
    ) STRICT, WITHOUT ROWID;

    -- Versions that a target refuses for their content.
    CREATE TABLE refusal (
        publisher  TEXT NOT NULL,
        seq        INTEGER NOT NULL,
        reason     TEXT NOT NULL,    -- what the target answered
        refused_at TEXT NOT NULL,
        retry      INTEGER NOT NULL, -- 1: to be delivered again
        PRIMARY KEY (publisher, seq)
    ) STRICT, WITHOUT ROWID;

    -- What a target has no place for, by reason. It is not delivered there.
    CREATE TABLE left_out (
        publisher TEXT NOT NULL,
        reason    TEXT NOT NULL,
        versions  INTEGER NOT NULL,
        seq       INTEGER NOT NULL, -- the last of them
        PRIMARY KEY (publisher, reason)
    ) STRICT, WITHOUT ROWID;

    -- Versions that wait for the transaction that theirs relates to.
    CREATE TABLE waiting (
        publisher TEXT NOT NULL,
        parent    TEXT NOT NULL,
        seq       INTEGER NOT NULL,
        PRIMARY KEY (publisher, parent, seq)
    ) STRICT, WITHOUT ROWID;

    -- What Formance has been told of each transaction. Amounts are decimal digits in minor units.
    CREATE TABLE payment (
        publisher  TEXT NOT NULL,
        id         TEXT NOT NULL,    -- the transaction's
        seq        INTEGER NOT NULL, -- its newest version that is delivered
        status     TEXT NOT NULL,    -- of its newest adjustment
        amount     TEXT NOT NULL,    -- the transaction's at that adjustment
        metadata   BLOB,             -- a hash of what was last sent; none if there was none
        kept       BLOB NOT NULL,    -- a hash of what Formance keeps as it was first told
        newest     INTEGER NOT NULL, -- the date of its newest adjustment, nanoseconds since 1970-01-01T00:00:00Z
        parent     TEXT,             -- the transaction whose payment it belongs to; none if it has its own
        type       TEXT,             -- from here on: of a payment of its own
        asset      TEXT,
        initial    TEXT,             -- the initialAmount
        shown      TEXT,             -- the amount, as the adjustments have moved it
        is_open    INTEGER,          -- 1: authorised, and nothing of it counted yet
        PRIMARY KEY (publisher, id)
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
        quarantined   INTEGER NOT NULL, -- records newly put into quarantine
        error         TEXT
    ) STRICT;
";

/// What brings a file of layout 1 to layout 2.
const FROM_1_TO_2: &str = "
    ALTER TABLE version ADD COLUMN previous INTEGER;
    ALTER TABLE version ADD COLUMN sweep INTEGER;
    ALTER TABLE cursor ADD COLUMN traits TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE cursor ADD COLUMN ended_at TEXT;
    ALTER TABLE cursor ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE poll RENAME COLUMN skipped TO quarantined;
    UPDATE version SET previous = chain.before
    FROM (SELECT seq, lag(seq) OVER (PARTITION BY stream, id ORDER BY seq) AS before FROM version) AS chain
    WHERE chain.seq = version.seq;
";

/// What layout 2 has beyond layout 1.
const NEW_IN_2: [&str; 4] = [
    "TABLE sweep",
    "TABLE quarantine",
    "INDEX quarantined",
    "TABLE unknown_value",
];

/// What brings a file of layout 2 to layout 3.
const FROM_2_TO_3: &str = "ALTER TABLE record ADD COLUMN stamp INTEGER;";

/// What layout 3 has beyond layout 2.
const NEW_IN_3: [&str; 5] = [
    "TABLE listed",
    "TABLE listing",
    "TABLE initiation",
    "INDEX initiated",
    "INDEX unsettled",
];

/// What brings a file of layout 3 to layout 4.
const FROM_3_TO_4: &str = "
    ALTER TABLE publisher ADD COLUMN sending INTEGER;
    ALTER TABLE publisher ADD COLUMN target TEXT;
    ALTER TABLE publisher ADD COLUMN replay INTEGER;
";

/// What layout 4 has beyond layout 3.
const NEW_IN_4: [&str; 4] = [
    "TABLE refusal",
    "TABLE left_out",
    "TABLE waiting",
    "TABLE payment",
];

/// For each layout, what leads to the next one: changes of what is there, and what is new.
const STEPS: [(&str, &[&str]); 3] = [
    (FROM_1_TO_2, &NEW_IN_2),
    (FROM_2_TO_3, &NEW_IN_3),
    (FROM_3_TO_4, &NEW_IN_4),
];

/// Lays out a new file, brings an old one to this layout, or checks that it has it. Nothing is written to a file that
/// is refused, and a copy of an old one is kept beside it.
pub(super) fn prepare(connection: &mut Connection, file: &Path) -> Result<(), Error> {
    let fail = Error::on(file, "prepare the state");
    let found = check(connection, file)?;
    // Bytes of cache: the index over ids is written at random. Bytes of journal kept after a large batch.
    for (pragma, value) in [("cache_size", -8_000), ("journal_size_limit", 16 << 20)] {
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
    let steps = match found {
        VERSION => return Ok(()),
        0 => vec![LAYOUT.to_owned()],
        _ => {
            keep_copy(connection, file, found)?;
            let missing = STEPS.iter().skip(found as usize - 1);
            missing
                .flat_map(|(changes, new)| [(*changes).to_owned(), statements(new)])
                .collect()
        }
    };
    let transaction = connection.transaction().map_err(&fail)?;
    for step in &steps {
        transaction.execute_batch(step).map_err(&fail)?;
    }
    if (1..3).contains(&found) {
        listing::stamp_everything(&transaction).map_err(&fail)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .map_err(&fail)?;
    transaction
        .pragma_update(None, "user_version", VERSION)
        .map_err(&fail)?;
    transaction.commit().map_err(&fail)
}

/// The statements of the layout that make these tables and indices.
fn statements(new: &[&str]) -> String {
    let statements = LAYOUT
        .split_inclusive(";\n")
        .filter(|statement| new.iter().any(|name| statement.contains(name)));
    statements.collect()
}

/// Copies an old state to `state.sqlite3.layout-<n>` before it is changed.
fn keep_copy(connection: &Connection, file: &Path, layout: i64) -> Result<(), Error> {
    let copy = file.with_extension(format!("sqlite3.layout-{layout}"));
    // One that is there was left by a try that did not come to its end.
    if let Err(error) = std::fs::remove_file(&copy)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Error::Io {
            doing: "replace the copy",
            path: copy,
            source: error,
        });
    }
    let io = |source| Error::Io {
        doing: "keep a copy of the state in",
        path: copy.clone(),
        source,
    };
    // SQLite fills an empty file, whose mode is ours to choose.
    let kept = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&copy)
        .map_err(io)?;
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .map_err(Error::on(
            file,
            "keep a copy of the state of the version before",
        ))
        .inspect_err(|_| {
            // On a full disk, half a copy would be in the way.
            let _ = std::fs::remove_file(&copy);
        })?;
    kept.sync_all().map_err(io)?;
    log::info!(
        "the state is brought from layout {layout} to {VERSION}; a copy of it as it was is kept in {}",
        copy.display()
    );
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
        (APPLICATION, 1..=VERSION, _) => Ok(version),
        (APPLICATION, newer, _) => Err(Error::Newer {
            file: file.to_owned(),
            found: newer,
            known: VERSION,
        }),
        _ => Err(Error::NotOurs(file.to_owned())),
    }
}
