use rusqlite::Connection;

use super::columns::AsJson;
use super::database::{all, optional};
use super::{Error, Quirks, Store, counts, relatives, restored, sweep};
use crate::api::{Second, Stream};

/// The first sweep is due this long after the first version was stored, or a period after it if that is shorter. Seconds.
const FIRST_SWEEP_AFTER: u64 = 600;

/// Where transactions wait for what only a sweep can decide, the next one begins after this many times as long as the
/// last one took.
const SWEEP_PAUSE: u64 = 20;

/// One sweep in so many reads everything by number, whatever is known of the service.
const BY_NUMBER_EVERY: i64 = 7;

/// What decides when a sweep is due. Seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SweepTimes {
    /// From the start of one sweep to the start of the next.
    pub period: u64,
    /// How late records may be listed.
    pub lookback: u64,
}

impl Store {
    /// When the next sweep is due. One that is under way is due. None while nothing is stored.
    pub fn sweep_due(&self, times: SweepTimes, now: Second) -> Result<Option<Second>, Error> {
        self.database
            .run("read the sweeps", |connection| due(connection, times, now))
    }

    /// Whether the sweep of that number may read the transactions by date if it begins now.
    ///
    /// Pages far down a list cost a service more than those after a date. But only a list that is read by number shows
    /// what the filter hides. So nothing may be in doubt that only such a list decides: no quirk, no restore, nothing in
    /// quarantine, no transaction that waits for another.
    pub fn sweeps_by_date(&self, number: i64) -> Result<bool, Error> {
        self.database.run("read the sweeps", |connection| {
            may_read_by_date(connection, number)
        })
    }
}

fn may_read_by_date(connection: &Connection, number: i64) -> rusqlite::Result<bool> {
    const CURSOR: &str = "SELECT quirks, position, set_back_at FROM cursor WHERE stream = ?1";
    type TransactionsCursor = (AsJson<Quirks>, Option<Second>, Option<Second>);
    let stream = Stream::Transactions;
    let cursor: Option<TransactionsCursor> =
        optional(connection, CURSOR, [stream], |row| row.try_into())?;
    let (Some(last), Some((AsJson(quirks), Some(_), set_back_at))) =
        (sweep::newest(connection)?, cursor)
    else {
        return Ok(false);
    };
    let restored_at = restored::last(connection)?.map(|restored| restored.noticed_at);
    let is_due_by_number = number % BY_NUMBER_EVERY == 1 || !last.unread.is_empty();
    let is_in_doubt =
        !quirks.keeps_contract() || set_back_at.max(restored_at) > Some(last.started_at);
    let undecided = counts::get(connection, &counts::HELD, "")?
        + counts::get(connection, &counts::QUARANTINED, stream)?;
    Ok(!is_due_by_number && !is_in_doubt && undecided == 0)
}

/// When the next sweep of a state is due.
pub(super) fn due(
    connection: &Connection,
    times: SweepTimes,
    now: Second,
) -> rusqlite::Result<Option<Second>> {
    const CURSORS: &str = "SELECT quirks, set_back_at FROM cursor";
    const FIRST: &str = "SELECT observed_at FROM version ORDER BY seq LIMIT 1";
    let cursors: Vec<(AsJson<Quirks>, Option<Second>)> =
        all(connection, CURSORS, [], |row| row.try_into())?;
    let doubts = cursors
        .iter()
        .map(|(AsJson(quirks), set_back_at)| quirks.doubtful_since().max(*set_back_at));
    let hides = cursors
        .iter()
        .any(|(AsJson(quirks), _)| quirks.hides.is_some());
    // What only a sweep had found may be missing from a state that was put back.
    let restored_at = restored::last(connection)?.map(|restored| restored.noticed_at);
    let doubt = doubts.flatten().chain(restored_at).max();
    let settled = relatives::settled_since(connection, times.lookback)?;
    let Some(last) = sweep::newest(connection)? else {
        let first: Option<Second> = optional(connection, FIRST, [], |row| row.get(0))?;
        // Only sweeps find what the filter hides.
        let wait = if hides {
            0
        } else {
            times.period.min(FIRST_SWEEP_AFTER)
        };
        // The clock was set back since the first record came.
        let first = first.map(|first| if first > now { now } else { first.later(wait) });
        return Ok(first.map(|due| sooner(doubt.unwrap_or(due), settled)));
    };
    let began = last.started_at;
    let Some(ended) = last.ended_at else {
        return Ok(Some(began));
    };
    let paused = |settled: Second| settled.max(ended.later(SWEEP_PAUSE * ended.since(began)));
    Ok(Some(match doubt {
        Some(doubt) if doubt > began => doubt,
        _ if hides => began,
        // The clock was set back since.
        _ if began > now => now,
        _ => sooner(began.later(times.period), settled.map(paused)),
    }))
}

fn sooner(due: Second, other: Option<Second>) -> Second {
    other.map_or(due, |other| due.min(other))
}
