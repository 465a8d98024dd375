use std::path::Path;

use rusqlite::Connection;
use serde::{Serialize, Serializer};

use super::database::{Database, all, execute, optional, value};
use super::journal_row::{KnownInitiation, check, doubt_all, known, seal};
use super::stamping::last_place;
use super::{Error, counts, journal_copy};
use crate::api::{
    Initiated, Initiation, InitiationRequest, Second, Stream, Timestamp, escaped, same_content,
};
use crate::crash;

/// Seconds for which an initiation without an outcome holds back the transactions that are newer than it. One of them
/// may be what it became, and its id is not known yet.
const HELD_BACK: u64 = 60;

/// The payouts and transfers that Connectivity has asked for, on a connection of their own.
///
/// A request is written down before the service is asked, and the outcome before Connectivity is answered. Whatever
/// happens in between, the service never sees two different requests under one key.
#[derive(Debug)]
pub struct Journal(Database);

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
    /// It was made under this id, as an operator has said after its request was damaged.
    MadeAs(String),
    /// Another request has this key.
    Different,
}

/// How an initiation ended for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitiationOutcome {
    /// The service makes it.
    Made(Initiated),
    /// The service refuses it for good, with that status and body.
    Refused(u16, String),
    /// The service has not taken it, for a reason that is not the request's own.
    NotMade(String),
    /// There was no answer, or none that says whether it is made.
    Unknown(String),
}

/// The state of an initiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitiationState {
    /// The service is being asked.
    Open,
    /// The service makes it. This is final.
    Made,
    /// The service refuses it. This is final.
    Refused,
    /// The service has not taken it. It is asked again when Connectivity asks again.
    NotMade,
    /// Nobody knows whether it is made. The service is asked again when Connectivity asks again.
    Unknown,
    /// What the journal has of it is damaged. No row has this state.
    Damaged,
}

impl InitiationState {
    /// Its name in the state and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            InitiationState::Open => "open",
            InitiationState::Made => "made",
            InitiationState::Refused => "refused",
            InitiationState::NotMade => "not made",
            InitiationState::Unknown => "unknown",
            InitiationState::Damaged => "damaged",
        }
    }

    /// The state of a row that has that [`name`](InitiationState::name).
    pub fn from_name(name: &str) -> Option<InitiationState> {
        use InitiationState::{Made, NotMade, Open, Refused, Unknown};
        [Open, Made, Refused, NotMade, Unknown]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

impl Serialize for InitiationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Journal {
    /// Opens the journal of a state. What an earlier process left open has an unknown outcome.
    pub(super) fn open(file: &Path) -> Result<Journal, Error> {
        use InitiationState::Open;
        const DOING: &str = "read the journal of payouts and transfers";
        const STOPPED: &str = "generic-connector stopped before the service answered";
        let database = Database::connect(file)?;
        let left = database.write(DOING, |connection| doubt_all(connection, &[Open], STOPPED))?;
        if left > 0 {
            log::warn!(
                "{left} payouts or transfers were open when generic-connector stopped: their outcome is unknown; \
                see generic-connector initiation list"
            );
        }
        Ok(Journal(database))
    }

    /// Writes a request down, durably, unless the journal can answer it.
    pub fn begin(&mut self, kind: Initiation, request: &InitiationRequest) -> Result<Entry, Error> {
        const DOING: &str = "record a payout or transfer";
        let key = &request.idempotency_key;
        let look_up = |connection: &Connection| {
            let known = known(connection, key)?;
            Ok(entry(known, kind, request))
        };
        // An answer from the journal need not wait for another writer.
        let entry = journal_copy::repairing(&self.0, || self.0.run(DOING, look_up))?;
        if !matches!(entry, Entry::Ask { .. }) {
            return Ok(entry);
        }
        let entry = self.0.write(DOING, |connection| {
            crash::point();
            // An operator may have settled it meanwhile.
            let entry = look_up(connection)?;
            if let Entry::Ask { json, .. } = &entry {
                open(connection, kind, key, json)?;
            }
            Ok(entry)
        })?;
        journal_copy::append(&self.0, key);
        Ok(entry)
    }

    /// Writes down how an initiation ended, durably. What an operator has to know of it although it is made.
    pub fn end(
        &mut self,
        kind: Initiation,
        key: &str,
        outcome: &InitiationOutcome,
    ) -> Result<Option<String>, Error> {
        const END: &str = "
            UPDATE initiation SET state = ?2, ended_at = ?3, id = ?4, status = ?5, answer = ?6, error = ?7, remark = ?8
            WHERE key = ?1";
        let (state, id, status, answer, error) = outcome.columns();
        let remark = self
            .0
            .write("record the outcome of a payout or transfer", |connection| {
                crash::point();
                // It is an error if what was asked for is damaged meanwhile.
                known(connection, key)?;
                let now = Timestamp::now().second();
                let remark = match outcome {
                    InitiationOutcome::Made(made) => remark(connection, kind, key, made)?,
                    _ => None,
                };
                let row = (key, state, now, id, status, answer, error, &remark);
                execute(connection, END, row)?;
                seal(connection, key)?;
                Ok(remark)
            })?;
        journal_copy::append(&self.0, key);
        Ok(remark)
    }
}

/// What is written down of an outcome: state, id, status, answer, error.
type OutcomeColumns<'a> = (
    InitiationState,
    Option<&'a String>,
    Option<u16>,
    Option<&'a String>,
    Option<&'a String>,
);

