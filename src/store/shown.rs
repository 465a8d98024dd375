//! How transactions are listed such that Formance ends with the right amounts: what is kept of those that need it, and the
//! versions that wait for the transaction they relate to.
//!
//! [`formance::shown`](crate::formance::shown) decides; this decides from what. A row of `shown` is kept of a transaction
//! whose payment has relatives, or that has more than two versions. Of any other, what was shown follows from its
//! versions. A version that waits is a row of `held`. Everything happens in the commit that lists a version.
//!
//! What Connectivity may have read from the service itself is shown as it was sent: it may have what would be added here.

use std::collections::VecDeque;

use rusqlite::Connection;

use super::columns::AsJson;
use super::database::{execute, optional, value};
use super::journal_row::is_key;
use super::newest::seq_of;
use super::relatives::{
    ListedVersion, WAITS_FOR_NOTHING_WAITING, hold, is_held, orphans, parent_of_held, release,
    waiting_for,
};
use super::sweep::ReadingReach;
use crate::api::{Record, Second, Stream, Timestamp};
use crate::formance::can_be_payment;
use crate::formance::shown::{
    self, PolledVersion, ShownAs, ShownTransaction, ShownTransactions, may_depart,
};

/// Versions of a transaction above which a row says how it was shown.
const FEW: usize = 2;

/// The seq in a row of `shown` that is about a payment of which only relatives are listed.
const MISSING: i64 = 0;

/// The seq in a row of `shown` that is about a payment that Connectivity has made itself.
const INITIATED: i64 = -1;

/// An entry that is to be listed.
#[derive(Debug)]
pub(super) struct NewEntry {
    /// The version.
    pub seq: i64,
    /// Its record's own date.
    pub own: Timestamp,
    /// How it is shown; none if it is shown as it was sent.
    pub shown_as: Option<ShownAs>,
}

/// What decides about a batch, next to what is known of each transaction.
#[derive(Debug)]
pub(super) struct ShownBatch {
    /// Connectivity may have read these versions, and transactions of this second and earlier, from the service itself.
    foreign: Option<(i64, Option<Second>)>,
    /// Whether any version waits.
    has_held: bool,
    /// Whether relatives are listed of any transaction that is not.
    has_missing: bool,
    /// Versions from this seq on are not listed yet.
    until: i64,
}

/// What decides how a version is shown.
struct Gathered {
    known: ShownTransactions,
    /// The newest listed version of each that is known, but for the transaction's own.
    seqs: Vec<(String, i64)>,
    /// How many versions the transaction had, if no row says how they were shown.
    versions: Option<usize>,
}

/// What is known of a transaction.
enum Known {
    /// No version of it is listed.
    Nothing,
    /// It is shown as it was sent.
    Foreign,
    /// It was shown up to the version of that seq. `versions`: how many there are, if no row says how.
    Shown {
        shown: Box<ShownTransaction>,
        seq: i64,
        versions: Option<usize>,
    },
}

impl ShownBatch {
    /// That of a batch that is about to be committed.
    pub fn read(connection: &Connection) -> rusqlite::Result<ShownBatch> {
        const FOREIGN: &str = "
            SELECT foreign_seq, foreign_until FROM listing WHERE stream = 'transactions' AND foreign_seq IS NOT NULL";
        const HAS_MISSING: &str = "SELECT EXISTS (SELECT 1 FROM shown WHERE seq = 0)";
        Ok(ShownBatch {
            foreign: optional(connection, FOREIGN, [], |row| row.try_into())?,
            has_held: value(connection, "SELECT EXISTS (SELECT 1 FROM held)", [])?,
            has_missing: value(connection, HAS_MISSING, [])?,
            until: i64::MAX,
        })
    }

