//! `publisher`: replay, skip, remove.

use serde_json::json;

use super::Session;
use super::poll::place;
use crate::formance::Connectivity;
use crate::support::FakePsp;

#[test]
fn decided_about() {
    let psp = FakePsp::with_a_bank();
    let place = place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "publisher replay ndjson");
    place.poll_well();
    for command in [
        "replay ndjson",
        "replay ndjson --from 200",
        "replay ndjson --from 300",
        "replay nobody",
        "skip ndjson 200",
        "skip ndjson 7",
        "skip nobody 7",
        "remove nobody",
        "remove ndjson",
        "remove ndjson",
    ] {
        session.on(&place, &format!("publisher {command}"));
    }
    session.on(&place, "status");
    session.is("publisher");
}

#[test]
fn of_formance() {
    let psp = FakePsp::with_a_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &json!({ "publish": [stack.entry()] }));
    let mut session = Session::new();
    session.on(&place, "poll");
    for command in [
        "replay formance --from 200",
        "replay formance",
        "remove formance",
    ] {
        session.on(&place, &format!("publisher {command}"));
    }
    session.is("publisher-formance");
}
