//! The part of an upgrade that reads every row: in slices, each a transaction of its own, with the progress in the state.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::database::{Database, all, execute, limit, optional, value};
use super::stamping::{Stamped, Stamping};
use super::{Error, counts, unlisted};
use crate::api::{PerStream, Record, Stream, Timestamp, read_record};
use crate::formance::LeftOut;
use crate::notify::LongStart;

/// Rows in a slice.
const SLICE: usize = 1_000;

/// Something that is done to every row of a table of an older layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SliceWork {
    /// Layout 1 did not say which version comes before a version.
    Previous,
    /// Layouts 1 and 2 had no lists.
    Stamps,
    /// Layouts 3 to 5 had lists without places.
    Places,
    /// Layouts 3 to 5 listed what Formance cannot take.
    Unlist,
    /// Layout 4 had a table for what the `formance` publisher skipped.
    Skipped,
    /// Layout 4 had a table for the versions that wait for their payment.
    Waiting,
    /// Layout 4 had a table for the payments. The publisher's ledger says what the values mean.
    Payments,
    /// Layouts 1 to 11 had one table for all records.
    Transactions,
    /// Layouts 1 to 8 did not say how many versions there are.
    Versions,
    /// Layouts 1 to 8 did not say how many rows there are of anything else.
    Counts,
}

/// Rows that move from a table of an older layout to one of today's. The statements take the first rows, as many as a
/// slice has.
struct RowMove {
    table: &'static str,
    copy: &'static str,
    forget: &'static str,
}

const PLACES: RowMove = RowMove {
    table: "listed_before",
    copy: "INSERT INTO listed (stream, place, stamp, seq)
           SELECT stream, seq, stamp, seq FROM listed_before ORDER BY stream, stamp LIMIT ?1",
    forget: "DELETE FROM listed_before WHERE (stream, stamp) IN
             (SELECT stream, stamp FROM listed_before ORDER BY stream, stamp LIMIT ?1)",
};

const SKIPPED: RowMove = RowMove {
    table: "left_out",
    copy: "INSERT INTO memory (publisher, topic, key, seq, value)
           SELECT publisher, 'skipped', reason, seq, versions FROM left_out ORDER BY publisher, reason LIMIT ?1",
    forget: "DELETE FROM left_out WHERE (publisher, reason) IN
             (SELECT publisher, reason FROM left_out ORDER BY publisher, reason LIMIT ?1)",
};

const WAITING: RowMove = RowMove {
    table: "waiting",
    copy: "INSERT INTO memory (publisher, topic, key, seq)
           SELECT publisher, 'waiting', parent, seq FROM waiting ORDER BY publisher, parent, seq LIMIT ?1",
    forget: "DELETE FROM waiting WHERE (publisher, parent, seq) IN
             (SELECT publisher, parent, seq FROM waiting ORDER BY publisher, parent, seq LIMIT ?1)",
};

const PAYMENTS: RowMove = RowMove {
    table: "payment",
    copy: "INSERT INTO memory (publisher, topic, key, seq, value)
           SELECT publisher, 'payment', id, seq, json_object(
               'status', status, 'amount', amount, 'metadata', nullif(lower(hex(metadata)), ''),
               'kept', lower(hex(kept)), 'newest', newest, 'part', json(CASE
                   WHEN parent IS NOT NULL THEN json_object('of', parent)
                   ELSE json_object('own', json_object(
                       'type', type, 'asset', asset, 'initial', initial, 'shown', shown,
                       'isOpen', json(iif(is_open, 'true', 'false'))))
                   END))
           FROM payment ORDER BY publisher, id LIMIT ?1",
    forget: "DELETE FROM payment WHERE (publisher, id) IN
             (SELECT publisher, id FROM payment ORDER BY publisher, id LIMIT ?1)",
};

impl SliceWork {
    const ALL: [SliceWork; 10] = [
        SliceWork::Previous,
        SliceWork::Stamps,
        SliceWork::Places,
        SliceWork::Unlist,
        SliceWork::Skipped,
        SliceWork::Waiting,
        SliceWork::Payments,
        SliceWork::Transactions,
        SliceWork::Versions,
        SliceWork::Counts,
    ];

