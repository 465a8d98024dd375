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
//!   exclusive, the filter is in another time zone, the record has moved) is not built upon: the walk steps back by
//!   1, 2, 4 … seconds, and in the end pages on by number from where it was.
//! * **The end** is an empty page. A short page is not: services cap `pageSize`. It is followed by the next page of its
//!   anchor, and if that has records, the service caps.
//! * **The lookback** widens the first request of a walk only: the newest second was still being written when it was
//!   read, and records appear late.
//! * **The position** moves to a second once a record beyond it was read, to the newest second read at the walk's end,
//!   and never to one that lies in the future.

use std::collections::BTreeSet;

use crate::api::{Page, Query, Record, Second, Timestamp, Unusable};
use crate::store::{Cursor, Range};

/// So many repetitions of a page in a row show that the service ignores `page`, or repeats its last one. A single one
/// does not: records that appeared before it may have moved it by exactly a page.
const TELLING_REPEATS: u32 = 3;

/// How far a step back goes at most: more than the 14 hours by which time zones differ. Seconds.
const FARTHEST_STEP_BACK: u64 = 1 << 16;

/// What to do after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for the page that [`Walk::request`] describes.
    Ask,
    /// The stream is read to its end.
    End,
    /// The walk cannot go on, for this reason. What it has read is good, and so is its cursor.
    Stuck(String),
}

/// One reading of a stream from its cursor to its end.
#[derive(Debug)]
pub struct Walk {
    page_size: u32,
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
    /// How many elements a full page has: `pageSize`, or what the service caps it at.
    full: usize,
    /// The second of the latest anchor. Anchors only move later.
    anchored: Option<Second>,
    /// Whether stepping back by one second was what gave the proof: the service excludes its bound.
    exclusive: bool,
    list: List,
    page: u64,
    phase: Phase,
    previous: Previous,
    /// The seconds that records have left since the latest anchor.
    moved: Vec<Second>,
    /// How many pages in a row were the same as the one before them.
    repeats: u32,
}

/// The list that is being read: what `from` bounds, and how far the page before this one got.
#[derive(Debug, Clone, Copy)]
struct List {
    from: Option<Second>,
    /// The earliest second seen on its pages: not always `from`, if the service shifts or ignores the filter.
    earliest: Option<Second>,
}

impl List {
    fn see(&mut self, page: &Page) {
        let seconds = page.records.iter().map(|record| record.timestamp.second());
        self.earliest = seconds.chain(self.earliest).min();
    }
}

/// The page before the one asked for, of the same list.
#[derive(Debug, Default)]
struct Previous {
    keys: Vec<(String, Timestamp)>,
    unusable: Vec<Unusable>,
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
    /// A short page over several seconds was read to `last`: is it the end, or a cap of `length`?
    Probing { last: Second, length: usize },
    /// Paging on by number to the end.
    Plain,
    /// Reading a range of seconds again.
    Again { range: Range },
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
    /// A walk from the cursor on. `lookback` is in whole seconds.
    pub fn new(cursor: Cursor, page_size: u32, lookback: u64) -> Walk {
        let phase = match cursor.position {
            Some(target) => Phase::Proving {
                target,
                back: lookback,
                goal: Goal::Begin,
            },
            None => Phase::Reading { target: None },
        };
        Walk {
            page_size,
            numbered: BTreeSet::new(),
            due: Vec::new(),
            postponed: BTreeSet::new(),
            newest: None,
            full: page_size as usize,
            anchored: None,
            exclusive: false,
            list: List {
                from: cursor.position.map(|position| position.earlier(lookback)),
                earliest: None,
            },
            page: 1,
            phase,
            previous: Previous::default(),
            moved: Vec::new(),
            repeats: 0,
            cursor,
        }
    }

    /// The request to make next.
    pub fn request(&self) -> Query {
        Query {
            page: self.page,
            page_size: self.page_size,
            from: self.list.from,
        }
    }

