use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::database::Database;
use super::owner_only::owner_only;
use super::schema::{APPLICATION, LAYOUT, VERSION};
use super::upgrade_slices::{self, SliceWork};
use super::{Error, counts, journal_row};
use crate::notify::LongStart;
use crate::ownership;

/// What leads from one layout to the next: changes of what is there, and the tables and indices that are new.
struct LayoutStep {
    changes: &'static str,
    new: &'static [&'static str],
}

/// The steps from layout 1 to today's.
const STEPS: [LayoutStep; 11] = [
    LayoutStep {
        changes: "
            ALTER TABLE version ADD COLUMN previous INTEGER;
            ALTER TABLE version ADD COLUMN sweep INTEGER;
            ALTER TABLE cursor ADD COLUMN traits TEXT NOT NULL DEFAULT '{}';
            ALTER TABLE cursor ADD COLUMN ended_at TEXT;
            ALTER TABLE cursor ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE poll RENAME COLUMN skipped TO quarantined;
        ",
        new: &[
            "TABLE sweep",
            "TABLE quarantine",
            "INDEX quarantined",
            "TABLE unknown_value",
        ],
    },
    LayoutStep {
        changes: "ALTER TABLE record ADD COLUMN stamp INTEGER;",
        new: &[
            "TABLE listed",
            "INDEX stamped",
            "TABLE listing",
            "TABLE initiation",
            "INDEX initiated",
            "INDEX unsettled",
        ],
    },
    LayoutStep {
        changes: "
            ALTER TABLE publisher ADD COLUMN sending INTEGER;
            ALTER TABLE publisher ADD COLUMN target TEXT;
            ALTER TABLE publisher ADD COLUMN replay INTEGER;
        ",
        new: &["TABLE refusal"],
    },
    LayoutStep {
        changes: "ALTER TABLE cursor RENAME COLUMN traits TO quirks;",
        new: &["TABLE memory"],
    },
    LayoutStep {
        changes: "
            ALTER TABLE cursor ADD COLUMN moved_at TEXT;
            ALTER TABLE cursor ADD COLUMN set_back_at TEXT;
            ALTER TABLE cursor ADD COLUMN began_at TEXT;
        ",
        new: &[
            "TABLE restored",
            "TABLE damaged",
            "TABLE older_balances",
            "TABLE missing",
            "TABLE unlisted",
        ],
    },
    LayoutStep {
        changes: "",
        new: &[
            "TABLE shown",
            "INDEX shown_alone",
            "TABLE held",
            "INDEX held_of",
        ],
    },
    // What sweeps and held versions have more depends on where they come from.
    LayoutStep {
        changes: "",
        new: &[],
    },
    LayoutStep {
        changes: "",
        new: &["TABLE counted", "INDEX urgent"],
    },
    LayoutStep {
        changes: "
            ALTER TABLE poll ADD COLUMN took INTEGER;
            ALTER TABLE poll ADD COLUMN latency_p50 INTEGER;
            ALTER TABLE poll ADD COLUMN latency_p95 INTEGER;
            ALTER TABLE poll ADD COLUMN lag INTEGER;
        ",
        new: &[],
    },
    // Payouts and transfers are counted by their kind, too.
    LayoutStep {
        changes: "",
        new: &[],
    },
    LayoutStep {
        changes: "ALTER TABLE record RENAME TO other_record;",
        new: &[
            "TABLE old_transaction",
            "TABLE new_transaction",
            "VIEW record",
        ],
    },
];

/// The first layout that says how many rows there are.
const COUNTED: i64 = 9;

/// The first layout that says how many payouts and transfers there are of each kind.
const COUNTED_BY_KIND: i64 = 11;

/// The first layout that has the records of transactions in tables of their own.
const TRANSACTIONS_APART: i64 = 12;

/// How many times the bytes of a state have to be free: for its copy, and for tables that are written again.
pub(super) const COPIES: u64 = 2;

