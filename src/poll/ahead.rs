//! Parts of a long list, read before the walk comes to them.
//!
//! A walk asks for one page after the other, because the next bound is a date on the page before. Over a distance that is
//! slow. So the workers that are idle look ahead. **Probes** ask for pages far down the list by number, and the date of the
//! first record of each becomes a bound. From each bound, one larger page is asked for and **held**. When the walk has read
//! past a bound, it anchors there instead of at the last second of its page, and what it then asks for is held already.
//!
//! The walk judges a held page as any other one: it has to be full, in order, and to hold a record of the page before. So a
//! bound is a hint, and a bad one costs a request. What is not held is asked for as ever.
//!
//! A held page is older than the pages that the walk reads before it. That hides nothing: held pages end well before the
//! present, so a record that changes in between gets a later date than any of their records. It moves to the end of the list,
//! which is never read ahead. For the same reason a record of a held page does not supersede a version of the same date.
//!
//! What is read ahead is bounded: no more pages than half a batch has records for. A failure, or an answer that is too large
//! for others beside it, ends the looking ahead. The walk goes on alone.
//!
//! Where answers take as long together as one after the other, probes are of no use. Then the last second of each page that is
//! read ahead is the next bound, and the workers stay a page before the walk. So the service is asked while a batch is
//! committed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Settings;
use super::cursor::{AnswerTime, Walk};
use crate::api::{Page, Query, Second, Stream};

/// How much older than the lookback a bound is at least. Clocks differ. Seconds.
const MARGIN: u64 = 60;

/// How many pages are asked for or held at most where each one shows where the next one begins.
const NEXT_PAGES: usize = 2;

/// What to ask for ahead of a walk.
#[derive(Debug, Clone, Copy)]
pub struct AheadPlan {
    /// Elements of a page that is held.
    pub size: u32,
    /// Elements of a probe.
    pub probe_size: u32,
    /// How many pages are asked for or held at most.
    pub most: u32,
    /// How late records may appear. Seconds.
    pub lookback: u64,
    /// How long the walk waited for a page of that size, alone.
    pub alone: Duration,
}

impl AheadPlan {
    /// The plan for a list of a poll, before anything of it was read.
    pub fn new(settings: &Settings, stream: Stream) -> AheadPlan {
        AheadPlan {
            size: settings.page_size,
            probe_size: settings.page_size,
            // Accounts wait for their balances.
            most: if stream == Stream::Transactions {
                settings.pages_ahead
            } else {
                0
            },
            lookback: settings.lookback,
            alone: Duration::ZERO,
        }
    }

    /// Nothing is read ahead.
    pub fn none() -> AheadPlan {
        AheadPlan {
            size: 1,
            probe_size: 1,
            most: 0,
            lookback: 0,
            alone: Duration::ZERO,
        }
    }
}

/// What the workers ask for and hold ahead of one walk. `T` is an answer.
#[derive(Debug)]
pub struct Ahead<T> {
    plan: AheadPlan,
    /// Where the latest probes count from.
    origin: Second,
    /// The numbers of the pages to probe.
    probes: VecDeque<u64>,
    parts: BTreeMap<Second, AheadPart<T>>,
    /// What is asked for now, and since when.
    in_flight: Vec<(Query, Instant)>,
    /// Where the walk is.
    anchor: Second,
    reach: Reach,
    /// How long the answers have taken together, and how many they are.
    took: (Duration, u32),
}

/// How far ahead bounds are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Probes look for them far down the list.
    Probes,
    /// The last second of each page is the next one.
    NextPage,
    /// No further ones are looked for.
    Ended,
}

/// The answer to a request of [`Ahead`].
#[derive(Debug)]
pub struct AheadAnswer<T> {
    /// The second of its first record, and the latest of all.
    first: Option<Second>,
    newest: Option<Second>,
    /// How many elements it has.
    length: usize,
    time: AnswerTime,
    answer: T,
}

#[derive(Debug)]
enum AheadPart<T> {
    Due,
    InFlight,
    Held(T, AnswerTime),
}

