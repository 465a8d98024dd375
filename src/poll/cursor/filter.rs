//! Whether the filter begins where it should: the proof that an answer must give, the steps back where it does not, and
//! the look at it when the list has ended.

use std::collections::BTreeSet;

use super::{Dates, Goal, Phase, Step, Walk};
use crate::api::{Page, Second, Timestamp};
use crate::store::FARTHEST_SHIFT;

/// How many times farther each step back goes than the one before.
const STRIDE: u64 = 8;

impl Walk {
    /// The filter begins too early if an answer does, be it by a time zone, a day, or because there is no filter.
    pub(super) fn note_early(&mut self, dates: Dates) {
        if let (1, Some(from), Some(earliest)) = (self.page, self.list.from, dates.earliest)
            && earliest < from
        {
            self.begins_early = true;
            let quirks = &mut self.cursor.quirks;
            quirks.filters_early_by = quirks.filters_early_by.max(from.since(earliest));
        }
    }

    pub(super) fn begins_early(&self, dates: Dates) -> bool {
        let begins = dates.earliest.zip(self.list.from);
        begins.is_some_and(|(earliest, from)| earliest < from)
    }

    /// Whether a page holds a record that was known before, of that second or an earlier one.
    pub(super) fn holds_known(page: &Page, stored: &[Option<Timestamp>], target: Second) -> bool {
        let mut records = page.records.iter().zip(stored);
        records.any(|(record, stored)| {
            record.timestamp.second() <= target && *stored == Some(record.timestamp)
        })
    }

    /// Whether the answer shows that the filter's bound is where it should be: it begins before it, or holds a record
    /// at or before the target that was read before, on the page before the anchor or, where there is none, ever.
    pub(super) fn is_proof(
        &self,
        page: &Page,
        dates: Dates,
        stored: &[Option<Timestamp>],
        target: Second,
        back: u64,
        goal: Goal,
    ) -> bool {
        match goal {
            Goal::Begin | Goal::ReadAgain(_) => {
                self.begins_early(dates) || Self::holds_known(page, stored, target)
            }
            Goal::GoOn(..) => {
                let read: BTreeSet<(&str, Timestamp)> = self
                    .previous
                    .keys
                    .iter()
                    .filter(|(_, timestamp)| timestamp.second() >= target.earlier(back))
                    .map(|(id, timestamp)| (id.as_str(), *timestamp))
                    .collect();
                page.records
                    .iter()
                    .filter(|record| record.timestamp.second() <= target)
                    .any(|record| read.contains(&(record.id.as_str(), record.timestamp)))
            }
        }
    }

    pub(super) fn prove(&mut self, target: Second, back: u64, goal: Goal) {
        self.begin_list(Some(target.earlier(back)));
        self.phase = Phase::Proving { target, back, goal };
    }

    /// Asks for the list from farther back, or plainly for the next page of the list before it. False if neither is
    /// left: no time zone is farther away, so whatever the filter does, nothing was skipped.
    pub(super) fn step_back(&mut self, target: Second, back: u64, goal: Goal) -> bool {
        // The page that was read begins so many seconds before the target: an inclusive filter that starts there
        // gives a proof even if every later record has moved.
        let span = match (goal, self.previous.seconds) {
            (Goal::GoOn(..), Some((first, _))) => target.since(first),
            _ => 0,
        };
        let farther = match farther_than(back) {
            next if back < span && next.is_none_or(|next| next > span) => Some(span),
            next => next,
        };
        match (farther, goal) {
            // An answer that begins too early would only begin earlier still.
            (Some(back), Goal::GoOn(list, _))
                if !(self.list.earliest < self.list.from && self.list.earliest.is_some())
                    && list.from.is_none_or(|from| target.earlier(back) > from) =>
            {
                self.prove(target, back, goal);
            }
            (_, Goal::GoOn(list, page)) => {
                self.list = list;
                self.size = list.size;
                self.page = page;
                self.phase = Phase::Plain { unproven: None };
                // What moved while proof was sought may have shifted the page that comes next.
                self.read_by_number(Second::MAX);
                for second in std::mem::take(&mut self.moved) {
                    self.read_again_later(second);
                }
            }
            (Some(back), _) => self.prove(target, back, goal),
            (None, _) => return false,
        }
        true
    }

    /// Looks whether the filter is what it seemed to be: has the service improved, or was it a record that had moved?
    pub(super) fn check_filter(&mut self) -> Step {
        let quirks = &self.cursor.quirks;
        let sorted = quirks.unsorted_since.is_none();
        match self.newest {
            Some(newest) if sorted && (self.first_ever || self.lateness() > 0) => {
                self.size = self.page_size;
                self.begin_list(Some(newest));
                self.phase = Phase::CheckingLate { newest, back: 0 };
                Step::Ask
            }
            _ => self.check_filter_early(),
        }
    }

    /// By how many seconds the filter begins too late, as far as anything shows.
    pub(super) fn lateness(&self) -> u64 {
        let known = self.cursor.quirks.filters_late_by;
        self.late
            .max(self.stepped_back)
            .max(known)
            .min(FARTHEST_SHIFT)
    }

    pub(super) fn check_late(&mut self, newest: Second, back: u64, page: &Page) -> Step {
        let holds_newest = page
            .records
            .iter()
            .any(|record| record.timestamp.second() <= newest);
        if let (false, Some(farther)) = (holds_newest, farther_than(back)) {
            self.begin_list(Some(newest.earlier(farther)));
            self.phase = Phase::CheckingLate {
                newest,
                back: farther,
            };
            return Step::Ask;
        }
        self.cursor.quirks.filters_late_by = match back {
            _ if !holds_newest => self.lateness(),
            0 => 0,
            1 => self.lateness().max(1),
            // A filter that compares minutes or days shifts each bound by another length.
            back => self.lateness().max(back * STRIDE),
        };
        self.check_filter_early()
    }

    pub(super) fn check_filter_early(&mut self) -> Step {
        match self.newest {
            Some(newest) if self.cursor.quirks.filters_early_by > 0 && !self.begins_early => {
                self.size = self.page_size;
                self.begin_list(Some(newest.next()));
                self.phase = Phase::CheckingEarly { newest };
                Step::Ask
            }
            _ => Step::End,
        }
    }

    pub(super) fn check_early(&mut self, newest: Second, dates: Dates) -> Step {
        if dates.earliest.is_none_or(|earliest| earliest > newest) {
            self.cursor.quirks.filters_early_by = 0;
        }
        Step::End
    }
}

/// The next step back after one of so many seconds; none if that is farther than any filter is shifted.
pub(super) fn farther_than(back: u64) -> Option<u64> {
    Some((back * STRIDE).max(1)).filter(|farther| *farther <= FARTHEST_SHIFT)
}
