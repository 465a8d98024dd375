//! The log of a poll: good, with quirks, with records in quarantine, with failures.

use serde_json::{Value, json};

use super::Session;
use crate::support::{FakePsp, Manners, Place, Reply, run, transaction};

/// A connector with one worker, so that the order of its lines is certain.
pub fn place(psp: &FakePsp, more: &Value) -> Place {
    let mut keys = json!({ "workers": 1 });
    keys.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Place::new(&psp.url(), keys)
}

/// A service with records of every stream that break a rule, each another one.
pub fn bad_bank() -> FakePsp {
    let psp = FakePsp::with_a_bank();
    let mut odd = transaction("odd", "2024-02-01T00:00:10Z");
    odd["type"] = json!("ACH");
    odd["status"] = json!("ON_HOLD");
    psp.add_raw_transaction(odd);
    for (id, field, value) in [
        ("no-date", "updatedAt", Value::Null),
        ("a-number", "amount", json!(12)),
        ("no-asset", "currency", json!("euro")),
        ("deep", "metadata", json!({ "a": 1 })),
    ] {
        let mut bad = transaction(id, "2024-02-01T00:00:20Z");
        bad[field] = value;
        psp.add_raw_transaction(bad);
    }
    psp.add_raw_transaction(json!(7));
    psp.add_raw_transaction(json!({ "id": "\u{1b}[31m\u{202e}x", "updatedAt": "yesterday" }));
    psp.add_transaction("twice", "2024-02-01T00:00:30Z");
    psp.add_transaction("twice", "2024-02-01T00:00:30Z");
    psp.change_transaction("twice", json!({ "amount": "7" }));
    psp
}

#[test]
fn good() {
    let psp = FakePsp::with_a_bank();
    let place = place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "poll");
    psp.change_transaction(
        "tx-000",
        json!({ "status": "SUCCEEDED", "updatedAt": "2024-03-01T00:00:00Z" }),
    );
    session.on(&place, "poll").on(&place, "poll --sweep");
    // Found by the sweep: one that appeared late, and one that changed without a newer date.
    psp.add_transaction("late", "2024-01-31T00:00:00Z");
    psp.change_account("acc-1", json!({ "accountName": "Renamed" }));
    session.on(&place, "poll --sweep");
    session.is("poll-good");
}

#[test]
fn verbose() {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    let mut failures = 1;
    psp.script(move |path| {
        if path.starts_with("/beneficiaries") && failures > 0 {
            failures -= 1;
            return Reply::status(503);
        }
        Reply::Usual
    });
    let place = place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "--verbose poll").is("poll-verbose");
}

#[test]
fn quarantine() {
    let psp = bad_bank();
    let place = place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "poll").on(&place, "poll");
    session.on(&place, "poll --sweep");
    psp.remove_transaction("a-number");
    session.on(&place, "poll --sweep");
    session.is("poll-quarantine");
}

#[test]
fn quirks() {
    let with = |change: fn(&mut Manners)| {
        let mut manners = Manners::default();
        change(&mut manners);
        manners
    };
    let mut session = Session::new();
    for (quirk, manners) in [
        ("caps pageSize", with(|service| service.cap = Some(40))),
        ("does not sort", with(|service| service.newest_first = true)),
        ("changes its order", with(|service| service.shuffles = true)),
        (
            "ignores the filter",
            with(|service| service.ignores_filter = true),
        ),
        (
            "excludes the bound",
            with(|service| service.excludes_bound = true),
        ),
        (
            "shifts the bound",
            with(|service| service.shifts_bound = 3_600),
        ),
        ("filters by day", with(|service| service.coarse = 86_400)),
        ("ignores page", with(|service| service.ignores_page = true)),
        (
            "answers null and refuses pages past the end",
            with(|service| (service.null_pages, service.refuses_past_end) = (true, true)),
        ),
        ("redirects", with(|service| service.redirects = true)),
        (
            "ignores page and caps",
            with(|service| (service.ignores_page, service.cap) = (true, Some(40))),
        ),
    ] {
        let psp = FakePsp::with_a_bank();
        psp.behave(manners);
        let place = place(&psp, &json!({}));
        session.line(&format!("# a service that {quirk}"));
        session.on(&place, "poll").on(&place, "poll");
        session.on(&place, "status");
        psp.behave(Manners::default());
        session.line("# the service has improved");
        session.on(&place, "poll --sweep");
    }
    session.is("poll-quirks");
}

