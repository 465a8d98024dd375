//! The cursor walk: how a stream is read completely although it changes while it is read.
//!
//! A pure state machine. [`Walk::request`] says what to ask next, [`Walk::step`] takes the answer; nothing here does
//! I/O, so that a model can drive it through any history (see the tests).
//!
//! A list sorted by date and read page by page by number loses records: one that changes moves to the end of the list,
//! all that follow it move forward by one, and the first of the next page is now the last of the page already read.
//! The walk therefore *re-anchors*: it asks page 1 of the list that begins at the newest second it has read. Records
//! only move later, so that cannot skip one. It costs the records of that second, read twice.
//!
//! * **A tie** (a whole page inside one second) is read on by number, from the same anchor. That is the one place where
//!   pages can shift, so the seconds that were read so are remembered ([`Cursor::numbered`]). When a record comes back
//!   newer whose stored version lies in such a second, of this walk or the one before, it has moved out while (or
//!   after) the second was read: the second is **read again**, once, at the end of the walk.
//! * **Proof.** A re-anchored answer must hold a record that was already read. One that does not (the bound is
//!   exclusive, the filter is in another time zone, the record has moved) is not built upon: the walk steps back, ever
//!   farther, and in the end pages on by number from where it was.
//! * **The end** is an empty page. A short page is not: services cap `pageSize`. It is followed by the next page of its
//!   anchor, and if that has records, the service caps. Pages that bring nothing new end a list, too.
//! * **The lookback** widens the first request of a walk only: the newest second was still being written when it was
//!   read, and records appear late.
//! * **The position** moves to a second once a record beyond it was read, to the newest second read at the walk's end,
//!   and never to one that lies in the future.
//! * **Quirks.** What a service turns out to do otherwise is kept with the cursor ([`Quirks`]). One that does not sort
//!   or filter is read plainly, from page 1 on by number; one that ignores `page`, or changes its order from request to
//!   request, is asked for larger pages, until a tie fits on one. A trait of the filter is looked at again at the end of
//!   each walk, with a request of its own; that of the order in each sweep.
//!
//! A **sweep** is a plain walk from the beginning, without a filter, that can be left and taken up again ([`Place`]).
//! Only the list of a service that ignores `page`, and is too long for the largest page, is swept from anchor to anchor.

mod again;
mod dates;
mod filter;
#[cfg(test)]
mod model;
mod order;

use std::collections::{BTreeSet, HashSet};

use crate::api::{Page, Query, Record, Second, Timestamp};
use crate::store::{Cursor, Place, Quirks, Range};
use dates::Dates;
use filter::farther_than;
use order::{hashes, page_hash};

/// The largest page that is asked for where a smaller one will not do. Elements.
pub const LARGEST_PAGE: u32 = 10_000;

/// How many elements of one list are remembered, to know them when they come again. Eight bytes each.
const REMEMBERED: usize = 100_000;

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the page that [`Walk::request`] describes.
    Ask,
    /// The stream is read to its end, or as far as it can be ([`Quirks::incomplete`]).
    End,
}

/// One reading of a stream from its cursor to its end.
#[derive(Debug)]
pub struct Walk {
    page_size: u32,
    /// How far the first request goes back, in seconds.
    lookback: u64,
    /// Whether it is the first walk of its stream.
    first_ever: bool,
    /// How many elements are asked for: `page_size`, or more where that will not do.
    size: u32,
    /// As many are asked for at most, of this list: more have done no good.
    largest: u32,
    /// As many are asked for at most, ever.
    limit: u32,
    /// What would be committed now. Until the list has ended, `numbered` also holds the ranges of the walk before.
    cursor: Cursor,
    /// The ranges that this walk has read by page number.
    numbered: BTreeSet<Range>,
    /// The ranges to read again at the end of this walk, last first.
    due: Vec<Range>,
    /// Ranges that records left while they were being read again: due in the next walk.
    postponed: BTreeSet<Range>,
    /// The newest second read that does not lie in the future.
    newest: Option<Second>,
    /// The newest second read.
    latest: Option<Second>,
    /// The service's clock at the first answer.
    began: Option<Second>,
    /// Our clock when the walk began.
    now: Second,
    /// The second of the latest anchor. Anchors only move later.
    anchored: Option<Second>,
    /// By how many seconds the filter begins too late, as far as the anchors show.
    late: u64,
    /// How far the walk had to step back to find a place to begin; 0 if it had not to.
    stepped_back: u64,
    /// Whether an answer of this walk began earlier than it was asked to.
    begins_early: bool,
    list: List,
    page: u64,
    phase: Phase,
    previous: Previous,
    /// The elements of this list's pages, hashed.
    seen: HashSet<u64>,
    /// The second of a page that came twice.
    shifted: Option<Second>,
    /// The seconds that records have left since the latest anchor.
    moved: Vec<Second>,
    /// How many pages in a row brought nothing new.
    repeats: u32,
    /// Whether it was to be read plainly from the beginning.
    begun_plainly: bool,
    /// Whether the list was read plainly to its end.
    plainly: bool,
    /// How many elements the page had for which a larger one was asked.
    enlarged_over: Option<usize>,
    /// The findings of a sweep; none in a poll.
    sweep: Option<Place>,
    /// The elements of the last page before the sweep was left, and how many pages it stepped back to find one of them.
    rejoining: Option<(HashSet<u64>, u64)>,
}

