//! The cursor walk: how a stream is read completely although it changes while it is read.
//!
//! A [`Walk`] is a pure state machine. [`Walk::request`] says what to ask next, [`Walk::step`] takes the answer. Nothing
//! here does I/O, so a model can drive the walk through any history (see the tests).
//!
//! # How a list is read
//!
//! A list is sorted by date, and a record that changes moves to its end. All records behind the old place then move
//! forward by one: the first record of the next page becomes the last one of the page just read. A reader that asks for
//! pages by number loses it.
//!
//! * **Anchors.** The walk asks for page 1 of the list that begins at the newest second it has read. Records only move
//!   later, so this cannot skip one. It costs the records of that second, which are read twice.
//! * **Ties.** Where a whole page lies inside one second, the walk asks for page 2, 3, … of the same anchor. Only there can
//!   pages shift. So the walk remembers which seconds it has read by number ([`Cursor::numbered`]). If a record comes back
//!   newer and its stored version lies in such a second, of this walk or the one before, the record has moved out while
//!   (or after) the second was read. The walk then **reads that second again**, once, after the end of the list.
//! * **Proof.** The answer at a new anchor must hold a record that was already read. If it does not, the bound may be
//!   exclusive, the filter may be in another time zone, or the record may have moved. The walk then steps back, each time
//!   farther, and in the end pages on by number from where it was.
//! * **The end** is an empty page. A short page is not the end, because services cap `pageSize`: the walk asks for the page
//!   after it, and if that has records, the service caps. Pages that bring nothing new also end a list. Where the service
//!   refuses the page after a short one, it ends there if the first page is still answered.
//! * **The lookback** widens only the first request of a walk. The newest second was still being written when it was last
//!   read, and records appear late.
//! * **The position** of the cursor moves to a second once a record after that second was read, and to the newest second
//!   read at the end of the list. It never moves to a second that lies in the future, and never past **the tail**: the
//!   newest second of the first answer that reached the last `lookback` seconds. A slow walk goes on for long after that
//!   answer, and what appears late meanwhile is dated before places that it has passed. The next walk begins there.
//! * **A clock that was ahead** may have moved the position into the future, where it hides all new records. The walk goes
//!   back to the start of the poll that moved it ([`Cursor::moved_at`]).
//! * **Quirks** of the service are kept with the cursor ([`Quirks`](crate::store::Quirks)). A list that is not sorted or not filtered is read
//!   *plainly*: from page 1 on by number. Where `page` is ignored, or the order changes from request to request, the walk
//!   asks for larger pages until a tie fits on one. A quirk is dropped when the service improves: those of the filter are
//!   checked at the end of each walk, with requests of their own, and those of the order in each sweep.
//!
//! * **The first page** of a first walk and of a sweep raises questions that no other page answers: whether pages count from
//!   1, and whether the filter shows what the list holds. They are asked at once (`prelude`). Where pages count from 0, the
//!   walk begins again, one page lower. Where the filter hides records, polls cannot tell how far the list is complete. They
//!   read what the filter gives and leave the position alone; sweeps follow each other, and each moves it to its own
//!   beginning ([`Walk::swept`]).
//!
//! * **Bounds.** Parts of a long list may be read ahead, each from a bound ([`Walk::add_bound`]). Where a page reaches one and
//!   holds a record of its second, the walk anchors there instead of at the last second: an anchor like any other, with the
//!   same proof.
//!
//! A **sweep** is a plain walk from the beginning, without a filter, that can be left and taken up again
//! ([`SweepPlace`]). If the service ignores `page` and the list does not fit on the largest page, the sweep goes from
//! anchor to anchor, too.
//!
//! # How the code is divided
//!
//! A page passes through two steps. `order` notes what it shows of the list and of the service, and acts on that. `phase`
//! does what the page was asked for, and decides what to ask next. Each part keeps one kind of knowledge, and no part
//! knows another one:
//!
//! | part | knows |
//! |---|---|
//! | [`OpenList`] | the list that is being read: its bound, the page that is due, the elements seen |
//! | [`PageSize`] | how many elements to ask for, and whether more would help (`larger_pages`: where the list is long) |
//! | [`FilterEvidence`] | whether the filter begins where it was asked to |
//! | [`Prelude`] | what the first page makes doubtful, and how to find out |
//! | [`Reread`] | what was read by page number, and what of it has to be read again |
//! | [`Horizon`] | how far the walk has read, and how far the position may move |
//! | [`SweepRun`] | the findings of a sweep, and how it finds its place again |

mod filter;
mod horizon;
mod larger_pages;
#[cfg(test)]
mod model;
mod open_list;
mod order;
mod page_size;
mod page_view;
mod phase;
mod prelude;
mod questions;
mod refusal;
mod reread;
mod sweep_run;

