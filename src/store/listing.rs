use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::{Error, Stamp, initiation, stamp::Stamps};
use crate::api::{Initiation, Second, Stream, Timestamp, read_record};
use crate::crash;

/// How many versions are stamped anew between two looks at the state.
const AT_ONCE: i64 = 1_000;

/// The lists as Connectivity is shown them: every version under its stamp, read on a connection of its own.
#[derive(Debug)]
pub struct Listing {
    connection: Connection,
    file: PathBuf,
}

/// One version as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The date that it is shown under.
    pub stamp: Stamp,
    /// The record as the service sent it.
    pub json: String,
    /// Of a transaction with the id of payouts or transfers that Connectivity has asked for: the `idempotencyKey` of each.
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
        let (connection, file) =
            super::open_existing(directory, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection
            .pragma_update(None, "cache_size", CACHE)
            .map_err(Error::on(&file, "open the lists"))?;
        Ok(Listing { connection, file })
    }

    /// Whether anything has been committed that can be shown: a version, or a poll that found that there is none.
    pub fn is_ready(&self) -> Result<bool, Error> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM version)
                     OR EXISTS (SELECT 1 FROM poll WHERE outcome IN ('complete', 'partial'))",
            )
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(Error::on(&self.file, "read the state"))
    }

    /// One page of a list.
    pub fn page(&self, stream: Stream, selection: &Selection) -> Result<Vec<Listed>, Error> {
        let page = || -> rusqlite::Result<Vec<Listed>> {
            // One transaction, so that the page and what is held back belong together.
            let transaction = self.connection.unchecked_transaction()?;
            let until = match stream {
                Stream::Transactions => initiation::held_back_after(&transaction)?,
                _ => i64::MAX,
            };
            let any_initiated =
                stream == Stream::Transactions && initiation::are_any(&transaction)?;
            let from = selection
                .from
                .map_or(i64::MIN, |from| from.start().nanoseconds());
            let skipped = (selection.page - 1).saturating_mul(selection.page_size.into());
            let order = if selection.newest_first {
                "DESC"
            } else {
                "ASC"
            };
            let versions: Vec<Listed> = transaction
                .prepare_cached(&format!(
                    "SELECT listed.stamp, version.json, version.id
                     FROM (SELECT stamp, seq FROM listed WHERE stream = ?1 AND stamp >= ?2 AND seq <= ?3
                           ORDER BY stamp {order} LIMIT ?4 OFFSET ?5) AS listed
                     JOIN version ON version.seq = listed.seq
                     ORDER BY listed.stamp {order}"
                ))?
                .query_map(
                    (
                        stream.name(),
                        from,
                        until,
                        selection.page_size,
                        i64::try_from(skipped).unwrap_or(i64::MAX),
                    ),
                    |row| {
                        let id: String = row.get(2)?;
                        Ok(Listed {
                            stamp: Stamp::from_nanoseconds(row.get(0)?),
                            json: row.get(1)?,
                            initiated_as: match any_initiated {
                                true => initiation::keys_of(&transaction, &id)?,
                                false => Vec::new(),
                            },
                        })
                    },
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(versions)
        };
        page().map_err(Error::on(&self.file, "read a list"))
    }

    /// Whether a list has anything to show.
    pub fn has_versions(&self, stream: Stream) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM listed WHERE stream = ?1)")
            .and_then(|mut statement| statement.query_row([stream.name()], |row| row.get(0)))
            .map_err(Error::on(&self.file, "read a list"))
    }

    /// The newest balances of an account; none if there are none.
    pub fn balances(&self, account_id: &str) -> Result<Option<Listed>, Error> {
        self.connection
            .prepare_cached(
                "SELECT record.stamp, version.json FROM record JOIN version ON version.seq = record.seq
                 WHERE record.stream = 'balances' AND record.id = ?1 AND record.stamp IS NOT NULL",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([account_id], |row| {
                        Ok(Listed {
                            stamp: Stamp::from_nanoseconds(row.get(0)?),
                            json: row.get(1)?,
                            initiated_as: Vec::new(),
                        })
                    })
                    .optional()
            })
            .map_err(Error::on(&self.file, "read an account's balances"))
    }

    /// Whether there is such an account, and whether a whole poll has asked for its balances.
    pub fn account(&self, id: &str) -> Result<Option<bool>, Error> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM poll WHERE number >= version.poll AND outcome IN ('complete', 'partial'))
                 FROM record JOIN version ON version.seq = record.seq
                 WHERE record.stream = 'accounts' AND record.id = ?1",
            )
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(Error::on(&self.file, "look up an account"))
    }

    /// Whether Connectivity has asked for this list before.
    pub fn has_been_asked_for(&self, stream: Stream) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM listing WHERE stream = ?1)")
            .and_then(|mut statement| statement.query_row([stream.name()], |row| row.get(0)))
            .map_err(Error::on(&self.file, "read who has asked for a list"))
    }

    /// Writes down that Connectivity asks for this list, if it does so for the first time. How many versions were stamped
    /// anew.
    ///
    /// Who comes with a bound the first time was pointed at the service before, and has lost records that lie below it.
    /// So the whole list is stamped anew above the bound, and is read again.
    pub fn asked_for(&mut self, stream: Stream, from: Option<Second>) -> Result<u64, Error> {
        let fail = Error::on(&self.file, "stamp a list anew");
        let adopt = |connection: &mut Connection| -> rusqlite::Result<u64> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let above = from.map(|from| Stamp::from_nanoseconds(from.end().nanoseconds()));
            crash::point();
            let first = transaction.execute(
                "INSERT OR IGNORE INTO listing (stream, asked_at, above) VALUES (?1, ?2, ?3)",
                (
                    stream.name(),
                    Timestamp::now().second().to_string(),
                    above.map(Stamp::nanoseconds),
                ),
            )?;
            let stamped = match above {
                Some(above) if first > 0 => stamp_anew(&transaction, stream, above)?,
                _ => 0,
            };
            crash::point();
            transaction.commit()?;
            crash::point();
            Ok(stamped)
        };
        adopt(&mut self.connection).map_err(fail)
    }
}

