use std::path::Path;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::columns::AsJson;
use super::database::{Database, all, execute, optional};
use super::{Error, Store};
use crate::api::{Second, Stream, Timestamp};

const SWEEPS: i64 = 100;

const COLUMNS: &str = "
    number, started_at, ended_at, stream, place, seen, missed, changed, always_changing, lateness, unread, last_seq,
    settled_before";

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
    pub place: SweepPlace,
    /// Elements read.
    pub seen: i64,
    /// Records that no poll had found and the next one would not have found.
    pub missed: i64,
    /// Records whose content had changed without a newer date.
    pub changed: i64,
    /// How many of them had done so in the sweep before, too.
    pub always_changing: i64,
    /// How many seconds behind the cursor the farthest missed record was.
    pub lateness: i64,
    /// The lists that could not be read to their end.
    pub unread: Vec<String>,
    /// What it decides on; none before its first page.
    pub reach: Option<ReadingReach>,
}

/// Which of the transactions that wait for others a complete reading of the list decides on, a sweep or the first poll: if
/// those others are listed at all, it has read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingReach {
    /// The newest version when it began. What was read later may relate to something that was listed behind it.
    pub last_seq: i64,
    /// When it began, less the lookback. What is newer may relate to something that is listed late.
    pub settled_before: Second,
}

/// What becomes of the wish for a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepAsked {
    /// The sweep of this number begins after the next poll.
    New(i64),
    /// The sweep of this number is under way.
    UnderWay(i64),
}

/// How far a sweep has come in a list, and what it has found out about it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepPlace {
    /// The page that is due.
    pub page: u64,
    /// The `pageSize` in which `page` counts.
    pub page_size: u32,
    /// How many elements are asked for, if more than that.
    pub size: u32,
    /// How many elements the longest page had.
    pub longest: usize,
    /// A hash of the first page, which tells when it comes again.
    pub first: Option<u64>,
    /// Hashes of the last page's elements, which tell the place when others have moved.
    pub last: Vec<u64>,
    /// The farthest page at which it was taken up again.
    pub farthest: u64,
    /// The bound of the list in which that was.
    pub farthest_from: Option<Second>,
    /// Whether it goes from date to date: because of `by_date`, or because the service ignores `page`.
    pub anchored: bool,
    /// Whether transactions are read from date to date, as long as that shows nothing that is in doubt.
    pub by_date: bool,
    /// Where to go on then.
    pub position: Option<Second>,
    /// The bound of the list in which `page` counts then.
    pub from: Option<Second>,
    /// Known records that it has read.
    pub known: u64,
    /// How many slices in a row have failed here.
    pub failures: u32,
    /// What it has found out about the list.
    #[serde(flatten)]
    pub found: SweepFindings,
}

/// What a sweep has found out about a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepFindings {
    /// The list was out of order.
    pub unsorted: bool,
    /// Its order changed from one request to the next.
    pub unstable: bool,
    /// A part of it could not be read.
    pub incomplete: bool,
    /// The filter showed a record that it was asked for.
    pub shows: bool,
    /// The filter did not show the record that it is known to hide. The list may have it no more, either.
    pub hides_known: bool,
    /// The filter hides a record that the list has.
    pub hides: bool,
    /// It has records of different dates; without them it says nothing about its order.
    pub several_seconds: bool,
}

impl SweepRow {
    /// A sweep that is about to begin. It does not know the size of its pages yet.
    pub fn new(number: i64, started_at: Second, by_date: bool) -> SweepRow {
        SweepRow {
            number,
            started_at,
            ended_at: None,
            stream: Stream::LISTED[0],
            place: SweepPlace::start(Stream::LISTED[0], 0, by_date),
            seen: 0,
            missed: 0,
            changed: 0,
            always_changing: 0,
            lateness: 0,
            unread: Vec::new(),
            reach: None,
        }
    }

    /// What it decides on, if it has ended and has read the transactions to their end.
    pub(super) fn decides_on(&self) -> Option<ReadingReach> {
        let is_unread = |unread: &String| unread == Stream::Transactions.name();
        let has_read = self.ended_at.is_some() && !self.unread.iter().any(is_unread);
        self.reach.filter(|_| has_read)
    }

    /// Whether it has read anything. One that was asked for does not know the size of its pages before.
    pub fn has_begun(&self) -> bool {
        self.place.page_size > 0
    }
}