impl InitiationOutcome {
    pub(super) fn columns(&self) -> OutcomeColumns<'_> {
        use InitiationState as State;
        match self {
            InitiationOutcome::Made(Initiated { id, json, .. }) => {
                (State::Made, Some(id), Some(201), Some(json), None)
            }
            InitiationOutcome::Refused(status, answer) => {
                (State::Refused, None, Some(*status), Some(answer), None)
            }
            InitiationOutcome::NotMade(error) => (State::NotMade, None, None, None, Some(error)),
            InitiationOutcome::Unknown(error) => (State::Unknown, None, None, None, Some(error)),
        }
    }
}

/// What the journal says to a request for which it has this initiation, or none.
fn entry(known: Option<KnownInitiation>, kind: Initiation, request: &InitiationRequest) -> Entry {
    let Some(known) = known else {
        return Entry::Ask {
            json: request.json.clone(),
            may_be_made: false,
        };
    };
    if known.kind != kind || !known.is_lost() && !same_content(&known.json, &request.json) {
        return Entry::Different;
    }
    let is_lost = known.is_lost();
    match (known.answer, known.id) {
        (Some(_), Some(id)) if is_lost => Entry::MadeAs(id),
        (Some((status, answer)), _) => Entry::Answered(status, answer),
        (None, _) => Entry::Ask {
            json: known.json,
            may_be_made: known.state != InitiationState::NotMade,
        },
    }
}

/// What is odd about an initiation that is made.
fn remark(
    connection: &Connection,
    kind: Initiation,
    key: &str,
    made: &Initiated,
) -> rusqlite::Result<Option<String>> {
    let shared = key_with(connection, kind, &made.id, key)?
        .map(|other| format!("\"{}\" was made under the same id", escaped(&other)));
    let remarks: Vec<String> = made.difference.clone().into_iter().chain(shared).collect();
    Ok((!remarks.is_empty()).then(|| remarks.join(", ")))
}

/// Another key than this one under which an initiation of that id is made.
pub(super) fn key_with(
    connection: &Connection,
    kind: Initiation,
    id: &str,
    key: &str,
) -> rusqlite::Result<Option<String>> {
    const KEY_WITH: &str =
        "SELECT key FROM initiation WHERE id = ?1 AND kind = ?2 AND key <> ?3 LIMIT 1";
    optional(connection, KEY_WITH, (id, kind, key), |row| row.get(0))
}

/// Notes that the service is being asked. If it was asked within the last minute, what was held back since then stays
/// held back.
fn open(connection: &Connection, kind: Initiation, key: &str, json: &str) -> rusqlite::Result<()> {
    const OPEN: &str = "
        INSERT INTO initiation (key, kind, request, state, asked_at, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (key) DO UPDATE SET state = excluded.state, ended_at = NULL, error = NULL,
            after = CASE WHEN asked_at >= ?7 THEN after ELSE excluded.after END,
            asked_at = CASE WHEN asked_at >= ?7 THEN asked_at ELSE excluded.asked_at END";
    let now = Timestamp::now().second();
    let row = (
        key,
        kind,
        json,
        InitiationState::Open,
        now,
        last_place(connection, Stream::Transactions)?,
        held_back_since(),
    );
    execute(connection, OPEN, row)?;
    seal(connection, key)
}

/// What was asked for then or later still holds transactions back.
fn held_back_since() -> Second {
    Timestamp::now().second().earlier(HELD_BACK)
}

/// The list holds back transactions at places above this one.
pub(super) fn held_back_after(connection: &Connection) -> rusqlite::Result<i64> {
    // The state is compared in these two terms because the first one is the index's.
    const HELD_BACK_AFTER: &str = "
        SELECT coalesce(min(after), ?2) FROM initiation
        WHERE state NOT IN ('made', 'refused') AND state <> 'not made' AND asked_at BETWEEN ?1 AND ?3";
    // What was asked for in the future was asked for before the clock was set back.
    let now = Timestamp::now().second();
    value(
        connection,
        HELD_BACK_AFTER,
        (held_back_since(), i64::MAX, now),
    )
}

/// Whether Connectivity has ever asked for a payout or transfer.
pub(super) fn are_any(connection: &Connection) -> rusqlite::Result<bool> {
    value(connection, "SELECT EXISTS (SELECT 1 FROM initiation)", [])
}

/// The payouts and transfers that the service lists as the transaction of that id: kind and `idempotencyKey`. It is an error
/// if a row is damaged: without it, the transaction would be another payment.
pub(super) fn keys_of(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Vec<(Initiation, String)>> {
    const KEYS: &str = "SELECT * FROM initiation WHERE id = ?1";
    all(connection, KEYS, [id], |row| {
        check(row)?;
        Ok((row.get("kind")?, row.get("key")?))
    })
}

/// How many payouts and transfers are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiationCount {
    /// `payouts` or `transfers`.
    pub kind: String,
    /// The state.
    pub state: InitiationState,
    /// How many there are.
    pub count: i64,
}

/// How many initiations there are of each kind in each state that has any.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<InitiationCount>> {
    let parts = counts::parts(connection, &counts::INITIATIONS)?;
    let named = |(part, count): (String, i64)| {
        let (kind, state) = part.split_once(' ').unwrap_or_default();
        InitiationCount {
            kind: kind.to_owned(),
            state: InitiationState::from_name(state).unwrap_or(InitiationState::Damaged),
            count,
        }
    };
    Ok(parts.into_iter().map(named).collect())
}