    /// The entries with which a version is listed, followed by those of the versions that have waited for it; none if it
    /// waits itself. `is_first`: it is the first version of its transaction.
    pub fn list(
        &mut self,
        connection: &Connection,
        record: &Record,
        seq: i64,
        is_first: bool,
    ) -> rusqlite::Result<Vec<NewEntry>> {
        self.until = seq + 1;
        if is_first && !may_depart(&record.json) && !self.is_missing(connection, &record.id)? {
            let mut listed = vec![NewEntry::as_sent(seq, record.timestamp)];
            if self.has_held {
                let waiting = waiting_for(connection, &record.id)?;
                listed.extend(self.list_all(connection, waiting.into())?);
            }
            return Ok(listed);
        }
        let version = ListedVersion {
            seq,
            id: record.id.to_string(),
            own: record.timestamp,
            json: Some(record.json.to_string()),
        };
        if self.has_held && is_held(connection, &record.id)? {
            // Its versions are listed in their order.
            let parent = parent_of_held(connection, &record.id)?;
            hold(connection, &parent, &version)?;
            return Ok(Vec::new());
        }
        self.list_all(connection, VecDeque::from([version]))
    }

    /// The entries of a version that is repaired: as it was listed before.
    pub fn list_again(
        &mut self,
        connection: &Connection,
        record: &Record,
        seq: i64,
    ) -> rusqlite::Result<Vec<NewEntry>> {
        const ROW: &str = "SELECT value FROM shown WHERE id = ?1 AND seq = ?2";
        const IS_HELD: &str = "SELECT EXISTS (SELECT 1 FROM held WHERE id = ?1 AND seq = ?2)";
        if value(connection, IS_HELD, (&record.id, seq))? {
            return Ok(Vec::new());
        }
        let row: Option<String> = optional(connection, ROW, (&record.id, seq), |row| row.get(0))?;
        let row = row.and_then(|json| serde_json::from_str::<ShownTransaction>(&json).ok());
        let newest = match (row, PolledVersion::read(&record.json)) {
            (Some(row), _) => row.newest,
            (None, Some(version)) if version.parent.is_none() => {
                let mut known = ShownTransactions::new();
                match self.fold(connection, previous(connection, seq)?, seq)? {
                    Known::Nothing if !self.is_foreign(seq, &version) => {}
                    Known::Shown { shown, .. } => {
                        known.insert(record.id.to_string(), *shown);
                    }
                    Known::Nothing | Known::Foreign => {
                        return Ok(vec![NewEntry::as_sent(seq, record.timestamp)]);
                    }
                }
                shown::show(&mut known, &version).unwrap_or_default()
            }
            _ => vec![ShownAs::default()],
        };
        Ok(entries(newest, seq, record.timestamp))
    }

    /// The entries of some versions that wait for what a sweep of that reach has not found. Also, how many they are; none if
    /// no more wait.
    pub fn list_orphans(
        &mut self,
        connection: &Connection,
        reach: ReadingReach,
        most: usize,
    ) -> rusqlite::Result<(Vec<NewEntry>, usize)> {
        self.until = i64::MAX;
        let mut waiting = orphans(connection, reach, most, WAITS_FOR_NOTHING_WAITING)?;
        if waiting.is_empty() {
            // Those that are left wait for each other.
            waiting = orphans(connection, reach, most, "true")?;
        }
        let mut listed = Vec::new();
        let mut count = 0;
        for (parent, version) in waiting {
            // One that was listed before it may have led to it.
            if !release(connection, &version)? {
                continue;
            }
            count += 1;
            let mut next = VecDeque::from(waiting_for(connection, &version.id)?);
            let polled = version.json.as_deref().and_then(PolledVersion::read);
            if let Some(polled) = polled.filter(|polled| !self.is_foreign(version.seq, polled)) {
                let mut known = ShownTransactions::new();
                shown::show_as_sent(&mut known, &parent, &polled);
                for (id, shown) in &known {
                    let seq = if *id == parent { MISSING } else { version.seq };
                    put(connection, id, seq, shown)?;
                }
                self.has_missing = true;
                next.extend(waiting_for(connection, &parent)?);
            }
            listed.push(NewEntry::as_sent(version.seq, version.own));
            listed.extend(self.list_all(connection, next)?);
        }
        Ok((listed, count))
    }

