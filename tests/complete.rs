//! Complete: every record that the service lists is delivered.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::support::{FakePsp, Place, Reply};

#[test]
fn every_record_of_every_stream_is_delivered() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let expected = [
        ("accounts", 2),
        ("balances", 2),
        ("beneficiaries", 1),
        ("transactions", 250),
    ];
    assert_eq!(
        place.counts(),
        expected
            .map(|(stream, count)| (stream.to_owned(), count))
            .into()
    );
    let ids: BTreeSet<String> = place.ids("transactions").into_iter().collect();
    assert_eq!(
        ids,
        (0..250).map(|number| format!("tx-{number:03}")).collect()
    );
}

#[test]
fn a_tie_far_larger_than_a_page_is_complete_with_any_page_size() {
    let psp = FakePsp::start();
    for number in 0..40 {
        psp.add_transaction(&format!("early-{number}"), "2024-01-01T00:00:00Z");
        psp.add_transaction(&format!("late-{number}"), "2024-01-02T00:00:00.5Z");
    }
    for page_size in [1, 7, 40, 80, 81] {
        let place = Place::new(&psp.url(), json!({ "pageSize": page_size }));
        place.poll_well();
        assert_eq!(place.ids("transactions").len(), 80, "pageSize {page_size}");
        place.poll_well();
        assert_eq!(
            place.ids("transactions").len(),
            80,
            "pageSize {page_size}, again"
        );
    }
}

#[test]
fn a_record_that_moves_between_two_pages_hides_no_other() {
    let psp = FakePsp::start();
    for number in 0..30 {
        psp.add_transaction(&format!("tx-{number:02}"), "2024-01-01T00:00:00Z");
    }
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    // Before page 2 is answered, a record of page 1 moves to the end: all others move forward by one.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    psp.script(move |path| {
        if path.starts_with("/transactions?page=2") {
            let _ = sender.try_send(());
            return Reply::After(std::time::Duration::from_millis(300));
        }
        Reply::Usual
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            receiver.recv().unwrap();
            psp.change_transaction(
                "tx-03",
                json!({ "status": "SUCCEEDED", "updatedAt": "2024-01-01T01:00:00Z" }),
            );
        });
        place.poll_well();
    });
    let ids = place.ids("transactions");
    assert_eq!(ids.len(), 31, "30 records, one of them in two versions");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 30);
}

#[test]
fn balances_are_asked_of_every_known_account_in_every_poll_and_of_new_ones_at_once() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.forget_requests();
    psp.add_account("acc/3 ?#%é", "2024-01-03T00:00:00Z");
    place.poll();
    let mut asked: Vec<String> = psp
        .requests()
        .into_iter()
        .filter(|path| path.ends_with("/balances"))
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            "/accounts/acc%2F3%20%3F%23%25%C3%A9/balances",
            "/accounts/acc-1/balances",
            "/accounts/acc-2/balances"
        ]
    );
}

#[test]
fn balances_are_asked_for_as_seldom_as_the_configuration_says() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({ "balancesPeriod": "24h" }));
    let asked = || {
        psp.forget_requests();
        place.poll();
        let is_for_balances = |path: &&String| path.ends_with("/balances");
        psp.requests().iter().filter(is_for_balances).count()
    };
    let pass_a_day = || {
        let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
        let asked_long_ago =
            "UPDATE state SET value = '2024-01-01T00:00:00Z' WHERE key = 'balances_asked_at'";
        assert_eq!(state.execute(asked_long_ago, []).unwrap(), 1);
    };
    // Until each has had an answer, they are asked for again.
    psp.always("/accounts/acc-2/balances", Reply::status(500));
    assert!(asked() > 2);
    psp.heal();
    assert_eq!([asked(), asked()], [2, 0]);
    psp.add_account("acc-3", "2024-01-03T00:00:00Z");
    assert_eq!(
        [asked(), asked()],
        [1, 0],
        "a new account is asked for at once"
    );
    psp.add_account("acc-4", "2024-01-04T00:00:00Z");
    psp.always("/accounts/acc-4/balances", Reply::status(500));
    assert!(asked() >= 1);
    psp.heal();
    assert_eq!([asked(), asked()], [4, 0], "and again if it has none");
    // An account that has lost its balances does not hide one that has none yet.
    psp.always("/accounts/acc-1/balances", Reply::status(404));
    pass_a_day();
    assert_eq!(asked(), 4);
    psp.add_account("acc-5", "2024-01-05T00:00:00Z");
    psp.always("/accounts/acc-5/balances", Reply::status(500));
    assert!(asked() >= 1);
    psp.heal();
    assert_eq!([asked(), asked()], [5, 0]);
    pass_a_day();
    assert_eq!([asked(), asked()], [5, 0]);
}

