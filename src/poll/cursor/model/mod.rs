//! Drives the cursor walk through random histories of a model service that changes between the requests of a walk, and has
//! every quirk that services have.

mod history;
mod known;
mod service;
mod store;
mod workers;

use std::collections::BTreeSet;
use std::iter::successors;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::filter::farther_than;
use crate::api::Second;
use crate::store::Cursor;
use history::{ahead, changes, larger, long_past, page_size, past, punctual_changes, quirks};
use service::{ModelChange, ModelFilter, ModelOrder, ModelPaging, ModelQuirks, ModelService};
use store::ModelStore;

/// How late records may appear for a poll to find them. Seconds.
const LOOKBACK: u64 = 60;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_time: 20_000, rng_seed: seed(), ..ProptestConfig::default() })]

    /// Complete: whatever the history and the service, every record's last version is read, each version once.
    #[test]
    fn no_record_is_lost(past in past(), quirks in quirks(), page_size in page_size(), larger in larger(), ahead in ahead(), changes in changes(true)) {
        check(&past, &quirks, page_size, (larger, ahead), &changes);
    }

    /// The same for a service without quirks.
    #[test]
    fn no_record_of_a_good_service_is_lost(past in past(), whole_seconds: bool, page_size in page_size(), larger in larger(), ahead in ahead(), changes in changes(false)) {
        check(&past, &ModelQuirks { whole_seconds, ..ModelQuirks::default() }, page_size, (larger, ahead), &changes);
    }

    /// Whatever is read ahead, polls find everything by themselves, as long as no record appears later than the lookback.
    #[test]
    fn nothing_of_a_punctual_service_waits_for_a_sweep(past in long_past(), whole_seconds: bool, page_size in 1u32..9, larger in larger(), ahead in ahead(), changes in punctual_changes()) {
        check(&past, &ModelQuirks { whole_seconds, ..ModelQuirks::default() }, page_size, (larger, ahead), &changes);
    }

    /// Anchors work on every history of a service that keeps the rules: it is never read plainly, its cursor moves while it
    /// is read, and ties cost what they must.
    #[test]
    fn a_service_that_keeps_the_rules_costs_no_more_than_stated(past in past(), whole_seconds: bool, page_size in 1u32..12) {
        let mut service = ModelService::new(ModelQuirks { whole_seconds, ..ModelQuirks::default() }, &past);
        let mut store = ModelStore::default();
        let requests = store.poll(&mut service, page_size, &mut std::iter::empty());
        let mut seconds: Vec<i64> = service.records.iter().map(|record| record.date / 1000).collect();
        seconds.dedup();
        let least = service.records.len().div_ceil(page_size as usize);
        prop_assert!(requests <= least + 2 * seconds.len() + 3, "{} requests, {} pages, {} seconds", requests, least, seconds.len());
        prop_assert!(store.cursor.numbered.iter().all(|range| range.1 < Second::MAX), "{:?}", store.cursor);
        prop_assert_eq!(store.cursor.quirks, Default::default());
    }
}

/// The same histories in every run, so that a change is judged by what it does, unless `WALK_CASES` asks for random ones.
fn seed() -> RngSeed {
    match std::env::var_os("WALK_CASES") {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(1),
    }
}

