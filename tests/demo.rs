//! `demo` and `sandbox`: the first thing that a newcomer runs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Place, Running, binary, run, wait_until};

#[test]
fn the_demo_shows_records_then_live_changes_each_once() {
    let mut command = binary();
    command.args(["demo", "--for", "3500ms"]);
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran}");
    let changes: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| {
            words
                .first()
                .is_some_and(|word| word.parse::<u64>().is_ok())
        })
        .collect();
    let seqs: Vec<u64> = changes
        .iter()
        .map(|words| words[0].parse().unwrap())
        .collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let transactions = changes
        .iter()
        .filter(|words| words[1] == "transactions")
        .count();
    assert!(transactions > 402, "400 at first, then live ones: {ran}");
    assert!(ran.stdout.contains("each version once"), "{ran}");
}

#[test]
fn the_demo_has_a_page_that_lives() {
    let mut command = binary();
    command
        .args(["demo", "--for", "1m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut demo = Running::start(command);
    let lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let url = lines.find_map(|line| Some(line.split_once("http://demo:")?.1.to_owned()));
    let url = url.unwrap();
    let (key, address) = url.split_once('@').unwrap();
    let bearer = format!("Bearer {key}");
    let page = || {
        let url = format!("http://{address}");
        let answer = ureq::get(url).header("Authorization", &bearer).call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    };
    // The demo goes on writing.
    std::thread::spawn(move || lines.for_each(drop));
    wait_until("two polls are on the page, and all is well", || {
        let page = page();
        page.contains("All well") && page.contains("polls 1 to 2")
    });
    demo.signal(Signal::SIGTERM);
    assert_eq!(demo.ended().0, Some(0));
}

#[test]
fn the_sandbox_prints_its_address_and_serves_a_poll() {
    let mut command = binary();
    command
        .args(["sandbox", "--listen", "127.0.0.1:0", "--api-key", "k"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut sandbox = Running::start(command);
    let mut address = String::new();
    BufReader::new(sandbox.0.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let place = Place::new(address.trim(), json!({ "apiKey": "k" }));
    place.poll_well();
    let counts = place.counts();
    assert_eq!((counts["accounts"], counts["balances"]), (6, 6));
    assert_eq!((counts["beneficiaries"], counts["transactions"]), (6, 400));
    sandbox.signal(Signal::SIGTERM);
    assert_eq!(sandbox.ended().0, Some(0));
}

#[test]
fn the_sandbox_faces_no_network() {
    let mut command = binary();
    command.args(["sandbox", "--listen", "0.0.0.0:0"]);
    let ran = run(command);
    assert_eq!(ran.code, Some(64), "{ran}");
    assert!(ran.stderr.contains("this machine only"), "{ran}");
}