/// Gives each version of a batch its stamp.
pub(super) struct Stamping<'a> {
    transaction: &'a Transaction<'a>,
    now: Timestamp,
    /// Of each list, where they are known already.
    lists: [Option<Stamps>; Stream::ALL.len()],
}

impl<'a> Stamping<'a> {
    pub fn new(transaction: &'a Transaction<'a>) -> Stamping<'a> {
        Stamping {
            transaction,
            now: Timestamp::now(),
            lists: [None; Stream::ALL.len()],
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
        let mut stamps = match self.lists[stream as usize] {
            Some(stamps) => stamps,
            None => stamps_of(self.transaction, stream, self.now)?,
        };
        list(self.transaction, stream, stamps.next(own), seq)?;
        self.lists[stream as usize] = Some(stamps);
        Ok(())
    }

    /// The newest version of the record is one that cannot be shown.
    fn unlist(&self, stream: Stream, id: &str) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("UPDATE record SET stamp = NULL WHERE stream = ?1 AND id = ?2")?
            .execute((stream.name(), id))?;
        Ok(())
    }

    /// No list orders balances: their stamps increase for each account.
    fn stamp_balances(&self, account_id: &str, own: Timestamp) -> rusqlite::Result<()> {
        let last: Option<i64> = self
            .transaction
            .prepare_cached("SELECT stamp FROM record WHERE stream = 'balances' AND id = ?1")?
            .query_row([account_id], |row| row.get(0))?;
        let last = last.map(Stamp::from_nanoseconds);
        let stamp = Stamps::after(last, 1, self.now).next(own);
        self.transaction
            .prepare_cached("UPDATE record SET stamp = ?2 WHERE stream = 'balances' AND id = ?1")?
            .execute((account_id, stamp.nanoseconds()))?;
        Ok(())
    }
}