#[test]
fn a_future_date_does_not_move_the_cursor_beyond_the_present() {
    let psp = FakePsp::start();
    psp.add_transaction("now", "2024-01-01T00:00:00Z");
    psp.add_transaction("future", "2199-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.add_transaction("next", "2024-01-01T00:05:00Z");
    place.poll_well();
    assert_eq!(place.ids("transactions"), ["now", "future", "next"]);
}

#[test]
fn records_keep_their_exact_text_and_unknown_fields() {
    let psp = FakePsp::start();
    let record = r#"{ "updatedAt":"2024-01-01T00:00:00.123456789+02:00","id":"é\u0041","x" : 1e400, "amount":"007","currency":"JPY","createdAt":"2024-01-01T00:00:00Z" }"#;
    psp.script({
        let body = format!("[\n{record}\n]");
        move |path| match path {
            path if path.starts_with("/transactions?page=1") => Reply::body(&body),
            _ => Reply::Usual,
        }
    });
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let text = fs::read_to_string(place.changes_file()).unwrap();
    assert!(text.contains(&format!("\"record\":{record}}}\n")), "{text}");
    assert!(text.contains("\"id\":\"éA\""), "{text}");
}

#[test]
fn an_account_comes_before_what_refers_to_it() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({ "batchRecords": 10_000 }));
    place.poll_well();
    let streams: Vec<String> = place
        .changes()
        .iter()
        .map(|change| change["stream"].as_str().unwrap().to_owned())
        .collect();
    let mut sorted = streams.clone();
    sorted.sort();
    assert_eq!(streams, sorted);
    let seqs: Vec<i64> = place
        .changes()
        .iter()
        .map(|change| change["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=255).collect::<Vec<i64>>());
}

#[test]
fn extreme_ids_dates_and_contents_are_delivered() {
    let psp = FakePsp::start();
    let long = "x".repeat(1_000);
    for id in [
        "nul\u{0}",
        "line\u{2028}",
        "\u{1f600}",
        "a b/c?d#e%f&g=h",
        "'; DROP TABLE record; --",
        &long,
    ] {
        psp.add_transaction(id, "2024-01-01T00:00:00Z");
        psp.add_account(id, "2024-01-01T00:00:00Z");
    }
    psp.add_transaction("first", "0001-01-01T00:00:00Z");
    psp.add_transaction("last", "9999-12-31T23:59:59.999999999Z");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let page =
        format!(r#"[{{"id":"deep","createdAt":"2024-01-01T00:00:00Z","x":{deep},"y":1e999999}}]"#);
    psp.script(move |path| match path {
        path if path.starts_with("/beneficiaries?page=1") => Reply::body(&page),
        path if path.ends_with("/balances") => Reply::status(404),
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({}));
    for _ in 0..2 {
        let ran = place.poll();
        assert_eq!(ran.code, Some(2), "the balances are missing: {ran}");
        assert!(!ran.stderr.contains("panic"), "{ran}");
    }
    let lines = fs::read_to_string(place.changes_file()).unwrap();
    assert_eq!(lines.lines().count(), 6 + 6 + 2 + 1);
    assert!(lines.contains("DROP TABLE"));
}
