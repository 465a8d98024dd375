//! What the lists leave out, because Formance cannot take it. It is decided and counted when a version is committed, so
//! each page is full, and nobody has to look through the state to count.

use rusqlite::Connection;
use serde::Serialize;

use super::database::{all, execute, value};
use crate::api::{Record, Stream, escaped};
use crate::formance::LeftOut;

/// Characters of an example that are shown.
const SHOWN: usize = 60;

/// What is left out of a list, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnlistedLine {
    /// The list.
    pub stream: &'static str,
    /// In how many versions; or of how many accounts, if it is their balances.
    pub count: i64,
    /// What it is, why, and what to do.
    pub reason: String,
    /// The beginning of the id of the first record.
    pub example: String,
}

impl UnlistedLine {
    fn new(stream: Stream, left_out: LeftOut, id: &str, count: i64) -> UnlistedLine {
        let mut example: String = id.chars().take(SHOWN).collect();
        if example.len() < id.len() {
            example += "...";
        }
        UnlistedLine {
            stream: stream.name(),
            count,
            reason: left_out.to_string(),
            example,
        }
    }

    /// Logs the first one of its kind.
    pub(super) fn warn(&self) {
        let UnlistedLine {
            stream,
            reason,
            example,
            ..
        } = self;
        log::warn!(
            "{stream}: the lists for Formance leave out {reason}. The first one is of \"{}\"; status counts them",
            escaped(example)
        );
    }
}

/// Counts a version that is left out, or a part of it, the `number`th one of its record. What it is, if it is the first of
/// its kind.
pub(super) fn count(
    connection: &Connection,
    record: &Record,
    number: i64,
    left_out: LeftOut,
) -> rusqlite::Result<Option<UnlistedLine>> {
    const COUNT: &str = "
        INSERT INTO unlisted (stream, reason, count, example) VALUES (?1, ?2, 1, ?3)
        ON CONFLICT (stream, reason) DO UPDATE SET count = count + 1";
    const COUNTED: &str = "SELECT count FROM unlisted WHERE stream = ?1 AND reason = ?2";
    if left_out == LeftOut::Balances && number > 1 {
        return Ok(None);
    }
    let Record { stream, id, .. } = record;
    execute(connection, COUNT, (stream, left_out, id))?;
    let counted: i64 = value(connection, COUNTED, (stream, left_out))?;
    Ok((counted == 1).then(|| UnlistedLine::new(*stream, left_out, id, counted)))
}

/// Everything that is left out.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<UnlistedLine>> {
    const LIST: &str =
        "SELECT stream, reason, example, count FROM unlisted ORDER BY stream, reason";
    all(connection, LIST, [], |row| {
        let id: String = row.get(2)?;
        Ok(UnlistedLine::new(
            row.get(0)?,
            row.get(1)?,
            &id,
            row.get(3)?,
        ))
    })
}