/// What counts everything.
const COUNTS: [SliceWork; 2] = [SliceWork::Versions, SliceWork::Counts];

/// Layouts 3 to 5 had lists without places. What the lists have shown is not known, so that it may have been everything.
const LISTS_OF_5: &str = "
    INSERT INTO listing (stream, asked_at, above, shown)
    SELECT stream, asked_at, above, max(coalesce(above, 0), coalesce(
        (SELECT max(stamp) FROM listed_before WHERE listed_before.stream = listing_before.stream), 0))
    FROM listing_before;
    DROP TABLE listing_before;
";

/// Layout 6 had lists that showed every version as it was sent.
const LISTS_OF_6: &str = "
    ALTER TABLE listed ADD COLUMN shown TEXT;
    ALTER TABLE listing ADD COLUMN foreign_seq INTEGER;
    ALTER TABLE listing ADD COLUMN foreign_until TEXT;
";

/// Layouts 2 to 7 did not say which versions a sweep decides on.
const SWEEPS_OF_7: &str = "
    ALTER TABLE sweep ADD COLUMN last_seq INTEGER;
    ALTER TABLE sweep ADD COLUMN settled_before TEXT;
";

/// Layout 7 did not say whether what waits moves an amount.
const HELD_OF_7: &str = "ALTER TABLE held ADD COLUMN moves_amount INTEGER NOT NULL DEFAULT 1;";

/// The lists of layouts 3 to 6 have shown transactions as the service sent them, and go on with those.
const SHOWN_AS_SENT: &str = "
    INSERT INTO listing (stream, foreign_seq) SELECT 'transactions', coalesce(max(seq), 0) FROM version WHERE true
    ON CONFLICT (stream) DO UPDATE SET foreign_seq = excluded.foreign_seq;
";

/// Layouts 3 to 5 had a table of payouts and transfers without hashes, which no operator could settle.
const SETTLE_INITIATIONS: &str = "
    ALTER TABLE initiation ADD COLUMN settled_at TEXT;
    ALTER TABLE initiation ADD COLUMN remark TEXT;
    ALTER TABLE initiation ADD COLUMN hash BLOB;
    DROP INDEX unsettled;
";