/// The list that is being read.
#[derive(Debug, Clone, Copy)]
struct List {
    from: Option<Second>,
    /// How many elements are asked for.
    size: u32,
    /// The earliest second seen on its pages: not always `from`, if the service shifts or ignores the filter.
    earliest: Option<Second>,
    /// Its first page, hashed.
    first: Option<u64>,
    /// How many elements its longest page had.
    longest: usize,
    /// Whether it was begun anew because its pages grew longer.
    regrown: bool,
    /// How many of its pages held nothing that was known from the others.
    distinct: u64,
}

/// The page before the one asked for, of the same list.
#[derive(Debug, Default)]
struct Previous {
    keys: Vec<(String, Timestamp)>,
    length: usize,
    /// Its elements, hashed.
    hashes: Vec<u64>,
    hash: u64,
    seconds: Option<Range>,
}

#[derive(Debug)]
enum Phase {
    /// The first page of a list that must be complete from `target` on, asked from `back` seconds before it.
    Proving {
        target: Second,
        back: u64,
        goal: Goal,
    },
    /// Reading, with proof that the list is complete from `target` on.
    Reading { target: Option<Second> },
    /// A short page over several seconds was read to `last`: is it the end, or does the service cap?
    Probing { last: Second },
    /// Paging on by number to the end. The list is to hold a record that is known, of the second `target` or before, or
    /// it is asked for again from farther back than `back` seconds.
    Plain { unproven: Option<(Second, u64)> },
    /// Reading a range of seconds again.
    Again { range: Range },
    /// What follows a tie that cannot be read beyond one page of `length`.
    Beyond { tie: Second, length: usize },
    /// Whether the filter still begins `seconds` too late, asked from so much before the newest second.
    CheckingLate { newest: Second, back: u64 },
    /// Whether it still begins too early, asked from after the newest second.
    CheckingEarly { newest: Second },
}

/// What a list is begun for.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// To begin the walk.
    Begin,
    /// To go on with it at a new anchor. If no proof can be had, the list so far is read on from that page.
    GoOn(List, u64),
    /// To read a range of seconds again.
    ReadAgain(Range),
}

impl Walk {
    /// A walk from the cursor on. `lookback` is in whole seconds, `now` is our clock.
    pub fn new(cursor: Cursor, page_size: u32, lookback: u64, now: Second) -> Walk {
        let plainly = cursor.quirks.read_plainly();
        let back = lookback + cursor.quirks.filters_late_by;
        let phase = match cursor.position {
            Some(target) if plainly => Phase::Plain {
                unproven: Some((target, back)),
            },
            None if plainly => Phase::Plain { unproven: None },
            Some(target) => Phase::Proving {
                target,
                back,
                goal: Goal::Begin,
            },
            None => Phase::Reading { target: None },
        };
        let from = cursor.position.map(|position| position.earlier(back));
        Walk {
            lookback: back,
            first_ever: from.is_none(),
            begun_plainly: plainly,
            ..Walk::starting(cursor, page_size, from, phase, now)
        }
    }

