//! What the answers to the questions of the [`prelude`](super::prelude) change.

use super::page_view::PageView;
use super::phase::Phase;
use super::prelude::{Inquiry, Prelude, PreludeFinding};
use super::{Step, Walk};
use crate::api::{Page, Query, Record, Second};
use crate::store::{Cursor, HiddenRecord, SweepPlace};

/// How many records one walk asks the filter for, because polls should have found them.
const MOST_MISSED: u32 = 10;

impl Walk {
    /// Whether the request that is due only asks how the service behaves. It gets one try.
    pub fn is_question(&self) -> bool {
        self.is_in_prelude() || matches!(self.phase, Phase::Checking(_))
    }

    /// That request failed.
    pub fn question_failed(&mut self) -> Step {
        if self.is_in_prelude() {
            self.take_answer(None)
        } else {
            self.check(None)
        }
    }

    pub(super) fn is_in_prelude(&self) -> bool {
        matches!(self.prelude, Prelude::Asking(_))
    }

    /// Asks the filter for a record of the latest page of a sweep, because polls should have found it.
    pub fn ask_for_missed(&mut self, page: &Page, record: &Record) {
        let Some((request, step)) = self.latest else {
            return;
        };
        let Some(sweep) = &mut self.sweep else {
            return;
        };
        if sweep.place.found.hides || sweep.missed_asked >= MOST_MISSED {
            return;
        }
        sweep.missed_asked += 1;
        match &mut self.prelude {
            Prelude::Asking(inquiry) => inquiry.add(request, record),
            Prelude::Over if step == Step::Ask => {
                let view = PageView::new(page, &[]);
                let late = self.cursor.quirks.filters_late_by;
                let full = self.list.mark.longest.max(view.length());
                let shows = sweep.place.found.shows;
                let inquiry = Inquiry::about_missed(request, &view, record, full, late, shows);
                self.prelude = Prelude::Asking(Box::new(inquiry));
            }
            Prelude::Over | Prelude::Wanted => {}
        }
    }

    /// What a sweep under way leaves of the polls' cursor.
    pub fn sweeping(&self, polled: &Cursor) -> Cursor {
        Cursor {
            quirks: self.cursor.quirks.clone(),
            again: self.cursor.again.clone(),
            ..polled.clone()
        }
    }

    /// What a sweep that began then leaves of it at the end of the list: where polls cannot tell how far the list is complete,
    /// the sweep can.
    pub fn swept(&self, polled: &Cursor, began: Second, ended: Second) -> Cursor {
        let cursor = self.sweeping(polled);
        if cursor.quirks.hides.is_none() && polled.position.is_some() {
            return cursor;
        }
        let read = self.cursor.position.map(|newest| newest.min(began));
        Cursor {
            position: polled.position.max(read),
            moved_at: Some(began),
            began_at: Some(began),
            ended_at: Some(ended),
            ..cursor
        }
    }

    /// Whether the walk can tell how far the list is complete. What the filter gives does not, if it hides records.
    pub fn vouches(&self) -> bool {
        self.cursor.quirks.hides.is_none() || self.filter.unbounded
    }

    /// Begins to ask, if that was the first page.
    pub(super) fn begin_prelude(&mut self, request: Query, view: &PageView) -> Option<Step> {
        self.note_hidden(view);
        let quirks = &self.cursor.quirks;
        let first = 1 - u64::from(quirks.paging.counts_from_zero);
        if !matches!(self.prelude, Prelude::Wanted) || request.page != Some(first) {
            return None;
        }
        let known = quirks.hides.clone();
        let inquiry = Inquiry::about_first_page(request, view, known, quirks.filters_late_by);
        self.prelude = Prelude::Asking(Box::new(inquiry));
        Some(Step::Ask)
    }

    /// Takes the answer to a question; none if it failed.
    pub(super) fn take_answer(&mut self, view: Option<&PageView>) -> Step {
        let Prelude::Asking(inquiry) = &mut self.prelude else {
            return Step::Ask;
        };
        let finding = inquiry.take(view);
        if finding == PreludeFinding::Asking {
            return Step::Ask;
        }
        self.prelude = Prelude::Over;
        match finding {
            PreludeFinding::CountsFromZero(counts) => {
                self.count_from_zero(counts);
                return Step::Ask;
            }
            PreludeFinding::Hides(record) => {
                self.cursor.quirks.hides = Some(record);
                if self
                    .note_in_sweep(|place| place.found.hides = true)
                    .is_none()
                {
                    self.begin_again();
                    return Step::Ask;
                }
            }
            PreludeFinding::Nothing { shows, hides_known } => {
                self.note_in_sweep(|place| {
                    place.found.shows |= shows;
                    place.found.hides_known |= hides_known;
                });
            }
            PreludeFinding::Asking => {}
        }
        self.latest.map_or(Step::Ask, |(_, step)| step)
    }

    /// Counts pages from 0, or from 1, and begins again: what was taken for the first page may have been another one.
    pub(super) fn count_from_zero(&mut self, counts: bool) {
        self.cursor.quirks.paging.counts_from_zero = counts;
        self.begin_again();
    }

    /// Begins the walk again, from the position of its cursor, or from the beginning of the list if it began there.
    fn begin_again(&mut self) {
        let cursor = Cursor {
            position: self.cursor.position.filter(|_| !self.filter.unbounded),
            ..std::mem::take(&mut self.cursor)
        };
        let (sizes, now) = (self.size.sizes(), self.horizon.now);
        *self = match &self.sweep {
            Some(sweep) => {
                let size = sweep.place.page_size;
                Walk::sweep(cursor, size, SweepPlace::by_number(size), now)
            }
            None => Walk::new(cursor, sizes, self.horizon.lookback, now),
        };
        self.prelude = Prelude::Over;
    }

    /// Notes that the list still has the record that the filter did not show.
    fn note_hidden(&mut self, view: &PageView) {
        let Some(HiddenRecord { id, dated }) = &self.cursor.quirks.hides else {
            return;
        };
        if view.date_of(id).is_some_and(|date| date.second() == *dated) {
            self.note_in_sweep(|place| place.found.hides |= place.found.hides_known);
        }
    }
}