    /// Whether relatives of a transaction are listed, and it is not.
    fn is_missing(&self, connection: &Connection, id: &str) -> rusqlite::Result<bool> {
        const IS_MISSING: &str = "SELECT EXISTS (SELECT 1 FROM shown WHERE id = ?1 AND seq = 0)";
        if !self.has_missing {
            return Ok(false);
        }
        value(connection, IS_MISSING, [id])
    }

    /// Lists versions, each followed by those that have waited for it.
    fn list_all(
        &mut self,
        connection: &Connection,
        mut queue: VecDeque<ListedVersion>,
    ) -> rusqlite::Result<Vec<NewEntry>> {
        let mut listed = Vec::new();
        while let Some(version) = queue.pop_front() {
            let Some(shown_as) = self.take(connection, &version)? else {
                continue;
            };
            listed.extend(entries(shown_as, version.seq, version.own));
            if self.has_held {
                for waiting in waiting_for(connection, &version.id)?.into_iter().rev() {
                    queue.push_front(waiting);
                }
            }
        }
        Ok(listed)
    }

    /// How a version is shown; none if it waits from now on.
    fn take(
        &mut self,
        connection: &Connection,
        version: &ListedVersion,
    ) -> rusqlite::Result<Option<Vec<ShownAs>>> {
        let polled = version.json.as_deref().and_then(PolledVersion::read);
        let gathered = match &polled {
            Some(polled) => self.gather(connection, version, polled)?,
            None => None,
        };
        let Some((polled, mut gathered)) = polled.zip(gathered) else {
            return Ok(Some(vec![ShownAs::default()]));
        };
        let entries = match shown::show(&mut gathered.known, &polled) {
            Ok(entries) => entries,
            Err(parent) => {
                hold(connection, &parent, version)?;
                self.has_held = true;
                return Ok(None);
            }
        };
        let is_alone = gathered.known.len() == 1;
        if is_alone && gathered.versions.is_some_and(|versions| versions < FEW) {
            return Ok(Some(entries));
        }
        gathered.seqs.push((version.id.clone(), version.seq));
        for (id, seq) in gathered.seqs {
            if let Some(shown) = gathered.known.get(&id) {
                put(connection, &id, seq, shown)?;
            }
        }
        Ok(Some(entries))
    }

    /// What decides how a version is shown; none if it is shown as it was sent.
    fn gather(
        &self,
        connection: &Connection,
        version: &ListedVersion,
        polled: &PolledVersion,
    ) -> rusqlite::Result<Option<Gathered>> {
        let mut gathered = Gathered {
            known: ShownTransactions::new(),
            seqs: Vec::new(),
            versions: Some(0),
        };
        match self.known(connection, &version.id, version.seq)? {
            Known::Foreign => return Ok(None),
            Known::Nothing if self.is_foreign(version.seq, polled) => return Ok(None),
            Known::Shown {
                shown, versions, ..
            } => {
                gathered.versions = versions;
                gathered.known.insert(version.id.clone(), *shown);
            }
            Known::Nothing => {
                if let Some(parent) = &polled.parent {
                    match self.known(connection, parent, self.until)? {
                        Known::Foreign => return Ok(None),
                        Known::Shown { shown, seq, .. } => gathered.add(parent, *shown, seq),
                        Known::Nothing if !can_be_payment(parent) => return Ok(None),
                        Known::Nothing if is_key(connection, parent)? => {
                            shown::know_initiated(&mut gathered.known, parent, polled);
                            gathered.seqs.push((parent.clone(), INITIATED));
                        }
                        Known::Nothing => {}
                    }
                }
            }
        }
        let known = gathered.known.values();
        let roots: Vec<String> = known.filter_map(ShownTransaction::root).collect();
        for root in roots {
            if let Known::Shown { shown, seq, .. } = self.known(connection, &root, self.until)? {
                gathered.add(&root, *shown, seq);
            }
        }
        Ok(Some(gathered))
    }

