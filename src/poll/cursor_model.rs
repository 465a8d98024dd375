//! Drives the cursor walk through random histories of a model service that changes between the requests of a walk.

use std::collections::HashMap;

use proptest::prelude::*;

use super::cursor::{Step, Walk};
use crate::api::{Page, Query, Record, Second, Stream, Timestamp};
use crate::store::Cursor;

const LOOKBACK: u64 = 60;

/// What happens at the service between two requests.
#[derive(Debug, Clone)]
enum Change {
    Insert,
    Update(usize),
    /// A new record appears whose date is so many seconds old, less than the lookback.
    Late(i64),
    Wait,
}

/// How a service departs from the API, or rather from what one would hope for.
#[derive(Debug, Clone, Default)]
struct Traits {
    whole_seconds: bool,
    caps_page_size_at: Option<usize>,
    excludes_its_bound: bool,
    /// It reads the filter's `Z` as local time.
    shifts_its_bound_by: i64,
    /// It answers a page beyond the end with its last page.
    repeats_its_last_page: bool,
}

#[derive(Debug)]
struct Service {
    traits: Traits,
    now: i64,
    /// Date in milliseconds, id, version; in order.
    records: Vec<(i64, usize, usize)>,
}

impl Service {
    fn stamp(&self, milliseconds: i64) -> i64 {
        if self.traits.whole_seconds {
            milliseconds / 1000 * 1000
        } else {
            milliseconds
        }
    }

    fn apply(&mut self, change: &Change) {
        self.now += 150;
        let id = self.records.len();
        match change {
            Change::Insert => self.records.push((self.stamp(self.now), id, 1)),
            Change::Late(seconds) => {
                self.records
                    .push((self.stamp(self.now - seconds * 1000), id, 1))
            }
            Change::Update(index) if id > 0 => {
                let stamp = self.stamp(self.now);
                let record = &mut self.records[index % id];
                record.2 += 1;
                record.0 = stamp;
            }
            Change::Update(_) | Change::Wait => {}
        }
        self.records.sort();
    }

    fn answer(&self, query: &Query) -> Page {
        let size =
            (query.page_size as usize).min(self.traits.caps_page_size_at.unwrap_or(usize::MAX));
        let from = query.from.map(|from| {
            seconds_of(from)
                .saturating_add(self.traits.shifts_its_bound_by)
                .saturating_mul(1000)
        });
        let listed: Vec<_> = self
            .records
            .iter()
            .filter(|(date, ..)| match from {
                Some(from) if self.traits.excludes_its_bound => *date > from,
                Some(from) => *date >= from,
                None => true,
            })
            .collect();
        let last_page = listed.len().div_ceil(size).max(1);
        let page = match query.page as usize {
            page if self.traits.repeats_its_last_page => page.min(last_page),
            page => page,
        };
        let records = listed.into_iter().skip((page - 1) * size).take(size);
        Page {
            records: records
                .map(|(date, id, version)| {
                    let json = format!("{{\"version\":{version}}}");
                    Record::new(
                        Stream::Transactions,
                        id.to_string(),
                        timestamp(*date),
                        &json,
                    )
                })
                .collect(),
            unusable: Vec::new(),
        }
    }
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

/// What the store would hold: id to date and content.
#[derive(Default)]
struct Copy {
    records: HashMap<String, (Timestamp, Box<str>)>,
    cursor: Cursor,
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

/// One walk from the stored cursor to its end, or until it is stuck, which later polls repair. Returns the number of
/// requests, none if it was stuck.
fn poll(
    copy: &mut Copy,
    service: &mut Service,
    page_size: u32,
    changes: &mut impl Iterator<Item = Change>,
) -> Option<usize> {
    let mut walk = Walk::new(copy.cursor.clone(), page_size, LOOKBACK);
    for requests in 1..=20_000 {
        let page = service.answer(&walk.request());
        let stored: Vec<Option<Timestamp>> = page
            .records
            .iter()
            .map(|record| copy.records.get(&record.id).map(|(date, _)| *date))
            .collect();
        for record in &page.records {
            let newer = copy
                .records
                .get(&record.id)
                .is_none_or(|(date, _)| *date <= record.timestamp);
            if newer {
                copy.records
                    .insert(record.id.clone(), (record.timestamp, record.json.clone()));
            }
        }
        let step = walk.step(&page, &stored, timestamp(service.now));
        copy.cursor = walk.cursor().clone();
        match step {
            Step::Ask => {}
            Step::End => return Some(requests),
            Step::Stuck(_) => return None,
        }
        happen(service, changes);
    }
    panic!("the walk does not end: {walk:?}");
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        2 => Just(Change::Insert),
        3 => any::<usize>().prop_map(Change::Update),
        1 => (0i64..15).prop_map(Change::Late),
        4 => Just(Change::Wait),
    ];
    prop::collection::vec(change, 0..160)
}

fn traits() -> impl Strategy<Value = Traits> {
    (
        any::<bool>(),
        prop_oneof![3 => Just(None), 1 => (1usize..8).prop_map(Some)],
        prop_oneof![3 => Just(false), 1 => Just(true)],
        prop_oneof![6 => Just(0i64), 1 => Just(5 * 3600), 1 => Just(-5 * 3600)],
        prop_oneof![3 => Just(false), 1 => Just(true)],
    )
        .prop_map(
            |(
                whole_seconds,
                caps_page_size_at,
                excludes_its_bound,
                shifts_its_bound_by,
                repeats,
            )| Traits {
                whole_seconds,
                caps_page_size_at: caps_page_size_at.filter(|_| !repeats),
                excludes_its_bound,
                shifts_its_bound_by,
                repeats_its_last_page: repeats,
            },
        )
}

/// Milliseconds between one record of the service's past and the next: ties, seconds, hours.
fn past() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(
        prop::sample::select(vec![0, 0, 0, 0, 100, 1000, 1000, 60_000, 5_000_000]),
        0..120,
    )
}

