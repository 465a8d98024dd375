//! The sweep: what no poll can find is found all the same, without holding up polling.

use std::process::Stdio;

use generic_connector::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Manners, Place, Ran, Reply, Running, at_second, run,
    wait_a_second, wait_until,
};

fn sweep(place: &Place) -> Ran {
    let ran = run(place.command("poll --sweep"));
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

fn last_sweep(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    status["sweep"].clone()
}

#[test]
fn a_record_that_appears_days_late_is_found_and_its_lateness_told() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.add_transaction("late", "2024-01-29T00:01:40Z");
    place.poll_well();
    assert!(!place.ids("transactions").contains(&"late".to_owned()));
    let ran = sweep(&place);
    assert!(
        ran.stderr
            .contains("sweep 1 complete: 254 records seen, 1 of them missed before")
            && ran.stderr.contains("3 d behind the cursor")
            && ran.stderr.contains("\"lookback\": \"72h\""),
        "{ran}"
    );
    assert_eq!(place.ids("transactions").len(), 251);
    let ran = sweep(&place);
    assert!(
        ran.stderr
            .contains("sweep 2 complete: 254 records seen, 0 of them missed before, 0 changed"),
        "{ran}"
    );
    assert_eq!(last_sweep(&place)["missed"], 0);
}

#[test]
fn an_account_that_is_renamed_without_a_new_date_is_found() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.change_account("acc-1", json!({ "accountName": "New name" }));
    place.poll_well();
    assert_eq!(place.ids("accounts"), ["acc-1", "acc-2"]);
    let ran = sweep(&place);
    assert!(
        ran.stderr.contains("1 changed without a newer date"),
        "{ran}"
    );
    let changes = place.changes();
    let renamed = changes.last().unwrap();
    assert_eq!(renamed["record"]["accountName"], "New name");
    sweep(&place);
    assert_eq!(place.changes().len(), changes.len());
}

#[test]
fn what_changes_in_every_sweep_is_named() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    for number in 0..3 {
        psp.change_account("acc-1", json!({ "fetchedAt": number }));
        let ran = sweep(&place);
        assert_eq!(
            ran.stderr
                .contains("record \"acc-1\" changes in every sweep without a newer date"),
            number > 0,
            "{ran}"
        );
    }
}

#[test]
fn two_records_under_one_id_on_two_pages_make_no_version_in_every_sweep() {
    let psp = FakePsp::start();
    for number in 1..=6 {
        psp.add_account(&format!("acc-{number}"), "2024-01-01T00:00:00Z");
    }
    let place = Place::new(&psp.url(), json!({ "pageSize": 4 }));
    place.poll_well();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    psp.change_account("acc-1", json!({ "accountName": "Another" }));
    for _ in 0..3 {
        place.age();
        run(place.command("poll --sweep"));
    }
    let versions = place.ids("accounts");
    // Until it is understood, each of them may have superseded the other once.
    assert!(versions.len() <= 6 + 3, "{versions:?}");
    let listed = run(place.command("quarantine list"));
    assert!(
        listed
            .stdout
            .contains("the service lists another content under this id"),
        "{listed}"
    );
    for _ in 0..3 {
        place.age();
        let ran = sweep(&place);
        assert!(!ran.stderr.contains("WARN"), "{ran}");
    }
    assert_eq!(place.ids("accounts"), versions);
}

