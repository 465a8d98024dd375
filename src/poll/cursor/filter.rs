//! Where the service's filter begins, as far as the answers of a walk show it.

use crate::api::Second;
use crate::store::{FARTHEST_SHIFT, Quirks};

/// Each step back goes this many times as far as the one before.
const STRIDE: u64 = 8;

/// Seconds, more than any shift.
const BEYOND_SHIFTS: u64 = FARTHEST_SHIFT + 1;

/// What the walk has seen of the filter.
#[derive(Debug)]
pub(super) struct FilterEvidence {
    /// The walk began without a bound: it is the first one of its stream, or a sweep.
    pub unbounded: bool,
    /// How far the first request went back. Seconds.
    lookback: u64,
    /// How many seconds too late the filter begins at most, as far as the anchors show.
    pub late: u64,
    /// How far the walk had to step back to find a place to begin; 0 if it did not have to. Seconds.
    stepped_back: u64,
    /// An answer of this walk began earlier than its request asked.
    pub begins_early: bool,
    /// It began earlier than any before.
    begins_earlier: bool,
    /// The latest anchor. Anchors only move later.
    pub anchor: Option<Second>,
}

/// A request at the end of a walk that only asks whether a quirk of the filter is still there: the service may have
/// improved, or what looked like a quirk was a record that had moved.
#[derive(Debug, Clone, Copy)]
pub(super) enum FilterCheck {
    /// Whether the filter is late: does it find the newest second from `back` seconds before it?
    Late { newest: Second, back: u64 },
    /// Whether the filter is early: does it find nothing but what is newer than the newest second?
    Early { newest: Second },
    /// Whether there is a filter: does it find nothing with a bound that lies so late that no shift reaches the newest second?
    Ignored { newest: Second },
}

impl FilterEvidence {
    /// The evidence of a walk that begins `lookback` seconds before its cursor, if the cursor has a position.
    pub fn new(quirks: &Quirks, lookback: Option<u64>) -> FilterEvidence {
        FilterEvidence {
            unbounded: lookback.is_none(),
            lookback: lookback.unwrap_or(0),
            late: quirks.filters_late_by,
            stepped_back: 0,
            begins_early: false,
            begins_earlier: false,
            anchor: None,
        }
    }

    /// A list began this many seconds earlier than its request asked: because of a time zone, because the filter compares
    /// whole days, or because there is none.
    pub fn note_early(&mut self, early_by: u64, quirks: &mut Quirks) {
        if early_by > 0 {
            self.begins_early = true;
            self.begins_earlier |= early_by > quirks.filters_early_by;
            quirks.filters_early_by = quirks.filters_early_by.max(early_by);
        }
    }

    /// The walk has found its place to begin `back` seconds before its cursor.
    pub fn note_beginning(&mut self, back: u64) {
        if back > self.lookback {
            self.stepped_back = back;
        }
    }

    /// Whether an anchor at `second` lies after the latest one and after the bound `from` of the present list.
    pub fn is_later(&self, second: Second, from: Option<Second>) -> bool {
        self.anchor.is_none_or(|anchor| second > anchor)
            && from.is_none_or(|from| second.earlier(self.late) > from)
    }

    /// The first request about the filter at the end of a walk, whose newest second is `newest`.
    pub fn first_check(&self, newest: Second, quirks: &Quirks) -> Option<FilterCheck> {
        let may_be_late = self.unbounded || self.lateness(quirks) > 0;
        if may_be_late && quirks.unsorted_since.is_none() {
            Some(FilterCheck::Late { newest, back: 0 })
        } else {
            self.check_early(newest, quirks)
        }
    }

    /// Takes the answer to a check, whose earliest record lies in `earliest`. The check to make next.
    pub fn next_check(
        &self,
        check: FilterCheck,
        earliest: Option<Second>,
        quirks: &mut Quirks,
    ) -> Option<FilterCheck> {
        match check {
            FilterCheck::Late { newest, back } => {
                let found = earliest.is_some_and(|earliest| earliest <= newest);
                if let (false, Some(back)) = (found, farther_than(back)) {
                    return Some(FilterCheck::Late { newest, back });
                }
                quirks.filters_late_by = self.late_by(found.then_some(back), quirks);
                self.check_early(newest, quirks)
            }
            FilterCheck::Early { newest } => {
                if earliest.is_none_or(|earliest| earliest > newest) {
                    quirks.filters_early_by = 0;
                }
                None
            }
            FilterCheck::Ignored { newest } => {
                if earliest.is_some_and(|earliest| earliest <= newest) {
                    quirks.filters_early_by = BEYOND_SHIFTS;
                }
                None
            }
        }
    }

    fn check_early(&self, newest: Second, quirks: &Quirks) -> Option<FilterCheck> {
        if self.begins_earlier && quirks.filters_early_by <= FARTHEST_SHIFT {
            return Some(FilterCheck::Ignored { newest });
        }
        let has_improved = quirks.filters_early_by > 0 && !self.begins_early;
        has_improved.then_some(FilterCheck::Early { newest })
    }

    /// By how many seconds the filter begins late: the newest second was found from `found_from` seconds before it.
    fn late_by(&self, found_from: Option<u64>, quirks: &Quirks) -> u64 {
        match found_from {
            Some(0) => 0,
            Some(1) => self.lateness(quirks).max(1),
            // A filter that compares minutes or days shifts each bound by another length.
            Some(back) => self.lateness(quirks).max(back * STRIDE),
            None => self.lateness(quirks),
        }
    }

    /// By how many seconds the filter begins late at most, as far as anything shows.
    fn lateness(&self, quirks: &Quirks) -> u64 {
        self.late
            .max(self.stepped_back)
            .max(quirks.filters_late_by)
            .min(FARTHEST_SHIFT)
    }
}

impl FilterCheck {
    /// The bound to ask with.
    pub fn from(self) -> Second {
        match self {
            FilterCheck::Late { newest, back } => newest.earlier(back),
            FilterCheck::Early { newest } => newest.next(),
            FilterCheck::Ignored { newest } => newest.later(BEYOND_SHIFTS),
        }
    }
}

/// The next step back after one of `back` seconds; none if no filter is shifted that far.
pub(super) fn farther_than(back: u64) -> Option<u64> {
    Some((back * STRIDE).max(1)).filter(|farther| *farther <= FARTHEST_SHIFT)
}