fn check(past: &[i64], traits: Traits, page_size: u32, changes: Vec<Change>) -> usize {
    // A page that is full and repeated cannot be told from a service that ignores `page`: it must not be full.
    let repeats = traits.repeats_its_last_page;
    let start = 1_700_000_000_000;
    let mut service = Service {
        traits,
        now: start,
        records: Vec::new(),
    };
    for gap in past {
        service.now += gap;
        let stamp = service.stamp(service.now);
        service.records.push((stamp, service.records.len(), 1));
    }
    let mut copy = Copy::default();
    let page_size = if repeats { 400 } else { page_size };
    let mut changes = changes.into_iter().peekable();
    poll(&mut copy, &mut service, page_size, &mut changes);
    while changes.peek().is_some() {
        happen(&mut service, &mut changes);
        poll(&mut copy, &mut service, page_size, &mut changes);
    }
    poll(&mut copy, &mut service, page_size, &mut changes);
    let quiet = poll(&mut copy, &mut service, page_size, &mut changes);
    for (date, id, version) in &service.records {
        let (stored_date, json) = copy
            .records
            .get(&id.to_string())
            .unwrap_or_else(|| panic!("record {id} is lost"));
        assert_eq!(
            (timestamp(*date), format!("{{\"version\":{version}}}")),
            (*stored_date, json.to_string()),
            "{id}"
        );
    }
    assert_eq!(copy.records.len(), service.records.len());
    quiet.expect("a poll of a service that is quiet is not stuck")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Complete: whatever the history, every record's last version is read.
    #[test]
    fn no_record_is_lost(past in past(), traits in traits(), page_size in 1u32..12, changes in changes()) {
        check(&past, traits, page_size, changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Re-anchoring works on every history of a service that keeps the rules: it is never read plainly, its cursor comes
    /// along while it is read, and ties cost what they must.
    #[test]
    fn a_service_that_keeps_the_rules_costs_no_more_than_stated(past in past(), whole_seconds: bool, page_size in 1u32..12) {
        let mut service = Service { traits: Traits { whole_seconds, ..Traits::default() }, now: 1_700_000_000_000, records: Vec::new() };
        for gap in &past {
            service.now += gap;
            service.records.push((service.stamp(service.now), service.records.len(), 1));
        }
        let mut copy = Copy::default();
        let requests = poll(&mut copy, &mut service, page_size, &mut std::iter::empty()).unwrap();
        let mut seconds: Vec<i64> = service.records.iter().map(|(date, ..)| date / 1000).collect();
        seconds.dedup();
        let least = past.len().div_ceil(page_size as usize);
        prop_assert!(requests <= least + 2 * seconds.len() + 2, "{} requests, {} pages, {} seconds", requests, least, seconds.len());
        prop_assert!(copy.cursor.numbered.iter().all(|range| range.1 < Second::MAX), "{:?}", copy.cursor);
    }
}

/// Found by the first test: the list was shifted while the walk stepped back in search of a proof, and the page that it
/// went on with had lost its first record to the page before.
#[test]
fn a_record_that_moves_while_proof_is_sought_hides_no_other() {
    let mut past = vec![0; 20];
    past[6] = 1000;
    past.extend([5_000_000, 0, 0, 5_000_000]);
    let traits = Traits {
        shifts_its_bound_by: 5 * 3600,
        ..Traits::default()
    };
    check(
        &past,
        traits,
        3,
        vec![
            Change::Insert,
            Change::Wait,
            Change::Wait,
            Change::Update(0),
        ],
    );
}

/// How many histories to try: `WALK_CASES`, or 400.
fn cases() -> u32 {
    std::env::var("WALK_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(400)
}
