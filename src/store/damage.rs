//! Texts that are not what was stored: a disk, a copy or a hand has changed them.
//!
//! SQLite notices when its own structures are damaged, but not when a text is another one. So a hash stands beside each
//! text, and [`text`] is the only way out for it. A version whose text is damaged is noted here: it is neither shown
//! nor delivered, and when the service sends the same bytes again, it is repaired in place.

use std::fmt;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::database::{Database, all, execute, limit, optional};
use super::sweep::{SweepAsked, ask};
use super::{Error, Store};
use crate::api::{ContentHash, Record, Stream, Timestamp, escaped};

/// Why a publisher did not get a version, as the quarantine shows it.
pub(super) const NOT_SENT: &str =
    "not sent, because its text in the state is damaged; it will be once it is repaired";

/// A version whose text is not the one that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedVersion {
    /// Its number in the change log.
    seq: i64,
    stream: Stream,
    /// The key of its record; none if that is lost, too.
    id: Option<String>,
    /// Whether its record has no newer version, so that the service can send it again.
    is_newest: bool,
}

/// The bytes of a damaged version, as the service has sent them again.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The version.
    pub seq: i64,
    /// The record.
    pub record: Record,
}

/// The text of a row, if it is the one whose hash stands beside it.
pub(super) fn text(row: &Row, hash: usize, json: usize) -> rusqlite::Result<Option<String>> {
    Ok(text_in_place(row, hash, json)?.map(str::to_owned))
}

/// As [`text`], where SQLite has it until the next row.
pub(super) fn text_in_place<'row>(
    row: &'row Row,
    hash: usize,
    json: usize,
) -> rusqlite::Result<Option<&'row str>> {
    // What is of another type is damaged as well.
    let Ok(hash) = row.get::<_, ContentHash>(hash) else {
        return Ok(None);
    };
    let ValueRef::Text(bytes) = row.get_ref(json)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).ok();
    Ok(text.filter(|text| ContentHash::of(text) == hash))
}

impl fmt::Display for DamagedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedVersion {
            stream,
            seq,
            id,
            is_newest,
        } = self;
        let id = id
            .as_ref()
            .map_or("unknown".to_owned(), |id| format!("\"{}\"", escaped(id)));
        let next = if *is_newest {
            "It is repaired when the service sends the same bytes again, which the next poll or sweep asks for"
        } else {
            "The newer version of its record is not affected; only a backup of the state still has this one"
        };
        write!(
            f,
            "{stream}: the version of seq {seq}, of record {id}, is damaged in the state, so it is neither shown nor \
            delivered. {next}. Check the disk of the state"
        )
    }
}

impl Database {
    /// Notes that versions are damaged, and logs each once.
    pub fn note_damage(&self, damaged: &[(i64, Stream)]) -> Result<(), Error> {
        const NOTE: &str =
            "INSERT OR IGNORE INTO damaged (seq, stream, found_at) VALUES (?1, ?2, ?3)";
        if damaged.is_empty() {
            return Ok(());
        }
        let noted = self.write("note that versions are damaged", |connection| {
            let now = Timestamp::now().second();
            let mut noted = Vec::new();
            for (seq, stream) in damaged {
                if connection
                    .prepare_cached(NOTE)?
                    .execute((seq, stream, now))?
                    > 0
                {
                    noted.push(describe(connection, *seq, *stream)?);
                }
            }
            Ok(noted)
        });
        // What cannot be noted is still said.
        if noted.is_err() {
            for (seq, stream) in damaged {
                log::error!("{stream}: the version of seq {seq} is damaged in the state");
            }
        }
        for version in noted? {
            log::error!("{version}");
        }
        Ok(())
    }
}

impl Store {
    /// Notes that versions are damaged: seq and stream.
    pub fn note_damage(&self, damaged: &[(i64, Stream)]) -> Result<(), Error> {
        self.database.note_damage(damaged)
    }

    /// Lets a sweep read again what is damaged and was not asked for again so far. Balances are read by each poll.
    pub fn ask_for_damaged(&self) -> Result<(), Error> {
        // A version that is lost altogether is no record's newest one any more.
        const WANTED: &str = "
            SELECT EXISTS (
                SELECT 1 FROM damaged LEFT JOIN version ON version.seq = damaged.seq
                WHERE asked = 0 AND damaged.stream <> 'balances' AND (version.seq IS NULL
                    OR (SELECT seq FROM record WHERE stream = damaged.stream AND id = version.id) = damaged.seq))";
        const ASKED: &str = "UPDATE damaged SET asked = 1 WHERE stream <> 'balances'";
        const DOING: &str = "read the damaged versions again";
        if !self.database.value(DOING, WANTED, [])? {
            return Ok(());
        }
        self.database.write(DOING, |connection| {
            // One that is under way may have passed them.
            if let SweepAsked::New(number) = ask(connection)? {
                execute(connection, ASKED, [])?;
                log::info!("sweep {number} reads damaged versions again after the next poll");
            }
            Ok(())
        })
    }
}

/// The versions that are noted as damaged, at most `most` of them.
pub(super) fn list(connection: &Connection, most: usize) -> rusqlite::Result<Vec<DamagedVersion>> {
    const LIST: &str = "SELECT seq, stream FROM damaged ORDER BY seq LIMIT ?1";
    let noted: Vec<(i64, Stream)> = all(connection, LIST, [limit(most)], |row| row.try_into())?;
    noted
        .into_iter()
        .map(|(seq, stream)| describe(connection, seq, stream))
        .collect()
}

/// What is known of a version whose text is damaged.
pub(super) fn describe(
    connection: &Connection,
    seq: i64,
    stream: Stream,
) -> rusqlite::Result<DamagedVersion> {
    const RECORD: &str = "
        SELECT version.id, (SELECT seq FROM record WHERE stream = ?2 AND id = version.id) IS version.seq
        FROM version WHERE version.seq = ?1";
    let record = optional(connection, RECORD, (seq, stream), |row| {
        Ok((row.get(0).ok(), row.get(1)?))
    })?;
    let (id, is_newest) = record.unwrap_or((None, true));
    Ok(DamagedVersion {
        seq,
        stream,
        id,
        is_newest,
    })
}
