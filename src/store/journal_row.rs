//! A row of the journal of payouts and transfers, and the hash beside it.
//!
//! The hash is over everything in the row that decides what is sent or answered. It is written in the transaction that
//! changes the row, and compared whenever the row is read: what a disk or a copy has changed is neither sent nor answered.

use std::fmt;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row};
use serde_json::Value as Json;

use super::InitiationState;
use super::database::{all, execute, optional, value};
use crate::api::{ContentHash, Initiation, Timestamp, escaped, shell_word};

/// The columns under the hash.
const SEALED: [&str; 7] = ["key", "kind", "request", "state", "id", "status", "answer"];

const ROW: &str = "SELECT * FROM initiation WHERE key = ?1";

/// An initiation that the journal has.
pub(super) struct KnownInitiation {
    pub kind: Initiation,
    /// The request's body; empty if damage has destroyed it.
    pub json: String,
    /// Status and body, if it has an outcome.
    pub answer: Option<(u16, String)>,
    pub state: InitiationState,
    /// What the service calls it, if it is made.
    pub id: Option<String>,
}

impl KnownInitiation {
    /// Whether damage has destroyed its request. Then an operator has settled it, or has to.
    pub fn is_lost(&self) -> bool {
        self.json.is_empty()
    }
}

/// A payout or transfer whose entry in the journal is not what was written down: its `idempotencyKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedInitiation(pub String);

impl fmt::Display for DamagedInitiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = escaped(&self.0);
        let word = shell_word(&key);
        write!(
            f,
            "what the journal has of the payout or transfer \"{key}\" is damaged in the state, so it is neither sent nor \
             answered; look it up at the PSP and run: generic-connector initiation settle {word} made ID (or refused). \
             A backup of the state may still have it. Check the disk of the state"
        )
    }
}

impl std::error::Error for DamagedInitiation {}

/// Whether Connectivity has asked for a payout or transfer under that key.
pub(super) fn is_key(connection: &Connection, key: &str) -> rusqlite::Result<bool> {
    const IS_KEY: &str = "SELECT EXISTS (SELECT 1 FROM initiation WHERE key = ?1)";
    value(connection, IS_KEY, [key])
}

/// The initiation that the journal has under that key. It is an error if its row is damaged.
pub(super) fn known(
    connection: &Connection,
    key: &str,
) -> rusqlite::Result<Option<KnownInitiation>> {
    optional(connection, ROW, [key], |row| {
        check(row)?;
        let (status, answer): (Option<u16>, Option<String>) =
            (row.get("status")?, row.get("answer")?);
        Ok(KnownInitiation {
            kind: row.get("kind")?,
            json: row.get("request")?,
            answer: status.zip(answer),
            state: row.get("state")?,
            id: row.get("id")?,
        })
    })
}

/// What is left of a damaged initiation: nothing but its kind is believed.
pub(super) fn remains(connection: &Connection, key: &str) -> rusqlite::Result<KnownInitiation> {
    connection.query_row(ROW, [key], |row| {
        Ok(KnownInitiation {
            kind: row.get("kind")?,
            json: String::new(),
            answer: None,
            state: InitiationState::Unknown,
            id: None,
        })
    })
}

/// It is an error if a row, which has all columns, is damaged.
pub(super) fn check(row: &Row) -> rusqlite::Result<()> {
    if is_intact(row) {
        return Ok(());
    }
    let key = row.get("key").unwrap_or_default();
    let damaged = Box::new(DamagedInitiation(key));
    Err(rusqlite::Error::FromSqlConversionFailure(
        0,
        Type::Blob,
        damaged,
    ))
}

/// Whether a row, which has all columns, is what was written down.
pub(super) fn is_intact(row: &Row) -> bool {
    // What is of another type is damaged as well.
    row.get::<_, ContentHash>("hash").ok() == Some(hash_of(row))
}

/// The hash of a row that has these columns as JSON.
pub(super) fn hash(column: impl Fn(&str) -> Json) -> ContentHash {
    let columns = Json::Array(SEALED.map(column).into());
    ContentHash::of(columns.to_string())
}

/// A column as JSON: the hash as hexadecimal digits.
pub(super) fn as_json(value: ValueRef) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => bytes
            .try_into()
            .map_or(Json::Null, |hash| ContentHash(hash).hex().into()),
    }
}

/// Writes the hash of a row, after it was changed.
pub(super) fn seal(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    const SEAL: &str = "UPDATE initiation SET hash = ?2 WHERE key = ?1";
    let hash = optional(connection, ROW, [key], |row| Ok(hash_of(row)))?;
    execute(connection, SEAL, (key, hash))
}

/// Writes the hash of each row, in a state that had none.
pub(super) fn seal_all(connection: &Connection) -> rusqlite::Result<()> {
    let keys: Vec<String> = all(connection, "SELECT key FROM initiation", [], |row| {
        row.get(0)
    })?;
    keys.iter().try_for_each(|key| seal(connection, key))
}

/// Lets initiations of these states have an unknown outcome, for that reason. How many they are. Damaged ones stay as they
/// are.
pub(super) fn doubt_all(
    connection: &Connection,
    states: &[InitiationState],
    reason: &str,
) -> rusqlite::Result<usize> {
    const ROWS: &str = "SELECT * FROM initiation WHERE state = ?1";
    let mut doubted = 0;
    for state in states {
        let keys: Vec<Option<String>> = all(connection, ROWS, [state], |row| {
            is_intact(row).then(|| row.get("key")).transpose()
        })?;
        for key in keys.iter().flatten() {
            doubt(connection, key, reason)?;
            doubted += 1;
        }
    }
    Ok(doubted)
}

/// Lets an initiation that has no outcome have an unknown one, for that reason.
pub(super) fn doubt(connection: &Connection, key: &str, reason: &str) -> rusqlite::Result<()> {
    const DOUBT: &str = "
        UPDATE initiation SET state = ?2, ended_at = ?3, error = ?4
        WHERE key = ?1 AND state NOT IN ('made', 'refused')";
    let now = Timestamp::now().second();
    execute(
        connection,
        DOUBT,
        (key, InitiationState::Unknown, now, reason),
    )?;
    seal(connection, key)
}

fn hash_of(row: &Row) -> ContentHash {
    hash(|name| row.get_ref(name).map_or(Json::Null, as_json))
}
