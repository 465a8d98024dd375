use std::path::Path;

use rusqlite::{Connection, Row};

use super::database::{Database, all, execute, value};
use super::{Error, Stamp, initiation, stamp::Stamps};
use crate::api::{Initiation, PerStream, Second, Stream, Timestamp, read_record};
use crate::crash;

/// The lists as Connectivity sees them: every version under its stamp, read on a connection of its own.
#[derive(Debug)]
pub struct Listing(Database);

/// One version as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownVersion {
    /// The date that it is shown under.
    pub stamp: Stamp,
    /// The record as the service sent it.
    pub json: String,
    /// If Connectivity has asked for payouts or transfers that became this transaction: the `idempotencyKey` of each.
    pub initiated_as: Vec<(Initiation, String)>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Which page, from 1.
    pub page: u64,
    /// How many versions a page has.
    pub page_size: u32,
    /// Only versions shown under a date of this second or later.
    pub from: Option<Second>,
    /// Whether the newest ones come first.
    pub newest_first: bool,
}

impl Listing {
    /// Opens the lists of the state in that directory.
    pub fn open(directory: &Path) -> Result<Listing, Error> {
        /// KiB of cache, as SQLite counts it. A page of a list has a few dozen; there is a connection for each thread.
        const CACHE: i64 = -512;
        let database = Database::beside(directory)?;
        database.run("open the lists", |connection| {
            connection.pragma_update(None, "cache_size", CACHE)
        })?;
        Ok(Listing(database))
    }

    /// Whether anything has been committed that can be shown: a version, or a poll that found that there is none.
    pub fn is_ready(&self) -> Result<bool, Error> {
        const IS_READY: &str = "
            SELECT EXISTS (SELECT 1 FROM version)
                OR EXISTS (SELECT 1 FROM poll WHERE outcome IN ('complete', 'partial'))";
        self.0.value("read the state", IS_READY, [])
    }

    /// One page of a list.
    pub fn page(&self, stream: Stream, selection: &Selection) -> Result<Vec<ShownVersion>, Error> {
        let order = if selection.newest_first {
            "DESC"
        } else {
            "ASC"
        };
        let sql = format!(
            "SELECT listed.stamp, version.json, version.id
             FROM (SELECT stamp, seq FROM listed WHERE stream = ?1 AND stamp >= ?2 AND seq <= ?3
                   ORDER BY stamp {order} LIMIT ?4 OFFSET ?5) AS listed
             JOIN version ON version.seq = listed.seq
             ORDER BY listed.stamp {order}"
        );
        let from = selection
            .from
            .map_or(i64::MIN, |from| from.start().nanoseconds());
        let skipped = (selection.page - 1).saturating_mul(selection.page_size.into());
        let skipped = i64::try_from(skipped).unwrap_or(i64::MAX);
        // One transaction, so that the page and what is held back belong together.
        self.0.read("read a list", |connection| {
            let is_initiated = stream == Stream::Transactions;
            let until = if is_initiated {
                initiation::held_back_after(connection)?
            } else {
                i64::MAX
            };
            let has_keys = is_initiated && initiation::are_any(connection)?;
            all(
                connection,
                &sql,
                (stream, from, until, selection.page_size, skipped),
                |row| {
                    let mut version = shown(row)?;
                    if has_keys {
                        version.initiated_as =
                            initiation::keys_of(connection, &row.get::<_, String>(2)?)?;
                    }
                    Ok(version)
                },
            )
        })
    }

    /// Whether a list has anything to show.
    pub fn has_versions(&self, stream: Stream) -> Result<bool, Error> {
        const HAS_VERSIONS: &str = "SELECT EXISTS (SELECT 1 FROM listed WHERE stream = ?1)";
        self.0.value("read a list", HAS_VERSIONS, [stream])
    }

