//! A second copy of the journal of payouts and transfers, in a file beside the state.
//!
//! If an older state is put back, the journal in it does not know what was asked for since. Then one payout could be asked
//! for twice under one key with different contents, and its transaction would be listed as another payment. Each line of
//! the file is a row of the journal as it was committed. The file is only ever appended to, so the last line about a key
//! counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};
use serde_json::Value as Json;

use super::Error;
use super::database::{Database, all, value};
use super::owner_only::owner_only;

/// Its name within `stateDir`.
pub(super) const FILE: &str = "initiations.ndjson";

const DOING: &str = "copy the journal of payouts and transfers to";

/// Appends the row of a key, after it was committed. It need not be on the disk at once: a state is not put back by the
/// power cut that loses the line. If it cannot be written, the payout goes on.
pub(super) fn append(database: &Database, key: &str) {
    let row = "SELECT * FROM initiation WHERE key = ?1";
    if let Err(error) = copy(database, row, [key]) {
        log::warn!("{error}; the journal of a state that is put back would not know it");
    }
}

/// Writes the file if it is missing. Otherwise ends its last line, which may be torn.
pub(super) fn begin(database: &Database) -> Result<(), Error> {
    let path = path(database);
    if !path.exists() {
        return copy(database, "SELECT * FROM initiation", []);
    }
    write(&path, b"\n")
}

/// Takes over what the file has and the journal does not know, or not the end of. How many payouts and transfers that are.
pub(super) fn take(connection: &Connection, directory: &Path) -> rusqlite::Result<i64> {
    const COUNT: &str = "SELECT count(*) FROM initiation WHERE state IN ('made', 'refused')";
    let before: i64 = value(connection, COUNT, [])?;
    let Ok(file) = File::open(directory.join(FILE)) else {
        return Ok(0);
    };
    let mut unreadable = 0;
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if line.is_empty() {
            continue;
        }
        let row = serde_json::from_slice::<BTreeMap<String, Json>>(&line);
        let taken = match row.ok().filter(|row| row.contains_key("key")) {
            Some(row) => put(connection, &row),
            None => Ok(false),
        };
        unreadable += usize::from(!taken?);
    }
    if unreadable > 0 {
        log::warn!(
            "{unreadable} lines of the journal beside the state cannot be read, as if they were torn or damaged; payouts \
            and transfers that only they know are forwarded again if they are asked for again"
        );
    }
    Ok(value::<i64>(connection, COUNT, [])? - before)
}

fn path(database: &Database) -> PathBuf {
    database.file().with_file_name(FILE)
}

/// Appends the rows of a query.
fn copy(database: &Database, query: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
    let path = path(database);
    let lines = database.run("read the journal of payouts and transfers", |connection| {
        let mut statement = connection.prepare(query)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(parameters)?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            lines.extend(line(row, &names)?);
        }
        Ok(lines)
    })?;
    write(&path, &lines)
}

fn write(path: &Path, lines: &[u8]) -> Result<(), Error> {
    owner_only()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(lines))
        .map_err(Error::io(DOING, path))
}

fn line(row: &Row, names: &[String]) -> rusqlite::Result<Vec<u8>> {
    let mut columns = serde_json::Map::new();
    for (index, name) in names.iter().enumerate() {
        let json = match row.get_ref(index)? {
            ValueRef::Integer(number) => number.into(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
            _ => Json::Null,
        };
        columns.insert(name.clone(), json);
    }
    Ok(format!("{}\n", Json::Object(columns)).into_bytes())
}

/// Puts a row into the journal, unless it knows how that one ended. False if it is no row of the journal.
fn put(connection: &Connection, row: &BTreeMap<String, Json>) -> rusqlite::Result<bool> {
    const COLUMNS: &str = "SELECT name FROM pragma_table_info('initiation')";
    let known: Vec<String> = all(connection, COLUMNS, [], |row| row.get(0))?;
    let names: Vec<&str> = known
        .iter()
        .map(String::as_str)
        .filter(|name| row.contains_key(*name))
        .collect();
    let marks = vec!["?"; names.len()].join(", ");
    let sets: Vec<String> = names
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "INSERT INTO initiation ({}) VALUES ({marks}) ON CONFLICT (key) DO UPDATE SET {}
         WHERE state NOT IN ('made', 'refused')",
        names.join(", "),
        sets.join(", ")
    );
    let values = names.iter().map(|name| match &row[*name] {
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => number.as_i64().map_or(Value::Null, Value::Integer),
        _ => Value::Null,
    });
    let put = connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(values));
    match put {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(false)
        }
        put => put.map(|_| true),
    }
}
