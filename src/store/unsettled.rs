use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::database::{Database, all, execute, limit, optional};
use super::initiation::{InitiationOutcome, InitiationState, key_with};
use super::journal_row::{KnownInitiation, is_intact, known, remains, seal};
use super::{Error, journal_copy, open};
use crate::api::{Initiation, InitiationRequest, Second, Timestamp, escaped};

/// An initiation that an operator has to look at: it is not settled, or the service has made something else than was
/// asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsettled {
    /// `payouts` or `transfers`.
    pub kind: String,
    /// The `idempotencyKey`.
    #[serde(rename = "idempotencyKey")]
    pub key: String,
    /// `open`, `not made`, `unknown`, `made` or `damaged`.
    pub state: InitiationState,
    /// When the service was last asked, RFC 3339.
    #[serde(rename = "askedAt")]
    pub asked_at: String,
    /// What the service calls it, if it is made.
    pub id: Option<String>,
    /// Why there is no outcome.
    pub error: Option<String>,
    /// What is wrong with the outcome.
    pub remark: Option<String>,
}

/// The journal of payouts and transfers, beside the process that asks the service: for the operator.
#[derive(Debug)]
pub struct Initiations(Database);

impl Initiations {
    /// Opens those of the state in that directory.
    pub fn open(directory: &Path) -> Result<Initiations, Error> {
        Database::beside(directory).map(Initiations)
    }

    /// Those that an operator has to look at, as [`unsettled`] orders them.
    pub fn list(&self) -> Result<Vec<Unsettled>, Error> {
        self.0
            .run(READ, |connection| unsettled(connection, usize::MAX))
    }

    /// Whether an initiation may be made already, and nobody knows.
    pub fn is_unknown(&self, key: &str) -> Result<bool, Error> {
        use InitiationState::{Open, Unknown};
        let known = self.0.run(READ, |connection| known(connection, key))?;
        Ok(known.is_some_and(|known| matches!(known.state, Open | Unknown)))
    }

    /// The request that has this key, or that is listed under it in its escaped form. It is an error if there is none.
    pub fn request(&self, key: &str) -> Result<(Initiation, InitiationRequest), Error> {
        let find = |key: &str| self.find(key);
        let mut key = key.to_owned();
        let mut found = find(&key)?;
        if found.is_none()
            && let Some(listed) = self
                .list()?
                .into_iter()
                .find(|one| escaped(&one.key) == key)
        {
            key = listed.key;
            found = find(&key)?;
        }
        let Some(found) = found else {
            return Err(Error::NoInitiation(key));
        };
        let request = InitiationRequest {
            idempotency_key: key,
            json: found.json,
        };
        Ok((found.kind, request))
    }

    /// The initiation that the journal has under that key, or what is left of it.
    fn find(&self, key: &str) -> Result<Option<KnownInitiation>, Error> {
        let found = journal_copy::repairing(&self.0, || {
            self.0.run(READ, |connection| known(connection, key))
        });
        match found {
            Err(Error::DamagedInitiation(_)) => self
                .0
                .run(READ, |connection| known_or_remains(connection, key)),
            found => found,
        }
    }