    /// How far the stream is known to be complete, to be committed with the records of the pages given to `step`.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Takes the answer to [`request`](Walk::request).
    ///
    /// `stored` holds, for each record of the page, the date of its newest version stored before this page; `clock` is
    /// the service's present, or ours.
    pub fn step(&mut self, page: &Page, stored: &[Option<Timestamp>], clock: Timestamp) -> Step {
        self.list.see(page);
        let seen = Seen::of(page);
        match (&self.phase, self.edge(), seen.seconds) {
            // Records that move stay in the list: beyond its last page there is nothing that they could hide.
            _ if page.length() == 0 => {}
            // What shifted over the edge of the two pages lies no later than where this one begins.
            (Phase::Reading { .. }, Some(edge), Some((first, _))) => {
                self.read_by_number(edge.max(first))
            }
            (Phase::Plain, ..) => self.read_by_number(Second::MAX),
            _ => {}
        }
        for (record, stored) in page.records.iter().zip(stored) {
            let second = record.timestamp.second();
            if second <= clock.second() {
                self.newest = self.newest.max(Some(second));
            }
            if let Some(stored) = stored.filter(|stored| *stored < record.timestamp) {
                self.read_again_later(stored.second());
                self.moved.push(stored.second());
            }
        }
        // A page that begins with a record of the page before shows that the list has shifted the other way.
        if let Some(record) = page
            .records
            .first()
            .filter(|record| self.page > 1 && self.previous.has(record))
        {
            self.read_again_later(record.timestamp.second());
        }
        self.repeats = if self.page > 1 && self.previous.is(page) {
            self.repeats + 1
        } else {
            0
        };
        match &self.phase {
            &Phase::Proving { target, back, goal } => {
                let proven = self.is_proof(page, stored, target, back, goal);
                if !proven && self.step_back(target, back, goal) {
                    return Step::Ask;
                }
                match goal {
                    Goal::ReadAgain(range) => {
                        self.phase = Phase::Again { range };
                        self.read_again(range, page, seen)
                    }
                    Goal::Begin | Goal::GoOn(..) => {
                        self.exclusive |= matches!(goal, Goal::GoOn(..)) && back == 1;
                        self.phase = Phase::Reading {
                            target: Some(target),
                        };
                        self.read(page, seen, clock)
                    }
                }
            }
            Phase::Reading { .. } => self.read(page, seen, clock),
            &Phase::Probing { last, length } => {
                if page.length() == 0 {
                    return self.end_of_list();
                }
                if self.repeats == 0 {
                    self.full = length;
                }
                self.anchor(last);
                Step::Ask
            }
            Phase::Plain => self.read_plainly(page, seen),
            &Phase::Again { range } => self.read_again(range, page, seen),
        }
    }

