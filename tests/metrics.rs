//! Metrics: their names are a promise, and each is moved by what happens outside.

mod events;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

use crate::support::scrape::{names, scrape, series, text_of, without_prefix};
use crate::support::{
    FakePsp, LISTEN_KEY, Listening, OBSERVE_KEY, Place, Receiver, Reply, wait_until,
};
use events::{EVENTS, World};

/// The names, with the type and the labels of each.
pub const NAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics.txt");

/// What says what the connector is, so that nothing moves it.
const CONSTANT: [&str; 5] = [
    "build_info",
    "info",
    "polling_period_seconds",
    "process_max_fds",
    "reconciliation_timestamp_seconds",
];

/// What the tests of backups and of TLS move.
const MOVED_ELSEWHERE: [&str; 2] = [
    "backup_timestamp_seconds",
    "service_certificate_expiry_timestamp_seconds",
];

#[test]
fn each_metric_is_moved_by_what_happens_outside() {
    let mut world = World::start();
    for (event, happen, moved) in EVENTS {
        let before = world.scrape();
        happen(&mut world);
        wait_until(&format!("{event} is seen in {moved:?}"), || {
            let after = world.scrape();
            let is_moved = |name: &&&str| series(&before, name) != series(&after, name);
            moved.iter().all(|name| is_moved(&name))
        });
    }
}

#[test]
fn the_names_are_a_promise() {
    let service = FakePsp::with_a_bank();
    let target = Receiver::start();
    let keys = json!({
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "publish": [target.entry()],
    });
    let listening = Listening::start(&service.url(), keys);
    let text = text_of(&listening);
    let found = names(&text);
    let lines = found.iter().map(|(name, (kind, labels))| {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        format!("{name} {kind} {}", labels.join(","))
            .trim()
            .to_owned()
            + "\n"
    });
    let expected = Data::read_from(NAMES.as_ref(), Some(DataFormat::Text));
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(lines.collect::<String>(), expected.raw());

    let moved = EVENTS.iter().flat_map(|(_, _, moved)| moved.iter());
    let moved = moved.map(|name| name.split('{').next().unwrap());
    let moved: BTreeSet<&str> = moved.chain(CONSTANT).chain(MOVED_ELSEWHERE).collect();
    for name in found.keys() {
        let name = without_prefix(name);
        let is_moved = moved.iter().any(|moved| {
            let rest = moved.strip_prefix(name);
            rest.is_some_and(|rest| ["", "_bucket"].contains(&rest))
        });
        assert!(is_moved, "nothing moves {name}");
    }
    // What nothing moves.
    let scrape = scrape(&text);
    assert_eq!(scrape["polling_period_seconds"], 3_600.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(scrape[&format!("build_info{{version=\"{version}\"}}")], 1.0);
    let (_, status) = listening.get("/status");
    let state_id = status["stateId"].as_str().unwrap();
    let info = format!("info{{connector=\"test\",state_id=\"{state_id}\"}}");
    assert_eq!(scrape[&info], 1.0);
    assert!(scrape["process_max_fds"] >= scrape["process_open_fds"]);
}

/// Two scrapes of a connector that has done nothing have the same series, and one that has done much has no fewer.
#[test]
fn every_series_of_a_closed_set_is_there_from_the_start() {
    let world = World::start();
    let fresh = world.scrape();
    for series in [
        "polls_total{outcome=\"aborted\"}",
        "polls_total{outcome=\"complete\"}",
        "quarantined{stream=\"balances\"}",
        "service_quirk{stream=\"transactions\",quirk=\"O1\"}",
        "service_requests_total{call=\"transfers\",status=\"201\"}",
        "service_requests_total{call=\"transfers\",status=\"none\"}",
        "service_requests_total{call=\"accounts\",status=\"403\"}",
        "service_requests_total{call=\"payouts\",status=\"401\"}",
        "service_request_duration_seconds_bucket{call=\"payouts\",le=\"+Inf\"}",
        "listener_requests_total{route=\"payouts\",status=\"201\"}",
        "listener_rejected_total{reason=\"limit\"}",
        "publisher_delivered_total{publisher=\"http\"}",
        "publisher_failing{publisher=\"formance\"}",
        "initiations{kind=\"transfers\",state=\"unknown\"}",
        "connectivity_ahead{stream=\"beneficiaries\"}",
    ] {
        assert_eq!(fresh.get(series), Some(&0.0), "{series}");
    }
    world.service.heal();
    world.poll();
    let busy = world.scrape();
    for series in fresh.keys() {
        assert!(busy.contains_key(series), "{series}");
    }
}

#[test]
fn without_a_listener_nothing_is_said_of_connectivity() {
    let service = FakePsp::with_a_bank();
    let target = Receiver::start();
    let keys = json!({
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "pollingPeriod": "1h", "publish": [target.entry()],
    });
    let listening = Listening::on(Place::new(&service.url(), keys), &[]);
    let text = text_of(&listening);
    assert!(!text.contains("_connectivity_"), "{text}");
    assert!(!text.contains(LISTEN_KEY) && !text.contains(OBSERVE_KEY));
}

/// What Formance has no place for counted as delivered.
#[test]
fn a_version_is_delivered_or_skipped() {
    let world = World::start();
    world.service.heal();
    world.poll();
    let of = |publisher: &str| {
        let scrape = world.scrape();
        ["delivered_total", "skipped_total", "lag_versions"]
            .map(|name| scrape[&format!("publisher_{name}{{publisher=\"{publisher}\"}}")])
    };
    wait_until("everything is delivered", || {
        of("http")[2] + of("formance")[2] == 0.0
    });
    assert_eq!(of("http"), [255.0, 0.0, 0.0]);
    // Two accounts have balances.
    assert_eq!(of("formance"), [253.0, 2.0, 0.0]);
}

#[test]
fn how_long_the_last_poll_took_outlives_a_restart() {
    let mut world = World::start();
    world.service.heal();
    world.poll();
    let before = world.scrape()["last_poll_duration_seconds"];
    let (_release, released) = crossbeam_channel::bounded::<()>(0);
    world.service.always("/accounts", Reply::When(released));
    world.restart(|_| {});
    let after = world.scrape();
    assert_eq!(after["poll_running"], 1.0);
    assert_eq!(after["last_poll_duration_seconds"], before);
}

/// They had no route, or were not counted at all.
#[test]
fn what_is_wrong_with_a_body_is_counted_by_its_route() {
    let world = World::start();
    let address = world
        .listening()
        .url
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    for (framing, status) in [
        ("Content-Length: 99999999\r\n\r\n", 413),
        (
            "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n",
            413,
        ),
        ("Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
    ] {
        let before = world.scrape();
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /payouts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {LISTEN_KEY}\r\n{framing}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let after = world.scrape();
        let more = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
        let counted = format!("listener_requests_total{{route=\"payouts\",status=\"{status}\"}}");
        assert_eq!(more(&counted), 1.0, "{counted}");
        assert_eq!(more("listener_rejected_total{reason=\"malformed\"}"), 1.0);
    }
}
