use rusqlite::{Connection, Row};

use super::database::{all, execute, limit, value};
use super::{Error, Store};
use crate::api::{PerStream, Second, Stream};

const POLLS: i64 = 1_000;

/// The outcome of a poll that has none.
const RUNNING: &str = "running";

const COLUMNS: &str =
    "number, started_at, ended_at, outcome, requests, retries, accounts, balances, beneficiaries,
     transactions, quarantined, error";

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOutcome {
    /// Everything was read.
    Complete,
    /// A stream or an account failed, or a record was newly put into quarantine; the rest was read.
    Partial,
    /// No request succeeded.
    Failed,
    /// It was stopped. What was read is stored.
    Interrupted,
}

/// What is known of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollRow {
    /// Which poll, from 1.
    pub number: i64,
    /// When it began.
    pub started_at: Second,
    /// When it ended; none while it runs.
    pub ended_at: Option<Second>,
    /// How it ended; none while it runs, or if its process was killed.
    pub outcome: Option<PollOutcome>,
    /// HTTP requests made.
    pub requests: i64,
    /// How many of them were retries.
    pub retries: i64,
    /// New versions.
    pub versions: PerStream<i64>,
    /// Records newly put into quarantine.
    pub quarantined: i64,
    /// What went wrong first.
    pub error: Option<String>,
}

impl PollOutcome {
    /// Its name in the state and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            PollOutcome::Complete => "complete",
            PollOutcome::Partial => "partial",
            PollOutcome::Failed => "failed",
            PollOutcome::Interrupted => "interrupted",
        }
    }

    /// The outcome of that [`name`](PollOutcome::name).
    pub fn from_name(name: &str) -> Option<PollOutcome> {
        use PollOutcome::{Complete, Failed, Interrupted, Partial};
        let outcomes = [Complete, Partial, Failed, Interrupted];
        outcomes.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl PollRow {
    /// The name of its outcome, `running` while it has none.
    pub fn state(&self) -> &'static str {
        self.outcome.map_or(RUNNING, PollOutcome::name)
    }
}

impl Store {
    /// The number of the next poll, from 1.
    pub fn next_poll(&self) -> Result<i64, Error> {
        const NEXT: &str = "SELECT coalesce(max(number), 0) + 1 FROM poll";
        self.database.value("read the polls", NEXT, [])
    }
}

/// Writes a poll's row, and forgets the oldest one.
pub(super) fn put(connection: &Connection, poll: &PollRow) -> rusqlite::Result<()> {
    const FORGET_OLDEST: &str = "DELETE FROM poll WHERE number <= ?1";
    execute(
        connection,
        &format!(
            "INSERT OR REPLACE INTO poll ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ),
        (
            poll.number,
            poll.started_at,
            poll.ended_at,
            poll.state(),
            poll.requests,
            poll.retries,
            poll.versions[Stream::Accounts],
            poll.versions[Stream::Balances],
            poll.versions[Stream::Beneficiaries],
            poll.versions[Stream::Transactions],
            poll.quarantined,
            &poll.error,
        ),
    )?;
    execute(connection, FORGET_OLDEST, [poll.number - POLLS])
}

/// The last polls, newest first.
pub(super) fn last(connection: &Connection, most: usize) -> rusqlite::Result<Vec<PollRow>> {
    let sql = format!("SELECT {COLUMNS} FROM poll ORDER BY number DESC LIMIT ?1");
    all(connection, &sql, [limit(most)], read)
}

/// When the newest poll began that was complete or partial, RFC 3339.
pub(super) fn last_good(connection: &Connection) -> rusqlite::Result<Option<String>> {
    const LAST_GOOD: &str =
        "SELECT max(started_at) FROM poll WHERE outcome IN ('complete', 'partial')";
    value(connection, LAST_GOOD, [])
}

fn read(row: &Row) -> rusqlite::Result<PollRow> {
    let is_running = row.get_ref(3)?.as_str()? == RUNNING;
    Ok(PollRow {
        number: row.get(0)?,
        started_at: row.get(1)?,
        ended_at: row.get(2)?,
        outcome: (!is_running).then(|| row.get(3)).transpose()?,
        requests: row.get(4)?,
        retries: row.get(5)?,
        versions: PerStream::try_from_fn(|stream| row.get(stream.name()))?,
        quarantined: row.get(10)?,
        error: row.get(11)?,
    })
}