use crate::api::{Page, Query, Second, Timestamp};
use crate::store::{Cursor, SweepPlace};
use filter::FilterEvidence;
pub use horizon::AnswerTime;
use horizon::Horizon;
pub use larger_pages::LargerPageFailure;
use open_list::{Bookmark, OpenList};
use page_size::PageSize;
pub use page_size::PageSizes;
use page_view::PageView;
use phase::{Goal, Phase, Proof};
use prelude::Prelude;
use reread::Reread;
use sweep_run::SweepRun;

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the page that [`Walk::request`] describes.
    Ask,
    /// The stream is read to its end, or as far as it can be ([`Quirks::incomplete`](crate::store::Quirks::incomplete)).
    End,
}

/// One reading of a stream from its cursor to its end.
#[derive(Debug)]
pub struct Walk {
    /// What would be committed now.
    cursor: Cursor,
    phase: Phase,
    list: OpenList,
    size: PageSize,
    filter: FilterEvidence,
    reread: Reread,
    horizon: Horizon,
    /// A page after a short one was refused: the first page is asked for again.
    confirming: bool,
    prelude: Prelude,
    /// What the latest page of the list was the answer to, and how the walk goes on after it.
    latest: Option<(Query, Step)>,
    /// The page that was refused after a full one, and the last second before it.
    refused: Option<(u64, Second)>,
    /// None in a poll.
    sweep: Option<SweepRun>,
}

impl Walk {
    /// A walk from the cursor on. `lookback` is in seconds, `now` is our clock.
    pub fn new(cursor: Cursor, sizes: PageSizes, lookback: u64, now: Second) -> Walk {
        let hides = cursor.quirks.hides.is_some();
        let is_first = cursor.position.is_none();
        let plainly = cursor.quirks.read_plainly() || hides && is_first;
        let back = lookback + cursor.quirks.filters_late_by;
        let proof = cursor.position.map(|target| Proof {
            target,
            back,
            goal: Goal::Begin,
        });
        let phase = match proof {
            unproven if plainly => Phase::Plain {
                unproven: unproven.filter(|_| !hides),
            },
            Some(_) if hides => Phase::Reading { target: None },
            Some(proof) => Phase::Proving(proof),
            None => Phase::Reading { target: None },
        };
        Walk {
            phase,
            list: OpenList::new(proof.map(Proof::from), sizes.configured),
            size: PageSize::new(sizes, cursor.quirks.refuses_pages_above),
            filter: FilterEvidence::new(&cursor.quirks, proof.map(|proof| proof.back)),
            reread: Reread::new(plainly),
            horizon: Horizon::new(now, lookback),
            confirming: false,
            prelude: if is_first {
                Prelude::Wanted
            } else {
                Prelude::Over
            },
            latest: None,
            refused: None,
            sweep: None,
            cursor,
        }
    }

    /// A sweep: the whole list, plainly, from `place` on. `cursor` is that of the polls. The sweep adds to it what it finds
    /// out about the service, and what the next poll has to read again.
    pub fn sweep(cursor: Cursor, page_size: u32, place: SweepPlace, now: Second) -> Walk {
        let bound = if place.by_date {
            place.from
        } else {
            place.position
        };
        let mut cursor = Cursor {
            position: bound.filter(|_| place.anchored),
            ..cursor
        };
        let is_start = place.first.is_none() && !place.anchored;
        if is_start {
            // The service may have improved.
            cursor.quirks.refuses_pages_above = None;
        }
        let sizes = PageSizes {
            configured: page_size,
            larger: page_size,
        };
        let mut walk = Walk::new(cursor, sizes, 0, now);
        let is_in_tie = place.by_date && place.page > 1;
        if !place.anchored || is_in_tie {
            walk.phase = if place.anchored {
                Phase::Reading { target: place.from }
            } else {
                Phase::Plain { unproven: None }
            };
            walk.size.resume(place.size);
            walk.list = OpenList::at(&place, page_size);
        }
        if !is_start {
            walk.prelude = Prelude::Over;
        }
        walk.sweep = Some(SweepRun::new(place));
        walk.rejoin();
        walk
    }

    /// The walk is left before the end of its list, which has taken too long.
    pub fn leave(&mut self) {
        let paging = &mut self.cursor.quirks.paging;
        paging.endless_since.get_or_insert(self.horizon.now);
    }

    /// The request to make next.
    pub fn request(&self) -> Query {
        if let Prelude::Asking(inquiry) = &self.prelude {
            return inquiry.query();
        }
        let page = if self.confirming {
            1
        } else {
            self.list.mark.page
        };
        let before = u64::from(self.cursor.quirks.paging.counts_from_zero);
        Query {
            page: Some(page - before),
            page_size: self.size.present,
            from: self.list.mark.from,
        }
    }

    /// The answer to [`request`](Walk::request) came after a redirect, or without one.
    pub fn note_redirect(&mut self, redirected: bool) {
        self.cursor.quirks.redirects = redirected;
    }

    /// Whether the request only asks how the service behaves: its records belong to pages that are read as well.
    pub fn is_asking_about_service(&self) -> bool {
        self.confirming || self.is_in_prelude()
    }