/// What gives the versions that follow in a list their stamps.
fn stamps_of(connection: &Connection, stream: Stream, now: Timestamp) -> rusqlite::Result<Stamps> {
    let last: Option<i64> = connection.query_row(
        "SELECT max(stamp) FROM (SELECT max(stamp) AS stamp FROM listed WHERE stream = ?1
                                 UNION ALL SELECT above FROM listing WHERE stream = ?1)",
        [stream.name()],
        |row| row.get(0),
    )?;
    let last = last.map(Stamp::from_nanoseconds);
    let second = last.map_or(i64::MAX, |last| {
        last.timestamp().second().start().nanoseconds()
    });
    let crowd = connection.query_row(
        "SELECT count(*) FROM listed WHERE stream = ?1 AND stamp >= ?2",
        (stream.name(), second),
        |row| row.get(0),
    )?;
    Ok(Stamps::after(last, crowd, now))
}

fn list(connection: &Connection, stream: Stream, stamp: Stamp, seq: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO listed (stream, stamp, seq) VALUES (?1, ?2, ?3)")?
        .execute((stream.name(), stamp.nanoseconds(), seq))?;
    Ok(())
}

/// Stamps a list anew, above that stamp, in its order. How many versions it has.
fn stamp_anew(transaction: &Transaction, stream: Stream, above: Stamp) -> rusqlite::Result<u64> {
    // New stamps may be old ones of other versions, so they are set aside first. The seqs are in the stamps' order. Only
    // the newest version of a record is listed again: of a payment that Formance has in its last status, an earlier one
    // that comes now would be taken for news. Nobody has read this list yet who could miss the others.
    transaction.execute_batch("CREATE TEMP TABLE anew (seq INTEGER PRIMARY KEY) STRICT")?;
    let versions = transaction.execute(
        "INSERT INTO anew SELECT listed.seq FROM listed JOIN version ON version.seq = listed.seq
             JOIN record ON record.stream = version.stream AND record.id = version.id AND record.seq = version.seq
         WHERE listed.stream = ?1",
        [stream.name()],
    )?;
    transaction.execute("DELETE FROM listed WHERE stream = ?1", [stream.name()])?;
    let mut stamps = Stamps::after(Some(above), 0, Timestamp::now());
    let mut reading = transaction.prepare(
        "SELECT version.seq, version.timestamp FROM anew JOIN version ON version.seq = anew.seq ORDER BY anew.seq",
    )?;
    let mut rows = reading.query([])?;
    while let Some(row) = rows.next()? {
        let stamp = stamps.next(super::timestamp(row, 1)?);
        list(transaction, stream, stamp, row.get(0)?)?;
    }
    drop(rows);
    drop(reading);
    transaction.execute_batch("DROP TABLE anew")?;
    Ok(versions as u64)
}

/// Stamps the versions of a state that has no stamps yet. What breaks the API, as the first versions of this program
/// accepted it, is not listed.
pub(super) fn stamp_everything(transaction: &Transaction) -> rusqlite::Result<()> {
    let mut stamping = Stamping::new(transaction);
    let (mut after, mut unlisted) = (0, 0);
    loop {
        let versions: Vec<(i64, Stream, String, Timestamp, String)> = transaction
            .prepare_cached("SELECT seq, stream, id, timestamp, json FROM version WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
            .query_map((after, AT_ONCE), |row| {
                Ok((row.get(0)?, super::stream(row, 1)?, row.get(2)?, super::timestamp(row, 3)?, row.get(4)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let Some((last, ..)) = versions.last() else {
            break;
        };
        after = *last;
        for (seq, stream, id, timestamp, json) in versions {
            match read_record(stream, &json) {
                Ok(_) => stamping.stamp(stream, &id, seq, timestamp)?,
                Err(_) => {
                    unlisted += 1;
                    stamping.unlist(stream, &id)?;
                }
            }
        }
    }
    if unlisted > 0 {
        log::warn!(
            "{unlisted} versions of an older state break the API; they are kept, and not listed to Connectivity"
        );
    }
    Ok(())
}
