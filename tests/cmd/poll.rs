//! The log of a poll: good, with quirks, with records in quarantine, with failures.

use serde_json::{Value, json};

use super::Session;
use crate::support::{FakePsp, Manners, Place, Reply, run, transaction};

/// A connector with one worker, so that the order of its lines is certain.
pub fn place(psp: &FakePsp, more: Value) -> Place {
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
    let place = place(&psp, json!({}));
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
    psp.script(
        move |path| match path.starts_with("/beneficiaries") && failures > 0 {
            true => {
                failures -= 1;
                Reply::status(503)
            }
            false => Reply::Usual,
        },
    );
    let place = place(&psp, json!({}));
    let mut session = Session::new();
    session.on(&place, "--verbose poll").is("poll-verbose");
}

#[test]
fn quarantine() {
    let psp = bad_bank();
    let place = place(&psp, json!({}));
    let mut session = Session::new();
    session.on(&place, "poll").on(&place, "poll");
    session.on(&place, "poll --sweep");
    psp.remove_transaction("a-number");
    session.on(&place, "poll --sweep");
    session.is("poll-quarantine");
}

#[test]
fn quirks() {
    let mut session = Session::new();
    for (quirk, manners) in [
        (
            "caps pageSize",
            Manners {
                cap: Some(40),
                ..Manners::default()
            },
        ),
        (
            "does not sort",
            Manners {
                newest_first: true,
                ..Manners::default()
            },
        ),
        (
            "changes its order",
            Manners {
                shuffles: true,
                ..Manners::default()
            },
        ),
        (
            "ignores the filter",
            Manners {
                ignores_filter: true,
                ..Manners::default()
            },
        ),
        (
            "excludes the bound",
            Manners {
                excludes_bound: true,
                ..Manners::default()
            },
        ),
        (
            "shifts the bound",
            Manners {
                shifts_bound: 3_600,
                ..Manners::default()
            },
        ),
        (
            "filters by day",
            Manners {
                coarse: 86_400,
                ..Manners::default()
            },
        ),
        (
            "ignores page",
            Manners {
                ignores_page: true,
                ..Manners::default()
            },
        ),
        (
            "ignores page and caps",
            Manners {
                ignores_page: true,
                cap: Some(40),
                ..Manners::default()
            },
        ),
    ] {
        let psp = FakePsp::with_a_bank();
        psp.behave(manners);
        let place = place(&psp, json!({}));
        session.line(&format!("# a service that {quirk}"));
        session.on(&place, "poll").on(&place, "poll");
        session.on(&place, "status");
        psp.behave(Manners::default());
        session
            .line("# the service has improved")
            .on(&place, "poll --sweep");
    }
    session.is("poll-quirks");
}

#[test]
fn failures() {
    let redirect = vec![("Location", "https://example.com/x".to_owned())];
    let cases = [
        ("refuses the key", "/", Reply::status(401)),
        (
            "refuses beneficiaries",
            "/beneficiaries",
            Reply::status(400),
        ),
        ("has no transactions", "/transactions", Reply::status(404)),
        (
            "has no balances of one account",
            "/accounts/acc-1/balances",
            Reply::status(404),
        ),
        ("fails on balances", "/accounts/", Reply::status(500)),
        ("is down", "/", Reply::status(503)),
        ("hangs up", "/transactions", Reply::Cut),
        ("does not answer", "/transactions", Reply::Never),
        ("answers HTML", "/transactions", Reply::body("<html>")),
        (
            "answers no list",
            "/transactions",
            Reply::body("{\"data\":5}"),
        ),
        ("answers a number", "/transactions", Reply::body("5")),
        (
            "redirects",
            "/transactions",
            Reply::With(302, redirect, vec![]),
        ),
        (
            "answers too much",
            "/transactions",
            Reply::With(200, vec![], vec![b' '; 70_000]),
        ),
    ];
    // Side by side, since most of the time is spent between retries.
    let sessions = cases.map(|(what, path, reply)| {
        std::thread::spawn(move || {
            let psp = FakePsp::with_a_bank();
            // Short only where it is waited for.
            let timeout = if matches!(reply, Reply::Never) {
                "1s"
            } else {
                "30s"
            };
            psp.always(path, reply);
            let place = place(
                &psp,
                json!({ "requestTimeout": timeout, "maxBodyBytes": 65_536 }),
            );
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
    session.on(
        &Place::new("http://127.0.0.1:9", json!({ "workers": 1 })),
        "poll",
    );
    session.is("poll-failures");
}

#[test]
fn a_target_that_is_down() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "http", "url": "http://127.0.0.1:9/changes" }]);
    let place = place(&psp, json!({ "publish": publish }));
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
    let place = place(&psp, json!({}));
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