impl SweepPlace {
    /// The beginning of that list.
    pub fn start(stream: Stream, page_size: u32, by_date: bool) -> SweepPlace {
        SweepPlace {
            anchored: by_date && stream == Stream::Transactions,
            by_date,
            ..SweepPlace::by_number(page_size)
        }
    }

    /// The beginning of a list that is read by number.
    pub fn by_number(page_size: u32) -> SweepPlace {
        SweepPlace {
            page: 1,
            page_size,
            ..SweepPlace::default()
        }
    }
}

impl Store {
    /// The newest sweep, under way or ended, if there is one.
    pub fn last_sweep(&self) -> Result<Option<SweepRow>, Error> {
        self.database.run("read the sweeps", newest)
    }

    /// As [`ask_for_sweep`], of the state that is open here.
    pub fn ask_for_sweep(&self) -> Result<SweepAsked, Error> {
        self.database.write(ASK, ask)
    }
}

/// Lets a sweep begin after the next poll, also one of another process. It is an error if there is no state.
pub fn ask_for_sweep(directory: &Path) -> Result<SweepAsked, Error> {
    Database::beside(directory)?.write(ASK, ask)
}

const ASK: &str = "ask for a sweep";

/// As [`ask_for_sweep`], in a transaction.
pub(super) fn ask(connection: &Connection) -> rusqlite::Result<SweepAsked> {
    let last = newest(connection)?;
    if let Some(last) = last.as_ref().filter(|last| last.ended_at.is_none()) {
        return Ok(SweepAsked::UnderWay(last.number));
    }
    let number = last.map_or(1, |last| last.number + 1);
    // Whoever asks for a sweep wants to know what no filter shows.
    let sweep = SweepRow::new(number, Timestamp::now().second(), false);
    put(connection, &sweep)?;
    Ok(SweepAsked::New(number))
}

/// Writes a sweep's row, and forgets the oldest one.
pub(super) fn put(connection: &Connection, sweep: &SweepRow) -> rusqlite::Result<()> {
    const FORGET_OLDEST: &str = "DELETE FROM sweep WHERE number <= ?1";
    let sql = format!(
        "INSERT OR REPLACE INTO sweep ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    execute(
        connection,
        &sql,
        (
            sweep.number,
            sweep.started_at,
            sweep.ended_at,
            sweep.stream,
            AsJson(&sweep.place),
            sweep.seen,
            sweep.missed,
            sweep.changed,
            sweep.always_changing,
            sweep.lateness,
            AsJson(&sweep.unread),
            sweep.reach.map(|reach| reach.last_seq),
            sweep.reach.map(|reach| reach.settled_before),
        ),
    )?;
    execute(connection, FORGET_OLDEST, [sweep.number - SWEEPS])
}

/// The newest sweep of a state.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<SweepRow>> {
    let sql = format!("SELECT {COLUMNS} FROM sweep ORDER BY number DESC LIMIT 1");
    optional(connection, &sql, [], read)
}

/// The newest sweep of a state that has ended.
pub(super) fn newest_ended(connection: &Connection) -> rusqlite::Result<Option<SweepRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sweep WHERE ended_at IS NOT NULL ORDER BY number DESC LIMIT 1"
    );
    optional(connection, &sql, [], read)
}

/// What the last sweep decides on that has read the transactions to their end.
pub(super) fn last_reach(connection: &Connection) -> rusqlite::Result<Option<ReadingReach>> {
    let sql = format!("SELECT {COLUMNS} FROM sweep ORDER BY number DESC");
    let sweeps: Vec<SweepRow> = all(connection, &sql, [], read)?;
    Ok(sweeps.iter().find_map(SweepRow::decides_on))
}

fn read(row: &Row) -> rusqlite::Result<SweepRow> {
    let AsJson(place) = row.get(4)?;
    let AsJson(unread) = row.get(10)?;
    let last_seq: Option<i64> = row.get(11)?;
    let settled_before: Option<Second> = row.get(12)?;
    let reach = last_seq.zip(settled_before);
    Ok(SweepRow {
        number: row.get(0)?,
        started_at: row.get(1)?,
        ended_at: row.get(2)?,
        stream: row.get(3)?,
        place,
        seen: row.get(5)?,
        missed: row.get(6)?,
        changed: row.get(7)?,
        always_changing: row.get(8)?,
        lateness: row.get(9)?,
        unread,
        reach: reach.map(|(last_seq, settled_before)| ReadingReach {
            last_seq,
            settled_before,
        }),
    })
}