    /// What is known of a transaction by its versions before that of seq `before`.
    fn known(&self, connection: &Connection, id: &str, before: i64) -> rusqlite::Result<Known> {
        const ROW: &str = "SELECT seq, value FROM shown WHERE id = ?1";
        let row: Option<(i64, String)> = optional(connection, ROW, [id], |row| row.try_into())?;
        // `verify` says if it is damaged. What it said follows from the versions, but for the relatives.
        if let Some((seq, json)) = row
            && let Ok(shown) = serde_json::from_str(&json)
        {
            return Ok(Known::Shown {
                shown,
                seq,
                versions: None,
            });
        }
        if self.has_held && is_held(connection, id)? {
            return Ok(Known::Nothing);
        }
        let newest = seq_of(connection, Stream::Transactions, id)?;
        self.fold(connection, newest, before)
    }

    /// What follows from the versions of a transaction before the version of seq `before`, of which `last` is the last one.
    fn fold(
        &self,
        connection: &Connection,
        last: Option<i64>,
        before: i64,
    ) -> rusqlite::Result<Known> {
        const VERSION: &str =
            "SELECT previous, seq, id, timestamp, hash, json FROM version WHERE seq = ?1";
        let mut versions = Vec::new();
        let mut next = last;
        while let Some(seq) = next {
            let found = optional(connection, VERSION, [seq], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, ListedVersion::read(row, 1)?))
            })?;
            let Some((previous, version)) = found else {
                break;
            };
            next = previous.filter(|previous| *previous < seq);
            if version.seq < before {
                versions.push(version);
            }
        }
        // The first one may be damaged.
        let first = versions.last().map(|version| version.seq);
        if let (Some(first), Some((last, _))) = (first, self.foreign)
            && first <= last
        {
            return Ok(Known::Foreign);
        }
        let count = versions.len();
        let mut known = ShownTransactions::new();
        let mut newest = None;
        for version in versions.into_iter().rev() {
            let Some(polled) = version.polled() else {
                continue;
            };
            // A relative that was shown otherwise has a row.
            if newest.is_none()
                && (polled.parent.is_some() || self.is_foreign(version.seq, &polled))
            {
                return Ok(Known::Foreign);
            }
            if shown::show(&mut known, &polled).is_ok() {
                newest = Some((version.seq, version.id));
            }
        }
        let shown = newest.and_then(|(seq, id)| Some((seq, known.remove(&id)?)));
        Ok(match shown {
            None => Known::Nothing,
            Some((seq, shown)) => Known::Shown {
                shown: Box::new(shown),
                seq,
                versions: Some(count),
            },
        })
    }

    /// Whether Connectivity may have read a transaction from the service itself, to judge by its first version.
    fn is_foreign(&self, seq: i64, first: &PolledVersion) -> bool {
        self.foreign.is_some_and(|(last, until)| {
            let created_at = first.created_at().map(Timestamp::second);
            seq <= last || until.zip(created_at).is_some_and(|(until, at)| at <= until)
        })
    }
}

impl Gathered {
    fn add(&mut self, id: &str, shown: ShownTransaction, seq: i64) {
        self.known.insert(id.to_owned(), shown);
        self.seqs.push((id.to_owned(), seq));
    }
}

impl NewEntry {
    /// That of a record that is shown as it was sent.
    pub fn of(record: &Record, seq: i64) -> NewEntry {
        NewEntry::as_sent(seq, record.timestamp)
    }

    fn as_sent(seq: i64, own: Timestamp) -> NewEntry {
        NewEntry {
            seq,
            own,
            shown_as: None,
        }
    }
}

fn entries(shown_as: Vec<ShownAs>, seq: i64, own: Timestamp) -> Vec<NewEntry> {
    let shown_as = shown_as.into_iter();
    shown_as
        .map(|shown_as| NewEntry {
            seq,
            own,
            shown_as: Some(shown_as).filter(|shown_as| !shown_as.is_as_sent()),
        })
        .collect()
}

fn put(
    connection: &Connection,
    id: &str,
    seq: i64,
    shown: &ShownTransaction,
) -> rusqlite::Result<()> {
    const PUT: &str = "INSERT OR REPLACE INTO shown (id, seq, value) VALUES (?1, ?2, ?3)";
    execute(connection, PUT, (id, seq, AsJson(shown)))
}

fn previous(connection: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    const PREVIOUS: &str = "SELECT previous FROM version WHERE seq = ?1";
    value(connection, PREVIOUS, [seq])
}