    /// A sweep: the whole list, plainly, from that place on.
    pub fn sweep(quirks: Quirks, page_size: u32, place: Place, now: Second) -> Walk {
        let mut cursor = Cursor {
            quirks,
            ..Cursor::default()
        };
        let mut walk = if place.anchored {
            cursor.position = place.position;
            Walk::new(cursor, page_size, 0, now)
        } else {
            let mut walk = Walk::starting(
                cursor,
                page_size,
                None,
                Phase::Plain { unproven: None },
                now,
            );
            walk.page = place.page;
            walk.size = place.size.max(page_size);
            walk.list.longest = place.longest;
            walk.list.first = place.first;
            walk.list.distinct = place.page - 1;
            walk
        };
        walk.sweep = Some(place);
        walk.rejoin();
        walk
    }

    /// Steps back a page: what was deleted or moved while the sweep was left has moved the others forward. Not twice
    /// without having come any farther, or it might never end.
    fn rejoin(&mut self) {
        let Some(place) = &mut self.sweep else {
            return;
        };
        if place.anchored || self.page < 2 || self.page <= place.farthest {
            return;
        }
        place.farthest = self.page;
        self.rejoining = Some((place.last.iter().copied().collect(), 1));
        self.page -= 1;
        self.previous = Previous::default();
        self.seen.clear();
        self.repeats = 0;
    }

    /// Steps back farther, until a page holds an element that was read before the sweep was left.
    fn step_back_to_rejoin(&mut self, page: &Page) -> bool {
        let Some((last, back)) = self.rejoining.take() else {
            return false;
        };
        if self.page == 1 || hashes(page).any(|hash| last.contains(&hash)) {
            return false;
        }
        self.page = self.page.saturating_sub(back * 2).max(1);
        self.rejoining = Some((last, back * 2));
        true
    }

    fn starting(
        cursor: Cursor,
        page_size: u32,
        from: Option<Second>,
        phase: Phase,
        now: Second,
    ) -> Walk {
        Walk {
            page_size,
            lookback: 0,
            first_ever: false,
            size: page_size,
            largest: LARGEST_PAGE.max(page_size),
            limit: LARGEST_PAGE.max(page_size),
            numbered: BTreeSet::new(),
            due: Vec::new(),
            postponed: BTreeSet::new(),
            newest: None,
            latest: None,
            began: None,
            now,
            anchored: None,
            late: cursor.quirks.filters_late_by,
            stepped_back: 0,
            begins_early: false,
            list: List::new(from, page_size),
            page: 1,
            phase,
            previous: Previous::default(),
            seen: HashSet::new(),
            shifted: None,
            moved: Vec::new(),
            repeats: 0,
            begun_plainly: false,
            plainly: false,
            enlarged_over: None,
            sweep: None,
            rejoining: None,
            cursor,
        }
    }

    /// The request to make next.
    pub fn request(&self) -> Query {
        Query {
            page: self.page,
            page_size: self.size,
            from: self.list.from,
        }
    }

    /// How far the stream is known to be complete, to be committed with the records of the pages given to `step`.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The newest second read, be it in the future or not.
    pub fn latest(&self) -> Option<Second> {
        self.latest
    }

    /// Where a sweep has come to.
    pub fn place(&self) -> Option<Place> {
        self.sweep.clone().map(|place| Place {
            page: self.page,
            size: self.size,
            longest: self.list.longest,
            first: self.list.first,
            position: self.cursor.position,
            last: self.previous.hashes.clone(),
            ..place
        })
    }

    /// Goes on with a sweep after a poll has found out these traits, and after so long that the list may have shifted.
    pub fn go_on(&mut self, quirks: Quirks, may_have_shifted: bool) {
        self.cursor.quirks = quirks;
        self.sweep = self.place();
        if let (true, Phase::Plain { .. }) = (may_have_shifted, &self.phase) {
            self.rejoin();
        }
    }

    /// A page could not be read because it was too large: whether a smaller one can be asked for instead.
    pub fn shrink(&mut self) -> bool {
        if self.size <= self.page_size {
            return false;
        }
        self.size = (self.size / 2).max(self.page_size);
        self.limit = self.size;
        self.largest = self.size;
        self.enlarged_over = None;
        self.restart();
        true
    }

