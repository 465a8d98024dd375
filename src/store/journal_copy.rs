//! A second copy of the journal of payouts and transfers, in a file beside the state, and in one outside the state directory.
//!
//! If an older state is put back, the journal in it does not know what was asked for since. Then one payout could be asked
//! for twice under one key with different contents, and its transaction would be listed as another payment. Each line of
//! the file is a row of the journal as it was committed. The file is only ever appended to, so the last line about a key
//! counts. A state directory that is put back as a whole takes the one file along, but not the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};
use rustix::fs::{Access, access};
use serde_json::Value as Json;

use super::database::{Database, all, execute, value};
use super::identity::state_value;
use super::journal_row::{as_json, doubt};
use super::owner_only::owner_only;
use super::{Error, journal_row};
use crate::api::{ContentHash, escaped};
use crate::ownership;

/// Its name within `stateDir`.
pub(super) const FILE: &str = "initiations.ndjson";

/// A row of the journal, by its columns.
type CopiedRow = BTreeMap<String, Json>;

/// The member of a line that says whose journal it is from. A state directory may have had another connector's state before.
const OWNER: &str = "connector";

/// What follows if a row is not copied.
const UNKNOWN: &str = "the journal of a state that is put back would not know it";

/// Appends the row of a key, after it was committed. It need not be on the disk at once: a state is not put back by the
/// power cut that loses the line. If it cannot be written, the payout goes on.
pub(super) fn append(database: &Database, key: &str) {
    match lines(database, "SELECT * FROM initiation WHERE key = ?1", [key]) {
        Ok(lines) => files(directory(database))
            .iter()
            .for_each(|path| write(path, &lines)),
        Err(error) => log::warn!("{error}; {UNKNOWN}"),
    }
}

/// Writes each file if it is missing. Otherwise ends its last line, if that is torn. One that cannot be written does not keep
/// the connector from starting.
pub(super) fn begin(database: &Database) -> Result<(), Error> {
    for path in files(directory(database)) {
        let missing = if path.exists() {
            let is_torn = is_torn(&path).unwrap_or(false);
            if is_torn { b"\n".to_vec() } else { Vec::new() }
        } else {
            lines(database, "SELECT * FROM initiation", [])?
        };
        write(&path, &missing);
    }
    Ok(())
}

/// Does something with the journal. If it comes upon a damaged row, that is repaired from the file, and it is done again.
pub(super) fn repairing<T>(
    database: &Database,
    work: impl Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    match work() {
        Err(Error::DamagedInitiation(damaged)) if repair(database, &damaged.0)? => {
            log::warn!(
                "the journal's entry of the payout or transfer \"{}\" was damaged in the state; it is repaired from {FILE}",
                escaped(&damaged.0)
            );
            work()
        }
        done => done,
    }
}

/// Takes over what the file has and the journal does not know, or not the end of. How many payouts and transfers that are.
pub(super) fn take(connection: &Connection, directory: &Path) -> rusqlite::Result<i64> {
    const COUNT: &str = "SELECT count(*) FROM initiation WHERE state IN ('made', 'refused')";
    let before: i64 = value(connection, COUNT, [])?;
    let owner = owner(connection)?;
    let mut unreadable = 0;
    for line in copied_lines(directory).filter(|line| !line.is_empty()) {
        let taken = match read(&line) {
            Some((row, _)) if !is_of(&row, &owner) => continue,
            Some((row, hash)) => put(connection, &row, hash)?,
            None => false,
        };
        unreadable += usize::from(!taken);
    }
    if unreadable > 0 {
        log::warn!(
            "{unreadable} lines of the journal beside the state cannot be read, as if they were torn or damaged; payouts \
            and transfers that only they know are forwarded again if they are asked for again"
        );
    }
    Ok(value::<i64>(connection, COUNT, [])? - before)
}

fn directory(database: &Database) -> &Path {
    database.file().parent().unwrap_or(Path::new("."))
}

/// The files of the copy: the one beside the state in that directory, and the one outside of it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let within = directory.join(FILE);
    std::iter::once(within).chain(outside(directory)).collect()
}

