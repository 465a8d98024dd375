use std::time::Duration;

use rusqlite::{Connection, Row};

use super::database::{all, execute, limit, optional};
use super::{Error, Store};
use crate::api::{PerStream, Second, Stream};

/// How many polls are kept.
const POLLS: i64 = 1_000;

/// The outcome of a poll that has none.
const RUNNING: &str = "running";

const COLUMNS: &str =
    "number, started_at, ended_at, outcome, requests, retries, accounts, balances, beneficiaries,
     transactions, quarantined, error, took, latency_p50, latency_p95, lag";

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
    /// How long it took; none while it runs.
    pub took: Option<Duration>,
    /// How fast the service answered; none if it did not, or an older version of this program polled.
    pub latency: Option<ServiceLatency>,
    /// Versions that the slowest publisher had not delivered at its end, of those that were committed before its last
    /// batch. None while it runs, or if there is no publisher. The commit finds it out.
    pub lag: Option<i64>,
}

/// How fast the service answered the requests of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLatency {
    /// Half of the answers came within that time.
    pub p50: Duration,
    /// 95 % of them did.
    pub p95: Duration,
}

impl PollOutcome {
    /// Every outcome.
    pub const ALL: [PollOutcome; 4] = [
        PollOutcome::Complete,
        PollOutcome::Partial,
        PollOutcome::Failed,
        PollOutcome::Interrupted,
    ];

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
        PollOutcome::ALL
            .into_iter()
            .find(|outcome| outcome.name() == name)
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

/// Writes a poll's row with the publishers' lag, and forgets the oldest one. The newest good one stays: without it, no poll would ever have
/// succeeded.
pub(super) fn put(
    connection: &Connection,
    poll: &PollRow,
    lag: Option<i64>,
) -> rusqlite::Result<()> {
    const FORGET_OLDEST: &str = "
        DELETE FROM poll WHERE number <= ?1
            AND number <> coalesce((SELECT max(number) FROM poll WHERE outcome IN ('complete', 'partial')), 0)";
    execute(
        connection,
        &format!(
            "INSERT OR REPLACE INTO poll ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
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
            poll.took.map(microseconds),
            poll.latency.map(|latency| microseconds(latency.p50)),
            poll.latency.map(|latency| microseconds(latency.p95)),
            lag,
        ),
    )?;
    execute(connection, FORGET_OLDEST, [poll.number - POLLS])
}

/// The last polls, newest first.
pub(super) fn last(connection: &Connection, most: usize) -> rusqlite::Result<Vec<PollRow>> {
    let sql = format!("SELECT {COLUMNS} FROM poll ORDER BY number DESC LIMIT ?1");
    all(connection, &sql, [limit(most)], read)
}

/// When the last poll ended that was complete or partial, RFC 3339. A clock that was ahead then does not count: no poll ends
/// after the next one begins.
pub(super) fn last_good(connection: &Connection) -> rusqlite::Result<Option<String>> {
    const LAST_GOOD: &str = "
        SELECT min(ended_at, coalesce((SELECT next.started_at FROM poll AS next WHERE next.number > good.number
                                       ORDER BY next.number LIMIT 1), ended_at))
        FROM poll AS good WHERE outcome IN ('complete', 'partial') ORDER BY number DESC LIMIT 1";
    optional(connection, LAST_GOOD, [], |row| row.get(0))
}

fn read(row: &Row) -> rusqlite::Result<PollRow> {
    let is_running = row.get_ref(3)?.as_str()? == RUNNING;
    let time = |column| -> rusqlite::Result<Option<Duration>> {
        let stored: Option<i64> = row.get(column)?;
        Ok(stored.map(|stored| Duration::from_micros(stored.unsigned_abs())))
    };
    let latency = time(13)?.zip(time(14)?);
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
        took: time(12)?,
        latency: latency.map(|(p50, p95)| ServiceLatency { p50, p95 }),
        lag: row.get(15)?,
    })
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::LAYOUT;

    #[test]
    fn the_newest_good_poll_is_kept_however_many_fail_after_it() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(LAYOUT).unwrap();
        let at = Second::try_from("2024-01-01T00:00:00Z".to_owned()).unwrap();
        let mut poll = PollRow {
            number: 0,
            started_at: at,
            ended_at: Some(at),
            outcome: Some(PollOutcome::Complete),
            requests: 0,
            retries: 0,
            versions: PerStream::default(),
            quarantined: 0,
            error: None,
            took: None,
            latency: None,
            lag: None,
        };
        for number in 1..=POLLS + 5 {
            poll.number = number;
            put(&connection, &poll, None).unwrap();
            poll.outcome = Some(match number {
                1 => PollOutcome::Partial,
                _ => PollOutcome::Failed,
            });
        }
        let numbers: Vec<i64> = last(&connection, 2_000)
            .unwrap()
            .iter()
            .map(|poll| poll.number)
            .collect();
        let expected = (6..=POLLS + 5).rev().chain([2]);
        assert_eq!(numbers, expected.collect::<Vec<_>>());
    }
}
