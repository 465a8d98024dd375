//! `healthcheck`: whether the connector that runs works, for containers, which have no shell.

use serde_json::json;

use crate::support::{FakePsp, Listening, Place, Ran, Running, run, wait_until};

fn check(place: &Place) -> Ran {
    run(place.command("healthcheck"))
}

#[test]
fn it_asks_where_the_connector_listens() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    let address = listening.url.strip_prefix("http://").unwrap().to_owned();
    // The port that the system has chosen.
    let more = json!({ "listen": address, "listenKey": "the-key-of-the-listener" });
    listening.place.configure(&service.url(), more);
    let ran = check(&listening.place);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "the poll loop turns\n"),
        "{ran}"
    );

    let place = Place::new("http://127.0.0.1:1", json!({ "listen": address }));
    let mut listening = listening;
    listening.kill();
    let ran = check(&place);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("is the connector running?"), "{ran}");
}

#[test]
fn without_an_address_the_state_tells() {
    let publish = json!({ "pollingPeriod": "100ms", "publish": [{ "type": "ndjson", "path": "state/changes.ndjson" }] });
    // A service that is down is no fault of the connector.
    let place = Place::new("http://127.0.0.1:1", publish);
    let ran = check(&place);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("no connector has the state"), "{ran}");
    let mut running = Running::start(place.command("run"));
    wait_until("it is well", || check(&place).code == Some(0));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.ended();
    assert_eq!(check(&place).code, Some(1));
}