/// The file outside the state directory: in systemd's `LogsDirectory=`, or beside the directory if files can be made there.
fn outside(directory: &Path) -> Option<PathBuf> {
    let logs = std::env::var_os("LOGS_DIRECTORY").unwrap_or_default();
    let logs = std::env::split_paths(&logs).find(|path| path.is_absolute());
    // An operator's shell has no variables of the unit's.
    if let Some(logs) = logs.or_else(|| logs_of(directory).filter(|logs| logs.is_dir())) {
        return Some(logs.join(FILE));
    }
    let parent = directory.parent()?;
    let name = directory.file_name()?.to_string_lossy();
    let is_writable = access(parent, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    is_writable.then(|| parent.join(format!("{name}.{FILE}")))
}

/// Where systemd puts the logs of a unit whose state it puts into that directory.
fn logs_of(directory: &Path) -> Option<PathBuf> {
    let unit = directory.strip_prefix("/var/lib").ok()?;
    Some(Path::new("/var/log").join(unit))
}

/// What the files have, line by line.
fn copied_lines(directory: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
    let files = files(directory).into_iter();
    let files = files.filter_map(|path| File::open(path).ok());
    files.flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok))
}

/// Whose journal it is.
fn owner(connection: &Connection) -> rusqlite::Result<Json> {
    let of = |key| state_value(connection, key).map(Option::unwrap_or_default);
    Ok(format!("{} at {}", of("name")?, of("endpoint")?).into())
}

fn is_of(row: &CopiedRow, owner: &Json) -> bool {
    row.get(OWNER) == Some(owner)
}

/// The rows of a query, as lines.
fn lines(
    database: &Database,
    query: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<u8>, Error> {
    database.run("read the journal of payouts and transfers", |connection| {
        let owner = owner(connection)?;
        let mut statement = connection.prepare(query)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(parameters)?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            lines.extend(line(row, &names, &owner)?);
        }
        Ok(lines)
    })
}

/// Whether the last line has no end.
fn is_torn(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Appends lines to a file, if there are any. A payout does not wait for that to be possible.
fn write(path: &Path, lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    let file = ownership::open(owner_only().append(true), path);
    if let Err(error) = file.and_then(|mut file| file.write_all(lines)) {
        log::warn!(
            "cannot copy the journal of payouts and transfers to {}: {error}; {UNKNOWN}",
            path.display()
        );
    }
}

fn line(row: &Row, names: &[String], owner: &Json) -> rusqlite::Result<Vec<u8>> {
    let mut columns = serde_json::Map::new();
    columns.insert(OWNER.to_owned(), owner.clone());
    for (index, name) in names.iter().enumerate() {
        columns.insert(name.clone(), as_json(row.get_ref(index)?));
    }
    Ok(format!("{}\n", Json::Object(columns)).into_bytes())
}

/// The row of a line and its hash; none if the line is torn or damaged.
fn read(line: &[u8]) -> Option<(CopiedRow, ContentHash)> {
    let row: CopiedRow = serde_json::from_slice(line).ok()?;
    let hash = journal_row::hash(|name| row.get(name).cloned().unwrap_or_default());
    let is_intact = row.get("hash")?.as_str()? == hash.hex();
    is_intact.then_some((row, hash))
}

/// Puts what the file says of a key in the place of its damaged row. If it does not say how that one ended, a later end may
/// be missing. False if it knows nothing of it; then the row stays, and `status` shows it.
fn repair(database: &Database, key: &str) -> Result<bool, Error> {
    const REMOVE: &str = "DELETE FROM initiation WHERE key = ?1";
    const NOTE: &str = "UPDATE initiation SET remark = coalesce(remark, 'damaged') WHERE key = ?1";
    const WAS_DAMAGED: &str =
        "its entry in the journal was damaged, and the copy of it may not be the newest";
    let owner = database.run("read whose state it is", owner)?;
    let lines = copied_lines(directory(database));
    let rows = lines.filter_map(|line| read(&line));
    let copied = rows
        .filter(|(row, _)| is_of(row, &owner) && row.get("key").and_then(Json::as_str) == Some(key))
        .last();
    database.write(
        "repair the journal of payouts and transfers",
        |connection| {
            let Some((row, hash)) = &copied else {
                execute(connection, NOTE, [key])?;
                return Ok(());
            };
            execute(connection, REMOVE, [key])?;
            put(connection, row, *hash)?;
            doubt(connection, key, WAS_DAMAGED)
        },
    )?;
    Ok(copied.is_some())
}

/// Puts a row into the journal, unless it knows how that one ended. False if it is no row of the journal.
fn put(connection: &Connection, row: &CopiedRow, hash: ContentHash) -> rusqlite::Result<bool> {
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
        _ if *name == "hash" => Value::Blob(hash.0.into()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_a_packaged_state_are_found_without_the_unit() {
        let logs = |directory| logs_of(Path::new(directory));
        let packaged = logs("/var/lib/generic-connector");
        assert_eq!(packaged, Some("/var/log/generic-connector".into()));
        assert_eq!(logs("/home/a/state"), None);
    }
}
