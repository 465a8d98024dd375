use std::path::Path;

use rusqlite::{Connection, Row};

use super::columns::AsJson;
use super::database::{Database, execute, optional};
use super::{Error, Stamp, adoption, damage, initiation, journal_copy};
use crate::api::{Initiation, Second, Stream};
use crate::formance::{ShownAs, relation, storable_text};

/// The lists as Connectivity sees them: every version under its stamp, read on a connection of its own.
#[derive(Debug)]
pub struct Listing(pub(super) Database);

/// One version as it is shown.
#[derive(Debug)]
pub struct ShownVersion<'a> {
    /// The date that it is shown under.
    pub stamp: Stamp,
    /// The record as the service sent it.
    pub json: &'a str,
    /// How a transaction is shown otherwise than the service has sent it.
    pub shown_as: Option<ShownAs>,
    /// If Connectivity has asked for payouts or transfers that became this transaction, or the one that it relates to: the
    /// `idempotencyKey` of each.
    pub initiated_as: Vec<(Initiation, String)>,
}

/// How a version is written on a page.
pub type VersionWriter = dyn Fn(&mut String, &ShownVersion);

/// A page as far as it could be read.
struct ReadPage {
    page: ListedPage,
    /// Seqs and places of what is damaged.
    damaged: Vec<(i64, i64)>,
}

/// Bytes of a usual record. A page begins with room for as many of them as it may have.
const USUAL_BYTES: usize = 320;

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
    /// The last place of the page before, if it is known: the page begins behind it, and nothing is counted. Only if the
    /// newest ones come last.
    pub after: Option<i64>,
}

/// A page of a list.
#[derive(Debug)]
pub struct ListedPage {
    /// What is shown on it, as a JSON array.
    pub json: String,
    /// The stamp of the last version that is shown.
    pub stamp: Option<Stamp>,
    /// Its last place in the list, if it is full: the next page begins behind it.
    pub last: Option<i64>,
}

impl Selection {
    /// How many versions come before the page.
    fn skipped(&self) -> i64 {
        let skipped = (self.page - 1).saturating_mul(self.page_size.into());
        i64::try_from(skipped).unwrap_or(i64::MAX)
    }
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

    /// One page of a list; none while the list is dated again.
    ///
    /// Damaged versions are left out, so a page may be short, which Formance takes for the end of the list until it
    /// asks again. `is_first`: it begins a run. No earlier page can shift then, so what is damaged leaves the list, and
    /// the page is full.
    pub fn page(
        &self,
        stream: Stream,
        selection: &Selection,
        is_first: bool,
        write: &VersionWriter,
    ) -> Result<Option<ListedPage>, Error> {
        const LEAVE_OUT: &str = "DELETE FROM listed WHERE stream = ?1 AND place = ?2";
        loop {
            // One transaction, so that the page and what is held back belong together.
            let read = || {
                self.0.read("read a list", |connection| {
                    if adoption::is_under_way(connection, stream)? {
                        return Ok(None);
                    }
                    read_page(connection, stream, selection, write).map(Some)
                })
            };
            let Some(ReadPage { page, damaged }) = journal_copy::repairing(&self.0, read)? else {
                return Ok(None);
            };
            if damaged.is_empty() {
                return Ok(Some(page));
            }
            let seqs: Vec<_> = damaged.iter().map(|(seq, _)| (*seq, stream)).collect();
            self.0.note_damage(&seqs)?;
            if !is_first {
                return Ok(Some(page));
            }
            self.0.write("leave damaged versions out", |connection| {
                for (_, place) in &damaged {
                    execute(connection, LEAVE_OUT, (stream, place))?;
                }
                Ok(())
            })?;
        }
    }

    /// The newest balances of an account; none if there are none. Also, whether they must not be shown, because the state
    /// was put back from an older copy and they have not been read since. It is an error if they are damaged.
    pub fn balances(
        &self,
        account_id: &str,
        write: &VersionWriter,
    ) -> Result<Option<(String, bool)>, Error> {
        const BALANCES: &str = "
            SELECT record.stamp, version.hash, version.json, record.seq, EXISTS (
                SELECT 1 FROM restored WHERE record.seq <= last_seq AND NOT EXISTS (
                    SELECT 1 FROM poll WHERE outcome = 'complete' AND started_at > noticed_at))
            FROM other_record AS record
            LEFT JOIN version ON version.seq = record.seq AND version.stream = 'balances' AND version.id = record.id
            WHERE record.stream = 'balances' AND record.id = ?1 AND record.stamp IS NOT NULL";
        let read = |row: &Row| {
            let written = shown(row)?.map(|version| {
                let mut written = String::new();
                write(&mut written, &version);
                written
            });
            Ok((row.get(3)?, written, row.get(4)?))
        };
        let found = self
            .0
            .optional("read an account's balances", BALANCES, [account_id], read)?;
        match found {
            None => Ok(None),
            Some((_, Some(written), is_hidden)) => Ok(Some((written, is_hidden))),
            Some((seq, None, _)) => {
                let stream = Stream::Balances;
                self.0.note_damage(&[(seq, stream)])?;
                Err(Error::Damaged { stream, seq })
            }
        }
    }

