//! `check`: the catalogue, a service with a fault, and each target, good and with each thing that can be wrong.

use serde_json::{Value, json};

use super::Session;
use crate::formance::Connectivity;
use crate::support::{FakePsp, Manners, Place, Reply, TestAnswer, TestServer};

const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn the_catalogue() {
    let mut session = Session::new();
    session.runs("check --list");
    session.runs("check --explain f1");
    session.runs("check --explain Z1");
    session.runs("check --only Nothing");
    session.runs("check --skip P6");
    session.is("check-catalogue");
}

#[test]
fn a_service_with_a_fault() {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        cap: Some(50),
        knows_its_accounts: true,
        ..Manners::default()
    });
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(&psp.url(), json!({ "publish": publish }));
    let mut session = Session::new();
    session.on(&place, "check");
    psp.always("/", Reply::status(401));
    session.on(&place, "check");
    session.on(&place, "check --offline");
    session.is("check-service");
}

#[test]
fn targets_that_are_good() {
    let stack = Connectivity::start();
    let web = TestServer::start(|_| TestAnswer::new(405, ""));
    let publish = json!([
        stack.entry(),
        { "type": "http", "url": format!("http://{}/changes", web.address()) },
        { "type": "ndjson", "path": "changes" },
        { "type": "ndjson", "name": "stdout", "path": "-" },
    ]);
    let place = Place::new(NOWHERE, json!({ "publish": publish }));
    Session::new()
        .on(&place, "check --only targets")
        .is("check-good");
}

#[test]
fn targets_with_something_wrong() {
    let mut session = Session::new();
    let stack = Connectivity::start();
    for fields in [
        json!({ "connector": "acme-bank" }),
        json!({ "connector": "cards" }),
        json!({ "clientSecret": "wrong" }),
        json!({ "clientId": null, "clientSecret": null }),
        json!({ "url": format!("{}/nowhere", stack.url()) }),
    ] {
        session.line(&format!("# formance: {fields}"));
        check(&mut session, stack.entry(), &fields);
    }
    stack.scopes(&["payments:read"]);
    session.line("# formance: the client may not write");
    check(&mut session, stack.entry(), &json!({}));
    stack.go_down();
    session.line("# formance: nobody listens");
    check(&mut session, stack.entry(), &json!({}));
    for status in [200, 301, 401, 404, 500] {
        let web = TestServer::start(move |_| TestAnswer::new(status, "{\"title\":\"a title\"}"));
        session.line(&format!("# http: {status}"));
        let entry = json!({ "type": "http", "url": format!("http://{}/changes", web.address()), "apiKey": "a-key" });
        check(&mut session, entry, &json!({}));
    }
    session.line("# http: nobody listens");
    check(
        &mut session,
        json!({ "type": "http", "url": NOWHERE }),
        &json!({}),
    );
    session.line("# ndjson");
    check(
        &mut session,
        json!({ "type": "ndjson", "path": "nowhere/changes" }),
        &json!({}),
    );
    session.is("check-bad");
}

fn check(session: &mut Session, mut entry: Value, fields: &Value) {
    entry
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let place = Place::new(NOWHERE, json!({ "publish": [entry] }));
    session.on(&place, "check --only targets");
}
