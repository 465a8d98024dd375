use rusqlite::Connection;

use super::Stamp;
use super::columns::AsJson;
use super::database::{execute, value};
use super::insert::insert;
use super::shown::{NewEntry, ShownBatch};
use super::stamp::Stamps;
use super::sweep::ReadingReach;
use crate::api::{PerStream, Record, Stream, Timestamp};
use crate::formance::{LeftOut, ShownAs};

/// What is known of the stamps of a state that is open.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamped {
    /// The lists that have got a stamp since it was opened.
    pub lists: PerStream<bool>,
    /// The greatest stamp of balances.
    pub balances: Option<Stamp>,
    /// If the state was put back: the newest seq of then. What the lost branch has shown is not known.
    pub before_restore: i64,
}

/// Puts the versions of a batch into the lists, each at the next place and under its stamp.
pub(super) struct Stamping<'a> {
    connection: &'a Connection,
    now: Timestamp,
    stamped: Stamped,
    /// The ends of the lists, once they are known.
    ends: PerStream<Option<ListEnd>>,
    /// What decides how transactions are shown, once it is known.
    shown: Option<ShownBatch>,
    /// Entries that are not written yet.
    entries: Vec<ListedEntry>,
}

/// Entries of lists that are in memory at most.
const MOST_ENTRIES: usize = 256;

/// An entry of a list as it is written.
struct ListedEntry {
    stream: Stream,
    place: i64,
    stamp: Stamp,
    seq: i64,
    shown_as: Option<AsJson<ShownAs>>,
}

/// Where a list ends.
struct ListEnd {
    place: i64,
    stamps: Stamps,
}

