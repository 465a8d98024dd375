use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{Second, escaped};

/// Seconds, three days: no time zone and no rounding to whole days shifts a filter's bound farther. What is shifted by
/// more does not filter.
pub const FARTHEST_SHIFT: u64 = 1 << 18;

/// The id of every quirk.
pub const QUIRK_IDS: [&str; 18] = [
    "A6", "B5", "F1", "F10", "F2", "F3", "F4", "L1", "O1", "O2", "O3", "P1", "P2", "P3", "P6",
    "P7", "P8", "P9",
];

/// How a service departs from the API or from what one would hope for, as its answers for one stream have shown.
///
/// They are kept with the cursor, so that a poll does not have to find them out again, and dropped when the service
/// improves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quirks {
    /// It puts no more elements than this on a page, although more were asked for.
    pub caps_page_size_at: Option<usize>,
    /// It refuses pages that are larger than this. Forgotten by each sweep.
    pub refuses_pages_above: Option<u32>,
    /// When it was found not to sort. Its list is read from page 1 to the end.
    pub unsorted_since: Option<Second>,
    /// When its order was found to differ from one request to the next.
    pub unstable_since: Option<Second>,
    /// It answers every `page` with the first one.
    pub ignores_page: bool,
    /// How many seconds later than asked its filter begins, at most: 1 excludes the bound.
    pub filters_late_by: u64,
    /// How many seconds earlier than asked its filter begins, at most; beyond [`FARTHEST_SHIFT`] it does not filter.
    pub filters_early_by: u64,
    /// A record that its list holds and its filter does not give, although the bound is at or before the record's date.
    pub hides: Option<HiddenRecord>,
    /// How it numbers and ends pages.
    #[serde(flatten)]
    pub paging: PagingQuirks,
    /// When an account's balances were last answered by a replica that lags behind another one.
    pub replicas_disagree_at: Option<Second>,
    /// It redirects requests within its origin.
    pub redirects: bool,
    /// Why a part of the list cannot be read at all.
    pub incomplete: Option<String>,
}

/// How a service departs from the API in numbering its pages and in ending a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PagingQuirks {
    /// Its first page is number 0.
    pub counts_from_zero: bool,
    /// It refuses pages past this one, although more records follow.
    pub refuses_past: Option<u64>,
    /// It refuses a page past the last one, with 400 or 404.
    pub refuses_past_end: bool,
    /// It answers an empty page with `null`.
    pub null_pages: bool,
    /// When a poll left the list before its end, because it had taken its share of the poll.
    pub endless_since: Option<Second>,
    /// What has become of larger pages than the configuration says. No quirk: nobody has to fix it.
    pub larger_pages: Option<LargerPages>,
}

/// A limit for the pages that long lists are read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LargerPages {
    /// The most elements that are asked for on a page, if that is more than the configuration says.
    pub most: u32,
    /// How long that holds.
    pub until: Second,
    /// How long that was when it began. Seconds.
    pub seconds: u64,
}

/// A record that the filter hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenRecord {
    /// Its key.
    pub id: String,
    /// The second of its date.
    pub dated: Second,
}

/// One quirk, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quirk {
    /// Its name for programs, and in the documentation. It never changes.
    pub id: &'static str,
    /// What it is, always in the same words.
    pub name: &'static str,
    /// What it costs, and what to fix in the service.
    pub detail: String,
}

impl Quirks {
    /// Every quirk, in words for a person.
    pub fn describe(&self) -> Vec<Quirk> {
        let mut quirks = Vec::new();
        let mut add = |id, name, detail: &str| {
            let detail = detail.to_owned();
            quirks.push(Quirk { id, name, detail });
        };
        if let Some(most) = self.caps_page_size_at {
            let detail =
                format!("at {most}; nothing is lost, but a larger page needs fewer requests");
            add("P1", "caps pageSize", &detail);
        }
        if let Some(most) = self.refuses_pages_above {
            let detail = format!(
                "than {most}, so ties are not read on larger ones; cap \"pageSize\" instead of refusing it"
            );
            add("P6", "refuses larger pages", &detail);
        }
        if self.unsorted_since.is_some() {
            add(
                "O1",
                "does not sort",
                "so every poll reads all pages that the filter leaves, and a sweep runs at once; sort by the date \
                that \"sort\" names, oldest first",
            );
        }
        if self.unstable_since.is_some() {
            add(
                "O3",
                "changes its order from request to request",
                "so larger pages are requested until one holds all records of a date; sort by the date and then by id",
            );
        }
        if self.ignores_page {
            add(
                "P2",
                "ignores page",
                "so ties are read on larger pages; honour \"page\"",
            );
        }
        self.paging.describe(&mut add);
        self.describe_filter(&mut add);
        if self.replicas_disagree_at.is_some() {
            add(
                "B5",
                "answers balances from replicas that disagree",
                "so older balances count only after an hour without newer ones; answer each account from one replica",
            );
        }
        if self.redirects {
            add(
                "A6",
                "redirects requests",
                "so each takes twice the time; answer at the path that was requested",
            );
        }
        if let Some(reason) = &self.incomplete {
            add("O2", "cannot be read completely", reason);
        }
        quirks
    }

