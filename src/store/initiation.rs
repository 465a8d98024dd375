use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior};
use serde::Serialize;

use super::{Error, log};
use crate::api::{Initiated, Initiation, InitiationRequest, Timestamp, same_content};
use crate::crash;

/// So long, in seconds, transactions that are newer than an initiation without an outcome are held back from the list: one
/// of them may be what came of it, and its id is not known yet.
const HELD_BACK: u64 = 60;

/// What is written down of payouts and transfers, on a connection of its own.
///
/// A request is written down before the service is asked, and the outcome before it is answered: whatever happens in
/// between, the service never sees two different requests under one key.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    file: PathBuf,
}

/// Of an initiation in the journal: kind, request, status and body of its answer, state.
type Known = (String, String, Option<u16>, Option<String>, String);

/// What the journal says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It is written down as open: the service is to be asked.
    Ask {
        /// The body to send, as the first time.
        json: String,
        /// Whether it may be made already: it was asked for before, and the outcome is unknown.
        may_be_made: bool,
    },
    /// The service has answered it before: status and body.
    Answered(u16, String),
    /// Another request has this key.
    Different,
}

/// How an initiation ended for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service makes it.
    Made(Initiated),
    /// The service refuses it for good, with that status and body.
    Refused(u16, String),
    /// The service has not taken it, for a reason that is not the request's own.
    NotMade(String),
    /// There was no answer, or none that says whether it is made.
    Unknown(String),
}

/// An initiation that is not settled, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsettled {
    /// `payouts` or `transfers`.
    pub kind: String,
    /// The `idempotencyKey`.
    #[serde(rename = "idempotencyKey")]
    pub key: String,
    /// `open`, `not made` or `unknown`.
    pub state: String,
    /// When the service was last asked, RFC 3339.
    #[serde(rename = "askedAt")]
    pub asked_at: String,
    /// Why there is no outcome.
    pub error: Option<String>,
}

impl Journal {
    /// Opens the journal of a state. What an earlier process left open has an unknown outcome.
    pub(super) fn open(file: &Path) -> Result<Journal, Error> {
        let connection = super::connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let left = connection
            .execute(
                "UPDATE initiation SET state = 'unknown', ended_at = ?1, error = ?2 WHERE state = 'open'",
                (
                    Timestamp::now().second().to_string(),
                    "generic-connector ended before the service answered",
                ),
            )
            .map_err(Error::on(file, "read the journal of payouts and transfers"))?;
        if left > 0 {
            ::log::warn!(
                "{left} payouts or transfers were open when generic-connector ended: their outcome is unknown until they \
                 are asked for again under the same idempotencyKey"
            );
        }
        Ok(Journal {
            connection,
            file: file.to_owned(),
        })
    }

