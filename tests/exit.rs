//! Exit codes and default paths: what systemd units and cron jobs rely on.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{FakePsp, LISTEN_KEY, Place, Ran, Reply, Running, binary, run, wait_until};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

fn ends(command: &str) -> Ran {
    let mut ready = binary();
    ready.args(command.split(' ').filter(|word| !word.is_empty()));
    run(ready)
}

#[track_caller]
fn exits_with(code: i32, ran: &Ran) {
    assert_eq!(ran.code, Some(code), "{ran}");
}

#[test]
fn zero_is_done() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    exits_with(0, &place.poll());
    exits_with(0, &run(place.command("status")));
    for command in [
        "--version",
        "--help",
        "help",
        "help poll",
        "publisher replay --help",
    ] {
        let ran = ends(command);
        exits_with(0, &ran);
        assert!(ran.stderr.is_empty() && !ran.stdout.is_empty(), "{ran}");
    }
}

#[test]
fn one_is_work_that_could_not_be_done() {
    let place = Place::new(NOWHERE, json!({}));
    exits_with(1, &run(place.command("status")));
    exits_with(1, &place.poll());
    exits_with(1, &run(place.command("quarantine show 7")));
    exits_with(1, &run(place.command("publisher skip nobody 7")));
}

#[test]
fn two_is_something_to_look_at() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    psp.always("/beneficiaries", Reply::status(400));
    exits_with(2, &place.poll());
    let nowhere = json!([{ "type": "ndjson", "path": "nowhere/changes" }]);
    let place = Place::new(&psp.url(), json!({ "publish": nowhere }));
    let checked = run(place.command("check"));
    exits_with(2, &checked);
    assert!(checked.stdout.contains("FAILED"), "{checked}");
}

#[test]
fn delivery_that_does_not_finish_outweighs_something_to_look_at() {
    let psp = FakePsp::with_a_bank();
    psp.always("/beneficiaries", Reply::status(400));
    let down = json!([{ "type": "http", "url": NOWHERE }]);
    let place = Place::new(&psp.url(), json!({ "publish": down }));
    let ran = run(place.command("poll --delivery-patience 10ms"));
    exits_with(1, &ran);
    assert!(ran.stderr.contains("partial"), "{ran}");
}

#[test]
fn sixty_four_is_a_wrong_command_line() {
    for command in [
        "",
        "fly",
        "poll --fly",
        "poll --delivery-patience soon",
        "quarantine",
        "quarantine show http",
        "publisher replay ndjson --from 0",
        "sandbox --listen 0.0.0.0:0",
    ] {
        let ran = ends(command);
        exits_with(64, &ran);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran}");
    }
    // Before the configuration is looked at.
    let place = Place::new(NOWHERE, json!({ "pageSize": "many" }));
    exits_with(64, &run(place.command("poll --fly")));
}

#[test]
fn sixty_five_is_a_state_that_cannot_be_used() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let good = fs::read(&file).unwrap();

    place.configure(&psp.url(), json!({ "name": "another" }));
    exits_with(65, &place.poll());
    place.configure(&psp.url(), json!({}));

    let state = rusqlite::Connection::open(&file).unwrap();
    state.pragma_update(None, "user_version", 99).unwrap();
    drop(state);
    for bytes in [
        fs::read(&file).unwrap(),
        b"no database, but long enough for its header, ".repeat(20),
    ] {
        fs::write(&file, bytes).unwrap();
        for command in [
            "poll",
            "status",
            "quarantine list",
            "publisher remove ndjson",
        ] {
            exits_with(65, &run(place.command(command)));
        }
    }
    fs::write(&file, good).unwrap();
    place.poll_well();
}

#[test]
fn seventy_three_is_a_state_that_cannot_be_made() {
    let psp = FakePsp::with_a_bank();
    // A file where a directory is due, which stops root, too.
    let place = Place::new(&psp.url(), json!({ "stateDir": "file/state" }));
    fs::write(place.path().join("file"), "").unwrap();
    exits_with(73, &place.poll());
}

#[test]
fn seventy_five_is_a_state_or_a_port_that_another_process_has() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(&psp.url(), json!({ "publish": publish }));
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let _running = Running::start(command);
    wait_until("the first process polls", || !psp.requests().is_empty());
    exits_with(75, &place.poll());
    exits_with(75, &run(place.command("run")));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let listening = json!({ "listen": taken, "listenKey": LISTEN_KEY });
    exits_with(75, &run(Place::new(NOWHERE, listening).command("run")));
    exits_with(75, &ends(&format!("sandbox --listen {taken}")));

    // What only an operator can fix is said first.
    place.configure(&psp.url(), json!({ "publish": publish, "pageSize": 0 }));
    exits_with(78, &place.poll());
}

#[test]
fn seventy_eight_is_a_bad_configuration() {
    let place = Place::new(NOWHERE, json!({ "pagesize": 5 }));
    for command in ["poll", "run", "check"] {
        exits_with(78, &run(place.command(command)));
    }
    let place = Place::new(NOWHERE, json!({}));
    exits_with(78, &run(place.command("run")));
}

#[test]
fn the_unit_restarts_only_where_that_can_help() {
    let unit = include_str!("../packaging/generic-connector.service");
    assert!(unit.contains("\nRestartPreventExitStatus=64 65 73 78 243\n"));
}

#[test]
fn commands_share_a_default_configuration() {
    let default = "/etc/generic-connector/generic.json";
    if fs::exists(default).unwrap() {
        // This machine has the package.
        return;
    }
    for command in [
        "run",
        "poll",
        "status",
        "check",
        "quarantine list",
        "publisher remove x",
    ] {
        let ran = ends(command);
        exits_with(78, &ran);
        assert!(ran.stderr.contains(default), "{ran}");
    }
}

/// A drop-in with a second `StateDirectory=` made a new state in a folder with a colon in its name.
#[test]
fn several_state_directories_are_a_bad_configuration() {
    let place = Place::new(NOWHERE, json!({}));
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let both = format!("{}:{}", one.display(), two.display());
    let mut poll = place.command("poll");
    poll.env("STATE_DIRECTORY", &both);
    let ran = run(poll);
    exits_with(78, &ran);
    assert!(ran.stderr.contains("set \"stateDir\""), "{ran}");
    assert!(!fs::exists(both).unwrap());
}

#[test]
fn systemd_says_where_the_state_is_unless_the_configuration_does() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let polled = |more: Value| {
        place.configure(&psp.url(), more);
        let mut poll = place.command("poll");
        poll.env("STATE_DIRECTORY", place.path().join("from-systemd"));
        exits_with(0, &run(poll));
    };
    polled(json!({}));
    assert!(place.path().join("from-systemd/state.sqlite3").exists());
    polled(json!({ "stateDir": "configured" }));
    assert!(place.path().join("configured/state.sqlite3").exists());
    assert!(!place.state().exists());
}