impl<T> AheadAnswer<T> {
    /// An answer that came at that time. `page`: what is listed in it.
    pub fn new(answer: T, page: impl Fn(&T) -> &Page, time: AnswerTime) -> AheadAnswer<T> {
        let page = page(&answer);
        let mut seconds = page.records.iter().map(|record| record.timestamp.second());
        AheadAnswer {
            first: seconds.clone().next(),
            newest: seconds.by_ref().max(),
            length: page.length(),
            time,
            answer,
        }
    }
}

impl<T> Ahead<T> {
    /// Looks ahead from `anchor`, at which a walk is. None where that is near the present. `time`: of the latest answer.
    fn begin(plan: AheadPlan, anchor: Second, time: AnswerTime) -> Option<Ahead<T>> {
        let mut ahead = Ahead {
            plan,
            origin: anchor,
            probes: VecDeque::new(),
            parts: BTreeMap::new(),
            in_flight: Vec::new(),
            anchor,
            reach: Reach::Probes,
            took: (Duration::ZERO, 0),
        };
        ahead.probe(anchor);
        (plan.most > 0 && ahead.is_past(anchor, time)).then_some(ahead)
    }

    /// A walk has taken a page. Begins to look ahead of it where that is possible, goes on with it, or ends it.
    pub fn follow(ahead: &mut Option<Ahead<T>>, plan: &AheadPlan, walk: &Walk) {
        if !walk.keeps_contract() {
            *ahead = None;
        } else if let Some((anchor, time)) = walk.reads_ahead_from() {
            match ahead {
                Some(ahead) => ahead.pass(anchor, time),
                None => {
                    let size = walk.request().page_size;
                    *ahead = Ahead::begin(AheadPlan { size, ..*plan }, anchor, time);
                }
            }
        }
    }

    /// What to ask for next, if there is anything.
    pub fn next_request(&self) -> Option<Query> {
        let most = self.plan.most as usize;
        let is_full = match self.reach {
            Reach::NextPage => self.pages() >= most.min(NEXT_PAGES),
            Reach::Probes | Reach::Ended => self.pages() >= most,
        };
        if is_full {
            return None;
        }
        let mut parts = self.parts.iter();
        let due = parts.find(|(_, part)| matches!(part, AheadPart::Due));
        let page = due.map(|(from, _)| self.page_from(*from));
        page.or_else(|| Some(self.probe_of(*self.probes.front()?)))
    }

    /// How many records there may be on the pages that are held or on their way.
    pub fn records(&self) -> usize {
        self.pages() * self.plan.size as usize
    }

    fn pages(&self) -> usize {
        let is_held = |part: &&AheadPart<T>| matches!(part, AheadPart::Held(..));
        self.parts.values().filter(is_held).count() + self.in_flight.len()
    }

    /// That was asked for.
    pub fn handed_out(&mut self, query: &Query) {
        self.in_flight.push((*query, Instant::now()));
        if query.page != Some(1) {
            self.probes.pop_front();
        } else if let Some(part) = self.part(query) {
            *part = AheadPart::InFlight;
        }
    }