    /// Its name in the state.
    fn name(self) -> &'static str {
        match self {
            SliceWork::Previous => "previous",
            SliceWork::Stamps => "stamps",
            SliceWork::Places => "places",
            SliceWork::Unlist => "unlist",
            SliceWork::Skipped => "skipped",
            SliceWork::Waiting => "waiting",
            SliceWork::Payments => "payments",
            SliceWork::Transactions => "transactions",
            SliceWork::Versions => "versions",
            SliceWork::Counts => "counts",
        }
    }

    /// Does the slice that follows the row `after`. The last row of it; none if there is no further one.
    fn slice(self, connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
        match self {
            SliceWork::Previous => link_versions(connection, after),
            SliceWork::Stamps => stamp_versions(connection, after),
            SliceWork::Places => move_rows(connection, &PLACES),
            SliceWork::Unlist => unlist_versions(connection, after),
            SliceWork::Skipped => move_rows(connection, &SKIPPED),
            SliceWork::Waiting => move_rows(connection, &WAITING),
            SliceWork::Payments => move_rows(connection, &PAYMENTS),
            SliceWork::Transactions => move_transactions(connection),
            SliceWork::Versions => count_versions(connection, after),
            SliceWork::Counts => count_rows(connection, after),
        }
    }
}

/// Notes what is to be done, beside what an older version of this program has left. Nobody can use the state until all of
/// it is.
pub(super) fn plan(
    connection: &Connection,
    works: impl Iterator<Item = SliceWork>,
) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS upgrade (work TEXT PRIMARY KEY, after INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    for work in works {
        execute(
            connection,
            "INSERT INTO upgrade (work, after) VALUES (?1, 0)",
            [work.name()],
        )?;
    }
    Ok(())
}

/// Does what is planned and not done yet.
pub(super) fn finish(database: &Database, start: &LongStart) -> Result<(), Error> {
    const DOING: &str = "migrate the state";
    if !database.is_upgrading()? {
        return Ok(());
    }
    for work in SliceWork::ALL {
        let mut slices = 0;
        while database.write(DOING, |connection| work_on(connection, work))? {
            slices += 1;
            start.is_doing(format!(
                "migrating the state: {}, {} rows done",
                work.name(),
                slices * SLICE
            ));
        }
    }
    database.write(DOING, |connection| {
        connection.execute_batch("DROP TABLE upgrade")
    })?;
    log::info!("the state is migrated");
    Ok(())
}

/// One slice of a work, if it is planned. Whether there is more to do.
fn work_on(connection: &Connection, work: SliceWork) -> rusqlite::Result<bool> {
    const AFTER: &str = "SELECT after FROM upgrade WHERE work = ?1";
    const NOTE: &str = "UPDATE upgrade SET after = ?2 WHERE work = ?1";
    const DONE: &str = "DELETE FROM upgrade WHERE work = ?1";
    let Some(after) = optional(connection, AFTER, [work.name()], |row| row.get(0))? else {
        return Ok(false);
    };
    match work.slice(connection, after)? {
        Some(last) => execute(connection, NOTE, (work.name(), last))?,
        None => execute(connection, DONE, [work.name()])?,
    };
    Ok(true)
}

fn move_rows(connection: &Connection, rows: &RowMove) -> rusqlite::Result<Option<i64>> {
    let moved = connection
        .prepare_cached(rows.copy)?
        .execute([limit(SLICE)])?;
    execute(connection, rows.forget, [limit(SLICE)])?;
    if moved == SLICE {
        return Ok(Some(0));
    }
    connection.execute_batch(&format!("DROP TABLE {}", rows.table))?;
    Ok(None)
}

