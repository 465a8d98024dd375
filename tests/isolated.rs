//! Isolated: what the service does wrong costs what it did wrong, nothing else, and the next poll repairs it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{FakePsp, Greeting, Place, Reply, TestServer, run, transaction};

/// One stream answers in this way. The others must arrive, the message must name the request and contain `said`, and a
/// poll after the fault must complete.
fn one_stream_fails(reply: Reply, said: &[&str]) {
    let psp = FakePsp::with_a_bank();
    psp.always("/beneficiaries", reply);
    let place = Place::new(
        &psp.url(),
        json!({ "maxBodyBytes": 100_000, "requestTimeout": "1s" }),
    );
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    let url = format!("GET {}/beneficiaries?page=1", psp.url());
    for part in said.iter().chain([&url.as_str()]) {
        assert!(ran.stderr.contains(part), "{part:?} is not said: {ran}");
    }
    assert_eq!(
        (
            place.ids("beneficiaries").len(),
            place.ids("transactions").len()
        ),
        (0, 250)
    );
    psp.heal();
    place.poll_well();
    assert_eq!(place.ids("beneficiaries"), ["ben-1"]);
    assert_eq!(place.changes().len(), 255);
}

cases! { one_stream_fails;
    status_404(Reply::status(404), &["answered 404", "Told so: by the test"]);
    status_400(Reply::status(400), &["answered 400", "Told so: by the test"]);
    status_500(Reply::status(500), &["answered 500", "tried 5 times"]);
    status_429_without_a_time_to_wait(Reply::status(429), &["answered 429", "tried 5 times"]);
    html_with_status_200(Reply::body("<html>Please log in</html>"), &["not a JSON array", "<html>Please log in"]);
    an_empty_body(Reply::body(""), &["the body is empty"]);
    truncated_json(Reply::body(r#"[{"id":"ben-1","createdAt""#), &["not a JSON array"]);
    an_object_where_an_array_is_due(Reply::body(r#"{"data":[]}"#), &["not a JSON array"]);
    a_request_that_takes_too_long(Reply::After(Duration::from_millis(1500)), &["within 1 s", "requestTimeout"]);
    a_body_over_the_limit(
        Reply::body(&format!("[{}]", " ".repeat(100_000))), &["more than 100000 bytes", "maxBodyBytes"]);
    more_bad_elements_than_are_kept(
        Reply::body(&format!("[{}{{}}]", "{},".repeat(10_001))),
        &["more than 10000 of its 10002 elements break the API", "\"id\" is missing"]);
    gzip_garbage(
        Reply::With(200, vec![("Content-Encoding", "gzip".to_owned())], b"no gzip".to_vec()), &["tried 5 times"]);
}

#[test]
fn one_accounts_balances_have_a_workers_share_of_the_limit() {
    let psp = FakePsp::with_a_bank();
    psp.always("/accounts/acc-1/balances", Reply::body(&" ".repeat(3_000)));
    let place = Place::new(
        &psp.url(),
        json!({ "maxBodyBytes": 100_000, "workers": 50 }),
    );
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("/accounts/acc-1/balances answered with more than 2000 bytes"),
        "{ran}"
    );
    psp.heal();
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TestServer::greeting(Greeting::Reply(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec(),
    ));
    let headers = vec![("Location", format!("{}/beneficiaries", elsewhere.url()))];
    one_stream_fails(
        Reply::With(302, headers, vec![]),
        &["a redirect to", "endpoint"],
    );
    assert_eq!(
        elsewhere.connections(),
        0,
        "the key may have left the endpoint"
    );
}

#[test]
fn a_refused_key_ends_the_poll_at_once() {
    let psp = FakePsp::with_a_bank();
    for status in [401, 403] {
        psp.always("/", Reply::status(status));
        psp.forget_requests();
        let place = Place::new(&psp.url(), json!({}));
        let ran = place.poll();
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(
            ran.stderr.contains(&format!("answered {status}"))
                && ran.stderr.contains("into \"apiKey\""),
            "{ran}"
        );
        assert!(
            psp.requests().len() <= 2,
            "it was not tried again: {:?}",
            psp.requests()
        );
        psp.heal();
        place.poll_well();
        assert_eq!(place.changes().len(), 255);
    }
}

/// Nothing of the service works. The message must contain `said`.
fn everything_fails(endpoint: &str, said: &str) {
    let place = Place::new(endpoint, json!({ "requestTimeout": "400ms" }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains(said) && ran.stderr.contains(&format!("GET {endpoint}/")),
        "{ran}"
    );
    assert!(place.changes().is_empty());
}

/// As [`everything_fails`], on a server that treats every connection in this way.
fn nothing_is_answered(greeting: Greeting, said: &str) {
    everything_fails(&TestServer::greeting(greeting).url(), said);
}

cases! { nothing_is_answered;
    a_connection_closed_without_an_answer(Greeting::Close, "tried 5 times");
    a_connection_cut_in_the_headers(Greeting::Reply(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()), "tried 5 times");
    a_connection_cut_in_the_body(
        Greeting::Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{\"id\":".to_vec()), "tried 5 times");
    a_service_that_accepts_and_stays_silent(Greeting::Stall(vec![]), "within 0.4 s");
    a_service_that_stalls_in_the_body(
        Greeting::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[".to_vec()), "within 0.4 s");
}

#[test]
fn connection_refused() {
    let closed = {
        let gone = TestServer::greeting(Greeting::Close);
        gone.url()
    };
    everything_fails(&closed, "connection refused");
}

#[test]
fn a_host_that_does_not_exist() {
    everything_fails("http://no-such-host.invalid", "cannot be resolved");
}

#[test]
fn no_tls_at_the_other_end() {
    let plain = TestServer::greeting(Greeting::Stall(
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ));
    everything_fails(&plain.url().replace("http", "https"), "TLS failed");
}

#[test]
fn a_transient_fault_is_retried_and_costs_nothing() {
    let psp = FakePsp::with_a_bank();
    let mut faults = 0;
    psp.script(move |path| {
        if path.starts_with("/transactions?page=1") && faults < 3 {
            faults += 1;
            return Reply::status(503);
        }
        Reply::Usual
    });
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll_well();
    assert!(ran.stderr.contains("3 retries"), "{ran}");
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn a_service_that_asks_to_wait_is_waited_for() {
    let psp = FakePsp::with_a_bank();
    let mut asked = false;
    psp.script(move |path| {
        if path.starts_with("/accounts?") && !asked {
            asked = true;
            return Reply::With(429, vec![("Retry-After", "1".to_owned())], vec![]);
        }
        Reply::Usual
    });
    let place = Place::new(&psp.url(), json!({}));
    let start = Instant::now();
    let ran = place.poll_well();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(
        ran.stderr
            .contains("all requests wait 1 s, as the service asked"),
        "{ran}"
    );
    assert_eq!(place.changes().len(), 255);
}

/// A rate limiter asks for no wait at all. It must not be asked at once, over and over.
fn asked_to_wait_for_nothing(retry_after: &'static str) {
    let psp = FakePsp::with_a_bank();
    let mut left = 3;
    psp.script(move |path| {
        if path.starts_with("/accounts?") && left > 0 {
            left -= 1;
            return Reply::With(429, vec![("Retry-After", retry_after.to_owned())], vec![]);
        }
        Reply::Usual
    });
    let place = Place::new(&psp.url(), json!({}));
    let start = Instant::now();
    place.poll_well();
    assert!(start.elapsed() >= Duration::from_secs(3), "a second each");
    assert_eq!(place.changes().len(), 255);
}

cases! { asked_to_wait_for_nothing;
    a_service_that_asks_to_wait_for_no_seconds("0");
    a_service_that_asks_to_wait_until_a_time_that_has_passed("Wed, 21 Oct 2015 07:28:00 GMT");
}

#[test]
fn an_account_that_is_gone_is_reported_and_the_rest_goes_on() {
    let psp = FakePsp::with_a_bank();
    psp.always("/accounts/acc-1/balances", Reply::status(404));
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("/accounts/acc-1/balances")
            && ran.stderr.contains("the account no longer exists"),
        "{ran}"
    );
    assert_eq!(place.ids("balances"), ["acc-2"]);
}

#[test]
fn an_account_that_is_listed_no_more_is_closed_and_no_failure_forever() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.always("/accounts/acc-1/balances", Reply::status(404));
    // It is still listed: that is a fault of the service, and stays one.
    for _ in 0..2 {
        let ran = run(place.command("poll --sweep"));
        assert_eq!(ran.code, Some(2), "{ran}");
    }
    psp.remove_account("acc-1");
    let ran = run(place.command("poll --sweep"));
    assert!(
        ran.code == Some(2) && ran.stderr.contains("\"acc-1\" counts as closed"),
        "{ran}"
    );
    psp.forget_requests();
    let ran = place.poll_well();
    assert!(!ran.stderr.contains("acc-1"), "{ran}");
    let asked = |path: &String| path.starts_with("/accounts/acc-1/balances");
    assert!(psp.requests().iter().any(asked), "it may be opened again");
    // It is opened again, and has no balances yet.
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    run(place.command("poll --sweep"));
    assert_eq!(place.poll().code, Some(2), "it is listed");
    psp.heal();
    place.poll_well();
}

#[test]
fn balances_of_another_account_are_refused() {
    let psp = FakePsp::with_a_bank();
    let other = r#"{"id":"b","accountID":"acc-2","at":"2024-03-01T00:00:00Z","balances":[]}"#;
    psp.always("/accounts/acc-1/balances", Reply::body(other));
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("not the account of the request"),
        "{ran}"
    );
    assert_eq!(place.ids("balances"), ["acc-2"]);
}

#[test]
fn a_record_without_a_usable_id_or_date_goes_into_quarantine_and_the_rest_of_its_page_goes_on() {
    let psp = FakePsp::with_a_bank();
    psp.add_raw_transaction(json!({ "id": "no-date", "updatedAt": null }));
    psp.add_raw_transaction(json!({ "updatedAt": "2024-02-01T00:00:01Z" }));
    psp.add_raw_transaction(json!(7));
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("record \"no-date\" put into quarantine: \"updatedAt\" is missing"),
        "{ran}"
    );
    assert!(ran.stderr.contains("\"id\" is missing"), "{ran}");
    assert!(
        ran.stderr.contains("7 is not an object") || ran.stderr.contains("\"7\" is not an object"),
        "{ran}"
    );
    assert_eq!(place.ids("transactions").len(), 250);
}

#[test]
fn a_service_whose_records_all_break_the_api_fills_the_quarantine_in_steps() {
    let psp = FakePsp::with_a_bank();
    let long = "x".repeat(1 << 20);
    for number in 0..40 {
        let id = format!("bad-{number}");
        psp.add_raw_transaction(json!({ "id": id, "updatedAt": "2024-02-01", "reference": long }));
        // None of these can replace an earlier one.
        psp.add_raw_transaction(
            json!({ "updatedAt": "2024-02-01", "n": number, "reference": long }),
        );
    }
    let place = Place::new(&psp.url(), json!({ "pageSize": 4 }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("transactions: more than 16777216 bytes of records that break the API"),
        "{ran}"
    );
    let quarantined = || -> i64 {
        let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
        let bytes = "SELECT sum(length(json)) >> 20 FROM quarantine";
        state.query_row(bytes, [], |row| row.get(0)).unwrap()
    };
    assert!((17..35).contains(&quarantined()), "{}", quarantined());
    // The list goes on where it was, to its end.
    place.poll();
    place.poll();
    assert_eq!(place.ids("transactions").len(), 250);
    assert!((40..60).contains(&quarantined()), "{}", quarantined());
}

#[test]
fn transactions_follow_although_the_account_list_failed() {
    let psp = FakePsp::with_a_bank();
    psp.always("/accounts?", Reply::status(400));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    assert_eq!(
        (place.ids("accounts").len(), place.ids("transactions").len()),
        (0, 250)
    );
}

#[test]
fn balances_that_all_fail_do_not_hold_up_the_transactions() {
    for status in [403, 500] {
        let psp = FakePsp::with_a_bank();
        for number in 0..100 {
            psp.add_account(&format!("more-{number}"), "2024-01-03T00:00:00Z");
        }
        psp.script(move |path| match path {
            path if path.ends_with("/balances") => Reply::status(status),
            path if path.starts_with("/transactions") => Reply::After(Duration::from_millis(300)),
            _ => Reply::Usual,
        });
        let place = Place::new(&psp.url(), json!({ "workers": 8 }));
        let ran = place.poll();
        assert_eq!(ran.code, Some(2), "{ran}");
        assert_eq!(
            (place.ids("transactions").len(), place.ids("balances").len()),
            (250, 0),
            "{ran}"
        );
        let asked = psp
            .requests()
            .into_iter()
            .filter(|path| path.ends_with("/balances"));
        let mut accounts: Vec<String> = asked.collect();
        accounts.sort();
        accounts.dedup();
        // 403 may be about one account. It costs one request, and is not retried.
        let expected = if status == 403 { 102..103 } else { 1..40 };
        assert!(
            expected.contains(&accounts.len()),
            "{} accounts were asked about",
            accounts.len()
        );
        psp.heal();
        place.poll_well();
        assert_eq!(place.ids("balances").len(), 102);
    }
}

/// Sixty accounts whose balances are answered like this come first. Those of the other ones arrive within that many polls.
fn restricted_accounts_come_first(status: u16, polls: usize) {
    let psp = FakePsp::start();
    for number in 0..65 {
        psp.add_account(
            &format!("acc-{number:02}"),
            &format!("2024-01-01T00:00:{:02}Z", number / 2),
        );
    }
    let restricted = |path: &str| path < "/accounts/acc-60" && path.ends_with("/balances");
    psp.script(move |path| match path {
        path if restricted(path) => Reply::status(status),
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({ "workers": 4 }));
    let first = place.poll();
    assert_eq!(first.code, Some(2), "{first}");
    for _ in 1..polls {
        place.poll();
    }
    assert_eq!(place.ids("balances").len(), 5);
    let said = if status == 403 {
        "the service withholds those of this account"
    } else {
        "8 requests in a row failed: the remaining accounts wait for the next poll, which begins with them"
    };
    assert!(first.stderr.contains(said), "{first}");
}

cases! {
    restricted_accounts_come_first;
    accounts_that_are_forbidden_do_not_hide_the_others(403, 1);
    accounts_that_always_fail_do_not_hide_the_others(500, 9);
}

#[test]
fn a_service_that_goes_down_is_not_asked_once_for_every_account() {
    let psp = FakePsp::start();
    for number in 0..500 {
        psp.add_account(&format!("acc-{number}"), "2024-01-01T00:00:00Z");
    }
    let place = Place::new(&psp.url(), json!({ "workers": 4 }));
    place.poll_well();
    psp.always("/", Reply::status(500));
    psp.forget_requests();
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        psp.requests().len() < 100,
        "{} requests",
        psp.requests().len()
    );
    assert_eq!(
        ran.stderr
            .lines()
            .filter(|line| line.contains("ERROR"))
            .count(),
        1,
        "one line: {ran}"
    );
    psp.heal();
    place.poll_well();
}

#[test]
fn a_service_that_ignores_page_neither_ends_nor_fools_the_poll() {
    let one_second: Vec<_> = (0..5)
        .map(|number| transaction(&format!("t{number}"), "2024-01-01T00:00:00Z"))
        .collect();
    let psp = FakePsp::start();
    let body = json!(one_second).to_string();
    psp.always("/transactions", Reply::body(&body));
    // Shorter than a page: it is everything.
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 5);
    // A full page: there may be more that cannot be reached, and that is said.
    let place = Place::new(&psp.url(), json!({ "pageSize": 5 }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("transactions: the service cannot be read completely")
            && ran.stderr.contains("\"page\""),
        "{ran}"
    );
    assert_eq!(place.ids("transactions").len(), 5);
    // Not even with records that cannot be kept.
    psp.always("/transactions", Reply::body("[7,7,7,7,7]"));
    let ran = Place::new(&psp.url(), json!({ "pageSize": 5 })).poll();
    assert_eq!(ran.code, Some(2), "{ran}");
}
