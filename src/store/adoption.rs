//! How a list is dated again, for a Connectivity that has read further than this list was ever shown.
//!
//! It asks with a bound, the second of what it has read last. A bound above the greatest stamp that was ever shown comes
//! from elsewhere: it has polled the service itself before, or the state was put back from an older copy. It thinks it has
//! read everything up to the bound, so nothing below it would ever arrive. Therefore the whole list gets new stamps above
//! the bound, once. A look by hand can have such a bound, too, so it counts only if it comes again and again.

use rusqlite::Connection;

use super::database::{all, execute, limit, optional, value};
use super::stamping::{last_place, stamps_after};
use super::{Error, Listing, Stamp};
use crate::api::{Second, Stream, Timestamp};
use crate::crash;

/// Entries of a list that are dated in one transaction.
const SLICE: usize = 1_000;

/// How often a bound must come.
const REQUESTS: i64 = 3;

/// The time from the first such request to the last one at least. Seconds.
const PERIOD: u64 = 60;

/// A bound that lies this far in the future is not believed. Seconds.
const FUTURE: u64 = 3_600;

/// What a bound means for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundVerdict {
    /// The list was shown up to there.
    Shown {
        /// The greatest stamp that was ever shown; none before the first.
        until: Option<Stamp>,
        /// Whether this is Connectivity's first request for the list.
        is_first: bool,
    },
    /// The list is dated again: [`Listing::adopt`] until that has ended.
    Adopting,
    /// It was not shown so far. The list will be dated again if the bound comes again.
    Ahead {
        /// The greatest stamp that was ever shown; none before the first.
        shown: Option<Stamp>,
        /// How often the bound has come, 1 at the first time.
        requests: i64,
        /// Whether the bound lies in the future, so that only an operator can want the list to be dated above it.
        is_future: bool,
    },
}

/// How far a list has been dated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adoption {
    /// Entries that the slice has given a new stamp.
    pub dated: usize,
    /// Whether there is more to do.
    pub has_more: bool,
}

/// What the state says of a list.
#[derive(Debug, Default)]
struct ListRow {
    is_asked_for: bool,
    shown: Option<Stamp>,
    is_under_way: bool,
    bound: Option<KnownBound>,
}

/// A bound that has come before.
#[derive(Debug)]
struct KnownBound {
    bound: Second,
    since: Second,
    requests: i64,
    is_agreed: bool,
}

impl Listing {
    /// What it means that Connectivity asks for the list from there. It is noted if the list was not shown so far.
    pub fn asked_for(
        &mut self,
        stream: Stream,
        from: Option<Second>,
    ) -> Result<BoundVerdict, Error> {
        const DOING: &str = "look up what a list was asked for";
        const ASKED: &str = "
            INSERT INTO listing (stream, asked_at) VALUES (?1, ?2)
            ON CONFLICT (stream) DO UPDATE SET asked_at = coalesce(asked_at, excluded.asked_at)";
        let row = self.0.run(DOING, |connection| read(connection, stream))?;
        if row.is_under_way {
            return Ok(BoundVerdict::Adopting);
        }
        let is_shown = |row: &ListRow| {
            from.is_none_or(|from| {
                row.shown
                    .is_some_and(|shown| shown.timestamp() >= from.start())
            })
        };
        let now = Timestamp::now().second();
        if is_shown(&row) && row.is_asked_for {
            return Ok(BoundVerdict::Shown {
                until: row.shown,
                is_first: false,
            });
        }
        self.0.write("note what a list is asked for", |connection| {
            crash::point();
            let row = read(connection, stream)?;
            match from {
                _ if row.is_under_way => Ok(BoundVerdict::Adopting),
                Some(from) if !is_shown(&row) => judge(connection, stream, &row, from, now),
                _ => {
                    execute(connection, ASKED, (stream, now))?;
                    Ok(BoundVerdict::Shown {
                        until: row.shown,
                        is_first: !row.is_asked_for,
                    })
                }
            }
        })
    }

    /// Gives the next slice of a list its new stamps, in one transaction.
    pub fn adopt(&mut self, stream: Stream) -> Result<Adoption, Error> {
        self.0.write("date a list again", |connection| {
            date_slice(connection, stream)
        })
    }

