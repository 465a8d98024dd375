//! Pages that the service refuses with 400 or 404.
//!
//! Some services answer so to a page past the last one, others to any page past a number of their own. The first is the end
//! of the list, the second is not.

use super::page_view::PageView;
use super::phase::Phase;
use super::{Step, Walk};
use crate::api::{Page, Second};

impl Walk {
    /// The page of [`request`](Walk::request) was refused. Whether to go on with the next request; if not, the list cannot be
    /// read on.
    ///
    /// A first page that is larger than configured is asked for again at half its size, and the limit is remembered.
    ///
    /// It is the end of the list only after a short page, and only if the first page of the same list is still answered. After
    /// a full one, the list is read on from its last second, so that a page of another number is due.
    pub fn refused(&mut self) -> bool {
        if std::mem::take(&mut self.confirming) {
            return false;
        }
        if self.list.mark.page == 1 && self.cursor.quirks.paging.counts_from_zero {
            // No service refuses its first page.
            self.count_from_zero(false);
            return true;
        }
        if self.list.mark.page == 1 {
            let shrunk = self.shrink();
            if shrunk {
                self.cursor.quirks.refuses_pages_above = Some(self.size.present);
            }
            return shrunk;
        }
        if self.step_back_to_rejoin(&PageView::new(&Page::default(), &[])) {
            return true;
        }
        let cap = self.cursor.quirks.caps_page_size_at;
        if self.list.previous_is_short(self.size.full(cap)) {
            self.confirming = true;
            return true;
        }
        self.go_on_at_anchor() || self.enlarge_refused()
    }

    /// The first page was answered again, so the refused one lies past the end of the list.
    pub(super) fn confirm_end(&mut self) -> Step {
        self.cursor.quirks.paging.refuses_past_end = true;
        self.take(&PageView::new(&Page::default(), &[]))
    }

    /// Whether the service gives pages of such numbers. A refused page was not past the end if the list has later records.
    pub(super) fn note_depth(&mut self, view: &PageView) {
        let is_later = |second: Second| view.seconds.is_some_and(|(_, last)| last > second);
        let paging = &mut self.cursor.quirks.paging;
        if let Some((page, _)) = self.refused.filter(|(_, second)| is_later(*second)) {
            paging.refuses_past = Some(page - 1);
            self.refused = None;
        } else if paging
            .refuses_past
            .is_some_and(|last| self.list.mark.page > last)
        {
            paging.refuses_past = None;
        }
    }

    /// Goes on from the last second of the page before, if the service sorts and filters. Once for each list: without proof,
    /// the walk comes back to the refused page.
    fn go_on_at_anchor(&mut self) -> bool {
        let is_read_on = matches!(self.phase, Phase::Plain { .. } | Phase::Reading { .. });
        let Some(last) = self.list.edge().filter(|_| is_read_on) else {
            return false;
        };
        let is_later = self.filter.is_later(last, self.list.mark.from);
        if self.list.mark.refused || self.cursor.quirks.read_plainly() || !is_later {
            return false;
        }
        self.refused = Some((self.list.mark.page, last));
        self.list.mark.refused = true;
        if let Some(sweep) = &mut self.sweep {
            // What lies before is read. If the sweep is left, it goes on from there.
            sweep.place.anchored = true;
            self.cursor.position = Some(last);
        }
        self.anchor(last);
        true
    }

    /// Reads the list again with larger pages: the last one may be short then.
    fn enlarge_refused(&mut self) -> bool {
        // Even where larger pages have brought no more elements, they can be short at the end.
        self.size.begin_list();
        let cap = self.cursor.quirks.caps_page_size_at;
        let enlarged = self.size.enlarge(cap, self.list.mark.longest);
        if enlarged {
            self.list.restart(self.size.present);
        }
        if let (true, Phase::Plain { .. }, Some(sweep)) = (enlarged, self.phase, &mut self.sweep) {
            sweep.place.anchored = false;
            self.cursor.position = None;
        }
        enlarged
    }
}
