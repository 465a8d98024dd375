use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use super::{Error, Store};
use crate::api::{Second, Stream};

/// How many sweeps are remembered.
pub(super) const SWEEPS: i64 = 100;

/// A sweep: one plain reading of every list from its beginning, sliced between polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRow {
    /// Which sweep, from 1.
    pub number: i64,
    /// When it began.
    pub started_at: Second,
    /// When it ended; none while it is under way.
    pub ended_at: Option<Second>,
    /// The list that it reads.
    pub stream: Stream,
    /// How far it has come there.
    pub place: Place,
    /// Elements read.
    pub seen: i64,
    /// Records that no poll had found and the next one would not have found.
    pub missed: i64,
    /// Records whose content had changed without a newer date.
    pub changed: i64,
    /// Those of them whose content had changed so in the sweep before, too.
    pub always_changing: i64,
    /// How many seconds behind the cursor the farthest of the missed records lay.
    pub lateness: i64,
    /// The lists that could not be read to their end.
    pub unread: Vec<String>,
}

/// How far a sweep has come in a list, and what it has found out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Place {
    /// The page that is due.
    pub page: u64,
    /// `pageSize`, for which the page's number counts.
    pub page_size: u32,
    /// How many elements are asked for, if more than that.
    pub size: u32,
    /// How many elements the longest page had.
    pub longest: usize,
    /// The first page, hashed, by which it is known when it comes again.
    pub first: Option<u64>,
    /// The elements of the last page, hashed, by which the place is found again when others have moved.
    pub last: Vec<u64>,
    /// The farthest page at which it was taken up again.
    pub farthest: u64,
    /// Whether it goes from date to date, because the service ignores `page`.
    pub anchored: bool,
    /// Where to go on then.
    pub position: Option<Second>,
    /// Whether the list was out of order.
    pub unsorted: bool,
    /// Whether its order changed from one request to the next.
    pub unstable: bool,
    /// Whether a part of it could not be read.
    pub incomplete: bool,
    /// How many slices in a row have failed here.
    pub failures: u32,
    /// Whether it has records of different dates, without which it says nothing of its order.
    pub several_seconds: bool,
}

impl SweepRow {
    /// A sweep that is to begin.
    pub fn new(number: i64, started_at: Second, page_size: u32) -> SweepRow {
        SweepRow {
            number,
            started_at,
            ended_at: None,
            stream: Stream::LISTED[0],
            place: Place::start(page_size),
            seen: 0,
            missed: 0,
            changed: 0,
            always_changing: 0,
            lateness: 0,
            unread: Vec::new(),
        }
    }
}

impl Place {
    /// The beginning of a list.
    pub fn start(page_size: u32) -> Place {
        Place {
            page: 1,
            page_size,
            ..Place::default()
        }
    }
}

impl Store {
    /// The newest sweep, if there is one: it is under way, or has ended.
    pub fn last_sweep(&self) -> Result<Option<SweepRow>, Error> {
        newest(&self.connection).map_err(Error::on(&self.file, "read the sweeps"))
    }
}

/// Writes a sweep's row.
pub(super) fn put(connection: &Connection, sweep: &SweepRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sweep
             (number, started_at, ended_at, stream, place, seen, missed, changed, always_changing, lateness, unread)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            sweep.number,
            sweep.started_at.to_string(),
            sweep.ended_at.map(|second| second.to_string()),
            sweep.stream.name(),
            super::to_json(&sweep.place),
            sweep.seen,
            sweep.missed,
            sweep.changed,
            sweep.always_changing,
            sweep.lateness,
            super::to_json(&sweep.unread),
        ))?;
    connection
        .prepare_cached("DELETE FROM sweep WHERE number <= ?1")?
        .execute([sweep.number - SWEEPS])?;
    Ok(())
}

/// The newest sweep of a state.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<SweepRow>> {
    connection
        .query_row(
            "SELECT number, started_at, ended_at, stream, place, seen, missed, changed, always_changing, lateness, unread
             FROM sweep ORDER BY number DESC LIMIT 1",
            [],
            read,
        )
        .optional()
}

fn read(row: &Row) -> rusqlite::Result<SweepRow> {
    Ok(SweepRow {
        number: row.get(0)?,
        started_at: super::second(row, 1)?,
        ended_at: super::optional_second(row, 2)?,
        stream: super::stream(row, 3)?,
        place: super::from_json(row, 4)?,
        seen: row.get(5)?,
        missed: row.get(6)?,
        changed: row.get(7)?,
        always_changing: row.get(8)?,
        lateness: row.get(9)?,
        unread: super::from_json(row, 10)?,
    })
}