    /// The newest balances of an account; none if there are none.
    pub fn balances(&self, account_id: &str) -> Result<Option<ShownVersion>, Error> {
        const BALANCES: &str = "
            SELECT record.stamp, version.json FROM record JOIN version ON version.seq = record.seq
            WHERE record.stream = 'balances' AND record.id = ?1 AND record.stamp IS NOT NULL";
        self.0
            .optional("read an account's balances", BALANCES, [account_id], shown)
    }

    /// Whether there is such an account, and if so, whether a whole poll has asked for its balances.
    pub fn account(&self, id: &str) -> Result<Option<bool>, Error> {
        const ACCOUNT: &str = "
            SELECT EXISTS (SELECT 1 FROM poll WHERE number >= version.poll AND outcome IN ('complete', 'partial'))
            FROM record JOIN version ON version.seq = record.seq
            WHERE record.stream = 'accounts' AND record.id = ?1";
        self.0
            .optional("look up an account", ACCOUNT, [id], |row| row.get(0))
    }

    /// Whether Connectivity has asked for this list before.
    pub fn has_been_asked_for(&self, stream: Stream) -> Result<bool, Error> {
        const IS_KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM listing WHERE stream = ?1)";
        self.0
            .value("read who has asked for a list", IS_KNOWN, [stream])
    }

    /// Notes that Connectivity asks for this list, if it does so for the first time. How many versions got a new stamp.
    ///
    /// A first request with a bound comes from a connector that polled the service before, and lost records that are
    /// dated below the bound. So the whole list gets new stamps above the bound, where it is read again.
    pub fn asked_for(&mut self, stream: Stream, from: Option<Second>) -> Result<usize, Error> {
        const NOTE: &str =
            "INSERT OR IGNORE INTO listing (stream, asked_at, above) VALUES (?1, ?2, ?3)";
        self.0.write("date a list again", |connection| {
            let above = from.map(|from| Stamp::from_nanoseconds(from.end().nanoseconds()));
            crash::point();
            let noted = connection.execute(NOTE, (stream, Timestamp::now().second(), above))?;
            match above {
                Some(above) if noted > 0 => adopt(connection, stream, above),
                _ => Ok(0),
            }
        })
    }
}

/// A version of a row that begins with stamp and text.
fn shown(row: &Row) -> rusqlite::Result<ShownVersion> {
    Ok(ShownVersion {
        stamp: row.get(0)?,
        json: row.get(1)?,
        initiated_as: Vec::new(),
    })
}

/// Gives each version of a batch its stamp.
pub(super) struct Stamping<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// What gives each list its next stamps, once it is known.
    lists: PerStream<Option<Stamps>>,
}