#[test]
fn an_older_content_supersedes_in_a_sweep_only_if_it_is_new_and_no_replica_lags() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let before = place.changes().len();
    // A date is corrected backwards.
    psp.change_transaction(
        "tx-020",
        json!({ "status": "FAILED", "updatedAt": "2024-01-15T00:00:00Z" }),
    );
    sweep(&place);
    assert_eq!(
        place.changes().len(),
        before,
        "what was read a moment ago may be newer than what a replica answers"
    );
    place.age();
    // Is it beside the other content, or in place of it? The next sweep knows.
    let ran = run(place.command("poll --sweep"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert_eq!(place.changes().len(), before);
    wait_a_second();
    sweep(&place);
    assert_eq!(place.changes().len(), before + 1);
    assert_eq!(
        place.changes().last().unwrap()["record"]["status"],
        "FAILED"
    );
}

#[test]
fn a_sweep_is_due_by_its_period_and_goes_on_in_slices_over_restarts() {
    let psp = FakePsp::start();
    for number in 0..1_200 {
        psp.add_transaction(
            &format!("tx-{number}"),
            &format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60),
        );
    }
    let place = Place::new(&psp.url(), json!({ "sweepPeriod": "1ms", "pageSize": 2 }));
    // A slice of `poll` has 500 pages, and there are 600 and the last ones.
    place.poll_well();
    assert_eq!(last_sweep(&place)["endedAt"], Value::Null);
    assert_eq!(last_sweep(&place)["stream"], "transactions");
    let status = run(place.command("status")).stdout;
    assert!(status.contains(" of about 1200 records seen"), "{status}");
    psp.forget_requests();
    let ran = place.poll_well();
    assert!(ran.stderr.contains("sweep 1 complete: 120"), "{ran}");
    let swept = psp.requests();
    let plain = swept.iter().filter(|path| !path.contains("From="));
    assert!(
        (100..130).contains(&plain.count()),
        "it went on where it was"
    );
}

/// 120 transactions, three a second, in a state that was polled and swept once.
fn swept_once() -> (FakePsp, Place) {
    let psp = FakePsp::start();
    for number in 0..120 {
        psp.add_transaction(&format!("tx-{number}"), &at_second(number / 3));
    }
    let settings = json!({ "sweepPeriod": "1ms", "pageSize": 10, "lookback": "0s" });
    let place = Place::new(&psp.url(), settings);
    place.poll_well();
    assert_eq!(last_sweep(&place)["number"], 1);
    (psp, place)
}

/// The pages of the transactions that are asked for by number alone, in a poll that a sweep follows.
fn pages_by_number(psp: &FakePsp, place: &Place) -> usize {
    psp.forget_requests();
    place.poll_well();
    let is_by_number = |path: &&String| path.contains("/transactions") && !path.contains("From=");
    psp.requests().iter().filter(is_by_number).count()
}

#[test]
fn six_of_seven_sweeps_read_transactions_by_date_and_find_what_is_late() {
    let (psp, place) = swept_once();
    psp.add_transaction("late", &at_second(3));
    for number in 2..8 {
        // The first page has no date to go by.
        assert_eq!(pages_by_number(&psp, &place), 1, "sweep {number}");
        assert_eq!(last_sweep(&place)["number"], number);
    }
    assert!(place.ids("transactions").contains(&"late".to_owned()));
    assert!(pages_by_number(&psp, &place) >= 12, "the eighth sweep");
    // Whoever asks for a sweep wants to know what no filter shows.
    psp.forget_requests();
    sweep(&place);
    let is_by_number = |path: &&String| path.contains("/transactions?page=9");
    assert!(psp.requests().iter().any(|path| is_by_number(&path)));
}

#[test]
fn a_sweep_that_meets_a_doubt_begins_the_list_again_by_number() {
    let (psp, place) = swept_once();
    psp.behave(Manners {
        newest_first: true,
        ..Manners::default()
    });
    let ran = run(place.command("poll"));
    assert!(
        ran.stderr
            .contains("the sweep begins the list again, by number"),
        "{ran}"
    );
    psp.add_transaction("late", &at_second(3));
    place.poll_well();
    assert!(place.ids("transactions").contains(&"late".to_owned()));
}

#[test]
fn a_sweep_by_date_goes_on_within_a_long_tie() {
    let psp = FakePsp::start();
    for number in 0..1_200 {
        psp.add_transaction(&format!("tx-{number:04}"), &at_second(5));
    }
    psp.add_transaction("last", &at_second(6));
    let settings = json!({ "sweepPeriod": "1ms", "pageSize": 2 });
    let place = Place::new(&psp.url(), settings);
    let number = || last_sweep(&place)["number"].clone();
    // A slice of `poll` has 500 pages.
    place.poll_well();
    while number() != 2 {
        place.poll_well();
    }
    for _ in 0..3 {
        place.poll_well();
    }
    assert_ne!(number(), 2, "{}", last_sweep(&place));
}