    /// Writes a request down, durably, unless the journal can answer it.
    pub fn begin(&mut self, kind: Initiation, request: &InitiationRequest) -> Result<Entry, Error> {
        let fail = Error::on(&self.file, "write down a payout or transfer");
        let begin = |connection: &mut Connection| -> rusqlite::Result<Entry> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let key = &request.idempotency_key;
            let known: Option<Known> = transaction
                .prepare_cached(
                    "SELECT kind, request, status, answer, state FROM initiation WHERE key = ?1",
                )?
                .query_row([key], |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                })
                .optional()?;
            match &known {
                Some((known, json, ..))
                    if known != kind.name() || !same_content(json, &request.json) =>
                {
                    return Ok(Entry::Different);
                }
                Some((_, _, Some(status), Some(answer), _)) => {
                    return Ok(Entry::Answered(*status, answer.clone()));
                }
                _ => {}
            }
            let (json, may_be_made) = match known {
                Some((_, json, _, _, state)) => (json, state != "not made"),
                None => (request.json.clone(), false),
            };
            crash::point();
            transaction
                .prepare_cached(
                    "INSERT INTO initiation (key, kind, request, state, asked_at, after) VALUES (?1, ?2, ?3, 'open', ?4, ?5)
                     ON CONFLICT (key) DO UPDATE SET state = 'open', ended_at = NULL, error = NULL,
                         after = CASE WHEN asked_at >= ?6 THEN after ELSE excluded.after END,
                         asked_at = CASE WHEN asked_at >= ?6 THEN asked_at ELSE excluded.asked_at END",
                )?
                .execute((
                    key,
                    kind.name(),
                    &json,
                    Timestamp::now().second().to_string(),
                    log::last_seq(&transaction)?,
                    held_back_since(),
                ))?;
            crash::point();
            transaction.commit()?;
            crash::point();
            Ok(Entry::Ask { json, may_be_made })
        };
        begin(&mut self.connection).map_err(fail)
    }

    /// Writes down how an initiation ended, durably.
    pub fn end(&mut self, key: &str, outcome: &Outcome) -> Result<(), Error> {
        let (state, id, status, answer, error) = match outcome {
            Outcome::Made(Initiated { id, json }) => {
                ("made", Some(id), Some(201), Some(json), None)
            }
            Outcome::Refused(status, answer) => {
                ("refused", None, Some(*status), Some(answer), None)
            }
            Outcome::NotMade(error) => ("not made", None, None, None, Some(error)),
            Outcome::Unknown(error) => ("unknown", None, None, None, Some(error)),
        };
        crash::point();
        self.connection
            .prepare_cached(
                "UPDATE initiation SET state = ?2, ended_at = ?3, id = ?4, status = ?5, answer = ?6, error = ?7 WHERE key = ?1",
            )
            .and_then(|mut statement| {
                let now = Timestamp::now().second().to_string();
                statement.execute((key, state, now, id, status, answer, error))
            })
            .map_err(Error::on(&self.file, "write down the outcome of a payout or transfer"))?;
        crash::point();
        Ok(())
    }
}

/// What was asked for then or later still holds transactions back.
fn held_back_since() -> String {
    Timestamp::now().second().earlier(HELD_BACK).to_string()
}

/// Transactions with a seq above this one are held back from the list.
pub(super) fn held_back_after(connection: &Connection) -> rusqlite::Result<i64> {
    // What was asked for in the future was so before the clock was set back.
    let now = Timestamp::now().second().to_string();
    connection
        .prepare_cached(
            "SELECT coalesce(min(after), ?2) FROM initiation
             WHERE state NOT IN ('made', 'refused') AND state <> 'not made'
                 AND asked_at BETWEEN ?1 AND ?3",
        )?
        .query_row((held_back_since(), i64::MAX, now), |row| row.get(0))
}

/// Whether Connectivity has ever asked for a payout or transfer.
pub(super) fn are_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM initiation)")?
        .query_row([], |row| row.get(0))
}

/// The `idempotencyKey` under which Connectivity asked for what the service lists as the transaction of that id, and the
/// type that it then has.
pub(super) fn keys_of(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Vec<(Initiation, String)>> {
    let found = |row: &Row| {
        let kind: String = row.get(0)?;
        let unusable = || super::unusable(0, format!("there is no initiation {kind:?}"));
        Ok((
            Initiation::from_name(&kind).ok_or_else(unusable)?,
            row.get(1)?,
        ))
    };
    connection
        .prepare_cached("SELECT kind, key FROM initiation WHERE id = ?1")?
        .query_map([id], found)?
        .collect()
}

/// The initiations that are not settled, the newest ones first, and at most so many.
pub(super) fn unsettled(connection: &Connection, most: usize) -> rusqlite::Result<Vec<Unsettled>> {
    connection
        .prepare(
            "SELECT kind, key, state, asked_at, error FROM initiation WHERE state NOT IN ('made', 'refused')
             ORDER BY asked_at DESC LIMIT ?1",
        )?
        .query_map([most as i64], |row| {
            Ok(Unsettled {
                kind: row.get(0)?,
                key: row.get(1)?,
                state: row.get(2)?,
                asked_at: row.get(3)?,
                error: row.get(4)?,
            })
        })?
        .collect()
}

/// How many initiations there are of each state.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    connection
        .prepare("SELECT state, count(*) FROM initiation GROUP BY state ORDER BY state")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
