//! `quarantine`: what was kept aside here and what a target refuses, shown and decided about.

use serde_json::json;

use super::Session;
use super::poll::{bad_bank, place};
use crate::support::{FakePsp, TestAnswer, TestServer};

#[test]
fn empty() {
    let psp = FakePsp::start();
    let place = place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "quarantine list");
    place.poll_well();
    session
        .on(&place, "quarantine list")
        .on(&place, "quarantine list --json");
    session.is("quarantine-empty");
}

#[test]
fn records_that_break_a_rule() {
    let psp = bad_bank();
    let place = place(&psp, &json!({}));
    place.poll();
    let mut session = Session::new();
    for command in [
        "list",
        "list --json",
        "show 1",
        "show 6",
        "show 99",
        "retry 2",
        "list",
        "drop 3",
        "list",
        "retry 99",
        "drop 99",
    ] {
        session.on(&place, &format!("quarantine {command}"));
    }
    session.on(&place, "poll").on(&place, "quarantine list");
    session.is("quarantine-records");
}

#[test]
fn versions_that_a_target_refuses() {
    let psp = FakePsp::start();
    psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
    psp.add_beneficiary("ben-2", "2024-01-02T00:00:00Z");
    let web = TestServer::start(|_| {
        TestAnswer::new(422, r#"{"title":"Unprocessable","detail":"not these"}"#)
    });
    let url = format!("http://{}/changes", web.address());
    let place = place(
        &psp,
        &json!({ "publish": [{ "type": "http", "url": url }] }),
    );
    let mut session = Session::new();
    session.on(&place, "poll");
    for command in [
        "list",
        "list --json",
        "show http/1",
        "retry http/1",
        "list",
        "drop http/2",
        "list",
        "show http/2",
        "retry x/1",
    ] {
        session.on(&place, &format!("quarantine {command}"));
    }
    session.is("quarantine-refused");
}