    /// Writes down the outcome that an operator has found out. Connectivity gets it when it asks again. The same outcome
    /// as the service's confirms that one.
    ///
    /// It is an error if the initiation has another outcome already, if the service is being asked just now, or if
    /// another initiation has the id.
    pub fn settle(&self, key: &str, outcome: &InitiationOutcome) -> Result<(), Error> {
        // The answer of the service stays, and so does the reason why there was no outcome.
        const SETTLE: &str = "
            UPDATE initiation SET state = ?2, settled_at = ?3, id = ?4, status = coalesce(status, ?5),
                answer = coalesce(answer, ?6), remark = NULL
            WHERE key = ?1";
        // Nothing that was damaged is under the hash again.
        const GIVE_UP: &str =
            "UPDATE initiation SET request = '', status = NULL, answer = NULL WHERE key = ?1";
        const DOING: &str = "settle a payout or transfer";
        let before = self.find(key)?;
        // No process asks the service while the lock is held, so what is open was left by one that ended.
        let lock = match before {
            Some(known) if known.state == InitiationState::Open => {
                let directory = self.0.file().parent().unwrap_or(Path::new("."));
                Some(open::lock(directory).map_err(|error| match error {
                    Error::Locked(_) => Error::InitiationOpen(key.to_owned()),
                    error => error,
                })?)
            }
            _ => None,
        };
        let objection = self.0.write(DOING, |connection| {
            if let Some(objection) = objection(connection, key, outcome, lock.is_some())? {
                return Ok(Some(objection));
            }
            if known(connection, key).is_err() {
                execute(connection, GIVE_UP, [key])?;
            }
            let (state, id, status, answer, _) = outcome.columns();
            let now = Timestamp::now().second();
            execute(connection, SETTLE, (key, state, now, id, status, answer))?;
            seal(connection, key)?;
            Ok(None)
        })?;
        if let Some(objection) = objection {
            return Err(objection);
        }
        journal_copy::append(&self.0, key);
        Ok(())
    }
}

const READ: &str = "read the journal of payouts and transfers";

/// The initiation that the journal has under that key, or what is left of it if it is damaged.
fn known_or_remains(
    connection: &Connection,
    key: &str,
) -> rusqlite::Result<Option<KnownInitiation>> {
    known(connection, key).or_else(|_| remains(connection, key).map(Some))
}

/// Why an initiation cannot be settled so, if it cannot.
fn objection(
    connection: &Connection,
    key: &str,
    outcome: &InitiationOutcome,
    is_alone: bool,
) -> rusqlite::Result<Option<Error>> {
    use InitiationState::{Damaged, Made, NotMade, Open, Refused, Unknown};
    let owned = || key.to_owned();
    let Some(known) = known_or_remains(connection, key)? else {
        return Ok(Some(Error::NoInitiation(owned())));
    };
    let id = outcome.columns().1;
    match known.state {
        Open if !is_alone => return Ok(Some(Error::InitiationOpen(owned()))),
        Made if known.id.as_ref() == id => return Ok(None),
        state @ (Made | Refused) => {
            let (key, id) = (owned(), known.id);
            return Ok(Some(Error::InitiationSettled { key, state, id }));
        }
        Open | NotMade | Unknown | Damaged => {}
    }
    let Some(id) = id else {
        return Ok(None);
    };
    let other = key_with(connection, known.kind, id, key)?;
    Ok(other.map(|other| Error::InitiationIdTaken {
        id: id.clone(),
        key: other,
    }))
}

/// When the service was asked for the first initiation that an operator has to look at.
pub(super) fn unsettled_since(connection: &Connection) -> rusqlite::Result<Option<Second>> {
    const SINCE: &str = "
        SELECT asked_at FROM initiation WHERE state NOT IN ('made', 'refused') OR remark IS NOT NULL
        ORDER BY asked_at LIMIT 1";
    optional(connection, SINCE, [], |row| row.get(0))
}

/// The initiations that an operator has to look at, at most `most` of them: first those whose outcome is unknown, then
/// those that are made differently, and the newest ones first.
pub(super) fn unsettled(connection: &Connection, most: usize) -> rusqlite::Result<Vec<Unsettled>> {
    const UNSETTLED: &str = "
        SELECT * FROM initiation
        WHERE state NOT IN ('made', 'refused') OR remark IS NOT NULL
        ORDER BY CASE state WHEN 'unknown' THEN 0 WHEN 'made' THEN 1 ELSE 2 END, asked_at DESC, key LIMIT ?1";
    all(connection, UNSETTLED, [limit(most)], |row| {
        let state = if is_intact(row) {
            row.get("state")?
        } else {
            InitiationState::Damaged
        };
        Ok(Unsettled {
            kind: row.get("kind")?,
            key: row.get("key")?,
            state,
            asked_at: row.get("asked_at")?,
            id: row.get("id")?,
            error: row.get("error")?,
            remark: row.get("remark")?,
        })
    })
}
