//! Long lists are read on larger pages, where the service allows them. Whatever it does with them, nothing is lost. One
//! worker reads here, so that the requests are those of the walk alone.

use serde_json::{Value, json};

use crate::support::{self, FakePsp, Manners, Place, Reply, run, transaction};

/// Records of a long list, two in each second.
const RECORDS: usize = 3_500;

/// Adds transactions of these numbers.
fn add(psp: &FakePsp, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let second = number / 2;
        let date = format!(
            "2024-02-01T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        );
        psp.add_transaction(&format!("tx-{number:04}"), &date);
    }
}

fn long_list() -> FakePsp {
    let psp = FakePsp::start();
    add(&psp, 0..RECORDS);
    psp
}

/// How many transactions each request since the last call has asked for.
fn sizes(psp: &FakePsp) -> Vec<u32> {
    let requests = psp.requests();
    psp.forget_requests();
    let size = |path: &String| {
        let query = path.strip_prefix("/transactions?")?;
        let mut parameters = query.split('&');
        parameters.find_map(|parameter| parameter.strip_prefix("pageSize=")?.parse().ok())
    };
    requests.iter().filter_map(size).collect()
}

fn larger(sizes: &[u32]) -> Vec<u32> {
    sizes.iter().copied().filter(|size| *size > 100).collect()
}

/// Every record once.
fn is_complete(place: &Place, records: usize) {
    let mut ids = place.ids("transactions");
    ids.sort();
    let all: Vec<String> = (0..records)
        .map(|number| format!("tx-{number:04}"))
        .collect();
    assert!(ids == all, "{} versions of {records} records", ids.len());
}

fn retries(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    status["polls"][0]["retries"].clone()
}

#[test]
fn a_long_list_is_read_on_larger_pages_and_a_quiet_poll_is_not() {
    let psp = long_list();
    let place = Place::new(&psp.url(), json!({ "workers": 1 }));
    place.poll_well();
    is_complete(&place, RECORDS);
    let import = sizes(&psp);
    // Ten pages show that the list is long. Where it ends, a larger page is not full, and is read on smaller ones.
    assert_eq!(larger(&import), [1_000; 3]);
    assert!(import.len() <= 10 + 3 + 5 + 5, "{} requests", import.len());
    place.poll_well();
    assert!(larger(&sizes(&psp)).is_empty());

    // A sweep reads by number.
    let swept = run(place.command("poll --sweep"));
    let line = format!("{RECORDS} records seen, 0 of them missed before, 0 changed");
    assert!(swept.stderr.contains(&line), "{swept}");
    assert!(larger(&sizes(&psp)).is_empty());
}

#[test]
fn a_page_is_no_larger_than_a_batch_and_no_smaller_than_the_configuration_says() {
    let psp = long_list();
    for (keys, most) in [
        (json!({ "batchRecords": 300 }), 300),
        (json!({ "batchRecords": 50 }), 100),
        (json!({ "pageSize": 1_500 }), 1_500),
    ] {
        let place = Place::new(&psp.url(), keys);
        place.poll_well();
        is_complete(&place, RECORDS);
        let asked = sizes(&psp);
        assert_eq!(asked.iter().max(), Some(&most), "{asked:?}");
    }
}

/// What a service does with larger pages than 100, what is asked for then in a first import, and how often at most in a
/// second one soon after.
fn falls_back(depart: impl FnOnce(&FakePsp), mut keys: Value, first: &[u32], second: usize) {
    keys["workers"] = json!(1);
    let psp = long_list();
    depart(&psp);
    let place = Place::new(&psp.url(), keys);
    let ran = place.poll_well();
    is_complete(&place, RECORDS);
    let asked = larger(&sizes(&psp));
    assert_eq!(asked, first, "{ran}");
    assert_eq!(retries(&place), 0, "{ran}");
    assert!(support::quirks(&place, "transactions", "id").is_empty());
    assert!(!ran.stderr.contains("WARN"), "{ran}");

    add(&psp, RECORDS..RECORDS + 2_500);
    place.poll_well();
    is_complete(&place, RECORDS + 2_500);
    let asked = larger(&sizes(&psp));
    assert!(
        asked.iter().filter(|size| first.contains(size)).count() <= second,
        "{asked:?}"
    );
    run(place.command("poll --sweep"));
    assert!(support::quirks(&place, "transactions", "id").is_empty());
}

