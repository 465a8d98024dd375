//! Drives the cursor walk through random histories of a model service, with every trait that services have, that changes
//! between the requests of a walk.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::{Step, Walk};
use crate::api::{Page, Query, Second, Stream, Timestamp};
use crate::store::{Cursor, Place};

const LOOKBACK: u64 = 60;

/// What happens at the service between two requests.
#[derive(Debug, Clone)]
enum Change {
    Insert,
    Update(usize),
    /// The content of a record changes, its date does not.
    Silently(usize),
    /// A new record appears whose date is so many seconds old.
    Late(i64),
    Delete(usize),
    /// The cap of `pageSize` changes.
    Cap(usize),
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    /// By date, then by id.
    Sorted,
    NewestFirst,
    /// In an order that has nothing to do with dates, but always the same one.
    Shuffled,
    /// By date for so many records, and shuffled after them.
    SortedAtFirst(usize),
    /// By date, and within one date in another order in every answer.
    UnstableTies,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Filter {
    Honoured,
    Ignored,
    ExcludesTheSecond,
    ExcludesTheInstant,
    /// Reads `Z` as local time: seconds.
    Shifted(i64),
    /// Compares whole units of so many seconds.
    Coarse(i64),
    /// As `Coarse`, and excludes the unit of the bound.
    CoarseAndExcludes(i64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Paging {
    Honoured,
    Ignored,
    /// A page beyond the end is the last one again.
    RepeatsTheLast,
    /// A page beyond the end begins again with the first.
    WrapsAround,
}

/// How a service departs from the API, or rather from what one would hope for.
#[derive(Debug, Clone)]
struct Departures {
    whole_seconds: bool,
    cap: Option<usize>,
    order: Order,
    filter: Filter,
    paging: Paging,
}

impl Default for Departures {
    fn default() -> Departures {
        Departures {
            whole_seconds: true,
            cap: None,
            order: Order::Sorted,
            filter: Filter::Honoured,
            paging: Paging::Honoured,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    /// Milliseconds.
    date: i64,
    id: usize,
    version: usize,
}

#[derive(Debug)]
struct Service {
    departures: Departures,
    now: i64,
    records: Vec<Listed>,
    ids: usize,
    answers: u64,
}

fn shuffled(id: usize, salt: u64) -> u64 {
    (id as u64 ^ salt.rotate_left(17))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
}

impl Service {
    fn new(departures: Departures, past: &[(i64, usize)]) -> Service {
        let mut service = Service {
            departures,
            now: 1_700_000_000_000,
            records: Vec::new(),
            ids: 0,
            answers: 0,
        };
        for (gap, count) in past {
            service.now += gap;
            (0..*count).for_each(|_| service.insert(service.now));
        }
        service
    }

    fn stamp(&self, milliseconds: i64) -> i64 {
        if self.departures.whole_seconds {
            milliseconds / 1000 * 1000
        } else {
            milliseconds
        }
    }

    fn insert(&mut self, date: i64) {
        self.records.push(Listed {
            date: self.stamp(date),
            id: self.ids,
            version: 1,
        });
        self.ids += 1;
    }

    fn apply(&mut self, change: &Change) {
        self.now += 150;
        let count = self.records.len();
        match change {
            Change::Insert => self.insert(self.now),
            Change::Late(seconds) => self.insert(self.now - seconds * 1000),
            Change::Update(index) if count > 0 => {
                let stamp = self.stamp(self.now);
                let record = &mut self.records[index % count];
                record.version += 1;
                record.date = stamp;
            }
            Change::Silently(index) if count > 0 => self.records[index % count].version += 1,
            Change::Delete(index) if count > 0 => {
                self.records.remove(index % count);
            }
            Change::Cap(cap) => {
                self.departures.cap = self.departures.cap.map(|_| *cap);
            }
            Change::Update(_) | Change::Silently(_) | Change::Delete(_) | Change::Wait => {}
        }
    }

    fn passes(&self, record: &Listed, from: Second) -> bool {
        let from = seconds_of(from);
        let second = record.date.div_euclid(1000);
        match self.departures.filter {
            Filter::Ignored => true,
            Filter::Honoured => second >= from,
            Filter::ExcludesTheSecond => second > from,
            Filter::ExcludesTheInstant => record.date > from.saturating_mul(1000),
            Filter::Shifted(by) => second >= from.saturating_add(by),
            Filter::Coarse(unit) => second.div_euclid(unit) >= from.div_euclid(unit),
            Filter::CoarseAndExcludes(unit) => second.div_euclid(unit) > from.div_euclid(unit),
        }
    }

    fn answer(&mut self, query: &Query) -> Page {
        self.answers += 1;
        let mut listed: Vec<Listed> = self
            .records
            .iter()
            .filter(|record| query.from.is_none_or(|from| self.passes(record, from)))
            .copied()
            .collect();
        listed.sort();
        match self.departures.order {
            Order::Sorted => {}
            Order::NewestFirst => listed.reverse(),
            Order::Shuffled => listed.sort_by_key(|record| shuffled(record.id, 0)),
            Order::SortedAtFirst(count) => {
                let count = count.min(listed.len());
                listed[count..].sort_by_key(|record| shuffled(record.id, 0));
            }
            Order::UnstableTies => {
                let salt = self.answers;
                listed.sort_by_key(|record| (record.date, shuffled(record.id, salt)));
            }
        }
        let size = (query.page_size as usize).min(self.departures.cap.unwrap_or(usize::MAX));
        let pages = listed.len().div_ceil(size).max(1);
        let page = match (self.departures.paging, query.page as usize) {
            (Paging::Honoured, page) => page,
            (Paging::Ignored, _) => 1,
            (Paging::RepeatsTheLast, page) => page.min(pages),
            (Paging::WrapsAround, page) => (page - 1) % pages + 1,
        };
        let records: Vec<String> = listed
            .into_iter()
            .skip((page - 1) * size)
            .take(size)
            .map(|record| json(&record))
            .collect();
        Page::read(
            Stream::Transactions,
            format!("[{}]", records.join(",")).as_bytes(),
        )
        .unwrap()
    }
}

/// A record's text; the offsets of the dates differ.
fn json(record: &Listed) -> String {
    let hours = [0, 2, -5, 14][record.id % 4];
    let local = jiff::Timestamp::from_millisecond(record.date + hours * 3_600_000)
        .unwrap()
        .to_string();
    let offset = match hours {
        0 => "Z".to_owned(),
        hours => format!("{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs()),
    };
    let date = format!("{}{offset}", local.trim_end_matches('Z'));
    format!(
        r#"{{"id":"{}","createdAt":"2020-01-01T00:00:00Z","updatedAt":"{date}","amount":"{}","currency":"EUR/2","type":"PAYIN","status":"PENDING"}}"#,
        record.id, record.version
    )
}

fn timestamp(milliseconds: i64) -> Timestamp {
    let text = jiff::Timestamp::from_millisecond(milliseconds)
        .unwrap()
        .to_string();
    Timestamp::parse(&text).unwrap()
}

fn seconds_of(second: Second) -> i64 {
    second
        .to_string()
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_second()
}

/// What the store would hold.
#[derive(Default)]
struct Copy {
    records: HashMap<String, (Timestamp, Box<str>)>,
    delivered: BTreeSet<(String, Box<str>)>,
    cursor: Cursor,
    /// The most requests that one walk made.
    most: usize,
}

impl Copy {
    /// Takes a page as the poll or the sweep does; the dates known before.
    fn take(&mut self, page: &Page, until: Option<Second>) -> Vec<Option<Timestamp>> {
        let stored = page
            .records
            .iter()
            .map(|record| self.records.get(&record.id).map(|(date, _)| *date))
            .collect();
        for record in &page.records {
            let left_to_the_poll = until.is_some_and(|until| record.timestamp.second() > until);
            let newer = self
                .records
                .get(&record.id)
                .is_none_or(|(date, json)| *date <= record.timestamp && *json != record.json);
            if newer && !left_to_the_poll {
                let version = (record.id.clone(), record.json.clone());
                assert!(
                    self.delivered.insert(version),
                    "delivered twice: {record:?}"
                );
                self.records
                    .insert(record.id.clone(), (record.timestamp, record.json.clone()));
            }
        }
        stored
    }
}

/// What changes between two requests: everything up to the next `Wait`.
fn happen(service: &mut Service, changes: &mut impl Iterator<Item = Change>) {
    for change in changes {
        service.apply(&change);
        if matches!(change, Change::Wait) {
            break;
        }
    }
}

/// A walk has to end after so many requests, whatever the service does.
fn far_too_many(service: &Service, page_size: u32) -> usize {
    let size = (page_size as usize).min(service.departures.cap.unwrap_or(usize::MAX));
    400 + 20 * service.records.len().div_ceil(size)
}

/// One walk from the stored cursor to its end. The number of requests.
fn poll(
    copy: &mut Copy,
    service: &mut Service,
    page_size: u32,
    changes: &mut impl Iterator<Item = Change>,
) -> usize {
    let mut walk = Walk::new(
        copy.cursor.clone(),
        page_size,
        LOOKBACK,
        timestamp(service.now).second(),
    );
    // The cap may fall meanwhile, which costs requests.
    let mut most = far_too_many(service, page_size);
    for requests in 1.. {
        most = most.max(far_too_many(service, page_size));
        assert!(requests <= most, "the walk does not end: {walk:?}");
        let page = service.answer(&walk.request());
        let stored = copy.take(&page, None);
        let step = walk.step(&page, &stored, timestamp(service.now));
        copy.cursor = walk.cursor().clone();
        if step == Step::End {
            copy.most = copy.most.max(requests);
            return requests;
        }
        happen(service, changes);
    }
    unreachable!("requests have no end")
}

/// One sweep, in slices of so many pages. The number of requests.
fn sweep(copy: &mut Copy, service: &mut Service, page_size: u32, slice: usize) -> usize {
    let mut place = Place::start(page_size);
    let mut walk = Walk::sweep(
        copy.cursor.quirks.clone(),
        page_size,
        place.clone(),
        timestamp(service.now).second(),
    );
    for requests in 1..=far_too_many(service, page_size) {
        let page = service.answer(&walk.request());
        let stored = copy.take(&page, Some(copy.cursor.position.unwrap_or(Second::MIN)));
        let step = walk.step(&page, &stored, timestamp(service.now));
        copy.cursor.quirks = walk.cursor().quirks.clone();
        if step == Step::End {
            return requests;
        }
        // Every slice begins in a process of its own here. Where larger pages are asked for, it takes some requests to
        // come any farther.
        let quirks = &copy.cursor.quirks;
        let larger_pages = quirks.ignores_page || quirks.unstable_since.is_some();
        let slice = if larger_pages { 1_000 } else { slice };
        if requests % slice == 0 {
            place = walk.place().unwrap();
            walk = Walk::sweep(
                copy.cursor.quirks.clone(),
                page_size,
                place.clone(),
                timestamp(service.now).second(),
            );
        }
    }
    panic!("the sweep does not end: {walk:?}");
}

fn changes(cap: bool) -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        8 => Just(Change::Insert),
        12 => any::<usize>().prop_map(Change::Update),
        4 => (0i64..15).prop_map(Change::Late),
        1 => (0i64..1_000_000).prop_map(Change::Late),
        1 => any::<usize>().prop_map(Change::Delete),
        1 => any::<usize>().prop_map(Change::Silently),
        u32::from(cap) => (1usize..60).prop_map(Change::Cap),
        16 => Just(Change::Wait),
    ];
    prop::collection::vec(change, 0..160)
}

/// Each departure alone is likely; so is a service without any.
fn departures() -> impl Strategy<Value = Departures> {
    let order = prop_oneof![
        8 => Just(Order::Sorted),
        1 => Just(Order::NewestFirst),
        1 => Just(Order::Shuffled),
        1 => (1usize..40).prop_map(Order::SortedAtFirst),
        1 => Just(Order::UnstableTies),
    ];
    let filter = prop_oneof![
        10 => Just(Filter::Honoured),
        1 => Just(Filter::Ignored),
        1 => Just(Filter::ExcludesTheSecond),
        1 => Just(Filter::ExcludesTheInstant),
        1 => prop::sample::select(vec![5 * 3600, -5 * 3600, 14 * 3600, 1800]).prop_map(Filter::Shifted),
        1 => prop::sample::select(vec![60, 3600, 86_400]).prop_map(Filter::Coarse),
        1 => prop::sample::select(vec![60, 3600, 86_400]).prop_map(Filter::CoarseAndExcludes),
    ];
    let paging = prop_oneof![
        8 => Just(Paging::Honoured),
        1 => Just(Paging::Ignored),
        1 => Just(Paging::RepeatsTheLast),
        1 => Just(Paging::WrapsAround),
    ];
    let cap = prop_oneof![3 => Just(None), 1 => (1usize..60).prop_map(Some)];
    (any::<bool>(), cap, order, filter, paging).prop_map(
        |(whole_seconds, cap, order, filter, paging)| Departures {
            whole_seconds,
            cap,
            order,
            filter,
            // With both there is nothing to hold on to: the first page looks new in every answer.
            paging: match order {
                Order::UnstableTies => Paging::Honoured,
                _ => paging,
            },
        },
    )
}

/// Milliseconds between one group of records of the service's past and the next, and how many share its date: ties of
/// one to a thousand, seconds, hours.
fn past() -> impl Strategy<Value = Vec<(i64, usize)>> {
    let gap = prop::sample::select(vec![0, 100, 1000, 1000, 60_000, 5_000_000, 86_400_000]);
    let count = prop_oneof![
        200 => Just(1),
        40 => 1usize..8,
        4 => 8usize..200,
        1 => 200usize..1_000,
    ];
    prop::collection::vec((gap, count), 0..100)
}

fn page_size() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1u32..12, 1 => 12u32..=200]
}

/// The requests that a poll may cost in which nothing happens: those for what the filter leaves, and as many for what is
/// read again, and for every second two; some to find out what the filter does. A filter that is shifted by some hours is
/// counted as none.
fn most_requests(service: &Service, cursor: &Cursor, page_size: u32) -> usize {
    let from = cursor
        .position
        .filter(|_| service.departures.order != Order::UnstableTies)
        .filter(|_| {
            matches!(
                service.departures.filter,
                Filter::Honoured | Filter::ExcludesTheSecond | Filter::ExcludesTheInstant
            )
        })
        .map(|position| position.earlier(LOOKBACK + cursor.quirks.filters_late_by));
    let listed = service
        .records
        .iter()
        .filter(|record| from.is_none_or(|from| service.passes(record, from)));
    let seconds: BTreeSet<i64> = listed.clone().map(|record| record.date / 1000).collect();
    let size = (page_size as usize).min(service.departures.cap.unwrap_or(usize::MAX));
    let pages = listed.count().div_ceil(size);
    // Larger pages are asked for again and again, each twice as large as the one before.
    let doublings = match (service.departures.order, service.departures.paging) {
        (Order::UnstableTies, _) | (_, Paging::Ignored) => 16,
        _ => 1,
    };
    (2 * pages + 2 * seconds.len()) * doublings + 32
}

/// Whether part of such a service's list cannot be read at all, which is said where it can be known.
fn may_be_incomplete(departures: &Departures, cursor: &Cursor) -> bool {
    let capped = departures.cap.is_some();
    let said = cursor.quirks.incomplete.is_some();
    // A page that is capped and comes again looks like the short page of a list that ends there.
    capped
        && (departures.paging == Paging::Ignored || departures.order == Order::UnstableTies && said)
}

/// Whether a sweep is the stated way to completeness.
fn needs_sweep(departures: &Departures, changes: &[Change]) -> bool {
    let sorted = matches!(departures.order, Order::Sorted);
    let behind = |change: &Change| match change {
        Change::Delete(_) | Change::Silently(_) => true,
        Change::Late(seconds) => *seconds > 15,
        // The pages of a list that is read plainly shift.
        _ => false,
    };
    !sorted || changes.iter().any(behind)
}

fn check(past: &[(i64, usize)], departures: &Departures, page_size: u32, changes: &[Change]) {
    let mut service = Service::new(departures.clone(), past);
    let mut copy = Copy::default();
    let mut history = changes.iter().cloned().peekable();
    poll(&mut copy, &mut service, page_size, &mut history);
    while history.peek().is_some() {
        happen(&mut service, &mut history);
        poll(&mut copy, &mut service, page_size, &mut history);
    }
    let quiet = &mut std::iter::empty();
    poll(&mut copy, &mut service, page_size, quiet);
    poll(&mut copy, &mut service, page_size, quiet);
    let most = most_requests(&service, &copy.cursor, page_size);
    let requests = poll(&mut copy, &mut service, page_size, quiet);
    assert!(
        requests <= most,
        "{requests} requests, not {most}: {:?}",
        copy.cursor
    );
    if needs_sweep(departures, changes) {
        sweep(&mut copy, &mut service, page_size, 7);
        poll(&mut copy, &mut service, page_size, quiet);
    }
    if departures.order == Order::UnstableTies {
        // The order that hid a record may have shown nothing of it.
        for _ in 0..12 {
            sweep(&mut copy, &mut service, page_size, 1_000);
        }
    }
    let incomplete = may_be_incomplete(departures, &copy.cursor);
    for record in &service.records {
        let Some((_, stored)) = copy.records.get(&record.id.to_string()) else {
            assert!(
                incomplete,
                "record {} is lost: {:?}",
                record.id, copy.cursor
            );
            continue;
        };
        assert!(
            **stored == json(record) || incomplete,
            "record {} is stored as {stored}: {:?}",
            record.id,
            copy.cursor
        );
    }
    sweep(&mut copy, &mut service, page_size, 5);
    poll(&mut copy, &mut service, page_size, quiet);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    /// Complete: whatever the history and the service, every record's last version is read, each version once.
    #[test]
    fn no_record_is_lost(past in past(), departures in departures(), page_size in page_size(), changes in changes(true)) {
        check(&past, &departures, page_size, &changes);
    }

    /// The same for a service that departs in nothing but what the API leaves open.
    #[test]
    fn no_record_of_a_good_service_is_lost(past in past(), whole_seconds: bool, page_size in page_size(), changes in changes(false)) {
        check(&past, &Departures { whole_seconds, ..Departures::default() }, page_size, &changes);
    }

    /// Re-anchoring works on every history of a service that keeps the rules: it is never read plainly, its cursor comes
    /// along while it is read, and ties cost what they must.
    #[test]
    fn a_service_that_keeps_the_rules_costs_no_more_than_stated(past in past(), whole_seconds: bool, page_size in 1u32..12) {
        let mut service = Service::new(Departures { whole_seconds, ..Departures::default() }, &past);
        let mut copy = Copy::default();
        let requests = poll(&mut copy, &mut service, page_size, &mut std::iter::empty());
        let mut seconds: Vec<i64> = service.records.iter().map(|record| record.date / 1000).collect();
        seconds.dedup();
        let least = service.records.len().div_ceil(page_size as usize);
        prop_assert!(requests <= least + 2 * seconds.len() + 3, "{} requests, {} pages, {} seconds", requests, least, seconds.len());
        prop_assert!(copy.cursor.numbered.iter().all(|range| range.1 < Second::MAX), "{:?}", copy.cursor);
        prop_assert_eq!(copy.cursor.quirks, Default::default());
    }
}

/// How many histories to try: `WALK_CASES`, or 200.
fn cases() -> u32 {
    std::env::var("WALK_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200)
}
