//! How many rows there are of each kind, kept in the commit that adds or removes them: whoever shows a figure reads one
//! row, however many there are.
//!
//! A batch counts its versions and records itself, once each. Everything else is counted by triggers: many statements
//! write it, also those of commands beside the connector.

use rusqlite::Connection;
use rusqlite::types::ToSql;

use super::database::{all, execute, optional};

/// Rows of a table that are counted by parts.
#[derive(Debug)]
pub(super) struct CountedRows {
    table: &'static str,
    /// The part that a row belongs to. `{}` is the row.
    part: &'static str,
    /// Which rows are counted.
    condition: &'static str,
}

/// Versions, by stream.
pub(super) const VERSIONS: CountedRows = CountedRows::of("version", "{}.stream");

/// Versions that were dropped, by stream. No table has them any more.
pub(super) const DROPPED: CountedRows = CountedRows::of("dropped", "{}.stream");

/// Records, by stream.
pub(super) const RECORDS: CountedRows = CountedRows::of("record", "{}.stream");

/// Transactions that were read first not long ago.
pub(super) const NEW_TRANSACTIONS: CountedRows = CountedRows::of("new_transaction", "''");

/// Records in quarantine, by stream.
pub(super) const QUARANTINED: CountedRows = CountedRows::of("quarantine", "{}.stream");

/// Versions that wait for the transaction that they relate to.
pub(super) const HELD: CountedRows = CountedRows::of("held", "''");

/// Transactions of which only relatives are listed.
pub(super) const ALONE: CountedRows = CountedRows {
    condition: "{}.seq = 0",
    ..CountedRows::of("shown", "''")
};

/// Payouts and transfers, by kind and state.
pub(super) const INITIATIONS: CountedRows =
    CountedRows::of("initiation", "{}.kind || ' ' || {}.state");

/// Versions that a target refuses, by publisher.
pub(super) const REFUSALS: CountedRows = CountedRows::of("refusal", "{}.publisher");

/// Entries of a publisher's memory that only keep a version, by [`memory_part`].
pub(super) const KEPT: CountedRows = CountedRows {
    condition: "{}.value IS NULL",
    ..CountedRows::of("memory", "{}.topic || ' ' || {}.publisher")
};

/// Everything that triggers count.
const BY_TRIGGER: [CountedRows; 6] = [QUARANTINED, HELD, ALONE, INITIATIONS, REFUSALS, KEPT];

/// Everything that can be counted at once. There are too many versions, and no index has their streams.
pub(super) const AT_ONCE: [CountedRows; 8] = [
    RECORDS,
    NEW_TRANSACTIONS,
    QUARANTINED,
    HELD,
    ALONE,
    INITIATIONS,
    REFUSALS,
    KEPT,
];

impl CountedRows {
    const fn of(table: &'static str, part: &'static str) -> CountedRows {
        CountedRows {
            table,
            part,
            condition: "true",
        }
    }

    /// The table that the rows are in.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// The query that counts them: part and number.
    fn query(&self) -> String {
        let CountedRows {
            table,
            part,
            condition,
        } = self;
        let (part, condition) = (part.replace("{}", table), condition.replace("{}", table));
        format!("SELECT {part}, count(*) FROM {table} WHERE {condition} GROUP BY 1")
    }

    /// The triggers that count them.
    fn triggers(&self) -> String {
        let CountedRows {
            table,
            part,
            condition,
        } = self;
        let of = |expression: &str, row: &str| expression.replace("{}", row);
        let (old, new) = (of(part, "old"), of(part, "new"));
        let (had, has) = (of(condition, "old"), of(condition, "new"));
        // A statement that replaces rows lets those of its triggers do so, too. So these never meet a row that is there.
        let add = format!(
            "INSERT INTO counted SELECT '{table}', {new}, 0
                 WHERE {has} AND NOT EXISTS (SELECT 1 FROM counted WHERE kind = '{table}' AND part = {new});
             UPDATE counted SET rows = rows + 1 WHERE {has} AND kind = '{table}' AND part = {new};"
        );
        let remove = format!(
            "UPDATE counted SET rows = rows - 1 WHERE {had} AND kind = '{table}' AND part = {old};"
        );
        format!(
            "CREATE TRIGGER {table}_added AFTER INSERT ON {table} WHEN {has} BEGIN {add} END;
             CREATE TRIGGER {table}_removed AFTER DELETE ON {table} WHEN {had} BEGIN {remove} END;
             CREATE TRIGGER {table}_changed AFTER UPDATE ON {table}
                 WHEN ({had}) IS NOT ({has}) OR {old} IS NOT {new} BEGIN {remove} {add} END;"
        )
    }
}

/// The part of a publisher's topic in [`KEPT`]. A topic has no space.
pub(super) fn memory_part(publisher: &str, topic: &str) -> String {
    format!("{topic} {publisher}")
}

/// The statements that make the triggers.
pub(super) fn triggers() -> String {
    BY_TRIGGER.iter().map(CountedRows::triggers).collect()
}

/// Counts rows by other parts than an older layout did.
pub(super) fn count_otherwise(connection: &Connection, rows: &CountedRows) -> rusqlite::Result<()> {
    let table = rows.table;
    for event in ["added", "removed", "changed"] {
        connection.execute_batch(&format!("DROP TRIGGER {table}_{event}"))?;
    }
    connection.execute_batch(&rows.triggers())?;
    count_again(connection, rows)
}

