//! `status`: what the state says, without disturbing it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{FakePsp, Place, Reply, run};

#[test]
fn status_shows_streams_cursors_publishers_and_polls() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.always("/beneficiaries", Reply::status(400));
    place.poll();
    let ran = run(place.command("status --json"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(status["name"], "test");
    assert_eq!(status["endpoint"], psp.url());
    assert_eq!(status["lastSeq"], 255);
    assert_eq!(
        status["streams"][3],
        json!({ "stream": "transactions", "records": 250, "versions": 250, "dropped": 0, "quarantined": 0 })
    );
    assert_eq!(status["cursors"][2]["position"], "2024-02-01T00:01:40Z");
    assert_eq!(status["publishers"][0]["offset"], 255);
    assert_eq!(status["publishers"][0]["lag"], 0);
    assert_eq!(status["polls"][0]["outcome"], "partial");
    assert!(
        status["polls"][0]["error"]
            .as_str()
            .unwrap()
            .contains("/beneficiaries")
    );
    assert_eq!(status["polls"][1]["outcome"], "complete");
    assert_eq!(status["polls"][1]["newVersions"]["transactions"], 250);
    let table = run(place.command("status"));
    for part in [
        "transactions           250         250  2024-02-01T00:01:40Z",
        "ndjson                 255           0",
        "partial",
    ] {
        assert!(table.stdout.contains(part), "{part:?}: {table}");
    }
}

#[test]
fn a_poll_says_how_long_it_took_how_fast_the_service_was_and_what_was_not_delivered() {
    let psp = FakePsp::with_a_bank();
    let nowhere = json!({ "type": "http", "url": "http://127.0.0.1:9/changes" });
    let place = Place::new(&psp.url(), json!({ "publish": [nowhere] }));
    run(place.command("poll --delivery-patience 10ms"));
    let slow = Duration::from_millis(200);
    psp.always("/beneficiaries", Reply::After(slow));
    run(place.command("poll --delivery-patience 10ms"));
    let ran = run(place.command("status --json"));
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    let figure = |path: &str| status.pointer(path).and_then(Value::as_f64).unwrap();
    let (p50, p95) = (
        figure("/polls/0/latencySeconds/p50"),
        figure("/polls/0/latencySeconds/p95"),
    );
    assert!(0.0 < p50 && p50 < p95, "{ran}");
    // A figure may be 3 % off.
    assert!(p95 >= slow.as_secs_f64() * 0.97, "{ran}");
    assert!(figure("/polls/0/seconds") >= slow.as_secs_f64(), "{ran}");
    // Not what the poll itself has committed last: nobody could deliver that before its end.
    assert_eq!(status["polls"][1]["lag"], 0, "{ran}");
    assert_eq!(status["polls"][0]["lag"], 255, "{ran}");
}

/// With ten million records, it took seconds to count them, and the memory of a page was evicted for it.
#[test]
fn status_counts_nothing_itself() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state
        .execute_batch(
            "DELETE FROM counted;
             INSERT INTO counted VALUES
                 ('record', 'transactions', 10000000), ('version', 'transactions', 10000001),
                 ('quarantine', 'accounts', 2), ('quarantine', 'transactions', 3), ('held', '', 4), ('shown', '', 5),
                 ('initiation', 'payouts made', 4), ('initiation', 'transfers made', 2), ('refusal', 'ndjson', 7), ('memory', 'waiting ndjson', 8);",
        )
        .unwrap();
    let ran = run(place.command("status --json"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (shown, expected) in [
        ("/streams/3/records", 10_000_000),
        ("/streams/3/versions", 10_000_001),
        ("/streams/0/records", 0),
        ("/quarantined", 5),
        ("/relatives/waiting", 4),
        ("/relatives/missing", 5),
        ("/initiations/made", 6),
        ("/publishers/0/refused", 7),
        ("/publishers/0/waiting", 8),
    ] {
        assert_eq!(status.pointer(shown), Some(&json!(expected)), "{shown}");
    }
}

#[test]
fn status_without_a_state_says_where_it_looked() {
    let place = Place::new("http://127.0.0.1:9", json!({}));
    let ran = run(place.command("status"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("there is no state at") && ran.stderr.contains("stateDir"),
        "{ran}"
    );
    assert!(!place.state().exists(), "status made a state");
}
