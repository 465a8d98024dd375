//! Long lists are read on larger pages.
//!
//! Once a walk has read as many elements as a larger page has, it asks for such pages at its anchors. A list that is read by
//! number, as in a sweep, keeps its pages: how a service counts larger ones, no single page shows. The first page of the
//! larger size is accepted only if it is full, in order, proven and quick, so that the walk goes on as it would with a service
//! that is configured so. If not, the walk goes back to where it was, with the configured size, and finds out with that what
//! the page may have meant: an end, a cap, a bound that is wrong. Nothing that such a page shows of the service is kept.
//!
//! A larger page gets one try. What failed is not tried again for some time ([`LargerPages`]), which is kept with the cursor.

use super::open_list::Bookmark;
use super::page_view::PageView;
use super::phase::{Phase, Proof};
use super::{AnswerTime, Walk};
use crate::api::Second;
use crate::store::LargerPages;

/// Seconds. A page that takes longer may take too long the next time.
const SLOW: u64 = 5;

/// How long larger pages are left alone after the first failure that may pass. Doubled with each further one. Seconds.
const FIRST_PAUSE: u64 = 10;
/// The longest pause, and the one after a failure that does not pass by itself. Seconds.
const LONGEST_PAUSE: u64 = 86_400;

/// Why a larger page was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargerPageFailure {
    /// The service refused it, or it was too large to be read: half of it may do.
    TooMuch,
    /// It took too long, or the service failed. That may pass.
    MayPass,
    /// The service asked for patience, which has nothing to do with the page.
    AskedToWait,
}

impl Walk {
    /// Whether the request that is due is the first one for a larger page. It gets one try.
    pub fn is_trying_larger_page(&self) -> bool {
        self.size.is_on_approval() && !self.is_in_prelude()
    }

    /// That request failed: the next one asks for fewer elements.
    pub fn larger_page_failed(&mut self, failure: LargerPageFailure) {
        let half = self.size.present / 2;
        match failure {
            LargerPageFailure::TooMuch => {
                self.limit_larger_pages(half, LONGEST_PAUSE);
                if half > self.size.configured {
                    self.size.present = half;
                    self.size.larger = half;
                    self.list.open_to_prove(self.list.mark.from, half);
                    return;
                }
            }
            LargerPageFailure::MayPass => self.pause_larger_pages(),
            LargerPageFailure::AskedToWait => {}
        }
        self.return_to_configured_size(self.size.larger);
    }

    /// The larger page was so large that no other answer can be read beside it: the next ones are half its size.
    pub fn halve_larger_pages(&mut self) {
        let half = (self.size.present / 2).max(self.size.configured);
        self.size.larger = half;
        self.limit_larger_pages(half, LONGEST_PAUSE);
    }

    /// The size for the list that begins at a new anchor.
    pub(super) fn choose_size(&mut self, proof: Proof) {
        self.size.reset();
        let larger = self.larger_size();
        if larger > self.size.configured && self.size.has_read(larger) {
            let mark = Bookmark::new(Some(proof.from()), self.size.configured);
            self.size.try_larger(larger, mark);
        }
    }

    /// The anchor that the walk is at, and the time of the latest answer, if what follows may be read ahead: a larger page is
    /// due, one before was of use, and the service has no quirk that matters.
    pub fn reads_ahead_from(&self) -> Option<(Second, AnswerTime)> {
        let is_poll = self.sweep.is_none();
        let is_due = self.is_trying_larger_page() && self.size.has_helped;
        match self.phase {
            Phase::Proving(Proof {
                target, back: 0, ..
            }) if is_poll && is_due => self.keeps_contract().then_some((target, self.horizon.time)),
            _ => None,
        }
    }

    /// Whether nothing that the service did is in the way of reading its list by date.
    pub fn keeps_contract(&self) -> bool {
        self.cursor.quirks.keeps_contract()
    }

    /// A part of the list that begins at `bound` is read ahead: the walk may anchor there.
    pub fn add_bound(&mut self, bound: Second) {
        self.list.add_bound(bound);
    }

    /// Whether the walk goes on from the page. If not, it goes back to where it was before it asked for a larger one.
    pub(super) fn accepts_size(&mut self, view: &PageView) -> bool {
        if !self.size.is_on_approval() {
            return true;
        }
        let AnswerTime { asked, came, .. } = self.horizon.time;
        let is_slow = came.since(asked) >= SLOW;
        if is_slow {
            self.pause_larger_pages();
        }
        let is_full = view.length() >= self.size.present as usize;
        let reads_on = matches!(self.phase, Phase::Proving(proof) if view.ascends && self.is_proven(proof, view));
        if is_full && reads_on && !is_slow {
            self.approve_size();
            return true;
        }
        // Fewer elements than asked for are a cap, or the end of the list. So many may come again.
        let larger = u32::try_from(view.length()).unwrap_or(u32::MAX);
        self.return_to_configured_size(larger);
        false
    }

    /// Goes back to where the walk was before it asked for a larger page.
    pub(super) fn return_to_configured_size(&mut self, larger: u32) {
        if let Some(mark) = self.size.decline(larger) {
            self.list.mark = mark;
        }
    }

    fn approve_size(&mut self) {
        self.size.approve();
        // A limit that this page has not shown to be wrong stays.
        if self.size.larger >= self.size.present {
            let limit = &mut self.cursor.quirks.paging.larger_pages;
            *limit = limit.take().filter(|limit| limit.most >= self.size.present);
        }
    }

    /// How many elements to ask for where the list is long; no more than configured if the service may not like that.
    fn larger_size(&self) -> u32 {
        let quirks = &self.cursor.quirks;
        let limit = quirks.paging.larger_pages.as_ref();
        let limit = limit.filter(|limit| limit.holds(self.horizon.time.came));
        match limit {
            _ if !quirks.keeps_pages() => 0,
            Some(limit) => limit.most.min(self.size.larger),
            None => self.size.larger,
        }
    }

    fn pause_larger_pages(&mut self) {
        let limit = self.cursor.quirks.paging.larger_pages.as_ref();
        let doubled = limit.map_or(FIRST_PAUSE, |limit| limit.seconds.saturating_mul(2));
        self.limit_larger_pages(0, doubled.min(LONGEST_PAUSE));
    }

    fn limit_larger_pages(&mut self, most: u32, seconds: u64) {
        let until = self.horizon.time.came.later(seconds);
        self.cursor.quirks.paging.larger_pages = Some(LargerPages {
            most,
            until,
            seconds,
        });
    }
}

impl LargerPages {
    /// Whether it still holds. A clock that was ahead may have dated its end.
    fn holds(&self, now: Second) -> bool {
        now < self.until && self.until.since(now) <= self.seconds
    }
}
