//! One page, as the walk looks at it.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::api::{Page, Record, Second, Timestamp};
use crate::store::Range;

/// A page, and what the walk computes from it once.
#[derive(Debug)]
pub(super) struct PageView<'a> {
    records: &'a [Record],
    /// For each record, the date of the version that was stored before this page.
    stored: &'a [Option<Timestamp>],
    /// A hash of each element: first the records, then the unusable elements.
    pub hashes: Vec<u64>,
    /// A hash of the whole page.
    pub hash: u64,
    /// The seconds of the first and of the last record.
    pub seconds: Option<Range>,
    /// The earliest second of any record.
    pub earliest: Option<Second>,
    /// No record lies in an earlier second than the record before it.
    pub ascends: bool,
}

impl<'a> PageView<'a> {
    pub fn new(page: &'a Page, stored: &'a [Option<Timestamp>]) -> PageView<'a> {
        let seconds = || page.records.iter().map(|record| record.timestamp.second());
        let hashes: Vec<u64> = hashes(page).collect();
        PageView {
            records: &page.records,
            stored,
            hash: hash_of(|hasher| hashes.iter().for_each(|hash| hash.hash(hasher))),
            hashes,
            seconds: seconds().next().zip(seconds().next_back()),
            earliest: seconds().min(),
            ascends: seconds().is_sorted(),
        }
    }

    /// Its records, in the order of the answer.
    pub fn records(&self) -> &'a [Record] {
        self.records
    }

    /// The date of the record of that id, if the page holds it.
    pub fn date_of(&self, id: &str) -> Option<Timestamp> {
        let found = self.records.iter().find(|record| record.id == id);
        found.map(|record| record.timestamp)
    }

    /// How many elements the page has.
    pub fn length(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Each record's date, and the date of the version that was stored before this page.
    pub fn dates(&self) -> impl Iterator<Item = (Timestamp, Option<Timestamp>)> {
        let stored = self.stored.iter().copied();
        self.dates_of_records().zip(stored)
    }

    /// The seconds that records of the page have left for later ones.
    pub fn left(&self) -> impl Iterator<Item = Second> {
        let moved =
            |(date, stored): (Timestamp, Option<Timestamp>)| stored.filter(|stored| *stored < date);
        self.dates().filter_map(moved).map(Timestamp::second)
    }

    /// Each record's second, and its hash.
    pub fn hashed_seconds(&self) -> impl Iterator<Item = (Second, u64)> + Clone {
        let seconds = self.dates_of_records().map(Timestamp::second);
        seconds.zip(self.hashes.iter().copied())
    }

    fn dates_of_records(&self) -> impl Iterator<Item = Timestamp> + Clone {
        self.records.iter().map(|record| record.timestamp)
    }

    /// The second in which all records lie, if there is one.
    pub fn only_second(&self) -> Option<Second> {
        let (first, last) = self.seconds?;
        (self.ascends && first == last).then_some(first)
    }

    /// Whether the page holds a record of `target` or before that is stored with the same date.
    pub fn holds_known(&self, target: Second) -> bool {
        self.dates()
            .any(|(date, stored)| date.second() <= target && stored == Some(date))
    }
}

fn hashes(page: &Page) -> impl Iterator<Item = u64> {
    let records = page
        .records
        .iter()
        .map(|record| hash_of(|hasher| (&record.id, record.timestamp).hash(hasher)));
    let unusable = page
        .unusable
        .iter()
        .map(|unusable| hash_of(|hasher| unusable.json.hash(hasher)));
    records.chain(unusable)
}

/// A hash that is the same in every process: a sweep stores it.
fn hash_of(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    hasher.finish()
}