/// Says of versions which one of the same record comes before. A table of its own has the last one of each record.
fn link_versions(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    const VERSIONS: &str =
        "SELECT seq, stream, id FROM version WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    const LAST: &str = "SELECT seq FROM chain WHERE stream = ?1 AND id = ?2";
    const LINK: &str = "UPDATE version SET previous = ?2 WHERE seq = ?1";
    const NOTE: &str = "INSERT OR REPLACE INTO chain (stream, id, seq) VALUES (?1, ?2, ?3)";
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS chain (
             stream TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (stream, id)
         ) STRICT, WITHOUT ROWID",
    )?;
    let versions: Vec<(i64, String, String)> =
        all(connection, VERSIONS, (after, limit(SLICE)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    for (seq, stream, id) in &versions {
        let before: Option<i64> = optional(connection, LAST, (stream, id), |row| row.get(0))?;
        if let Some(before) = before {
            execute(connection, LINK, (seq, before))?;
        }
        execute(connection, NOTE, (stream, id, seq))?;
    }
    let last = versions.last().map(|(seq, ..)| *seq);
    if last.is_none() {
        connection.execute_batch("DROP TABLE chain")?;
    }
    Ok(last)
}

/// A version of an older layout.
struct OldVersion {
    seq: i64,
    stream: Stream,
    id: String,
    number: i64,
    timestamp: Timestamp,
    json: String,
}

impl OldVersion {
    /// The next ones, in the order of their seqs.
    fn after(connection: &Connection, after: i64) -> rusqlite::Result<Vec<OldVersion>> {
        const VERSIONS: &str = "
            SELECT seq, stream, id, number, timestamp, json FROM version WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        all(connection, VERSIONS, (after, limit(SLICE)), |row| {
            Ok(OldVersion {
                seq: row.get(0)?,
                stream: row.get(1)?,
                id: row.get(2)?,
                number: row.get(3)?,
                timestamp: row.get(4)?,
                json: row.get(5)?,
            })
        })
    }

    /// Its record; none if it breaks the API, because the first versions of this program accepted such records.
    fn record(&self) -> Option<Record> {
        let record = read_record(self.stream, self.json.as_str()).ok()?;
        Some(Record {
            timestamp: self.timestamp,
            ..record
        })
    }
}

/// Lists versions, except those that break the API.
fn stamp_versions(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    let versions = OldVersion::after(connection, after)?;
    let stamped = Stamped {
        lists: PerStream::from_fn(|_| true),
        ..Stamped::default()
    };
    let mut stamping = Stamping::new(connection, stamped);
    for version in &versions {
        let Some(record) = version.record() else {
            stamping.unlist(version.stream, &version.id)?;
            continue;
        };
        if let Some(left_out) = stamping.stamp(&record, version.seq, version.number)? {
            unlisted::count(connection, &record, version.number, left_out)?;
        }
    }
    stamping.finish()?;
    let last = versions.last().map(|version| version.seq);
    if last.is_none() {
        warn_of_unlisted(connection)?;
    }
    Ok(last)
}

/// Removes what Formance cannot take from the lists, in which each version has its seq as its place.
fn unlist_versions(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    const UNLIST: &str = "DELETE FROM listed WHERE stream = ?1 AND place = ?2";
    let versions = OldVersion::after(connection, after)?;
    for version in &versions {
        let Some(record) = version.record() else {
            continue;
        };
        if let Some(left_out) = LeftOut::of(&record) {
            unlisted::count(connection, &record, version.number, left_out)?;
            if left_out.is_whole(record.stream) {
                execute(connection, UNLIST, (record.stream, version.seq))?;
            }
        }
    }
    Ok(versions.last().map(|version| version.seq))
}

/// Moves the records of transactions to their own table, in the order of their ids.
fn move_transactions(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    const COPY: &str = "
        INSERT INTO old_transaction (id, seq)
        SELECT id, seq FROM other_record WHERE stream = 'transactions' ORDER BY id LIMIT ?1";
    const FORGET: &str = "
        DELETE FROM other_record
        WHERE stream = 'transactions' AND id <= (SELECT max(id) FROM old_transaction)";
    let copied = connection.prepare_cached(COPY)?.execute([limit(SLICE)])?;
    execute(connection, FORGET, [])?;
    Ok((copied == SLICE).then_some(0))
}

/// Counts versions.
fn count_versions(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    const STREAMS: &str = "SELECT seq, stream FROM version WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    if after == 0 {
        counts::forget(connection, &counts::VERSIONS)?;
    }
    let versions: Vec<(i64, String)> = all(connection, STREAMS, (after, limit(SLICE)), |row| {
        row.try_into()
    })?;
    let mut found: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, stream) in &versions {
        *found.entry(stream).or_default() += 1;
    }
    for (stream, more) in found {
        counts::add(connection, &counts::VERSIONS, stream, more)?;
    }
    Ok(versions.last().map(|(seq, _)| *seq))
}

/// Counts the rows of one kind. What was counted of them so far does not count.
fn count_rows(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    let Some(rows) = usize::try_from(after)
        .ok()
        .and_then(|kind| counts::AT_ONCE.get(kind))
    else {
        return Ok(None);
    };
    counts::count_again(connection, rows)?;
    Ok(Some(after + 1))
}

fn warn_of_unlisted(connection: &Connection) -> rusqlite::Result<()> {
    const UNLISTED: &str = "
        SELECT (SELECT count(*) FROM version WHERE stream <> 'balances') - (SELECT count(*) FROM listed)
             - (SELECT coalesce(sum(count), 0) FROM unlisted
                WHERE reason IN ('long id', 'long account id') OR reason = 'long amount' AND stream = 'transactions')
             + (SELECT count(*) FROM other_record WHERE stream = 'balances' AND stamp IS NULL)";
    let unlisted: i64 = value(connection, UNLISTED, [])?;
    if unlisted > 0 {
        log::warn!(
            "{unlisted} versions of an older state break the API; they are kept but not listed to Connectivity"
        );
    }
    Ok(())
}
