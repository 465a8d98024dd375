//! A long list is read by several workers, each a part of it, where that is safe and of use. Nothing is lost by it.

use std::time::Duration;

use generic_connector::Timestamp;
use serde_json::json;

use crate::support::{self, FakePsp, Place, Reply, at_second};

/// Records of a long list, one a second.
const RECORDS: usize = 12_000;
/// How long an answer takes, so that it is worth while to ask for others meanwhile.
const DISTANCE: Duration = Duration::from_millis(30);
/// Requests of a first poll: one for each part and its probe, and those that the beginning takes.
const MOST_REQUESTS: usize = 2 + 12 + 2 * RECORDS / 900 + 30;

fn id(number: usize) -> String {
    format!("tx-{number:05}")
}

fn long_list() -> FakePsp {
    let psp = FakePsp::start();
    (0..RECORDS).for_each(|number| psp.add_transaction(&id(number), &at_second(number)));
    psp.always("/transactions", Reply::After(DISTANCE));
    psp
}

fn is_complete(place: &Place) {
    let mut ids = place.ids("transactions");
    ids.sort();
    assert!(
        ids == (0..RECORDS).map(id).collect::<Vec<String>>(),
        "{}",
        ids.len()
    );
    assert!(support::quirks(place, "transactions", "id").is_empty());
}

/// Whether it asks for a page far down the list by number.
fn is_probe(path: &str) -> bool {
    let is_first = path.contains("page=1&") || path.contains("page=2&");
    path.starts_with("/transactions") && path.contains("From=") && !is_first
}

#[test]
fn parts_of_a_long_list_are_read_side_by_side_and_a_quiet_poll_is_not() {
    let psp = long_list();
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll_well();
    is_complete(&place);
    assert!(
        psp.most_under_way() >= 5,
        "{} at once: {ran}",
        psp.most_under_way()
    );
    let asked = psp.requests().len();
    assert!(asked <= MOST_REQUESTS, "{asked} requests: {ran}");
    psp.forget_requests();
    place.poll_well();
    let asked = psp.requests();
    assert!(
        asked.len() <= 6 && !asked.iter().any(|path| is_probe(path)),
        "{asked:?}"
    );
}

/// Two answers together take as long as one after the other, so that looking far ahead gains nothing.
#[test]
fn a_service_that_answers_one_request_at_a_time_is_read_completely() {
    let psp = long_list();
    psp.script(|path| {
        if path.starts_with("/transactions") {
            std::thread::sleep(DISTANCE);
        }
        Reply::Usual
    });
    let place = Place::new(&psp.url(), json!({ "batchRecords": 4_000 }));
    let ran = place.poll_well();
    is_complete(&place);
    let asked = psp.requests().len();
    assert!(asked <= MOST_REQUESTS, "{asked} requests: {ran}");
}

#[test]
fn a_limit_of_requests_a_second_leaves_one_reader() {
    let psp = long_list();
    let place = Place::new(&psp.url(), json!({ "maxRequestsPerSecond": 1_000 }));
    place.poll_well();
    is_complete(&place);
    assert!(!psp.requests().iter().any(|path| is_probe(path)));
}

/// The `number`th request that is made ahead has this answer.
fn the_rest_is_read_alone(number: usize, reply: Reply) {
    let psp = long_list();
    let mut probes = 0;
    psp.script(move |path| {
        probes += usize::from(is_probe(path) || probes > 0 && path.contains("pageSize=1000"));
        match path.starts_with("/transactions") {
            true if probes == number => {
                probes += 1;
                reply.clone()
            }
            true => Reply::After(DISTANCE),
            false => Reply::Usual,
        }
    });
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    is_complete(&place);
}

cases! { the_rest_is_read_alone;
    after_a_probe_that_fails(2, Reply::status(503));
    after_a_probe_that_is_refused(2, Reply::status(400));
    after_an_empty_probe(3, Reply::body("[]"));
    after_a_page_that_fails(14, Reply::status(500));
    after_a_page_that_is_cut(15, Reply::Cut);
    after_a_page_that_is_empty(16, Reply::body("[]"));
    after_a_page_that_is_no_list(17, Reply::body("{}"));
}

/// What is near the present is still being written.
#[test]
fn nothing_near_the_present_is_read_ahead() {
    let psp = FakePsp::start();
    let now = Timestamp::now();
    for number in 0..3_000_usize {
        let date = now.plus_nanoseconds(-(60_000_000_000 - number as i64 * 10_000_000));
        psp.add_transaction(&id(number), &date.to_string());
    }
    psp.always("/transactions", Reply::After(DISTANCE));
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 3_000);
    let asked = psp.requests();
    assert!(
        !asked.iter().any(|path| path.contains("page=10&")),
        "{asked:?}"
    );
}
