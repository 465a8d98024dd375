//! Checks versions and records: that each leads to the others.

use rusqlite::{Connection, Row};

use super::verify_lists::RESTORE;
use super::{damage, keep};
use crate::api::{Second, Stream, Timestamp, escaped, read_record};

/// The versions after a seq.
pub(super) const VERSIONS: &str = "
    SELECT version.seq, version.stream, version.id, version.number, version.previous, version.hash, version.json,
           version.timestamp, version.observed_at,
           (SELECT seq FROM record WHERE stream = version.stream AND id = version.id), before.stream, before.id, before.number
    FROM version
    LEFT JOIN version AS before ON before.seq = version.previous
    WHERE version.seq > ?1 ORDER BY version.seq LIMIT 1000";

/// The records that are no transactions, after a stream and an id.
pub(super) const OTHER_RECORDS: &str = "
    SELECT record.stream, record.id, record.seq, version.stream IS record.stream AND version.id IS record.id
    FROM other_record AS record LEFT JOIN version ON version.seq = record.seq
    WHERE (record.stream, record.id) > (?1, ?2) ORDER BY record.stream, record.id LIMIT 1000";

/// The transactions after an id, table by table, in the order in which they go through them.
pub(super) const TRANSACTIONS: [&str; 2] = [
    "SELECT record.id, record.seq, version.stream IS 'transactions' AND version.id IS record.id
     FROM new_transaction AS record LEFT JOIN version ON version.seq = record.seq
     WHERE record.id > ?1 ORDER BY record.id LIMIT 1000",
    "SELECT record.id, record.seq, version.stream IS 'transactions' AND version.id IS record.id
     FROM old_transaction AS record LEFT JOIN version ON version.seq = record.seq
     WHERE record.id > ?1 ORDER BY record.id LIMIT 1000",
];

/// A version: its text, its dates, the version before it, and that its record knows it.
pub(super) fn version(connection: &Connection, row: &Row) -> rusqlite::Result<Vec<String>> {
    let seq: i64 = row.get(0)?;
    let (Ok(stream), Ok(id)) = (row.get::<_, Stream>(1), row.get::<_, String>(2)) else {
        return Ok(vec![format!(
            "the version of seq {seq}: its stream or id is damaged. {RESTORE}"
        )]);
    };
    let mut found = Vec::new();
    let newest: Option<i64> = row.get(9)?;
    let shown = format!(
        "{stream}: the version of seq {seq}, of record \"{}\"",
        escaped(&id)
    );
    match damage::text(row, 5, 6)? {
        None => {
            let damaged = damage::describe(connection, seq, stream)?;
            let asked = if newest == Some(seq) {
                ". To have it read again soon, run: generic-connector sweep"
            } else {
                ""
            };
            found.push(format!("{damaged}{asked}"));
        }
        Some(json) => {
            let date = row.get::<_, Timestamp>(7).ok();
            let own = read_record(stream, json.as_str())
                .ok()
                .map(|record| record.timestamp);
            let is_dated = date.is_some() && own.is_none_or(|own| date == Some(own));
            if !is_dated || row.get::<_, Second>(8).is_err() {
                found.push(format!(
                    "{shown}, has another date than its text. {RESTORE}"
                ));
            }
        }
    }
    if !follows(connection, row, seq, stream, &id).unwrap_or(false) {
        found.push(format!(
            "{shown}, does not follow the version before it. {RESTORE}"
        ));
    }
    if newest.is_none_or(|newest| newest < seq) {
        found.push(format!("{shown}, is not known to its record. {RESTORE}"));
    }
    Ok(found)
}

/// Whether a version follows the one before it, if it has one.
fn follows(
    connection: &Connection,
    row: &Row,
    seq: i64,
    stream: Stream,
    id: &str,
) -> rusqlite::Result<bool> {
    let (number, previous): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
    let Some(previous) = previous else {
        return Ok(number == 1);
    };
    let is_gone = row.get::<_, Option<i64>>(12)?.is_none();
    if is_gone && stream == Stream::Balances {
        return Ok(previous <= keep::dropped_to(connection)?);
    }
    let before: (Stream, String, i64) = (row.get(10)?, row.get(11)?, row.get(12)?);
    Ok(previous < seq && (before.0, before.1.as_str(), before.2 + 1) == (stream, id, number))
}

/// A record of that stream, whose id is in that column: it leads to one of its versions.
pub(super) fn record(stream: &str, row: &Row, id: usize) -> rusqlite::Result<Vec<String>> {
    let leads = row.get(id + 2).unwrap_or(false);
    let seq = row
        .get::<_, i64>(id + 1)
        .map_or("unknown".to_owned(), |seq| seq.to_string());
    let id: String = row.get(id)?;
    let id = escaped(&id);
    Ok((!leads)
        .then(|| format!("{stream}: the record \"{id}\" leads to seq {seq}, which is none of its versions. {RESTORE}"))
        .into_iter()
        .collect())
}