/// How many histories to try: `WALK_CASES`, or 200.
fn cases() -> u32 {
    std::env::var("WALK_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200)
}

/// `larger`: what long lists are read on, in pages of `page_size`. `ahead`: see the function of that name.
fn check(
    past: &[(i64, usize)],
    quirks: &ModelQuirks,
    page_size: u32,
    (larger, ahead): (u32, (u32, Duration)),
    changes: &[ModelChange],
) {
    let mut service = ModelService::new(quirks.clone(), past);
    let mut store = ModelStore::with(larger, ahead);
    let mut history = changes.iter().cloned().peekable();
    let mut by_date = false;
    store.poll(&mut service, page_size, &mut history);
    while history.peek().is_some() {
        service.live(&mut history);
        if history.next_if_eq(&ModelChange::Sweep).is_some() {
            by_date = !by_date;
            store.sweep(&mut service, page_size, (7, by_date), &mut history);
        }
        store.poll(&mut service, page_size, &mut history);
    }
    service.right_the_clock();
    let quiet = &mut std::iter::empty();
    store.poll(&mut service, page_size, quiet);
    store.poll(&mut service, page_size, quiet);
    if store.cursor.quirks.doubtful_since().is_some() {
        // A list that changes while it is read may be taken for one without order. The sweep that is due at once knows better.
        store.sweep(&mut service, page_size, (1_000, false), quiet);
        store.poll(&mut service, page_size, quiet);
    }
    let most = most_requests(&service, &store.cursor, page_size);
    let requests = store.poll(&mut service, page_size, quiet);
    assert!(
        requests <= most,
        "{requests} requests, not {most}: {:?}",
        store.cursor
    );
    if needs_sweep(quirks, changes) {
        // A filter that hides something shows only in a list by number.
        let good = ModelQuirks {
            whole_seconds: quirks.whole_seconds,
            ..ModelQuirks::default()
        };
        store.sweep(&mut service, page_size, (7, *quirks == good), quiet);
        store.poll(&mut service, page_size, quiet);
    }
    if quirks.order == ModelOrder::UnstableTies {
        // The order that hid a record may have shown nothing of it.
        for _ in 0..12 {
            store.sweep(&mut service, page_size, (1_000, false), quiet);
        }
    }
    // A walk that fails says so.
    let failed = store.poll_failed || store.sweep_failed;
    let incomplete = may_be_incomplete(quirks, &store.cursor) || failed;
    assert!(
        !failed || may_fail(quirks),
        "the walk failed: {:?}",
        store.cursor
    );
    expect_all(&service, &store, incomplete);
    store.sweep(&mut service, page_size, (5, true), quiet);
    store.poll(&mut service, page_size, quiet);
}

/// Expects the last version of every record. `incomplete`: some may be missing.
fn expect_all(service: &ModelService, store: &ModelStore, incomplete: bool) {
    for record in &service.records {
        let Some((_, stored)) = store.records.get(&record.id.to_string()) else {
            assert!(
                incomplete,
                "record {} is lost: {:?}",
                record.id, store.cursor
            );
            continue;
        };
        assert!(
            **stored == record.json() || incomplete,
            "record {} is stored as {stored}: {:?}",
            record.id,
            store.cursor
        );
    }
}

/// The requests that a poll may cost in which nothing happens: those for what the filter leaves, the same again for what is
/// read again, two for every second, and some to find out what the filter does. A filter that is shifted by hours counts as
/// none. Where the record at the cursor is gone, only all of a list without order shows that the filter does not hide it, so
/// that the list is read once for each step back.
fn most_requests(service: &ModelService, cursor: &Cursor, page_size: u32) -> usize {
    let (lists, back) = match service.quirks.order {
        ModelOrder::Sorted | ModelOrder::UnstableTies => (2, LOOKBACK),
        _ => {
            let steps = successors(farther_than(LOOKBACK), |back| farther_than(*back));
            let farthest = steps.clone().last().unwrap_or(LOOKBACK);
            (2 + steps.count(), farthest)
        }
    };
    let from = cursor
        .position
        .filter(|_| service.quirks.order != ModelOrder::UnstableTies)
        .filter(|_| {
            matches!(
                service.quirks.filter,
                ModelFilter::Honoured
                    | ModelFilter::ExcludesTheSecond
                    | ModelFilter::ExcludesTheInstant
            )
        })
        .map(|position| position.earlier(back + cursor.quirks.filters_late_by));
    let listed = service
        .records
        .iter()
        .filter(|record| from.is_none_or(|from| service.passes(record, from)));
    let seconds: BTreeSet<i64> = listed.clone().map(|record| record.date / 1000).collect();
    let pages = listed.count().div_ceil(service.page_length(page_size));
    // Larger pages are asked for again and again, each twice as large as the one before.
    let doublings = match (service.quirks.order, service.quirks.paging) {
        (ModelOrder::UnstableTies, _) | (_, ModelPaging::Ignored) => 16,
        // So they are if the last page of a list without order is full.
        (ModelOrder::Sorted, _) => 1,
        (_, ModelPaging::RefusesPastTheEnd | ModelPaging::RefusesPast(_)) => 16,
        _ => 1,
    };
    (lists * pages + 2 * seconds.len()) * doublings + 32
}

/// Whether part of such a service's list cannot be read at all. The cursor says so where that can be known.
fn may_be_incomplete(quirks: &ModelQuirks, cursor: &Cursor) -> bool {
    let capped = quirks.cap.is_some();
    let said = cursor.quirks.incomplete.is_some();
    // The few elements that it gives may ascend by chance, so that the list is read on by date.
    let refuses_deep = matches!(quirks.paging, ModelPaging::RefusesPast(_));
    if refuses_deep && quirks.order != ModelOrder::Sorted {
        return true;
    }
    // Where the service needs a page number, or gives another order each time, only the order or the filter shows that page 1
    // is not the first one.
    let counts_unseen = quirks.from_zero && !cursor.quirks.paging.counts_from_zero;
    let needs_order = quirks.needs_page && quirks.order != ModelOrder::Sorted;
    if counts_unseen && (needs_order || quirks.order == ModelOrder::UnstableTies) {
        return true;
    }
    // A page that is capped and comes again looks like the short page of a list that ends there.
    capped
        && (quirks.paging == ModelPaging::Ignored
            || quirks.order == ModelOrder::UnstableTies && said)
}

/// Whether a page may be refused that is needed: a list that is not read from date to date, or a tie that is longer than all
/// pages which the service gives.
fn may_fail(quirks: &ModelQuirks) -> bool {
    matches!(
        quirks.paging,
        ModelPaging::RefusesPast(_) | ModelPaging::RefusesPastTheEnd
    ) && *quirks
        != ModelQuirks {
            whole_seconds: quirks.whole_seconds,
            paging: quirks.paging,
            ..ModelQuirks::default()
        }
}

/// Whether it takes a sweep to read everything.
fn needs_sweep(quirks: &ModelQuirks, changes: &[ModelChange]) -> bool {
    let sorted = matches!(quirks.order, ModelOrder::Sorted);
    let behind = |change: &ModelChange| match change {
        ModelChange::Delete(_) | ModelChange::Silently(_) => true,
        ModelChange::Late(seconds) => *seconds > LOOKBACK as i64,
        ModelChange::Jump => true,
        // The pages of a list that is read plainly shift.
        _ => false,
    };
    let hides = matches!(
        quirks.filter,
        ModelFilter::Hides(_) | ModelFilter::ByCreation
    );
    // What changes between the questions of the first walk leaves them open until the sweep asks them again.
    !sorted || hides || quirks.from_zero || changes.iter().any(behind)
}