impl<'a> Stamping<'a> {
    pub fn new(connection: &'a Connection) -> Stamping<'a> {
        Stamping {
            connection,
            now: Timestamp::now(),
            lists: PerStream::default(),
        }
    }

    /// Stamps the version of that seq, which is the newest one of its record.
    pub fn stamp(
        &mut self,
        stream: Stream,
        id: &str,
        seq: i64,
        own: Timestamp,
    ) -> rusqlite::Result<()> {
        if stream == Stream::Balances {
            return self.stamp_balances(id, own);
        }
        let mut stamps = match self.lists[stream] {
            Some(stamps) => stamps,
            None => stamps_of(self.connection, stream, self.now)?,
        };
        list(self.connection, stream, stamps.next(own), seq)?;
        self.lists[stream] = Some(stamps);
        Ok(())
    }

    /// No list orders balances: their stamps increase within each account.
    fn stamp_balances(&self, account_id: &str, own: Timestamp) -> rusqlite::Result<()> {
        const LAST: &str = "SELECT stamp FROM record WHERE stream = 'balances' AND id = ?1";
        const STAMP: &str = "UPDATE record SET stamp = ?2 WHERE stream = 'balances' AND id = ?1";
        let last: Option<Stamp> = value(self.connection, LAST, [account_id])?;
        let stamp = Stamps::after(last, 1, self.now).next(own);
        execute(self.connection, STAMP, (account_id, stamp))
    }
}

fn stamps_of(connection: &Connection, stream: Stream, now: Timestamp) -> rusqlite::Result<Stamps> {
    const LAST: &str = "
        SELECT max(stamp) FROM (SELECT max(stamp) AS stamp FROM listed WHERE stream = ?1
                                UNION ALL SELECT above FROM listing WHERE stream = ?1)";
    const CROWD: &str = "SELECT count(*) FROM listed WHERE stream = ?1 AND stamp >= ?2";
    let last: Option<Stamp> = value(connection, LAST, [stream])?;
    let second = last.map_or(i64::MAX, |last| {
        last.timestamp().second().start().nanoseconds()
    });
    let crowd = value(connection, CROWD, (stream, second))?;
    Ok(Stamps::after(last, crowd, now))
}

fn list(connection: &Connection, stream: Stream, stamp: Stamp, seq: i64) -> rusqlite::Result<()> {
    const LIST: &str = "INSERT INTO listed (stream, stamp, seq) VALUES (?1, ?2, ?3)";
    execute(connection, LIST, (stream, stamp, seq))
}

/// Gives a list new stamps above that one, in its order. How many versions it then has.
fn adopt(connection: &Connection, stream: Stream, above: Stamp) -> rusqlite::Result<usize> {
    // A new stamp may be another version's old one, so the list is set aside first. Its order is that of the seqs. Only
    // the newest version of a record is listed again: Formance may have a payment in its last status already, and would
    // take an earlier one that comes now for news. Nobody who could miss the others has read this list yet.
    const SET_ASIDE: &str = "
        INSERT INTO aside SELECT listed.seq FROM listed JOIN version ON version.seq = listed.seq
            JOIN record ON record.stream = version.stream AND record.id = version.id AND record.seq = version.seq
        WHERE listed.stream = ?1";
    const IN_ORDER: &str = "
        SELECT version.seq, version.timestamp FROM aside JOIN version ON version.seq = aside.seq ORDER BY aside.seq";
    connection.execute_batch("CREATE TEMP TABLE aside (seq INTEGER PRIMARY KEY) STRICT")?;
    let versions = connection.execute(SET_ASIDE, [stream])?;
    connection.execute("DELETE FROM listed WHERE stream = ?1", [stream])?;
    let mut stamps = Stamps::after(Some(above), 0, Timestamp::now());
    let mut reading = connection.prepare(IN_ORDER)?;
    let mut rows = reading.query([])?;
    while let Some(row) = rows.next()? {
        list(connection, stream, stamps.next(row.get(1)?), row.get(0)?)?;
    }
    drop(rows);
    drop(reading);
    connection.execute_batch("DROP TABLE aside")?;
    Ok(versions)
}

/// Stamps every version of a state that has no stamps yet. The first versions of this program accepted records that
/// break the API; they are not listed.
pub(super) fn stamp_everything(connection: &Connection) -> rusqlite::Result<()> {
    const VERSIONS: &str = "SELECT seq, stream, id, timestamp, json FROM version ORDER BY seq";
    const UNLIST: &str = "UPDATE record SET stamp = NULL WHERE stream = ?1 AND id = ?2";
    let mut stamping = Stamping::new(connection);
    let mut unlisted = 0;
    let mut reading = connection.prepare(VERSIONS)?;
    let mut rows = reading.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, stream, id, timestamp, json): (i64, Stream, String, Timestamp, String) =
            row.try_into()?;
        if read_record(stream, &json).is_ok() {
            stamping.stamp(stream, &id, seq, timestamp)?;
        } else {
            unlisted += 1;
            execute(connection, UNLIST, (stream, id))?;
        }
    }
    if unlisted > 0 {
        log::warn!(
            "{unlisted} versions of an older state break the API; they are kept but not listed to Connectivity"
        );
    }
    Ok(())
}
