//! How fast a bank is delivered that was stored while the target was down, and what that costs. Benchmarks, run by
//! hand with `tests/bench/push.sh`: `PUSH_RECORDS` and `PUSH_LATENCY` (milliseconds) set the size.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::formance::Connectivity;
use crate::support::{FakePsp, Mishap, Place, Running, TestAnswer, TestServer, run};

fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A bank of this many transactions, all of them stored and none delivered.
fn stored(records: u64, entry: Value) -> (FakePsp, Place) {
    let psp = FakePsp::start();
    for number in 0..records {
        let (day, hour) = (1 + number / 86_400, number / 3_600 % 24);
        let (minute, second) = (number / 60 % 60, number % 60);
        let at = format!("2024-02-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        psp.add_transaction(&format!("tx-{number:07}"), &at);
    }
    let more = json!({ "publish": [entry], "pageSize": 10_000 });
    let place = Place::new(&psp.url(), more);
    run(place.command("poll --delivery-patience 1ms"));
    (psp, place)
}

/// Delivers it.
fn measure(what: &str, place: &Place, records: u64, latency: u64) -> f64 {
    let begun = Instant::now();
    let mut command = place.command("poll");
    command.stderr(fs::File::create(place.state().join("log")).unwrap());
    let mut polling = Running::start(command);
    let mut memory = String::new();
    while polling.0.try_wait().unwrap().is_none() {
        let status =
            fs::read_to_string(format!("/proc/{}/status", polling.0.id())).unwrap_or_default();
        let highest = status.lines().find(|line| line.starts_with("VmHWM"));
        memory = highest.map_or(memory, str::to_owned);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed().as_secs_f64();
    let state = fs::metadata(place.state().join("state.sqlite3"))
        .unwrap()
        .len();
    let log = fs::read_to_string(place.state().join("log")).unwrap();
    println!(
        "{what}: {records} records at {latency} ms: {took:.1} s, {:.0} a second; {memory}; state {state} bytes; {} lines of log",
        records as f64 / took,
        log.lines().count()
    );
    took
}

/// Delivers a bank to a stack that refuses this many of 100 requests with a 503. How long that took.
fn push_formance(failing: u64) -> f64 {
    let (records, latency) = (set("PUSH_RECORDS", 10_000), set("PUSH_LATENCY", 0));
    let stack = Connectivity::start();
    stack.go_down();
    let (_psp, place) = stored(records, stack.entry());
    stack.come_up();
    stack.latency(Duration::from_millis(latency));
    let mut asked = 0;
    stack.script(move |_| {
        asked += 1;
        if asked * failing / 100 > (asked - 1) * failing / 100 {
            Mishap::Instead(TestAnswer::new(503, ""))
        } else {
            Mishap::None
        }
    });
    let what = format!("formance, {failing} % of requests fail");
    let took = measure(&what, &place, records, latency);
    assert_eq!(stack.payments().len() as u64, records);
    took
}

#[test]
#[ignore = "a benchmark: tests/bench/push.sh"]
fn formance() {
    let without = push_formance(0);
    for failing in [1, 3, 10] {
        let times = push_formance(failing) / without;
        println!("that is {times:.2} times as long as without failures");
    }
}

#[test]
#[ignore = "a benchmark: tests/bench/push.sh"]
fn http() {
    let (records, latency) = (set("PUSH_RECORDS", 10_000), set("PUSH_LATENCY", 0));
    let web = TestServer::start(|_| TestAnswer::new(200, ""));
    web.script(|_| Mishap::Cut);
    let url = format!("http://{}/", web.address());
    let (_psp, place) = stored(records, json!({ "type": "http", "url": url }));
    web.script(|_| Mishap::None);
    web.latency(Duration::from_millis(latency));
    measure("http", &place, records, latency);
}