/// Counts rows now.
pub(super) fn count_again(connection: &Connection, rows: &CountedRows) -> rusqlite::Result<()> {
    forget(connection, rows)?;
    for (part, found) in count(connection, rows)? {
        add(connection, rows, part, found)?;
    }
    Ok(())
}

/// How many rows a part has.
pub(super) fn get(
    connection: &Connection,
    rows: &CountedRows,
    part: impl ToSql,
) -> rusqlite::Result<i64> {
    const GET: &str = "SELECT rows FROM counted WHERE kind = ?1 AND part = ?2";
    let found = optional(connection, GET, (rows.table, part), |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// How many rows each part has that has any, in the order of their names.
pub(super) fn parts(
    connection: &Connection,
    rows: &CountedRows,
) -> rusqlite::Result<Vec<(String, i64)>> {
    const PARTS: &str =
        "SELECT part, rows FROM counted WHERE kind = ?1 AND rows <> 0 ORDER BY part";
    all(connection, PARTS, [rows.table], |row| row.try_into())
}

/// Counts further rows of a part.
pub(super) fn add(
    connection: &Connection,
    rows: &CountedRows,
    part: impl ToSql,
    more: i64,
) -> rusqlite::Result<()> {
    const ADD: &str = "
        INSERT INTO counted (kind, part, rows) VALUES (?1, ?2, ?3)
        ON CONFLICT (kind, part) DO UPDATE SET rows = rows + excluded.rows";
    execute(connection, ADD, (rows.table, part, more))
}

/// How many rows each part has that has any, counted now, in the order of their names.
pub(super) fn count(
    connection: &Connection,
    rows: &CountedRows,
) -> rusqlite::Result<Vec<(String, i64)>> {
    all(connection, &rows.query(), [], |row| row.try_into())
}

/// Forgets how many rows there are.
pub(super) fn forget(connection: &Connection, rows: &CountedRows) -> rusqlite::Result<()> {
    const FORGET: &str = "DELETE FROM counted WHERE kind = ?1";
    execute(connection, FORGET, [rows.table])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::schema::LAYOUT;

    /// Statements that write what triggers count. `?1` and `?2` are small numbers.
    const WRITES: [&str; 24] = [
        "INSERT OR IGNORE INTO quarantine VALUES (?1, 's' || ?2, ?1, x'', 'contract', '', '', '', NULL, 0, '')",
        "INSERT INTO quarantine (stream, id, hash, kind, reason, first_seen, last_seen, retry, json)
         VALUES ('s', ?1, x'', 'contract', '', '', '', 0, '') ON CONFLICT (stream, id, hash) DO UPDATE SET retry = 1",
        "UPDATE quarantine SET retry = ?2 WHERE number <= ?1",
        "DELETE FROM quarantine WHERE number = ?1",
        "INSERT OR IGNORE INTO held VALUES (?1, ?2, 'id', 0)",
        "DELETE FROM held WHERE parent = ?1",
        "INSERT OR REPLACE INTO shown VALUES (?1, ?2 % 2, '')",
        "UPDATE shown SET seq = ?2 % 2 WHERE id = ?1",
        "DELETE FROM shown WHERE id = ?1",
        "DELETE FROM shown",
        "INSERT INTO initiation (key, kind, request, state, asked_at, after) VALUES (?1, '', '', 's' || ?2, '', 0)
         ON CONFLICT (key) DO UPDATE SET state = excluded.state WHERE state <> 's1'",
        "INSERT OR REPLACE INTO initiation (key, kind, request, state, asked_at, after) VALUES (?1, '', '', 's' || ?2, '', 0)",
        "UPDATE initiation SET state = 's' || ?2 WHERE key >= ?1",
        "UPDATE initiation SET remark = ?2 WHERE key = ?1",
        "DELETE FROM initiation WHERE key = ?1",
        "INSERT OR REPLACE INTO refusal VALUES ('p' || ?1, ?2, '', '', 0)",
        "UPDATE refusal SET retry = 1 WHERE publisher = 'p' || ?1",
        "DELETE FROM refusal WHERE publisher = 'p' || ?1 AND seq > ?2",
        "INSERT OR REPLACE INTO memory VALUES ('p', 't' || ?1, 'k', ?2, NULL)",
        "INSERT OR REPLACE INTO memory VALUES ('p', 't' || ?1, 'k', ?2, '1')",
        "INSERT OR REPLACE INTO memory SELECT 'q', topic, key, seq, value FROM memory WHERE seq = ?2",
        "UPDATE memory SET value = nullif(value, '1') WHERE seq = ?2",
        "DELETE FROM memory WHERE topic = 't' || ?1",
        "DELETE FROM memory WHERE publisher = 'q'",
    ];

    proptest! {
        #[test]
        fn whatever_is_written_is_counted(
            writes in proptest::collection::vec((0..WRITES.len(), 0..4i64, 0..4i64), 1..60)
        ) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(LAYOUT).unwrap();
            connection.execute_batch(&triggers()).unwrap();
            connection.pragma_update(None, "recursive_triggers", true).unwrap();
            for (write, one, other) in writes {
                let mut statement = connection.prepare(WRITES[write]).unwrap();
                let parameters = statement.parameter_count();
                for (index, value) in [one, other].into_iter().enumerate().take(parameters) {
                    statement.raw_bind_parameter(index + 1, value).unwrap();
                }
                statement.raw_execute().unwrap();
            }
            for rows in &BY_TRIGGER {
                prop_assert_eq!(
                    parts(&connection, rows).unwrap(),
                    count(&connection, rows).unwrap(),
                    "{:?}",
                    rows
                );
            }
        }
    }
}
