use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::Second;

/// Farther than any time zone and any calendar day together shift a filter's bound: three days, in seconds. What is
/// shifted by more is not a filter.
pub const FARTHEST_SHIFT: u64 = 1 << 18;

/// How a service departs from what one would hope for, as its answers to the requests for one stream have shown.
///
/// Kept with the cursor, so that what was found out once is not found out again in every poll, and dropped when the
/// service improves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quirks {
    /// It puts at most so many elements on a page, although more were asked for.
    pub caps_page_size_at: Option<usize>,
    /// When it was found not to sort: its list is read from page 1 to the end.
    pub unsorted_since: Option<Second>,
    /// When its order was found to differ from one request to the next.
    pub unstable_since: Option<Second>,
    /// It answers every `page` with the first one.
    pub ignores_page: bool,
    /// Its filter begins so many seconds later than asked, at most: 1 excludes the bound.
    pub filters_late_by: u64,
    /// Its filter begins so many seconds earlier than asked, at most; beyond [`FARTHEST_SHIFT`] it does not filter.
    pub filters_early_by: u64,
    /// Why a part of the list cannot be read at all.
    pub incomplete: Option<String>,
}

/// One departure, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quirk {
    /// What it is, always in the same words.
    pub name: &'static str,
    /// What it costs and what to mend in the service.
    pub detail: String,
}

impl Quirks {
    /// Every departure, in words for a person.
    pub fn describe(&self) -> Vec<Quirk> {
        let mut quirks = Vec::new();
        let mut add = |name, detail: String| quirks.push(Quirk { name, detail });
        if let Some(most) = self.caps_page_size_at {
            add(
                "caps pageSize",
                format!("at {most}; nothing is lost, but a larger page needs fewer requests"),
            );
        }
        if self.unsorted_since.is_some() {
            add(
                "does not sort",
                "so every poll reads all pages that the filter leaves, and a sweep runs at once; make it sort by the \
                 date that \"sort\" names, oldest first"
                    .to_owned(),
            );
        }
        if self.unstable_since.is_some() {
            add(
                "changes its order from request to request",
                "so pages are asked for that hold all records of one date; make it sort by the date and then by id"
                    .to_owned(),
            );
        }
        if self.ignores_page {
            add(
                "ignores page",
                "so ties are read on larger pages; make it honour \"page\"".to_owned(),
            );
        }
        match self.filters_late_by {
            0 => {}
            1 => add(
                "excludes the filter's bound",
                "so every list is asked for from a second earlier; make the filter include its bound".to_owned(),
            ),
            seconds => add(
                "shifts the filter's bound",
                format!(
                    "it begins up to {seconds} s later than asked, so every list is asked for from so much earlier; \
                     make it read the bound as UTC, to the second"
                ),
            ),
        }
        match self.filters_early_by {
            0 => {}
            seconds if seconds <= FARTHEST_SHIFT => add(
                "filters coarsely",
                format!(
                    "it begins up to {seconds} s earlier than asked, so records are read more than once; make it read \
                     the bound as UTC, to the second"
                ),
            ),
            _ => add(
                "ignores the filter",
                "so every poll reads the whole list; make it honour the filter".to_owned(),
            ),
        }
        if let Some(reason) = &self.incomplete {
            add("cannot be read completely", reason.clone());
        }
        quirks
    }

    /// Whether lists are read from their first page to their last, without going on from the newest date.
    pub fn read_plainly(&self) -> bool {
        self.unsorted_since.is_some() || self.filters_early_by > FARTHEST_SHIFT
    }

    /// When it was found out that what was read before may have gaps, which a sweep closes.
    pub fn doubtful_since(&self) -> Option<Second> {
        self.unsorted_since.max(self.unstable_since)
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service {}: {}", self.name, self.detail)
    }
}
