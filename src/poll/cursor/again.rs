//! The ranges of seconds that were read by page number, and what is read again of them because records have left them.

use super::{Dates, Goal, Phase, Step, Walk};
use crate::api::{Page, Second};
use crate::store::Range;

impl Walk {
    pub(super) fn read_again_later(&mut self, second: Second) {
        if self.sweep.is_some() {
            return;
        }
        // Every range is looked at: they may overlap, and a walk has as many as the stream has large ties.
        let within = |range: &&Range| range.0 <= second && second <= range.1;
        let ranges: Vec<Range> = self
            .cursor
            .numbered
            .iter()
            .filter(within)
            .copied()
            .collect();
        if let Phase::Again { .. } = self.phase {
            self.postponed.extend(&ranges);
        }
        self.cursor.again.extend(ranges);
    }

    pub(super) fn read_by_number(&mut self, last: Second) {
        let Some(first) = self.list.earliest else {
            return;
        };
        if self.sweep.is_some() {
            return;
        }
        // A tie grows by a page at a time: the range of its pages so far is part of the new one.
        for numbered in [&mut self.numbered, &mut self.cursor.numbered] {
            let so_far: Vec<Range> = numbered
                .range((first, Second::MIN)..(first, last))
                .copied()
                .collect();
            so_far.iter().for_each(|range| {
                numbered.remove(range);
            });
            numbered.insert((first, last));
        }
    }

    /// The list has ended: what is to be read again, and what the next walk has to know of this one.
    pub(super) fn plan_what_is_read_again(&mut self) {
        // What lies within another range is read again with it.
        let again = &self.cursor.again;
        let covered = |range: &&Range| {
            let mut others = again.iter().filter(|other| other != range);
            others.any(|other| covers(*other, **range))
        };
        let due = again.iter().rev().filter(|range| !covered(range));
        self.due = due.copied().collect();
        if let (true, Some((first, _))) = (self.begun_plainly, self.due.last().copied()) {
            // The list has no seconds that could be read for themselves.
            self.due = vec![(first, Second::MAX)];
        }
        self.cursor.numbered = self.numbered.union(&self.cursor.again).copied().collect();
    }

    pub(super) fn read_next_range_again(&mut self) -> Step {
        let Some(range) = self.due.pop() else {
            return self.check_filter();
        };
        self.size = self.page_size;
        if self.begun_plainly {
            let earlier = range.0.earlier(self.late.max(1));
            self.begin_list(self.list.from.map(|from| from.min(earlier)));
            self.seen.clear();
            self.phase = Phase::Again { range };
            return Step::Ask;
        }
        // From a second before it: a bound that is exclusive to the nanosecond would cut off its first instant.
        self.prove(range.0, self.late.max(1), Goal::ReadAgain(range));
        Step::Ask
    }

    pub(super) fn read_again(&mut self, range: Range, page: &Page, dates: Dates) -> Step {
        let beyond = dates.ascends && dates.seconds.is_some_and(|(_, last)| last > range.1);
        if page.length() == 0 || beyond {
            return self.have_read_again(range);
        }
        if self.repeats < self.telling_repeats() {
            return self.next_page(page, dates);
        }
        let cut_off = self.list.distinct <= 1 && page.length() >= self.full();
        if cut_off && self.enlarge(page) {
            return Step::Ask;
        }
        self.have_read_again(range)
    }

    pub(super) fn have_read_again(&mut self, range: Range) -> Step {
        let postponed = &self.postponed;
        self.cursor
            .again
            .retain(|other| !covers(range, *other) || postponed.contains(other));
        self.read_next_range_again()
    }
}

pub(super) fn covers(range: Range, other: Range) -> bool {
    range.0 <= other.0 && other.1 <= range.1
}