impl<'a> Stamping<'a> {
    /// For a batch. `stamped` is what is known before it.
    pub fn new(connection: &'a Connection, stamped: Stamped) -> Stamping<'a> {
        Stamping {
            connection,
            now: Timestamp::now(),
            stamped,
            ends: PerStream::default(),
            shown: None,
            entries: Vec::new(),
        }
    }

    /// Lists the version of that seq, which is the newest one of its record, the `number`th one. What is left out of it,
    /// perhaps all of it.
    pub fn stamp(
        &mut self,
        record: &Record,
        seq: i64,
        number: i64,
    ) -> rusqlite::Result<Option<LeftOut>> {
        let left_out = LeftOut::of(record);
        if left_out.is_some_and(|left_out| left_out.is_whole(record.stream)) {
            return Ok(left_out);
        }
        if record.stream == Stream::Transactions {
            let connection = self.connection;
            let entries = self.shown()?.list(connection, record, seq, number == 1)?;
            self.list_all(&entries)?;
        } else {
            self.list(record.stream, &record.id, &NewEntry::of(record, seq))?;
        }
        Ok(left_out)
    }

    /// Lists a version again that is repaired.
    pub fn stamp_again(&mut self, record: &Record, seq: i64) -> rusqlite::Result<()> {
        let left_out = LeftOut::of(record);
        if left_out.is_some_and(|left_out| left_out.is_whole(record.stream)) {
            return Ok(());
        }
        if record.stream == Stream::Transactions {
            let connection = self.connection;
            let entries = self.shown()?.list_again(connection, record, seq)?;
            return self.list_all(&entries);
        }
        self.list(record.stream, &record.id, &NewEntry::of(record, seq))
    }

    /// Lists some of the transactions that wait for one that the service does not list, as a sweep of that reach has found.
    /// How many they are.
    pub fn stamp_orphans(&mut self, reach: ReadingReach, most: usize) -> rusqlite::Result<usize> {
        let connection = self.connection;
        let (entries, orphans) = self.shown()?.list_orphans(connection, reach, most)?;
        self.list_all(&entries)?;
        Ok(orphans)
    }

    fn shown(&mut self) -> rusqlite::Result<&mut ShownBatch> {
        let shown = match self.shown.take() {
            Some(shown) => shown,
            None => ShownBatch::read(self.connection)?,
        };
        Ok(self.shown.insert(shown))
    }

    fn list_all(&mut self, entries: &[NewEntry]) -> rusqlite::Result<()> {
        // Transactions are not listed by their ids.
        let list = |entry| self.list(Stream::Transactions, "", entry);
        entries.iter().try_for_each(list)
    }

    fn list(&mut self, stream: Stream, id: &str, entry: &NewEntry) -> rusqlite::Result<()> {
        let NewEntry { seq, own, shown_as } = entry;
        if stream == Stream::Balances {
            return self.stamp_balances(id, *seq, *own);
        }
        let mut end = match self.ends[stream].take() {
            Some(end) => end,
            None => ListEnd {
                place: last_place(self.connection, stream)?,
                stamps: stamps_of(self.connection, stream, self.now)?,
            },
        };
        if !self.stamped.lists[stream] {
            end.stamps.leave_second();
            self.stamped.lists[stream] = true;
        }
        end.place += 1;
        self.entries.push(ListedEntry {
            stream,
            place: end.place,
            stamp: end.stamps.next(*own),
            seq: *seq,
            shown_as: shown_as.clone().map(AsJson),
        });
        if self.entries.len() == MOST_ENTRIES {
            self.write()?;
        }
        self.ends[stream] = Some(end);
        Ok(())
    }

    /// Keeps a record out of the lists, because its newest version cannot be shown.
    pub fn unlist(&self, stream: Stream, id: &str) -> rusqlite::Result<()> {
        const UNLIST: &str = "UPDATE other_record SET stamp = NULL WHERE stream = ?1 AND id = ?2";
        execute(self.connection, UNLIST, (stream, id))
    }

    /// Writes the entries.
    fn write(&mut self) -> rusqlite::Result<()> {
        const LIST: &str = "INSERT OR FAIL INTO listed (stream, place, stamp, seq, shown)";
        insert(self.connection, LIST, &self.entries, |entry| {
            [
                &entry.stream,
                &entry.place,
                &entry.stamp,
                &entry.seq,
                &entry.shown_as,
            ]
        })?;
        self.entries.clear();
        Ok(())
    }

    /// Ends the batch. What is known once it is committed.
    pub fn finish(mut self) -> rusqlite::Result<Stamped> {
        self.write()?;
        Ok(self.stamped)
    }

    /// No list orders balances: their stamps increase within each account.
    fn stamp_balances(
        &mut self,
        account_id: &str,
        seq: i64,
        own: Timestamp,
    ) -> rusqlite::Result<()> {
        const LAST: &str = "SELECT stamp FROM other_record WHERE stream = 'balances' AND id = ?1";
        const PREVIOUS: &str = "SELECT coalesce(previous, 0) FROM version WHERE seq = ?1";
        const ABOVE: &str = "SELECT max(above) FROM listing WHERE stream = 'balances'";
        const STAMP: &str =
            "UPDATE other_record SET stamp = ?2 WHERE stream = 'balances' AND id = ?1";
        let mut last: Option<Stamp> = value(self.connection, LAST, [account_id])?;
        let mut own = own;
        let before_restore = self.stamped.before_restore;
        if before_restore > 0 && value::<i64>(self.connection, PREVIOUS, [seq])? <= before_restore {
            // Later than whatever Formance was shown before the state was put back.
            last = last.max(value(self.connection, ABOVE, [])?);
            own = self.now;
        }
        let stamp = Stamps::after(last, 1, self.now).next(own);
        self.stamped.balances = self.stamped.balances.max(Some(stamp));
        execute(self.connection, STAMP, (account_id, stamp))
    }
}

/// The last place of a list, 0 if it is empty.
pub(super) fn last_place(connection: &Connection, stream: Stream) -> rusqlite::Result<i64> {
    const LAST: &str = "SELECT coalesce(max(place), 0) FROM listed WHERE stream = ?1";
    value(connection, LAST, [stream])
}

/// What gives the next versions of a list their stamps.
fn stamps_of(connection: &Connection, stream: Stream, now: Timestamp) -> rusqlite::Result<Stamps> {
    const LAST: &str = "
        SELECT max(stamp) FROM (SELECT max(stamp) AS stamp FROM listed WHERE stream = ?1
                                UNION ALL SELECT above FROM listing WHERE stream = ?1)";
    let last: Option<Stamp> = value(connection, LAST, [stream])?;
    stamps_after(connection, stream, last, now)
}

/// What gives the versions of a list their stamps that follow one of that stamp.
pub(super) fn stamps_after(
    connection: &Connection,
    stream: Stream,
    last: Option<Stamp>,
    now: Timestamp,
) -> rusqlite::Result<Stamps> {
    const CROWD: &str = "SELECT count(*) FROM listed WHERE stream = ?1 AND stamp BETWEEN ?2 AND ?3";
    let crowd = match last {
        Some(last) => {
            let second = last.timestamp().second().start().nanoseconds();
            value(connection, CROWD, (stream, second, last))?
        }
        None => 0,
    };
    Ok(Stamps::after(last, crowd, now))
}