    /// Takes the answer to [`request`](Walk::request).
    ///
    /// `stored` holds, for each record of the page, the date of its newest version stored before this page; `clock` is
    /// the service's present, or ours.
    pub fn step(&mut self, page: &Page, stored: &[Option<Timestamp>], clock: Timestamp) -> Step {
        let clock = clock.second();
        self.began.get_or_insert(clock);
        if self.step_back_to_rejoin(page) {
            return Step::Ask;
        }
        let dates = Dates::of(page);
        if let Phase::CheckingLate { newest, back } = self.phase {
            return self.check_late(newest, back, page);
        }
        if let Phase::CheckingEarly { newest } = self.phase {
            return self.check_early(newest, dates);
        }
        self.list.earliest = dates.earliest.into_iter().chain(self.list.earliest).min();
        self.note_early(dates);
        match (&self.phase, self.edge(), dates.seconds) {
            // Records that move stay in the list: beyond its last page there is nothing that they could hide.
            _ if page.length() == 0 => {}
            // What shifted over the edge of the two pages lies no later than where this one begins.
            (Phase::Reading { .. }, Some(edge), Some((first, _))) => {
                self.read_by_number(edge.max(first));
            }
            (Phase::Plain { .. }, ..) => self.read_by_number(Second::MAX),
            _ => {}
        }
        for (record, stored) in page.records.iter().zip(stored) {
            let second = record.timestamp.second();
            self.latest = self.latest.max(Some(second));
            if second <= clock {
                self.newest = self.newest.max(Some(second));
            }
            if let Some(stored) = stored.filter(|stored| *stored < record.timestamp) {
                self.read_again_later(stored.second());
                self.moved.push(stored.second());
            }
        }
        self.note_shift(page);
        if let Some(step) = self.look_at_the_order(page, dates) {
            return step;
        }
        match &self.phase {
            &Phase::Proving { target, back, goal } => {
                let proven = self.is_proof(page, dates, stored, target, back, goal);
                if !proven && self.step_back(target, back, goal) {
                    return Step::Ask;
                }
                match goal {
                    Goal::GoOn(..) => self.late = back,
                    Goal::Begin if back > self.lookback && !self.begins_early(dates) => {
                        self.stepped_back = back;
                    }
                    Goal::Begin | Goal::ReadAgain(_) => {}
                }
                self.seen.clear();
                match goal {
                    Goal::ReadAgain(range) => {
                        self.phase = Phase::Again { range };
                        self.read_again(range, page, dates)
                    }
                    Goal::Begin | Goal::GoOn(..) => {
                        self.phase = Phase::Reading {
                            target: Some(target),
                        };
                        self.read(page, dates, clock)
                    }
                }
            }
            Phase::Reading { .. } => self.read(page, dates, clock),
            &Phase::Probing { last } => {
                if page.length() == 0 {
                    return self.end_of_list();
                }
                self.anchor(last);
                Step::Ask
            }
            &Phase::Plain { unproven } => {
                let proves = |(target, _): &(Second, u64)| {
                    self.begins_early || Self::holds_known(page, stored, *target)
                };
                self.phase = Phase::Plain {
                    unproven: unproven.filter(|unproven| !proves(unproven)),
                };
                self.read_plainly(page, dates)
            }
            &Phase::Again { range } => self.read_again(range, page, dates),
            &Phase::Beyond { tie, length } => {
                if dates.seconds.is_none_or(|(_, last)| last <= tie) {
                    return self.end_of_list();
                }
                // More follows: the page of the tie was full.
                self.note_cap(length);
                self.note_unreadable_tie(tie, length);
                self.phase = Phase::Reading { target: Some(tie) };
                self.read(page, dates, clock)
            }
            Phase::CheckingLate { .. } | Phase::CheckingEarly { .. } => Step::Ask,
        }
    }

    fn read(&mut self, page: &Page, dates: Dates, clock: Second) -> Step {
        let Phase::Reading { target } = self.phase else {
            return Step::Ask;
        };
        if page.length() == 0 {
            return self.end_of_list();
        }
        if self.repeats > 0 {
            return self.repeated(page, dates);
        }
        let Some((first, last)) = dates.seconds else {
            return self.next_page(page, dates);
        };
        let edge = self.edge();
        if !dates.ascends || self.cursor.quirks.unsorted_since.is_some() {
            self.phase = Phase::Plain { unproven: None };
            return self.read_plainly(page, dates);
        }
        if let Some(target) = target.filter(|target| last > *target && *target <= clock) {
            self.cursor.position = self.cursor.position.max(Some(target));
        }
        let ascends_over_seconds = first < last || edge.is_some_and(|edge| edge < last);
        let later = self.anchored.is_none_or(|anchored| last > anchored)
            && self
                .list
                .from
                .is_none_or(|from| last.earlier(self.late) > from);
        let full = page.length() >= self.full();
        if !(ascends_over_seconds && later)
            && full
            && self.cursor.quirks.unstable_since.is_some()
            && self.enlarge(page)
        {
            return Step::Ask;
        }
        self.next_page(page, dates);
        if ascends_over_seconds && later {
            // The next page of a service that ignores "page" says nothing.
            match full || self.cursor.quirks.ignores_page {
                true => self.anchor(last),
                false => self.phase = Phase::Probing { last },
            }
        }
        Step::Ask
    }

