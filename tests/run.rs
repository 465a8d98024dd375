//! `run`: polls by the timer, survives faults, ends on signals.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{FakePsp, Greeting, Listening, Place, Reply, Running, TestServer, wait_until};

fn start(endpoint: &str, more: Value) -> (Place, Running) {
    let mut config = json!({ "pollingPeriod": "100ms", "publish": [{ "type": "ndjson", "path": "state/changes.ndjson" }] });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let place = Place::new(endpoint, config);
    let mut command = place.command("run");
    command.stderr(Stdio::from(
        fs::File::create(place.path().join("log")).unwrap(),
    ));
    (place, Running::start(command))
}

fn log(place: &Place) -> String {
    fs::read_to_string(place.path().join("log")).unwrap()
}

#[test]
fn changes_arrive_as_they_happen_and_a_signal_ends_it() {
    let psp = FakePsp::with_a_bank();
    let (place, mut running) = start(&psp.url(), json!({}));
    let lines = || {
        fs::read_to_string(place.changes_file())
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until("the import is delivered", || lines() == 255);
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    wait_until("the new one is delivered", || lines() == 256);
    running.signal(Signal::SIGHUP);
    psp.add_transaction("newer", "2024-03-01T00:00:01Z");
    wait_until("it goes on after SIGHUP", || lines() == 257);
    running.signal(Signal::SIGTERM);
    let (code, took) = running.ended();
    assert_eq!(code, Some(0), "{}", log(&place));
    assert!(took < Duration::from_secs(5));
    assert_eq!(place.ids("transactions").len(), 252);
}

#[test]
fn it_outlives_a_service_that_is_down_and_catches_up() {
    let psp = FakePsp::with_a_bank();
    psp.always("/", Reply::status(401));
    let (place, _running) = start(&psp.url(), json!({}));
    wait_until("three polls have failed", || {
        log(&place).matches("failed").count() >= 3
    });
    psp.heal();
    wait_until("everything is delivered", || {
        place.changes_file().exists() && log(&place).contains("complete: 255 new")
    });
}

#[test]
fn a_signal_does_not_wait_for_a_service_that_does_not_answer() {
    let silent = TestServer::greeting(Greeting::Stall(vec![]));
    let (place, mut running) = start(&silent.url(), json!({}));
    wait_until("a request is in flight", || silent.connections() > 0);
    running.signal(Signal::SIGINT);
    let (code, took) = running.ended();
    assert_eq!(code, Some(0), "{}", log(&place));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_signal_does_not_wait_for_the_service_that_asked_for_patience() {
    let psp = FakePsp::with_a_bank();
    psp.always(
        "/",
        Reply::With(503, vec![("Retry-After", "120".to_owned())], vec![]),
    );
    let (place, mut running) = start(&psp.url(), json!({}));
    wait_until("the pool is held", || {
        log(&place).contains("all requests wait 120 s")
    });
    running.signal(Signal::SIGTERM);
    let (code, took) = running.ended();
    assert_eq!(code, Some(0), "{}", log(&place));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let silent = TestServer::greeting(Greeting::Stall(vec![]));
    let (place, mut running) = start(&silent.url(), json!({}));
    wait_until("a request is in flight", || silent.connections() > 0);
    running.signal(Signal::SIGTERM);
    // Not together with the first one.
    std::thread::sleep(Duration::from_millis(1_100));
    running.signal(Signal::SIGTERM);
    let (code, took) = running.ended();
    assert_eq!(code, Some(1), "{}", log(&place));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// `timeout 5 generic-connector poll` sends one to the process and one to its group. That ended a poll with no commit.
#[test]
fn two_signals_at_once_are_one_wish_to_stop() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    psp.always("/beneficiaries", Reply::When(released));
    let mut command = place.command("poll");
    let log = place.path().join("log");
    command.stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let mut running = Running::start(command);
    wait_until("the list is asked for", || {
        let has = |path: &str| psp.requests().iter().any(|asked| asked.starts_with(path));
        has("/beneficiaries") && has("/transactions") && has("/accounts/acc-2/balances")
    });
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGINT);
    drop(release);
    let (code, _) = running.ended();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("poll 1 interrupted: "), "{log}");
    assert_eq!(code, Some(1), "{log}");
    assert!(
        place.counts()["accounts"] == 2,
        "what was read is stored: {log}"
    );
}