#[test]
fn a_poll_does_not_wait_for_a_sweep() {
    let psp = FakePsp::start();
    for number in 0..400 {
        psp.add_transaction(
            &format!("tx-{number}"),
            &format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60),
        );
    }
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(
        &psp.url(),
        json!({ "sweepPeriod": "1ms", "pageSize": 1, "pollingPeriod": "200ms", "publish": publish, "lookback": "0s" }),
    );
    place.poll();
    psp.script(|path| match path {
        path if path.contains("From=") => Reply::Usual,
        _ => Reply::After(std::time::Duration::from_millis(5)),
    });
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let mut running = Running::start(command);
    let polls = || {
        let asked = psp.requests().into_iter();
        asked
            .filter(|path| path.starts_with("/transactions?page=1") && path.contains("From="))
            .count()
    };
    wait_until("polls go on during the sweep", || polls() > 12);
    wait_until("the sweep comes to its end all the same", || {
        last_sweep(&place)["number"].as_i64() > Some(1)
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_sweep_of_a_service_that_is_down_waits() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.script(|path| match path {
        "/transactions?page=2&pageSize=100&sort=updatedAt%3Aasc" => Reply::status(503),
        _ => Reply::Usual,
    });
    let ran = run(place.command("poll --sweep"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("the sweep continues in the next run"),
        "{ran}"
    );
    psp.heal();
    psp.forget_requests();
    sweep(&place);
    assert!(
        !psp.requests()
            .iter()
            .any(|path| path == "/accounts?page=1&pageSize=100&sort=createdAt%3Aasc"),
        "it went on where it was"
    );
}

#[test]
fn a_sweep_that_is_asked_for_runs_at_once_in_a_connector_that_listens() {
    let psp = FakePsp::with_a_bank();
    let keys = json!({
        "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h", "sweepPeriod": "48h",
    });
    let listening = Listening::start(&psp.url(), keys);
    listening.poll();
    psp.add_transaction("late", "2024-01-29T00:01:40Z");
    for number in 1..=2 {
        assert_eq!(listening.post("/sweep", "").0, 200);
        listening.wait_for_line(&format!("sweep {number} complete: 254 records seen"));
    }
    listening.wait_for_line("sweep 1 complete: 254 records seen, 1 of them missed before");
    assert_eq!(listening.get("/sweep").0, 405);
    let (_, status) = listening.get("/status");
    let date = |value: &Value| Timestamp::parse(value.as_str().unwrap()).unwrap();
    let started_at = date(&status["sweep"]["startedAt"]);
    let wait = date(&status["sweepDueAt"]).since(started_at);
    assert_eq!(wait.as_secs(), 48 * 3600);
}

#[test]
fn a_sweep_that_is_asked_for_beside_the_connector_begins_after_the_next_poll() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let missing = run(place.command("sweep"));
    assert_eq!(missing.code, Some(1), "{missing}");
    place.poll_well();
    assert!(
        run(place.command("status"))
            .stdout
            .contains("sweep      none yet; the next one is due at 20")
    );
    let asked = run(place.command("sweep"));
    assert_eq!(asked.code, Some(0), "{asked}");
    assert!(
        asked
            .stdout
            .starts_with("sweep 1 will begin after the next poll"),
        "{asked}"
    );
    assert!(
        run(place.command("sweep"))
            .stdout
            .contains("sweep 1 is under way")
    );
    assert!(
        run(place.command("status"))
            .stdout
            .contains("sweep      1 begins after the next poll")
    );
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("sweep 1 complete: 253 records seen"),
        "{ran}"
    );
    // It was asked for once.
    assert!(!place.poll_well().stderr.contains("sweep"));
}