    /// The last second of the page before, if there is one in this list.
    fn edge(&self) -> Option<Second> {
        self.previous
            .seconds
            .filter(|_| self.page > 1)
            .map(|(_, last)| last)
    }

    fn read_plainly(&mut self, page: &Page, dates: Dates) -> Step {
        self.plainly = true;
        if page.length() == 0 {
            return self.end_of_list();
        }
        if self.repeats > 0 {
            return self.repeated(page, dates);
        }
        self.next_page(page, dates)
    }

    fn next_page(&mut self, page: &Page, dates: Dates) -> Step {
        let seconds = match self.page {
            1 => dates.seconds,
            _ => dates.seconds.or(self.previous.seconds),
        };
        let keys = page
            .records
            .iter()
            .map(|record| (record.id.clone(), record.timestamp))
            .collect();
        self.previous = Previous {
            keys,
            length: page.length(),
            hashes: hashes(page).collect(),
            hash: page_hash(page),
            seconds,
        };
        self.list.first.get_or_insert(self.previous.hash);
        self.list.longest = self.list.longest.max(page.length());
        let mut known = false;
        for hash in hashes(page) {
            known |= match self.seen.len() < REMEMBERED {
                true => !self.seen.insert(hash),
                false => self.seen.contains(&hash),
            };
        }
        self.list.distinct += u64::from(!known);
        self.page += 1;
        Step::Ask
    }

    fn restart(&mut self) {
        let (largest, regrown) = (self.largest, self.list.regrown);
        self.begin_list(self.list.from);
        self.largest = largest;
        self.list.regrown = regrown;
        self.seen.clear();
    }

    fn begin_list(&mut self, from: Option<Second>) {
        self.list = List::new(from, self.size);
        self.page = 1;
        self.shifted = None;
        self.repeats = 0;
        self.largest = self.limit;
    }

    /// Goes on with the list that begins at `target`, whose last page read was that before `self.page`.
    fn anchor(&mut self, target: Second) {
        self.moved.clear();
        self.anchored = Some(target);
        self.size = self.page_size;
        self.prove(target, self.late, Goal::GoOn(self.list, self.page));
    }

    fn end_of_list(&mut self) -> Step {
        if let Phase::Plain {
            unproven: Some((target, back)),
        } = self.phase
            && let Some(farther) = farther_than(back)
        {
            self.begin_list(Some(target.earlier(farther)));
            self.seen.clear();
            self.phase = Phase::Plain {
                unproven: Some((target, farther)),
            };
            return Step::Ask;
        }
        // Without order, what changed while the list was read may stand on pages that were read before.
        let newest = match self.plainly {
            true => self.newest.min(self.began),
            false => self.newest,
        };
        self.cursor.position = self.cursor.position.max(newest);
        if self.sweep.is_some() {
            self.conclude_sweep();
            return Step::End;
        }
        self.plan_what_is_read_again();
        self.read_next_range_again()
    }

    /// A sweep has seen the whole list: what it did not find is so no more.
    fn conclude_sweep(&mut self) {
        let Some(place) = &self.sweep else {
            return;
        };
        let quirks = &mut self.cursor.quirks;
        if !place.unsorted && place.several_seconds && !place.anchored {
            quirks.unsorted_since = None;
        }
        if !place.unstable {
            quirks.unstable_since = None;
        }
        if !place.incomplete {
            quirks.incomplete = None;
        }
    }
}

impl List {
    fn new(from: Option<Second>, size: u32) -> List {
        List {
            from,
            size,
            earliest: None,
            first: None,
            longest: 0,
            regrown: false,
            distinct: 0,
        }
    }
}

impl Previous {
    fn has(&self, record: &Record) -> bool {
        self.keys
            .iter()
            .any(|(id, timestamp)| (id, timestamp) == (&record.id, &record.timestamp))
    }
}
