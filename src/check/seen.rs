//! The lists as the service showed them.

use std::rc::Rc;
use std::time::Duration;

use super::layout::counted;
use super::verdict::NotPassed;
use crate::api::{PerStream, Record, Timestamp, Unusable, escaped};

/// A page as the service answered it.
#[derive(Debug)]
pub(super) struct SampledPage {
    /// The number of its exchange.
    pub exchange: usize,
    /// The records that a poll accepts, in the order of the answer.
    pub records: Vec<Record>,
    /// The elements that it does not.
    pub unusable: Vec<Unusable>,
    /// The answer was `null`.
    pub is_null: bool,
    /// The body is UTF-8.
    pub is_utf8: bool,
    /// The service's clock, or ours if it does not tell.
    pub clock: Timestamp,
}

/// A list as it is now.
#[derive(Debug, Default)]
pub(super) struct FreshList {
    /// Its pages, the empty one at the end included.
    pub pages: Vec<SampledPage>,
    /// It was read to its end.
    pub is_whole: bool,
}

/// The beginning of a list.
#[derive(Debug)]
pub(super) struct Sample {
    /// Its pages, without the empty one behind the last one.
    pub pages: Vec<Rc<SampledPage>>,
    /// It is the whole list.
    pub is_whole: bool,
}

/// A transaction that somebody made or changed, when it appeared.
#[derive(Debug, Clone)]
pub(super) struct ChangeSeen {
    pub id: String,
    /// From its date to its appearance.
    pub lateness: Duration,
}

/// What was seen of a list over some time: the first of each thing that must not happen.
#[derive(Debug, Default)]
pub(super) struct Observation {
    /// A record came in front of others, or others changed places.
    pub drift: Option<NotPassed>,
    /// A record's date went back.
    pub back: Option<NotPassed>,
    /// A record is no longer listed.
    pub vanished: Option<NotPassed>,
    /// The list has too many new records to look at them all.
    pub is_partial: bool,
}

/// What was seen of the balances over some time.
pub(super) type ObservedBalances = Option<NotPassed>;

/// What was seen over some time.
#[derive(Debug)]
pub(super) struct Observed {
    pub lists: PerStream<Observation>,
    pub balances: ObservedBalances,
}

impl SampledPage {
    /// How many elements it has.
    pub fn length(&self) -> usize {
        self.records.len() + self.unusable.len()
    }

    /// The ids of its records.
    pub fn ids(&self) -> Vec<&str> {
        self.records.iter().map(|record| &*record.id).collect()
    }

    /// Its elements as the service wrote them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let usable = self.records.iter().map(|record| &*record.json);
        usable.chain(self.unusable.iter().map(|one| &*one.json))
    }

    /// How many records it has and how they begin, for a verdict.
    pub fn in_words(&self) -> String {
        match self.records.first() {
            Some(first) => format!(
                "{} from {:?}",
                counted(self.length(), "record"),
                escaped(&first.id)
            ),
            None => counted(self.length(), "record"),
        }
    }
}

impl Sample {
    /// Its records, in the order of the list.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.pages.iter().flat_map(|page| &page.records)
    }

    /// Its elements as the service wrote them, each with the number of its exchange.
    pub fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        let pages = self.pages.iter();
        pages.flat_map(|page| page.texts().map(|text| (page.exchange, text)))
    }

    /// The number of its elements.
    pub fn length(&self) -> usize {
        self.pages.iter().map(|page| page.length()).sum()
    }
}