    /// Notes that the list is shown up to that stamp, or to its end. What is noted then.
    pub fn show_until(
        &mut self,
        stream: Stream,
        stamp: Stamp,
        to_its_end: bool,
    ) -> Result<Stamp, Error> {
        const END: &str = "SELECT max(stamp) FROM listed WHERE stream = ?1";
        const SHOW: &str = "
            INSERT INTO listing (stream, shown) VALUES (?1, ?2)
            ON CONFLICT (stream) DO UPDATE SET shown = max(coalesce(shown, excluded.shown), excluded.shown)
            RETURNING shown";
        self.0.write("note how far a list is shown", |connection| {
            crash::point();
            let end: Option<Stamp> = value(connection, END, [stream])?;
            let until = end.filter(|_| to_its_end).unwrap_or(stamp);
            value(connection, SHOW, (stream, until.max(stamp)))
        })
    }

    /// Lets the list be dated above the bound that Connectivity has asked with last. That bound. It is an error if there
    /// is none above what it was shown.
    pub fn agree(&mut self, stream: Stream) -> Result<Second, Error> {
        const AGREE: &str = "
            UPDATE listing SET agreed = 1 WHERE stream = ?1 AND bound IS NOT NULL RETURNING bound";
        let bound = self
            .0
            .optional("agree to a bound", AGREE, [stream], |row| row.get(0))?;
        bound.ok_or(Error::NoBound(stream))
    }
}

/// Whether a list is being dated again.
pub(super) fn is_under_way(connection: &Connection, stream: Stream) -> rusqlite::Result<bool> {
    const IS_UNDER_WAY: &str =
        "SELECT EXISTS (SELECT 1 FROM listing WHERE stream = ?1 AND dated IS NOT NULL)";
    value(connection, IS_UNDER_WAY, [stream])
}

fn read(connection: &Connection, stream: Stream) -> rusqlite::Result<ListRow> {
    const ROW: &str = "
        SELECT asked_at IS NOT NULL, shown, dated IS NOT NULL, bound, since, requests, agreed
        FROM listing WHERE stream = ?1";
    let row = optional(connection, ROW, [stream], |row| {
        let bound: Option<Second> = row.get(3)?;
        let since: Option<Second> = row.get(4)?;
        let (requests, is_agreed) = (row.get(5)?, row.get(6)?);
        Ok(ListRow {
            is_asked_for: row.get(0)?,
            shown: row.get(1)?,
            is_under_way: row.get(2)?,
            bound: bound.zip(since).map(|(bound, since)| KnownBound {
                bound,
                since,
                requests,
                is_agreed,
            }),
        })
    })?;
    Ok(row.unwrap_or_default())
}