/// What a service does, at which path, and its answer there.
type Failing = (&'static str, &'static str, Reply);

fn failing_services() -> [Failing; 13] {
    let transactions = "/transactions";
    let redirect = vec![("Location", "https://example.com/x".to_owned())];
    let redirect = Reply::With(302, redirect, vec![]);
    let too_much = Reply::With(200, vec![], vec![b' '; 70_000]);
    let one_account = "/accounts/acc-1/balances";
    let some_balances = "has no balances of one account";
    [
        ("refuses the key", "/", Reply::status(401)),
        ("refuses a list", "/beneficiaries", Reply::status(400)),
        ("has no transactions", transactions, Reply::status(404)),
        (some_balances, one_account, Reply::status(404)),
        ("fails on balances", "/accounts/", Reply::status(500)),
        ("is down", "/", Reply::status(503)),
        ("hangs up", transactions, Reply::Cut),
        ("does not answer", transactions, Reply::Never),
        ("answers HTML", transactions, Reply::body("<html>")),
        ("answers no list", transactions, Reply::body("{\"data\":5}")),
        ("answers a number", transactions, Reply::body("5")),
        ("redirects", transactions, redirect),
        ("answers too much", transactions, too_much),
    ]
}

#[test]
fn failures() {
    // Side by side, since most of the time is spent between retries.
    let sessions = failing_services().map(|(what, path, reply)| {
        std::thread::spawn(move || {
            let psp = FakePsp::with_a_bank();
            // Short only where it is waited for.
            let is_silent = matches!(reply, Reply::Never);
            let timeout = if is_silent { "1s" } else { "30s" };
            psp.always(path, reply);
            let keys = json!({ "requestTimeout": timeout, "maxBodyBytes": 65_536 });
            let place = place(&psp, &keys);
            let mut session = Session::new();
            session.line(&format!("# a service that {what}"));
            session.on(&place, "poll");
            session
        })
    });
    let mut session = Session::new();
    for other in sessions {
        session.append(other.join().unwrap());
    }
    session.line("# nobody listens");
    let nowhere = Place::new("http://127.0.0.1:9", json!({ "workers": 1 }));
    session.on(&nowhere, "poll");
    session.is("poll-failures");
}

#[test]
fn a_target_that_is_down() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "http", "url": "http://127.0.0.1:9/changes" }]);
    let place = place(&psp, &json!({ "publish": publish }));
    let command = "poll --delivery-patience 1s";
    let mut ran = run(place.command(command));
    // The poll and the delivery log side by side.
    let mut lines: Vec<&str> = ran.stderr.lines().collect();
    lines.sort_by_key(|line| line.split_once("] ").unwrap().1);
    ran.stderr = lines.join("\n");
    Session::new().ran(command, &ran).is("poll-target-down");
}

#[test]
fn a_state_that_cannot_be_used() {
    let psp = FakePsp::start();
    let place = place(&psp, &json!({}));
    place.poll_well();
    let mut session = Session::new();
    session.line("# of another connector");
    place.configure(&psp.url(), json!({ "name": "another" }));
    session.on(&place, "poll");
    place.configure(&psp.url(), json!({}));
    let file = place.state().join("state.sqlite3");
    for (what, sql) in [
        ("of a newer version", "PRAGMA user_version = 99"),
        ("of an older version", "PRAGMA user_version = 1"),
        ("of another program", "PRAGMA application_id = 7"),
    ] {
        session.line(&format!("# {what}"));
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        session.on(&place, "status");
    }
    session.line("# no database");
    std::fs::write(
        &file,
        "no database, but long enough for its header, ".repeat(20),
    )
    .unwrap();
    session.on(&place, "poll");
    session.line("# a file where the directory should be");
    std::fs::write(place.path().join("file"), "").unwrap();
    place.configure(&psp.url(), json!({ "stateDir": "file/state" }));
    session.on(&place, "poll");
    session.is("state");
}
