//! Versions of transactions that wait for the one that they relate to, before they are listed.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::database::{all, execute, limit, optional, value};
use super::sweep::ReadingReach;
use super::{counts, damage};
use crate::api::{Record, Second, Stream, Timestamp};
use crate::formance::LeftOut;
use crate::formance::shown::PolledVersion;

/// A version on its way into the list.
pub(super) struct ListedVersion {
    pub seq: i64,
    pub id: String,
    pub own: Timestamp,
    /// None if it is damaged.
    pub json: Option<String>,
}

/// Transactions that relate to one that is not in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelativesLine {
    /// Versions that are not in the list yet, because they wait for the transaction that they relate to.
    pub waiting: i64,
    /// The id of one of the transactions that they wait for.
    pub waiting_for: Option<String>,
    /// Since when the first of them has waited.
    pub waiting_since: Option<Second>,
    /// Transactions that are not in the list, although others that relate to them are: no sweep has found them.
    pub missing: i64,
    /// The id of one of them.
    pub missing_id: Option<String>,
}

impl ListedVersion {
    /// Of a row that has seq, id, timestamp, hash and text from that column on.
    pub fn read(row: &Row, from: usize) -> rusqlite::Result<ListedVersion> {
        Ok(ListedVersion {
            seq: row.get(from)?,
            id: row.get(from + 1)?,
            own: row.get(from + 2)?,
            json: damage::text(row, from + 3, from + 4)?,
        })
    }

    /// As it was listed; none if it is damaged or was left out.
    pub fn polled(&self) -> Option<PolledVersion> {
        let json = self.json.as_deref()?;
        let record = Record::new(Stream::Transactions, self.id.clone(), self.own, json);
        let left_out = LeftOut::of(&record);
        if left_out.is_some_and(|left_out| left_out.is_whole(Stream::Transactions)) {
            return None;
        }
        PolledVersion::read(json)
    }
}

/// The transactions that relate to one that is not in the list.
pub(super) fn relatives(connection: &Connection) -> rusqlite::Result<RelativesLine> {
    const WAITING_SINCE: &str =
        "SELECT min(observed_at) FROM held JOIN version ON version.seq = held.seq";
    const FIRST_PARENT: &str = "SELECT min(parent) FROM held";
    const FIRST_MISSING: &str =
        "SELECT id FROM shown INDEXED BY shown_alone WHERE seq = 0 ORDER BY id LIMIT 1";
    Ok(RelativesLine {
        waiting: counts::get(connection, &counts::HELD, "")?,
        waiting_for: value(connection, FIRST_PARENT, [])?,
        waiting_since: value(connection, WAITING_SINCE, [])?,
        missing: counts::get(connection, &counts::ALONE, "")?,
        missing_id: optional(connection, FIRST_MISSING, [], |row| row.get(0))?,
    })
}

/// Lets a version wait for the transaction of that id.
pub(super) fn hold(
    connection: &Connection,
    parent: &str,
    version: &ListedVersion,
) -> rusqlite::Result<()> {
    const HOLD: &str =
        "INSERT OR IGNORE INTO held (parent, seq, id, moves_amount) VALUES (?1, ?2, ?3, ?4)";
    let polled = version.polled();
    let moves_amount = polled.is_none_or(|polled| polled.moves_amount());
    execute(
        connection,
        HOLD,
        (parent, version.seq, &version.id, moves_amount),
    )
}

/// The date from which on a version counts, as to whether what it relates to can still be listed late. An amount that was
/// moved before its payment began is wrong for good, so such a version waits from when it was read.
const WAITS_FROM: &str =
    "CASE WHEN held.moves_amount THEN observed_at ELSE min(observed_at, timestamp) END";

/// Since when a sweep can decide about a version that waits, if one does: nothing can be listed late that it relates to.
/// `lookback`: seconds.
pub(super) fn settled_since(
    connection: &Connection,
    lookback: u64,
) -> rusqlite::Result<Option<Second>> {
    let sql = format!("SELECT min({WAITS_FROM}) FROM held JOIN version ON version.seq = held.seq");
    let from: Option<Timestamp> = value(connection, &sql, [])?;
    Ok(from.map(|from| from.second().later(lookback).next()))
}

/// Whether versions of a transaction wait.
pub(super) fn is_held(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    value(
        connection,
        "SELECT EXISTS (SELECT 1 FROM held WHERE id = ?1)",
        [id],
    )
}

/// What the versions of a transaction wait for.
pub(super) fn parent_of_held(connection: &Connection, id: &str) -> rusqlite::Result<String> {
    value(
        connection,
        "SELECT parent FROM held WHERE id = ?1 LIMIT 1",
        [id],
    )
}

/// Lets a version wait no longer. False if it did not wait.
pub(super) fn release(connection: &Connection, version: &ListedVersion) -> rusqlite::Result<bool> {
    const RELEASE: &str = "DELETE FROM held WHERE id = ?1 AND seq = ?2";
    let released = connection
        .prepare_cached(RELEASE)?
        .execute((&version.id, version.seq))?;
    Ok(released > 0)
}

/// The condition for versions that wait for a transaction of which no version waits.
pub(super) const WAITS_FOR_NOTHING_WAITING: &str =
    "NOT EXISTS (SELECT 1 FROM held AS other WHERE other.id = held.parent)";

/// Versions that a sweep of that reach decides on, and what they wait for. The first versions of each transaction come first.
pub(super) fn orphans(
    connection: &Connection,
    reach: ReadingReach,
    most: usize,
    condition: &str,
) -> rusqlite::Result<Vec<(String, ListedVersion)>> {
    let sql = format!(
        "SELECT held.parent, version.seq, version.id, version.timestamp, version.hash, version.json
         FROM held JOIN version ON version.seq = held.seq
         WHERE held.seq <= ?1 AND {WAITS_FROM} < ?2 AND {condition} ORDER BY held.parent, held.seq LIMIT ?3"
    );
    let values = (reach.last_seq, reach.settled_before, limit(most));
    all(connection, &sql, values, |row| {
        Ok((row.get(0)?, ListedVersion::read(row, 1)?))
    })
}

/// Takes the versions that wait for a transaction, in their order.
pub(super) fn waiting_for(
    connection: &Connection,
    parent: &str,
) -> rusqlite::Result<Vec<ListedVersion>> {
    const WAITING: &str = "
        SELECT version.seq, version.id, version.timestamp, version.hash, version.json
        FROM held JOIN version ON version.seq = held.seq WHERE held.parent = ?1 ORDER BY held.seq";
    const RELEASE: &str = "DELETE FROM held WHERE parent = ?1";
    let waiting = all(connection, WAITING, [parent], |row| {
        ListedVersion::read(row, 0)
    })?;
    execute(connection, RELEASE, [parent])?;
    Ok(waiting)
}
