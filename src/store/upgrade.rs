use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rusqlite::Connection;

use super::database::Database;
use super::schema::{APPLICATION, LAYOUT, VERSION};
use super::{Error, listing};

/// What leads from one layout to the next: changes of what is there, and the tables and indices that are new.
struct LayoutStep {
    changes: &'static str,
    new: &'static [&'static str],
}

/// The steps from layout 1 to today's.
const STEPS: [LayoutStep; 5] = [
    LayoutStep {
        changes: "
            ALTER TABLE version ADD COLUMN previous INTEGER;
            ALTER TABLE version ADD COLUMN sweep INTEGER;
            ALTER TABLE cursor ADD COLUMN traits TEXT NOT NULL DEFAULT '{}';
            ALTER TABLE cursor ADD COLUMN ended_at TEXT;
            ALTER TABLE cursor ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE poll RENAME COLUMN skipped TO quarantined;
            UPDATE version SET previous = chain.before
            FROM (SELECT seq, lag(seq) OVER (PARTITION BY stream, id ORDER BY seq) AS before FROM version) AS chain
            WHERE chain.seq = version.seq;
        ",
        new: &["TABLE sweep", "TABLE quarantine", "INDEX quarantined", "TABLE unknown_value"],
    },
    LayoutStep {
        changes: "ALTER TABLE record ADD COLUMN stamp INTEGER;",
        new: &["TABLE listed", "TABLE listing", "TABLE initiation", "INDEX initiated", "INDEX unsettled"],
    },
    LayoutStep {
        changes: "
            ALTER TABLE publisher ADD COLUMN sending INTEGER;
            ALTER TABLE publisher ADD COLUMN target TEXT;
            ALTER TABLE publisher ADD COLUMN replay INTEGER;
        ",
        new: &["TABLE refusal"],
    },
    LayoutStep { changes: "ALTER TABLE cursor RENAME COLUMN traits TO quirks;", new: &["TABLE memory"] },
    LayoutStep {
        changes: "
            ALTER TABLE cursor ADD COLUMN moved_at TEXT;
            ALTER TABLE cursor ADD COLUMN set_back_at TEXT;
        ",
        new: &[],
    },
];

/// Layout 4 had tables for what the `formance` publisher remembers. Its ledger says what the values mean.
const REMEMBER_WHAT_4_HAD: &str = "
    INSERT INTO memory (publisher, topic, key, seq, value)
    SELECT publisher, 'skipped', reason, seq, versions FROM left_out;
    INSERT INTO memory (publisher, topic, key, seq) SELECT publisher, 'waiting', parent, seq FROM waiting;
    INSERT INTO memory (publisher, topic, key, seq, value)
    SELECT publisher, 'payment', id, seq, json_object(
        'status', status, 'amount', amount, 'metadata', nullif(lower(hex(metadata)), ''), 'kept', lower(hex(kept)),
        'newest', newest, 'part', json(CASE
            WHEN parent IS NOT NULL THEN json_object('of', parent)
            ELSE json_object('own', json_object(
                'type', type, 'asset', asset, 'initial', initial, 'shown', shown,
                'isOpen', json(iif(is_open, 'true', 'false'))))
            END))
    FROM payment;
    DROP TABLE left_out;
    DROP TABLE waiting;
    DROP TABLE payment;
";

/// Lays out a new file, brings an old one to this layout, or checks that it has it. Nothing is written to a file that
/// is not ours, and a copy of an old one is kept beside it.
pub(super) fn prepare(database: &Database) -> Result<(), Error> {
    const DOING: &str = "prepare the state";
    let found = database.layout()?;
    let mode: String = database.run(DOING, |connection| {
        // KiB of cache, as SQLite counts it: the index over ids is written at random.
        connection.pragma_update(None, "cache_size", -8_000)?;
        // Bytes of journal that are kept after a large batch.
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
    })?;
    if mode != "wal" {
        return Err(Error::NoJournal {
            file: database.file().to_owned(),
            mode,
        });
    }
    if found == VERSION {
        return Ok(());
    }
    if found > 0 {
        keep_copy(database, found)?;
    }
    database.run(DOING, |connection| {
        let transaction = connection.unchecked_transaction()?;
        match found {
            0 => transaction.execute_batch(LAYOUT)?,
            _ => upgrade(&transaction, found)?,
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    })
}

fn upgrade(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    for (from, LayoutStep { changes, new }) in (1..).zip(&STEPS) {
        if from >= found {
            connection.execute_batch(changes)?;
            connection.execute_batch(&statements(new))?;
        }
    }
    if found < 3 {
        listing::stamp_everything(connection)?;
    }
    if found == 4 {
        connection.execute_batch(REMEMBER_WHAT_4_HAD)?;
    }
    Ok(())
}

/// The statements of today's layout that make these tables and indices.
fn statements(new: &[&str]) -> String {
    LAYOUT
        .split_inclusive(";\n")
        .filter(|statement| new.iter().any(|name| statement.contains(name)))
        .collect()
}

/// Copies an old state to `state.sqlite3.layout-<n>` before it is changed.
fn keep_copy(database: &Database, layout: i64) -> Result<(), Error> {
    let copy = database
        .file()
        .with_extension(format!("sqlite3.layout-{layout}"));
    const KEEP: &str = "keep a copy of the state in";
    // A copy that is there was left by a try that did not come to its end.
    if let Err(error) = std::fs::remove_file(&copy)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Error::io("replace the copy", &copy)(error));
    }
    // SQLite fills an empty file, whose mode is ours to choose.
    let kept = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&copy)
        .map_err(Error::io(KEEP, &copy))?;
    database
        .execute(
            "keep a copy of the state of the version before",
            "VACUUM INTO ?1",
            [copy.to_string_lossy()],
        )
        .inspect_err(|_| {
            // On a full disk, half a copy would be in the way.
            let _ = std::fs::remove_file(&copy);
        })?;
    kept.sync_all().map_err(Error::io(KEEP, &copy))?;
    log::info!(
        "migrating the state from layout {layout} to {VERSION}; a copy of the old one is in {}",
        copy.display()
    );
    Ok(())
}