    /// The ids of the accounts that are listed under this one, which is not theirs: U+0000 in them is U+FFFD in it.
    pub fn listed_as(&self, id: &str) -> Result<Vec<String>, Error> {
        const BETWEEN: &str = "SELECT id FROM other_record WHERE stream = 'accounts' AND id >= ?1 AND id < ?2 ORDER BY id";
        let mut found = Vec::new();
        for (place, _) in id.match_indices(char::REPLACEMENT_CHARACTER) {
            // The ids whose first U+0000 is here.
            let (from, to) = (
                format!("{}\0", &id[..place]),
                format!("{}\u{1}", &id[..place]),
            );
            let ids: Vec<String> =
                self.0
                    .all("look up an account", BETWEEN, (from, to), |row| row.get(0))?;
            found.extend(ids.into_iter().filter(|own| storable_text(own) == id));
        }
        Ok(found)
    }

    /// Whether there is such an account, and if so, whether a whole poll has asked for its balances.
    pub fn account(&self, id: &str) -> Result<Option<bool>, Error> {
        const ACCOUNT: &str = "
            SELECT EXISTS (SELECT 1 FROM poll WHERE number >= version.poll AND outcome IN ('complete', 'partial'))
            FROM other_record AS record JOIN version ON version.seq = record.seq
            WHERE record.stream = 'accounts' AND record.id = ?1";
        self.0
            .optional("look up an account", ACCOUNT, [id], |row| row.get(0))
    }
}

/// Reads a page row by row. Each is written at once, so a page of large records is in memory once.
fn read_page(
    connection: &Connection,
    stream: Stream,
    selection: &Selection,
    write: &VersionWriter,
) -> rusqlite::Result<ReadPage> {
    let is_initiated = stream == Stream::Transactions;
    let until = if is_initiated {
        initiation::held_back_after(connection)?
    } else {
        i64::MAX
    };
    let has_keys = is_initiated && initiation::are_any(connection)?;
    let (from, skipped) = match (selection.after, selection.from) {
        (Some(after), _) => (after.saturating_add(1), 0),
        (None, Some(from)) => (place_of(connection, stream, from)?, selection.skipped()),
        (None, None) => (i64::MIN, selection.skipped()),
    };
    let most = selection.page_size as usize;
    let mut read = ReadPage {
        page: ListedPage {
            json: String::with_capacity(most * USUAL_BYTES),
            stamp: None,
            last: None,
        },
        damaged: Vec::new(),
    };
    let json = &mut read.page.json;
    json.push('[');
    let mut statement = connection.prepare_cached(&rows_of_a_page(selection.newest_first))?;
    let mut rows = statement.query((stream, from, until, selection.page_size, skipped))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let place = row.get(3)?;
        count += 1;
        if count == most {
            read.page.last = Some(place);
        }
        let Some(mut version) = shown(row)? else {
            read.damaged.push((row.get(4)?, place));
            continue;
        };
        if is_initiated {
            let shown_as: Option<AsJson<ShownAs>> = row.get(6)?;
            version.shown_as = shown_as.map(|AsJson(shown_as)| shown_as);
        }
        if has_keys {
            let related = relation(version.json, version.shown_as.as_ref());
            let id = related.map_or_else(|| row.get(5), Ok)?;
            version.initiated_as = initiation::keys_of(connection, &id)?;
        }
        if read.page.stamp.replace(version.stamp).is_some() {
            json.push(',');
        }
        write(json, &version);
    }
    json.push(']');
    Ok(read)
}

fn rows_of_a_page(newest_first: bool) -> String {
    let order = if newest_first { "DESC" } else { "ASC" };
    format!(
        "SELECT listed.stamp, version.hash, version.json, listed.place, listed.seq, version.id, listed.shown
         FROM (SELECT place, stamp, seq, shown FROM listed WHERE stream = ?1 AND place >= ?2 AND place <= ?3
               ORDER BY place {order} LIMIT ?4 OFFSET ?5) AS listed
         LEFT JOIN version ON version.seq = listed.seq AND version.stream = ?1
         ORDER BY listed.place {order}"
    )
}

/// The first place of a list whose stamp lies in that second or later; the greatest number if there is none.
fn place_of(connection: &Connection, stream: Stream, from: Second) -> rusqlite::Result<i64> {
    const PLACE: &str =
        "SELECT place FROM listed WHERE stream = ?1 AND stamp >= ?2 ORDER BY stamp LIMIT 1";
    let from = from.start().nanoseconds();
    let place = optional(connection, PLACE, (stream, from), |row| row.get(0))?;
    Ok(place.unwrap_or(i64::MAX))
}

/// A version of a row that begins with stamp, hash and text; none if it is damaged.
fn shown<'row>(row: &'row Row) -> rusqlite::Result<Option<ShownVersion<'row>>> {
    let stamp = row.get(0)?;
    let json = damage::text_in_place(row, 1, 2)?;
    Ok(json.map(|json| ShownVersion {
        stamp,
        json,
        shown_as: None,
        initiated_as: Vec::new(),
    }))
}
