use rusqlite::{Connection, Statement, ToSql};

use crate::crash;

/// Rows that one statement inserts: a statement costs as much as several rows.
const MANY: usize = 16;

/// Inserts rows. `into` is a statement up to its values, and `values` gives those of a row.
///
/// It has to say `OR FAIL` or `OR IGNORE`: otherwise SQLite copies every page that it changes, to undo a statement half-way.
/// The transaction is to be rolled back after an error.
pub(super) fn insert<'rows, R, const COLUMNS: usize>(
    connection: &Connection,
    into: &str,
    rows: &'rows [R],
    values: impl Fn(&'rows R) -> [&'rows dyn ToSql; COLUMNS],
) -> rusqlite::Result<()> {
    let chunks = rows.chunks_exact(MANY);
    let rest = chunks.remainder();
    let prepare = |rows| connection.prepare_cached(&statement(into, COLUMNS, rows));
    if rest.len() < rows.len() {
        let mut many = prepare(MANY)?;
        for chunk in chunks {
            write(&mut many, chunk, &values)?;
        }
    }
    if !rest.is_empty() {
        let mut one = prepare(1)?;
        for row in rest.chunks(1) {
            write(&mut one, row, &values)?;
        }
    }
    Ok(())
}

fn statement(into: &str, columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    format!("{into} VALUES {}", vec![row; rows].join(", "))
}

fn write<'rows, R, const COLUMNS: usize>(
    statement: &mut Statement,
    rows: &'rows [R],
    values: &impl Fn(&'rows R) -> [&'rows dyn ToSql; COLUMNS],
) -> rusqlite::Result<()> {
    crash::point();
    for (parameter, value) in (1_usize..).zip(rows.iter().flat_map(values)) {
        statement.raw_bind_parameter(parameter, value)?;
    }
    statement.raw_execute()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_there_however_many_there_are() {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE t (number INTEGER PRIMARY KEY, text TEXT) STRICT";
        connection.execute_batch(table).unwrap();
        for count in [0, 1, 15, 16, 17, 40, 64] {
            let rows: Vec<(i64, String)> = (0..count).map(|row| (row, format!("t{row}"))).collect();
            let into = "INSERT OR FAIL INTO t (number, text)";
            insert(&connection, into, &rows, |(number, text)| [number, text]).unwrap();
            let mut all = connection
                .prepare("SELECT number, text FROM t ORDER BY number")
                .unwrap();
            let found = all.query_map([], |row| row.try_into()).unwrap();
            let found: rusqlite::Result<Vec<(i64, String)>> = found.collect();
            assert_eq!(found.unwrap(), rows);
            connection.execute_batch("DELETE FROM t").unwrap();
        }
    }
}
