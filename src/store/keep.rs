//! Superseded balances are not kept forever. They grow with every poll, and nothing reads them once each publisher has
//! delivered them.
//!
//! The change log is looked through once, in its order, as it grows old: a balance that is still the newest of its account
//! then stays. What is superseded later stays as well, one version for each time that an account is quiet for so long. The
//! version after a dropped one names a seq that is no longer there. Which seqs may be missing is in the state.

use std::ops::Range;
use std::time::Duration;

use rusqlite::Connection;

use super::database::{all, execute, value};
use super::identity::{put_state_value, state_value};
use super::{Error, Store, counts};
use crate::api::{Second, Stream, Timestamp};

/// Seqs that are looked at in one transaction.
const SLICE: usize = 1_000;

/// Slices after one poll. Together they take about 100 ms.
const MOST_SLICES: usize = 20;

/// What was dated farther ahead by a clock that was wrong does not keep what follows it. Seconds.
const CLOCK_AHEAD: u64 = 86_400;

/// The key of the state under which the seq is noted up to which superseded balances were dropped.
const DROPPED_TO: &str = "dropped_to";

/// What is kept of the change log.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// How long superseded balances are kept after they were read; none: forever.
    pub balances: Option<Duration>,
    /// The publishers of the configuration. What one of them has not delivered is kept; so is what one has not that was
    /// taken out of the configuration and not removed from the state.
    pub publishers: Vec<String>,
}

struct AgedVersion {
    seq: i64,
    stream: Stream,
    id: String,
    observed_at: Second,
}

impl Store {
    /// What is done between two polls: drops superseded balances that were kept long enough, for a short time, copies the
    /// write-ahead log into the file, and gives the memory of the poll back. How many were dropped.
    pub fn rest(&mut self, retention: &Retention) -> Result<u64, Error> {
        // It may take several polls.
        if self.cursor(Stream::Transactions)?.ended_at.is_some() {
            self.first_import = None;
        }
        let dropped = self.drop_superseded(retention)?;
        self.database.copy_log();
        self.database.run("give memory back", |connection| {
            connection.execute_batch("PRAGMA shrink_memory")
        })?;
        Ok(dropped)
    }

    fn drop_superseded(&mut self, retention: &Retention) -> Result<u64, Error> {
        let Some(kept) = retention.balances else {
            return Ok(0);
        };
        let now = Timestamp::now().second();
        let recent = now.earlier(kept.as_secs())..now.later(CLOCK_AHEAD);
        let mut dropped = 0;
        for _ in 0..MOST_SLICES {
            let slice = self
                .database
                .write("drop superseded balances", |connection| {
                    drop_slice(connection, &retention.publishers, &recent)
                })?;
            dropped += slice.dropped;
            if slice.is_last {
                break;
            }
        }
        Ok(dropped)
    }
}

struct Slice {
    dropped: u64,
    is_last: bool,
}

fn drop_slice(
    connection: &Connection,
    publishers: &[String],
    recent: &Range<Second>,
) -> rusqlite::Result<Slice> {
    const ROWS: &str = "
        SELECT seq, stream, id, observed_at FROM version WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";
    let from = dropped_to(connection)?;
    let before = delivered_by_all(connection, publishers)?;
    let rows: Vec<AgedVersion> = all(connection, ROWS, (from, before, SLICE as i64), |row| {
        Ok(AgedVersion {
            seq: row.get(0)?,
            stream: row.get(1)?,
            id: row.get(2)?,
            observed_at: row.get(3)?,
        })
    })?;
    let old = rows
        .iter()
        .take_while(|row| !recent.contains(&row.observed_at));
    let old: Vec<&AgedVersion> = old.collect();
    let mut dropped = 0;
    for row in old.iter().filter(|row| row.observed_at < recent.start) {
        if row.stream == Stream::Balances && drop_balances(connection, row)? {
            dropped += 1;
        }
    }
    if let Some(last) = old.last() {
        put_state_value(connection, DROPPED_TO, &last.seq.to_string())?;
        let fewer = -i64::try_from(dropped).unwrap_or(i64::MAX);
        counts::add(connection, &counts::VERSIONS, Stream::Balances, fewer)?;
        counts::add(connection, &counts::DROPPED, Stream::Balances, -fewer)?;
    }
    Ok(Slice {
        dropped,
        is_last: old.len() < SLICE,
    })
}

/// Drops the version if it is superseded and no target refuses it. Whether it did.
fn drop_balances(connection: &Connection, row: &AgedVersion) -> rusqlite::Result<bool> {
    const IS_KEPT: &str = "
        SELECT EXISTS (SELECT 1 FROM other_record WHERE stream = ?1 AND id = ?2 AND seq = ?3)
            OR EXISTS (SELECT 1 FROM refusal WHERE seq = ?3)";
    const DROP: &str = "DELETE FROM version WHERE seq = ?1";
    const DROP_DAMAGE: &str = "DELETE FROM damaged WHERE seq = ?1";
    let is_kept: bool = value(connection, IS_KEPT, (row.stream, &row.id, row.seq))?;
    if is_kept {
        return Ok(false);
    }
    execute(connection, DROP, [row.seq])?;
    execute(connection, DROP_DAMAGE, [row.seq])?;
    Ok(true)
}

/// How many superseded balances were dropped, if some may be missing after that seq.
pub(super) fn dropped_after(connection: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    let dropped = counts::get(connection, &counts::DROPPED, Stream::Balances)?;
    Ok((dropped > 0 && dropped_to(connection)? > seq).then_some(dropped))
}

/// The seq up to which superseded balances were dropped.
pub(super) fn dropped_to(connection: &Connection) -> rusqlite::Result<i64> {
    let seq = state_value(connection, DROPPED_TO)?;
    Ok(seq.and_then(|seq| seq.parse().ok()).unwrap_or(0))
}

/// The seq before which every publisher has delivered everything: those of the configuration, and those that the state still
/// knows, which may come back. A target may name the last version that it has.
fn delivered_by_all(connection: &Connection, configured: &[String]) -> rusqlite::Result<i64> {
    const DELIVERED: &str = "SELECT name, min(offset, coalesce(replay, offset)) FROM publisher";
    let delivered: Vec<(String, i64)> = all(connection, DELIVERED, [], |row| row.try_into())?;
    let has_begun = |name: &String| delivered.iter().any(|(known, _)| known == name);
    if !configured.iter().all(has_begun) {
        return Ok(0);
    }
    let offsets = delivered.iter().map(|(_, offset)| *offset);
    Ok(offsets.min().unwrap_or(i64::MAX))
}
