use crate::api::{Page, Record, Second};
use crate::store::Range;

/// What the dates of a page say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dates {
    /// The seconds of the first and the last usable record.
    pub seconds: Option<Range>,
    /// The earliest second of all.
    pub earliest: Option<Second>,
    /// Whether no record lies in an earlier second than the one before it.
    pub ascends: bool,
}

impl Dates {
    pub fn of(page: &Page) -> Dates {
        let second = |record: Option<&Record>| record.map(|record| record.timestamp.second());
        let seconds = || page.records.iter().map(|record| record.timestamp.second());
        Dates {
            seconds: second(page.records.first()).zip(second(page.records.last())),
            earliest: seconds().min(),
            ascends: seconds().is_sorted(),
        }
    }

    /// Whether all of them lie in one second.
    pub fn within_one_second(self) -> bool {
        self.ascends && self.seconds.is_some_and(|(first, last)| first == last)
    }
}