    fn read_again_later(&mut self, second: Second) {
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

    /// Whether the answer shows that the filter's bound is where it should be: it holds a record at or before the
    /// target that was read before, on the page before the anchor or, where there is none, ever.
    fn is_proof(
        &self,
        page: &Page,
        stored: &[Option<Timestamp>],
        target: Second,
        back: u64,
        goal: Goal,
    ) -> bool {
        let mut until_target = page
            .records
            .iter()
            .zip(stored)
            .filter(|(record, _)| record.timestamp.second() <= target);
        match goal {
            Goal::Begin | Goal::ReadAgain(_) => {
                until_target.any(|(record, stored)| *stored == Some(record.timestamp))
            }
            Goal::GoOn(..) => {
                let read: BTreeSet<(&str, Timestamp)> = self
                    .previous
                    .keys
                    .iter()
                    .filter(|(_, timestamp)| timestamp.second() >= target.earlier(back))
                    .map(|(id, timestamp)| (id.as_str(), *timestamp))
                    .collect();
                until_target
                    .any(|(record, _)| read.contains(&(record.id.as_str(), record.timestamp)))
            }
        }
    }

    /// Asks for the list from farther back, or plainly for the next page of the list before it. False if neither is
    /// left: no time zone is farther away, so whatever the filter does, nothing was skipped.
    fn step_back(&mut self, target: Second, back: u64, goal: Goal) -> bool {
        // The page that was read begins so many seconds before the target: an inclusive filter that starts there
        // gives a proof even if every later record has moved.
        let span = match (goal, self.previous.seconds) {
            (Goal::GoOn(..), Some((first, _))) => target.since(first),
            _ => 0,
        };
        let doubled = (back * 2).max(1);
        let farther = match () {
            () if back < span && (doubled > span || doubled > FARTHEST_STEP_BACK) => Some(span),
            () if doubled <= FARTHEST_STEP_BACK => Some(doubled),
            () => None,
        };
        match (farther, goal) {
            (Some(back), Goal::GoOn(list, _))
                if list.from.is_none_or(|from| target.earlier(back) > from) =>
            {
                self.prove(target, back, goal);
            }
            (_, Goal::GoOn(list, page)) => {
                self.list = list;
                self.page = page;
                self.phase = Phase::Plain;
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

    fn read(&mut self, page: &Page, seen: Seen, clock: Timestamp) -> Step {
        let Phase::Reading { target } = self.phase else {
            return Step::Ask;
        };
        if page.length() == 0 {
            return self.end_of_list();
        }
        if self.repeats > 0 {
            return self.repeated(page, seen);
        }
        let Some((first, last)) = seen.seconds else {
            return self.next_page(page, seen);
        };
        if !seen.ascends {
            self.phase = Phase::Plain;
            return self.read_plainly(page, seen);
        }
        if let Some(target) = target.filter(|target| last > *target && *target <= clock.second()) {
            self.cursor.position = self.cursor.position.max(Some(target));
        }
        let ascends_over_seconds = first < last || self.edge().is_some_and(|edge| edge < last);
        let back = self.exclusive.into();
        let later = self.anchored.is_none_or(|anchored| last > anchored)
            && self.list.from.is_none_or(|from| last.earlier(back) > from);
        self.next_page(page, seen);
        if ascends_over_seconds && later {
            match page.length() < self.full {
                true => {
                    self.phase = Phase::Probing {
                        last,
                        length: page.length(),
                    }
                }
                false => self.anchor(last),
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

    fn read_plainly(&mut self, page: &Page, seen: Seen) -> Step {
        if page.length() == 0 {
            return self.end_of_list();
        }
        if self.repeats > 0 {
            return self.repeated(page, seen);
        }
        self.next_page(page, seen)
    }

    /// The page is that before it once more. A service that ignores `page`, or repeats its last one, has no more if the
    /// page is short; if it is full, there may be more that cannot be reached.
    fn repeated(&mut self, page: &Page, seen: Seen) -> Step {
        if self.repeats < TELLING_REPEATS {
            return self.next_page(page, seen);
        }
        if page.length() < self.full {
            return self.end_of_list();
        }
        Step::Stuck(format!(
            "page {} is the same as the page before it ({} records): the service ignores \"page\", so what follows \
             cannot be reached; make the service honour \"page\", or raise \"pageSize\" above the number of records \
             that share one second",
            self.page,
            page.length()
        ))
    }

    fn next_page(&mut self, page: &Page, seen: Seen) -> Step {
        let seconds = match self.page {
            1 => seen.seconds,
            _ => seen.seconds.or(self.previous.seconds),
        };
        let keys = page
            .records
            .iter()
            .map(|record| (record.id.clone(), record.timestamp))
            .collect();
        self.previous = Previous {
            keys,
            unusable: page.unusable.clone(),
            seconds,
        };
        self.page += 1;
        Step::Ask
    }

    /// Goes on with the list that begins at `target`, whose last page read was that before `self.page`.
    fn anchor(&mut self, target: Second) {
        self.moved.clear();
        self.anchored = Some(target);
        self.prove(
            target,
            self.exclusive.into(),
            Goal::GoOn(self.list, self.page),
        );
    }

    fn prove(&mut self, target: Second, back: u64, goal: Goal) {
        self.list = List {
            from: Some(target.earlier(back)),
            earliest: None,
        };
        self.page = 1;
        self.phase = Phase::Proving { target, back, goal };
    }

    fn read_by_number(&mut self, last: Second) {
        let Some(first) = self.list.earliest else {
            return;
        };
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

    fn end_of_list(&mut self) -> Step {
        self.cursor.position = self.cursor.position.max(self.newest);
        self.due = self.cursor.again.iter().rev().copied().collect();
        self.cursor.numbered = self.numbered.union(&self.cursor.again).copied().collect();
        self.read_next_range_again()
    }

    fn read_next_range_again(&mut self) -> Step {
        let Some(range) = self.due.pop() else {
            return Step::End;
        };
        // From a second before it: a bound that is exclusive to the nanosecond would cut off its first instant.
        self.prove(range.0, 1, Goal::ReadAgain(range));
        Step::Ask
    }

    fn read_again(&mut self, range: Range, page: &Page, seen: Seen) -> Step {
        let beyond = seen.ascends && seen.seconds.is_some_and(|(_, last)| last > range.1);
        if page.length() > 0 && !beyond && self.repeats < TELLING_REPEATS {
            return self.next_page(page, seen);
        }
        if !self.postponed.contains(&range) {
            self.cursor.again.remove(&range);
        }
        self.read_next_range_again()
    }
}

/// What the dates of a page say.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The seconds of the first and the last usable record.
    seconds: Option<Range>,
    /// Whether no record lies in an earlier second than the one before it.
    ascends: bool,
}

impl Seen {
    fn of(page: &Page) -> Seen {
        let second = |record: Option<&Record>| record.map(|record| record.timestamp.second());
        Seen {
            seconds: second(page.records.first()).zip(second(page.records.last())),
            ascends: page
                .records
                .is_sorted_by_key(|record| record.timestamp.second()),
        }
    }
}

impl Previous {
    fn has(&self, record: &Record) -> bool {
        self.keys
            .iter()
            .any(|(id, timestamp)| (id, timestamp) == (&record.id, &record.timestamp))
    }

    fn is(&self, page: &Page) -> bool {
        let keys = self
            .keys
            .iter()
            .map(|(id, timestamp)| (id.as_str(), *timestamp));
        page.length() > 0
            && keys.eq(page
                .records
                .iter()
                .map(|record| (record.id.as_str(), record.timestamp)))
            && self.unusable == page.unusable
    }
}
