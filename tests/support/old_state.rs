//! States of older layouts.

use std::fs;

use serde_json::json;

use super::{FakePsp, Place};

/// The tables of each older layout, with its number.
pub const LAYOUTS: [(u32, &str); 11] = [
    (1, include_str!("../layouts/1.sql")),
    (2, include_str!("../layouts/2.sql")),
    (3, include_str!("../layouts/3.sql")),
    (4, include_str!("../layouts/4.sql")),
    (5, include_str!("../layouts/5.sql")),
    (6, include_str!("../layouts/6.sql")),
    (7, include_str!("../layouts/7.sql")),
    (8, include_str!("../layouts/8.sql")),
    (9, include_str!("../layouts/9.sql")),
    (10, include_str!("../layouts/10.sql")),
    (11, include_str!("../layouts/11.sql")),
];

/// Takes a state of layout 12 back to the layout before, but for its number.
pub const BEFORE_12: &str = "
    INSERT OR IGNORE INTO other_record (stream, id, seq) SELECT stream, id, seq FROM record WHERE stream = 'transactions';
    DROP VIEW record; DROP TABLE old_transaction; DROP TABLE new_transaction;
    ALTER TABLE other_record RENAME TO record; DELETE FROM counted WHERE kind = 'new_transaction';";

/// The names of a table's columns, by table.
pub fn columns(state: &rusqlite::Connection) -> Vec<(String, Vec<String>)> {
    let names = |sql: &str| -> Vec<String> {
        let mut statement = state.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    let columns = |table: &String| {
        let mut columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
        columns.sort();
        columns
    };
    tables
        .iter()
        .map(|table| (table.clone(), columns(table)))
        .collect()
}

/// A place whose state has this older layout. What that had is there, as the program of today has filled it.
pub fn polled_with_layout(psp: &FakePsp, layout: &str) -> Place {
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let fresh = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    // Older versions had none, and it tells of another state.
    fs::remove_file(place.state().join("witness")).unwrap();
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(layout).unwrap();
    let filled = place.path().join("filled.sqlite3");
    fs::write(&filled, fresh).unwrap();
    old.execute("ATTACH ?1 AS filled", [filled.to_str().unwrap()])
        .unwrap();
    let mut tables = columns(&old);
    // Triggers count what is copied. What they count is replaced at the end.
    tables.sort_by_key(|(table, _)| table == "counted");
    for (table, columns) in &tables {
        // Indices have no columns here.
        if columns.is_empty() || table == "sqlite_sequence" {
            continue;
        }
        if table == "counted" {
            old.execute_batch("DELETE FROM counted").unwrap();
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let columns = columns.join(", ");
        // As layout 5 calls it.
        let filled = columns.replace("traits", "quirks");
        old.execute_batch(&format!(
            "INSERT INTO main.{table} ({columns}) SELECT {filled} FROM filled.{table}"
        ))
        .unwrap();
    }
    // Older versions did not say so.
    old.execute_batch("DELETE FROM state WHERE key IN ('generation', 'open', 'born')")
        .unwrap();
    if tables.iter().any(|(table, _)| table == "counted") {
        old.execute_batch("DELETE FROM counted WHERE kind = 'new_transaction'")
            .unwrap();
    }
    place
}