/// Gives that reply to a page of more than `most` transactions.
fn refuses(most: u32, reply: Reply) -> impl FnOnce(&FakePsp) {
    move |psp| {
        psp.script(move |path| {
            let size = path
                .split("pageSize=")
                .nth(1)
                .and_then(|rest| rest.split('&').next());
            match size.and_then(|size| size.parse::<u32>().ok()) {
                Some(size) if size > most => reply.clone(),
                _ => Reply::Usual,
            }
        });
    }
}

fn shortens(most: usize, length: usize) -> impl FnOnce(&FakePsp) {
    move |psp| {
        psp.behave(Manners {
            shortens: Some((most, length)),
            ..Manners::default()
        });
    }
}

cases! { falls_back;
    a_service_that_refuses_them_with_400(
        refuses(100, Reply::status(400)), json!({}), &[1_000, 500, 250, 125], 0);
    a_service_that_refuses_them_with_422(
        refuses(100, Reply::status(422)), json!({}), &[1_000, 500, 250, 125], 0);
    a_service_that_answers_404(
        refuses(100, Reply::status(404)), json!({}), &[1_000, 500, 250, 125], 0);
    a_service_that_refuses_the_largest(
        refuses(500, Reply::status(400)), json!({}), &[1_000, 500, 500, 500, 500, 500, 500], 99);
    a_service_that_fails(
        refuses(100, Reply::status(500)), json!({}), &[1_000], 0);
    a_service_that_answers_with_a_web_page(
        refuses(100, Reply::body("<html>")), json!({}), &[1_000], 0);
    // What is cut on a connection that was used before is sent again.
    a_service_that_cuts_the_connection(
        refuses(100, Reply::Cut), json!({}), &[1_000, 1_000], 0);
    a_service_that_takes_too_long(
        refuses(100, Reply::Never), json!({ "requestTimeout": "2s" }), &[1_000], 0);
    answers_that_are_too_large(
        |_| {}, json!({ "maxBodyBytes": 100_000 }), &[1_000, 500, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250], 99);
    a_service_that_turns_1000_into_20(
        shortens(100, 20), json!({}), &[1_000], 1);
    a_service_that_turns_1000_into_500(
        shortens(500, 500), json!({}), &[1_000, 500, 500, 500, 500, 500], 99);
}

/// The service asks for patience, which has nothing to do with the size.
#[test]
fn a_service_that_asks_to_wait_is_asked_for_larger_pages_again() {
    let psp = long_list();
    let mut asked = 0;
    psp.script(move |path| {
        asked += usize::from(path.contains("pageSize=1000"));
        match asked {
            1 if path.contains("pageSize=1000") => {
                Reply::With(429, vec![("Retry-After", "1".to_owned())], vec![])
            }
            _ => Reply::Usual,
        }
    });
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    is_complete(&place, RECORDS);
    assert!(larger(&sizes(&psp)).len() > 1);
}

/// A sweep that read the list on larger pages never came past one that failed, and the offset that this service makes of them
/// looked like a list that changes its order.
#[test]
fn a_sweep_does_not_depend_on_larger_pages() {
    let psp = long_list();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    refuses(100, Reply::status(500))(&psp);
    let swept = run(place.command("poll --sweep"));
    assert!(swept.stderr.contains("sweep 1 complete"), "{swept}");
    assert_eq!(swept.code, Some(0), "{swept}");
}

/// The larger page was approved, which made the next walk ask for as many again.
#[test]
fn pages_that_fill_the_memory_are_smaller_in_the_next_walk_too() {
    let psp = FakePsp::start();
    for number in 0..2_400 {
        let second = number / 2;
        let date = format!("2024-02-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let mut large = transaction(&format!("tx-{number:04}"), &date);
        large["metadata"] = json!({ "text": "x".repeat(1_200) });
        psp.add_raw_transaction(large);
    }
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    is_complete(&place, 2_400);
    assert_eq!(larger(&sizes(&psp))[..2], [1_000, 500]);
    for number in 2_400..5_000 {
        let second = number / 2;
        let date = format!("2024-02-01T00:{:02}:{:02}Z", second / 60, second % 60);
        psp.add_transaction(&format!("tx-{number:04}"), &date);
    }
    place.poll_well();
    is_complete(&place, 5_000);
    let asked = larger(&sizes(&psp));
    assert!(
        !asked.is_empty() && asked.iter().all(|size| *size <= 500),
        "{asked:?}"
    );
}