    /// How far the stream is known to be complete, to be committed with the records of the pages given to `step`.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// When the first page was asked for, by the slower clock.
    pub fn began(&self) -> Option<Second> {
        self.horizon.began
    }

    /// Whether it has read something newer than its position, but nothing else than what lies in the future.
    pub fn stands_before_the_future(&self) -> bool {
        self.horizon.only_future_after(self.cursor.position)
    }

    /// Where a sweep has come to.
    pub fn place(&self) -> Option<SweepPlace> {
        let mut place = self.sweep.as_ref()?.place.clone();
        place.position = self.cursor.position;
        place.size = self.size.present;
        self.list.note_in(&mut place);
        Some(place)
    }

    /// Goes on with a sweep after a poll, which has left this cursor. `may_have_shifted`: so much time has passed that pages
    /// may have shifted.
    pub fn go_on(&mut self, cursor: Cursor, may_have_shifted: bool) {
        let position = self.cursor.position;
        self.cursor = Cursor { position, ..cursor };
        if let (Some(place), Some(sweep)) = (self.place(), &mut self.sweep) {
            sweep.place = place;
        }
        if may_have_shifted && let Phase::Plain { .. } | Phase::Reading { .. } = self.phase {
            self.rejoin();
        }
    }

    /// A page could not be read because it was too large: whether to ask for a smaller one instead.
    pub fn shrink(&mut self) -> bool {
        let shrunk = self.size.shrink();
        if shrunk {
            self.list.restart(self.size.present);
        }
        shrunk
    }

    /// Takes the answer to [`request`](Walk::request).
    ///
    /// `stored` holds, for each record of the page, the date of its newest version stored before this page.
    pub fn step(&mut self, page: &Page, stored: &[Option<Timestamp>], time: AnswerTime) -> Step {
        let view = &PageView::new(page, stored);
        if self.is_in_prelude() {
            self.note_left(view);
            return self.take_answer(Some(view));
        }
        let request = self.request();
        let confirmed = std::mem::take(&mut self.confirming);
        if confirmed {
            self.note_left(view);
        } else {
            self.note_moves(view);
            self.note_end(page);
            self.note_depth(view);
        }
        if self.set_back(time) || self.step_back_to_rejoin(view) {
            return Step::Ask;
        }
        self.horizon.set_time(time);
        let before = self.cursor.position;
        let step = if confirmed {
            self.confirm_end()
        } else {
            self.take(view)
        };
        if self.cursor.position != before {
            self.cursor.moved_at = self.horizon.began;
        }
        self.latest = Some((request, step));
        self.begin_prelude(request, view).unwrap_or(step)
    }

    /// Begins again from farther back, if the position lies in the future: a clock was ahead when it moved there.
    fn set_back(&mut self, time: AnswerTime) -> bool {
        let AnswerTime { came, latest, .. } = time;
        if self.sweep.is_some() || self.cursor.position <= Some(latest) {
            return false;
        }
        let lookback = self.horizon.lookback;
        let moved_at = self.cursor.moved_at.unwrap_or(latest).min(latest);
        self.cursor.position = Some(moved_at.earlier(lookback));
        self.cursor.set_back_at = Some(latest);
        let cursor = std::mem::take(&mut self.cursor);
        *self = Walk::new(cursor, self.size.sizes(), lookback, came);
        true
    }

    /// What an empty page looks like.
    fn note_end(&mut self, page: &Page) {
        if page.length() > 0 {
            return;
        }
        let quirks = &mut self.cursor.quirks;
        quirks.paging.null_pages = page.is_null;
        if self.list.mark.page == 2 {
            quirks.ignores_page = false;
        }
        if self.list.mark.page > 1 {
            quirks.paging.refuses_past_end = false;
        }
    }

    fn take(&mut self, view: &PageView) -> Step {
        if !self.accepts_size(view) {
            return Step::Ask;
        }
        let is_check = matches!(self.phase, Phase::Checking(_));
        if !is_check && let Some(step) = self.look_at(view) {
            return step;
        }
        self.take_in_phase(view)
    }

    /// Goes back in the list of a sweep, to a page that it has read before it was left.
    fn rejoin(&mut self) {
        let Bookmark { from, page, .. } = self.list.mark;
        let sweep = self.sweep.as_mut();
        if let Some(page) = sweep.and_then(|sweep| sweep.rejoin(from, page)) {
            self.list.rejoin(page);
        }
    }

    /// Goes back farther, if the page holds nothing that the sweep has read before it was left.
    fn step_back_to_rejoin(&mut self, view: &PageView) -> bool {
        let page = self.list.mark.page;
        let sweep = self.sweep.as_mut();
        let back = sweep.and_then(|sweep| sweep.step_back(page, view));
        if let Some(page) = back {
            self.list.mark.page = page;
        }
        back.is_some()
    }
}