/// Lays out a new file, brings an old one to this layout, or checks that it has it. Nothing is written to a file that
/// is not ours, and a copy of an old one is kept beside it.
///
/// The tables change in one transaction, and their rows in slices. A process that ends in between is continued by the
/// next one, also one of a newer version; until then no older version, and no other process, can use the state.
pub(super) fn prepare(database: &Database, start: &LongStart) -> Result<(), Error> {
    const DOING: &str = "prepare the state";
    let found = database.layout()?;
    let mode: String = database.run(DOING, |connection| {
        // KiB of cache, as SQLite counts it: a commit changes many pages, some of them several times.
        connection.pragma_update(None, "cache_size", -4_000)?;
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
    if found < VERSION {
        if found > 0 {
            start.is_doing(format!(
                "keeping a copy of the state, which has layout {found}, before it is migrated to {VERSION}"
            ));
            keep_copy(database, found)?;
            start.is_doing(format!(
                "migrating the state from layout {found} to {VERSION}"
            ));
        }
        database.write(DOING, |connection| {
            match found {
                0 => connection.execute_batch(LAYOUT)?,
                _ => upgrade(connection, found)?,
            }
            if found < COUNTED {
                connection.execute_batch(&counts::triggers())?;
            }
            connection.pragma_update(None, "application_id", APPLICATION)?;
            connection.pragma_update(None, "user_version", VERSION)
        })?;
    }
    count_again(database)?;
    upgrade_slices::finish(database, start)
}

/// Plans to count everything, if somebody has removed what was counted, as `verify` says.
fn count_again(database: &Database) -> Result<(), Error> {
    const IS_UNCOUNTED: &str = "
        SELECT NOT EXISTS (SELECT 1 FROM counted) AND (EXISTS (SELECT 1 FROM version)
            OR EXISTS (SELECT 1 FROM quarantine) OR EXISTS (SELECT 1 FROM initiation))";
    const DOING: &str = "count what is in the state";
    if database.is_upgrading()? || !database.value::<bool>(DOING, IS_UNCOUNTED, [])? {
        return Ok(());
    }
    log::info!("counting everything in the state again");
    database.write(DOING, |connection| {
        upgrade_slices::plan(connection, COUNTS.into_iter())
    })
}

/// Takes every step that follows layout `found`, and notes what is left to be done in slices.
fn upgrade(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    // Lists that showed each version as it was sent, with places or without.
    let has_lists = (3..=6).contains(&found);
    let has_places = found >= 6;
    if found == 6 {
        connection.execute_batch(LISTS_OF_6)?;
    } else if has_lists && !has_places {
        connection.execute_batch(
            "ALTER TABLE listed RENAME TO listed_before; ALTER TABLE listing RENAME TO listing_before;",
        )?;
        connection.execute_batch(&statements(&[
            "TABLE listed",
            "INDEX stamped",
            "TABLE listing",
        ]))?;
        connection.execute_batch(LISTS_OF_5)?;
    }
    if has_lists {
        connection.execute_batch(SHOWN_AS_SENT)?;
    }
    if (2..=7).contains(&found) {
        connection.execute_batch(SWEEPS_OF_7)?;
    }
    if found == 7 {
        connection.execute_batch(HELD_OF_7)?;
    }
    if has_lists && !has_places {
        connection.execute_batch(SETTLE_INITIATIONS)?;
        connection.execute_batch(&statements(&["INDEX unsettled"]))?;
        journal_row::seal_all(connection)?;
    }
    for (from, LayoutStep { changes, new }) in (1..).zip(&STEPS) {
        if from >= found {
            connection.execute_batch(changes)?;
            connection.execute_batch(&statements(new))?;
        }
    }
    if (COUNTED..COUNTED_BY_KIND).contains(&found) {
        counts::count_otherwise(connection, &counts::INITIATIONS)?;
    }
    upgrade_slices::plan(connection, works(found).into_iter())
}

/// What is done to every row of a state of that layout.
fn works(found: i64) -> Vec<SliceWork> {
    let lists: &[SliceWork] = match found {
        6.. => &[],
        3..6 => &[SliceWork::Places, SliceWork::Unlist],
        _ => &[SliceWork::Stamps],
    };
    let previous = (found == 1).then_some(SliceWork::Previous);
    let memory =
        (found == 4).then_some([SliceWork::Skipped, SliceWork::Waiting, SliceWork::Payments]);
    let transactions = (found < TRANSACTIONS_APART).then_some(SliceWork::Transactions);
    let counts = (found < COUNTED).then_some(COUNTS);
    previous
        .into_iter()
        .chain(lists.iter().copied())
        .chain(memory.into_iter().flatten())
        .chain(transactions)
        .chain(counts.into_iter().flatten())
        .collect()
}

/// How often the migration of a state of that layout reads every row.
pub(super) fn passes(found: i64) -> u32 {
    works(found).len().try_into().unwrap_or(u32::MAX)
}

/// Where the copy of a state of that layout is kept.
pub(super) fn copy_of(file: &Path, layout: i64) -> PathBuf {
    file.with_extension(format!("sqlite3.layout-{layout}"))
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
    let copy = copy_of(database.file(), layout);
    const KEEP: &str = "keep a copy of the state in";
    database.check_room("keep a copy of the state before it is migrated", COPIES)?;
    // A copy that is there was left by a try that did not come to its end.
    if let Err(error) = std::fs::remove_file(&copy)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Error::io("replace the copy", &copy)(error));
    }
    // SQLite fills an empty file, whose mode is ours to choose.
    let kept =
        ownership::open(owner_only().create_new(true), &copy).map_err(Error::io(KEEP, &copy))?;
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