#[test]
fn never_two_polls_at_once() {
    let psp = FakePsp::with_a_bank();
    psp.always("/accounts?", Reply::After(Duration::from_millis(400)));
    let (place, _running) = start(&psp.url(), json!({ "pollingPeriod": "20ms" }));
    wait_until("two polls have ended", || {
        log(&place).matches("poll ").count() >= 2
    });
    let lists = psp
        .requests()
        .into_iter()
        .filter(|path| path.starts_with("/accounts?page=1"))
        .count();
    // Each poll asks page 1 once or, where the list goes on, once more from its anchor.
    assert!(lists <= 8, "{lists}");
}

#[test]
fn a_file_that_is_rotated_away_while_it_runs_is_begun_anew() {
    let psp = FakePsp::with_a_bank();
    let (place, _running) = start(&psp.url(), json!({}));
    let lines = |name: &str| {
        fs::read_to_string(place.state().join(name))
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until("the import is delivered", || lines("changes.ndjson") == 255);
    fs::rename(place.changes_file(), place.state().join("rotated")).unwrap();
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    wait_until("the new file has the new line", || {
        lines("changes.ndjson") == 1
    });
    assert_eq!(lines("rotated"), 255);
}

#[test]
fn one_list_is_polled_alone() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("poll 1 complete");
    service.forget_requests();
    service.add_transaction("new", "2024-02-01T00:02:00Z");
    service.add_account("acc-new", "2024-02-01T00:02:00Z");
    let (status, summary) = listening.post("/poll?stream=transactions&wait=true", "");
    assert_eq!((status, &summary["outcome"]), (200, &json!("complete")));
    assert_eq!(summary["stream"], "transactions");
    assert_eq!(summary["newVersions"]["transactions"], 1);
    let asked = service.requests();
    let is_of_list = |request: &String| request.contains("/transactions?");
    assert!(
        !asked.is_empty() && asked.iter().all(is_of_list),
        "{asked:?}"
    );
    listening.wait_for_line("poll of transactions complete: 1 new versions");

    // A new account comes with its balances, and the others are not asked for. One that has none yet is not said to have
    // none, because no whole poll has asked for them.
    service.add_account("acc-slow", "2024-02-01T00:03:00Z");
    service.always("/accounts/acc-slow/balances", Reply::status(500));
    service.forget_requests();
    listening.post("/poll?stream=accounts&wait=true", "");
    let asked = service.requests();
    let is_of_others =
        |request: &String| request.contains("acc-1") || request.contains("/transactions");
    assert!(!asked.iter().any(is_of_others), "{asked:?}");
    assert_eq!(listening.get("/accounts/acc-new/balances").0, 200);
    assert_eq!(listening.get("/accounts/acc-slow/balances").0, 503);
    service.heal();
    let (_, before) = listening.get("/status");
    assert_eq!(before["polls"].as_array().unwrap().len(), 1, "{before}");
    let whole = listening.poll();
    assert_eq!(whole["number"], 2);
    assert_eq!(whole["newVersions"]["balances"], 1);
    assert_eq!(listening.get("/accounts/acc-slow/balances").0, 200);

    for wrong in ["balances", "payouts", "", "x%22y"] {
        let (status, answer) = listening.post(&format!("/poll?stream={wrong}"), "");
        assert_eq!(status, 400, "{answer}");
        let detail = answer["Detail"].as_str().unwrap();
        assert!(
            detail.contains("accounts, beneficiaries and transactions"),
            "{detail}"
        );
    }
}