    fn describe_filter(&self, add: &mut impl FnMut(&'static str, &'static str, &str)) {
        if let Some(hidden) = &self.hides {
            let detail = format!(
                "such as \"{}\", dated {}; polls do not find such records, so one sweep after the other reads the whole \
                list, and only sweeps move \"read until\"; filter by the date that \"sort\" names",
                escaped(&hidden.id),
                hidden.dated
            );
            add("F10", "hides records from the filter", &detail);
        }
        match self.filters_late_by {
            0 => {}
            1 => add(
                "F1",
                "excludes the filter's bound",
                "so every list is requested from a second earlier; include the bound",
            ),
            seconds => add(
                "F4",
                "shifts the filter's bound",
                &format!(
                    "it begins up to {seconds} s later than requested, so every list is requested that much earlier; \
                    read the bound as UTC, to the second"
                ),
            ),
        }
        match self.filters_early_by {
            0 => {}
            1..=FARTHEST_SHIFT => add(
                "F3",
                "filters coarsely",
                &format!(
                    "it begins up to {} s earlier than requested, so records are read more than once; read the bound \
                    as UTC, to the second",
                    self.filters_early_by
                ),
            ),
            _ => add(
                "F2",
                "ignores the filter",
                "so every poll reads the whole list; honour the filter",
            ),
        }
    }

    /// Whether lists are read from their first page to their last, instead of from the newest date on.
    pub fn read_plainly(&self) -> bool {
        self.unsorted_since.is_some() || self.filters_early_by > FARTHEST_SHIFT
    }

    /// Whether the list is in order, its bound right, and every page of it given.
    pub fn keeps_contract(&self) -> bool {
        let paging = &self.paging;
        self.keeps_pages()
            && self.incomplete.is_none()
            && self.filters_late_by == 0
            && self.filters_early_by == 0
            && paging.refuses_past.is_none()
            && paging.endless_since.is_none()
            && !paging.counts_from_zero
    }

    /// Whether pages of another size show the same list.
    pub fn keeps_pages(&self) -> bool {
        self.caps_page_size_at.is_none()
            && !self.ignores_page
            && self.unstable_since.is_none()
            && self.unsorted_since.is_none()
            && self.hides.is_none()
    }

    /// When it was found out that what was read before may have gaps. A sweep closes them.
    pub fn doubtful_since(&self) -> Option<Second> {
        self.unsorted_since.max(self.unstable_since)
    }
}

impl PagingQuirks {
    fn describe(&self, add: &mut impl FnMut(&'static str, &'static str, &str)) {
        if self.counts_from_zero {
            add(
                "P8",
                "counts pages from 0",
                "so each page is requested under the number before its own; count from 1",
            );
        }
        if let Some(last) = self.refuses_past {
            let detail = format!(
                "past page {last}, so the list is read on by date, or on larger pages; answer every page up to the last one"
            );
            add("P7", "refuses deep pages", &detail);
        }
        if self.refuses_past_end {
            add(
                "P3",
                "refuses the page after the last one",
                "so the first page is requested again before a list counts as complete; answer 200 with []",
            );
        }
        if self.null_pages {
            add(
                "L1",
                "answers an empty page with null",
                "which counts as []; answer [], as other clients expect",
            );
        }
        if let Some(since) = self.endless_since {
            let detail = format!(
                "since {since}, so each poll continues where the one before left it, and the other lists do not wait for \
                it; if the list is not that long, answer [] to the page after the last one"
            );
            add("P9", "has a list that does not end within a poll", &detail);
        }
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the service {}: {} ({})",
            self.name, self.detail, self.id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    #[test]
    fn every_quirk_has_a_known_id() {
        let now = Some(Timestamp::EPOCH.second());
        let all = Quirks {
            caps_page_size_at: Some(1),
            refuses_pages_above: Some(1),
            unsorted_since: now,
            unstable_since: now,
            ignores_page: true,
            filters_late_by: 1,
            filters_early_by: 1,
            hides: Some(HiddenRecord {
                id: String::new(),
                dated: Timestamp::EPOCH.second(),
            }),
            paging: PagingQuirks {
                counts_from_zero: true,
                refuses_past: Some(1),
                refuses_past_end: true,
                null_pages: true,
                endless_since: now,
                larger_pages: None,
            },
            replicas_disagree_at: now,
            redirects: true,
            incomplete: Some(String::new()),
        };
        let others = Quirks {
            filters_late_by: 2,
            filters_early_by: FARTHEST_SHIFT + 1,
            ..Quirks::default()
        };
        let described = all.describe().into_iter().chain(others.describe());
        let mut ids: Vec<&str> = described.map(|quirk| quirk.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, QUIRK_IDS);
    }
}