/// Notes a bound above what was shown, and begins to date the list again if it has come often enough.
fn judge(
    connection: &Connection,
    stream: Stream,
    row: &ListRow,
    bound: Second,
    now: Second,
) -> rusqlite::Result<BoundVerdict> {
    const NOTE: &str = "
        INSERT INTO listing (stream, bound, since, last, requests, agreed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (stream) DO UPDATE SET bound = excluded.bound, since = excluded.since, last = excluded.last,
            requests = excluded.requests, agreed = excluded.agreed";
    // A clock that was set back makes it new.
    let known = row
        .bound
        .as_ref()
        .filter(|known| known.bound == bound && known.since <= now);
    let since = known.map_or(now, |known| known.since);
    let requests = known.map_or(1, |known| known.requests.saturating_add(1));
    let is_agreed = known.is_some_and(|known| known.is_agreed);
    execute(
        connection,
        NOTE,
        (stream, bound, since, now, requests, is_agreed),
    )?;
    let is_future = bound.since(now) > FUTURE;
    let is_repeated = requests >= REQUESTS && now.since(since) >= PERIOD;
    if is_agreed || (is_repeated && !is_future) {
        begin(connection, stream, row, bound, now)?;
        return Ok(BoundVerdict::Adopting);
    }
    Ok(BoundVerdict::Ahead {
        shown: row.shown,
        requests,
        is_future,
    })
}

/// Begins to date a list above a bound.
///
/// What it was shown of the list, if that was this list, Formance may have in its last status already, and would take an
/// earlier one that comes now for news. So only the newest versions of it are listed again. What it was not shown is
/// listed with all versions: it needs each to get the amounts right. If it has read the service itself, the lists show
/// what it may have read as the service has sent it: beside that, what they add could stay as the newest status.
fn begin(
    connection: &Connection,
    stream: Stream,
    row: &ListRow,
    bound: Second,
    now: Second,
) -> rusqlite::Result<()> {
    const SHOWN: &str =
        "SELECT place FROM listed WHERE stream = ?1 AND stamp <= ?2 ORDER BY stamp DESC LIMIT 1";
    const BEGIN: &str = "
        UPDATE listing SET asked_at = coalesce(asked_at, ?2), above = max(coalesce(above, ?3), ?3),
            shown = max(coalesce(shown, ?3), ?3), dated = 0, newest = ?4,
            bound = NULL, since = NULL, last = NULL, requests = 0, agreed = 0
        WHERE stream = ?1";
    const FOREIGN: &str = "
        UPDATE listing SET foreign_seq = (SELECT coalesce(max(seq), 0) FROM version), foreign_until = ?2
        WHERE stream = ?1";
    let newest = match row.shown {
        // Connectivity has read the service directly.
        None => last_place(connection, stream)?,
        Some(shown) => optional(connection, SHOWN, (stream, shown), |row| row.get(0))?.unwrap_or(0),
    };
    let above = Stamp::from_nanoseconds(bound.end().nanoseconds());
    execute(connection, BEGIN, (stream, now, above, newest))?;
    if row.shown.is_none() && stream == Stream::Transactions {
        execute(connection, FOREIGN, (stream, bound))?;
        connection.execute_batch("DELETE FROM shown")?;
    }
    Ok(())
}

/// Gives the next entries their new stamps, in the order of their places. An old stamp may be another entry's new one
/// meanwhile, so nobody reads the list until all of them are new.
fn date_slice(connection: &Connection, stream: Stream) -> rusqlite::Result<Adoption> {
    const PROGRESS: &str = "
        SELECT dated, newest, above, coalesce(foreign_seq, 0) FROM listing
        WHERE stream = ?1 AND dated IS NOT NULL";
    const LAST: &str = "
        SELECT stamp FROM listed WHERE stream = ?1 AND place <= ?2 ORDER BY place DESC LIMIT 1";
    const ENTRIES: &str = "
        SELECT listed.place, version.timestamp,
               listed.place <= ?4
                       AND (SELECT seq FROM record WHERE stream = version.stream AND id = version.id) IS NOT listed.seq
                   OR listed.seq <= ?5 AND listed.shown ->> 'isAdded' IS NOT NULL
        FROM listed JOIN version ON version.seq = listed.seq
        WHERE listed.stream = ?1 AND listed.place > ?2 ORDER BY listed.place LIMIT ?3";
    const DATE: &str = "
        UPDATE listed SET stamp = ?3, shown = CASE WHEN seq > ?4 THEN shown END WHERE stream = ?1 AND place = ?2";
    const LEAVE_OUT: &str = "DELETE FROM listed WHERE stream = ?1 AND place = ?2";
    const NOTE: &str = "UPDATE listing SET dated = ?2 WHERE stream = ?1";
    let progress = optional(connection, PROGRESS, [stream], |row| row.try_into())?;
    let Some((dated, newest, above, foreign)): Option<(i64, i64, Stamp, i64)> = progress else {
        return Ok(Adoption {
            dated: 0,
            has_more: false,
        });
    };
    let last: Option<Stamp> = optional(connection, LAST, (stream, dated), |row| row.get(0))?;
    let last = last.map_or(above, |last| last.max(above));
    let mut stamps = stamps_after(connection, stream, Some(last), Timestamp::now())?;
    let slice = (stream, dated, limit(SLICE), newest, foreign);
    let entries: Vec<(i64, Timestamp, bool)> =
        all(connection, ENTRIES, slice, |row| row.try_into())?;
    let mut count = 0;
    for (place, own, is_left_out) in &entries {
        if *is_left_out {
            execute(connection, LEAVE_OUT, (stream, place))?;
        } else {
            let stamp = stamps.next(*own);
            execute(connection, DATE, (stream, place, stamp, foreign))?;
            count += 1;
        }
    }
    let has_more = entries.len() == SLICE;
    let reached = entries
        .last()
        .filter(|_| has_more)
        .map(|(place, ..)| *place);
    execute(connection, NOTE, (stream, reached))?;
    Ok(Adoption {
        dated: count,
        has_more,
    })
}