    /// How long ago that was.
    pub fn waited(&self, query: &Query) -> Duration {
        let mut in_flight = self.in_flight.iter();
        let found = in_flight.find(|(asked, _)| asked == query);
        found.map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    /// The answer came; none if it failed. Returns a new bound.
    pub fn answered(&mut self, query: &Query, answer: Option<AheadAnswer<T>>) -> Option<Second> {
        let took = self.waited(query);
        self.in_flight.retain(|(asked, _)| asked != query);
        let Some(answer) = answer else {
            if query.page == Some(1) {
                self.parts.remove(&from(query));
            }
            self.end(Reach::Ended);
            return None;
        };
        if query.page != Some(1) {
            return self.take_probe(&answer);
        }
        let is_past = answer
            .newest
            .is_some_and(|newest| self.is_past(newest, answer.time));
        match self.part(query) {
            Some(part @ AheadPart::InFlight) if is_past => {
                *part = AheadPart::Held(answer.answer, answer.time);
                let is_full = answer.length >= self.plan.size as usize;
                if let Some(newest) = answer.newest.filter(|_| is_full) {
                    self.ask_after(from(query), newest);
                }
            }
            // It reaches what is still being written, or the walk has gone past it.
            _ => _ = self.parts.remove(&from(query)),
        }
        self.note_time(took);
        None
    }

    /// The page from the last bound is held: what begins at its last second is due, where that is the next bound.
    fn ask_after(&mut self, from: Second, newest: Second) {
        let last = self.parts.last_key_value().map(|(last, _)| *last);
        if self.reach == Reach::NextPage && last == Some(from) && newest > from {
            self.parts.insert(newest, AheadPart::Due);
        }
    }

    fn take_probe(&mut self, probe: &AheadAnswer<T>) -> Option<Second> {
        if self.reach == Reach::NextPage {
            return None;
        }
        let bound = self.bound(probe);
        if bound.is_none() {
            self.end(Reach::Ended);
        }
        let bound = bound.filter(|bound| *bound > self.anchor && !self.parts.contains_key(bound));
        if let Some(bound) = bound {
            self.parts.insert(bound, AheadPart::Due);
        }
        let is_probing = self
            .in_flight
            .iter()
            .any(|(query, _)| query.page != Some(1));
        if self.probes.is_empty() && !is_probing && self.reach == Reach::Probes {
            let farthest = self.parts.last_key_value().map(|(from, _)| *from);
            match farthest.filter(|farthest| *farthest > self.origin) {
                Some(farthest) => self.probe(farthest),
                None => self.end(Reach::Ended),
            }
        }
        bound
    }

    /// Whether the answer to that request is held.
    pub fn holds(&self, query: &Query) -> bool {
        self.is_page(query) && matches!(self.parts.get(&from(query)), Some(AheadPart::Held(..)))
    }

    /// Whether the answer to that request is still to come.
    pub fn awaits(&self, query: &Query) -> bool {
        match self.parts.get(&from(query)) {
            _ if !self.is_page(query) => false,
            Some(AheadPart::InFlight) => true,
            Some(AheadPart::Due) => {
                self.reach == Reach::NextPage && self.next_request() == Some(*query)
            }
            Some(AheadPart::Held(..)) | None => false,
        }
    }

    /// The answer to that request, if it is held.
    pub fn take(&mut self, query: &Query) -> Option<(T, AnswerTime)> {
        if !self.holds(query) {
            return None;
        }
        match self.parts.remove(&from(query)) {
            Some(AheadPart::Held(page, time)) => Some((page, time)),
            _ => None,
        }
    }

    /// The walk is at `anchor`, and asks itself for what is not asked for yet: what lies before is of no use any more. Where
    /// nothing is read ahead, the next page is, so that others may follow it. `time`: of the latest answer.
    fn pass(&mut self, anchor: Second, time: AnswerTime) {
        self.anchor = anchor;
        self.parts = self.parts.split_off(&anchor);
        if let Some(AheadPart::Due) = self.parts.get(&anchor) {
            self.parts.remove(&anchor);
        }
        let is_idle = self.parts.is_empty() && self.in_flight.is_empty();
        if self.reach == Reach::NextPage && is_idle && self.is_past(anchor, time) {
            self.parts.insert(anchor, AheadPart::Due);
        }
    }

    /// Sends no more probes, and drops what they have found and is not asked for yet.
    fn end(&mut self, reach: Reach) {
        self.reach = reach;
        self.probes.clear();
        self.parts.retain(|_, part| !matches!(part, AheadPart::Due));
    }

    /// Plans probes after `origin`. The parts overlap a little, so that a page from one bound reaches the next one.
    fn probe(&mut self, origin: Second) {
        let AheadPlan {
            size,
            probe_size,
            most,
            ..
        } = self.plan;
        let pages = u64::from((size - size / 10) / probe_size).max(1);
        self.origin = origin;
        self.probes = (1..=u64::from(most)).map(|part| 1 + part * pages).collect();
    }

    /// The bound that a probe shows; none where the list ends, or comes near the present.
    fn bound(&self, probe: &AheadAnswer<T>) -> Option<Second> {
        let is_full = probe.length >= self.plan.probe_size as usize;
        let is_good = |first: &Second| *first > self.origin && self.is_past(*first, probe.time);
        probe.first.filter(|first| is_full && is_good(first))
    }

    /// Whether nothing is written at that second any more.
    fn is_past(&self, second: Second, time: AnswerTime) -> bool {
        second < time.asked.earlier(self.plan.lookback + MARGIN)
    }

    /// Ends the probes if the answers take about as long together as one after the other.
    fn note_time(&mut self, took: Duration) {
        self.took.0 += took;
        self.took.1 += 1;
        let together = self.plan.most;
        if self.took.1 < together || self.reach != Reach::Probes {
            return;
        }
        if self.took.0 / self.took.1 > self.plan.alone * together / 2 {
            self.end(Reach::NextPage);
        }
        self.took = (Duration::ZERO, 0);
    }

    fn part(&mut self, query: &Query) -> Option<&mut AheadPart<T>> {
        self.parts.get_mut(&from(query))
    }

    fn is_page(&self, query: &Query) -> bool {
        query.page == Some(1) && query.page_size == self.plan.size
    }

    fn page_from(&self, from: Second) -> Query {
        Query {
            page: Some(1),
            page_size: self.plan.size,
            from: Some(from),
        }
    }

    fn probe_of(&self, page: u64) -> Query {
        Query {
            page: Some(page),
            page_size: self.plan.probe_size,
            from: Some(self.origin),
        }
    }
}

fn from(query: &Query) -> Second {
    query.from.unwrap_or(Second::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with a record a second, `length` of them from that second on.
    fn page(from: u64, length: u64) -> Page {
        let records = (from..from + length).map(|second| {
            let (minute, second) = (second / 60, second % 60);
            format!(r#"{{"id":"{minute}-{second}","accountName":"A","createdAt":"2024-01-01T00:{minute:02}:{second:02}Z"}}"#)
        });
        let body = format!("[{}]", records.collect::<Vec<String>>().join(","));
        Page::read(Stream::Accounts, body.as_bytes()).unwrap()
    }

    fn second(number: u64) -> Second {
        page(number, 1).records[0].timestamp.second()
    }

    #[test]
    fn where_answers_together_gain_nothing_the_next_page_is_asked_for_before_one_is_taken() {
        let time = AnswerTime::at(second(3_000));
        let plan = AheadPlan {
            size: 10,
            probe_size: 10,
            most: 2,
            lookback: 0,
            alone: Duration::ZERO,
        };
        let mut ahead: Ahead<Page> = Ahead::begin(plan, second(0), time).unwrap();
        let answer = |ahead: &mut Ahead<Page>, from: u64| {
            let query = ahead.next_request().unwrap();
            assert_eq!((query.page, query.from), (Some(1), Some(second(from))));
            ahead.handed_out(&query);
            let page = page(from, 10);
            ahead.answered(&query, Some(AheadAnswer::new(page, |page| page, time)));
        };
        let answer_probe = |ahead: &mut Ahead<Page>, from: u64| {
            let query = ahead.next_request().unwrap();
            assert_ne!(query.page, Some(1));
            ahead.handed_out(&query);
            let probe = AheadAnswer::new(page(from, 10), |page| page, time);
            assert_eq!(ahead.answered(&query, Some(probe)), Some(second(from)));
        };
        answer_probe(&mut ahead, 9);
        answer(&mut ahead, 9);
        answer_probe(&mut ahead, 18);
        ahead.take(&ahead.page_from(second(9)));
        answer(&mut ahead, 18);
        assert_eq!(ahead.reach, Reach::NextPage);
        // The walk has taken what was read ahead.
        ahead.take(&ahead.page_from(second(18)));
        ahead.pass(second(27), time);
        let taken = ahead.page_from(second(27));
        assert!(ahead.awaits(&taken));
        answer(&mut ahead, 27);
        answer(&mut ahead, 36);
        // Two are held.
        assert_eq!(ahead.next_request(), None);
        assert!(ahead.take(&taken).is_some());
        ahead.pass(second(36), time);
        answer(&mut ahead, 45);
        assert!(ahead.holds(&ahead.page_from(second(36))));
    }
}
