//! The state: whose it is, who may write it, and what happens when it cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::{FakePsp, Listening, Place, Reply, Running, STATE_FILE, run, wait_until};

#[test]
fn another_endpoint_or_name_on_an_old_state_is_refused() {
    let psp = FakePsp::with_a_bank();
    let other = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    for (endpoint, name) in [(other.url(), "test"), (psp.url(), "another")] {
        place.configure(&endpoint, json!({ "name": name }));
        let ran = place.poll();
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(
            ran.stderr.contains("belongs to connector \"test\"")
                && ran.stderr.contains("\"stateDir\""),
            "{ran}"
        );
    }
    assert!(other.requests().is_empty());
    // The way out that the message names, for the same service at a new address.
    place.configure(&other.url(), json!({}));
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state
        .execute(
            "UPDATE state SET value = ?1 WHERE key = 'endpoint'",
            [other.url()],
        )
        .unwrap();
    drop(state);
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn a_second_process_on_the_same_state_is_refused() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(&psp.url(), json!({ "publish": publish }));
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let _running = Running::start(command);
    wait_until("the first process polls", || !psp.requests().is_empty());
    let ran = place.poll();
    assert_eq!(ran.code, Some(75), "{ran}");
    assert!(
        ran.stderr.contains("in use by another generic-connector"),
        "{ran}"
    );
    let status = run(place.command("status"));
    assert_eq!(
        status.code,
        Some(0),
        "status does not need the lock: {status}"
    );
}

#[test]
fn files_that_are_no_state_are_left_as_they_are() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let good = fs::read(&file).unwrap();
    let newer = {
        let copy = place.path().join("newer");
        fs::write(&copy, &good).unwrap();
        rusqlite::Connection::open(&copy)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        fs::read(copy).unwrap()
    };
    let foreign = {
        let copy = place.path().join("foreign");
        rusqlite::Connection::open(&copy)
            .unwrap()
            .execute_batch("CREATE TABLE a (b)")
            .unwrap();
        fs::read(copy).unwrap()
    };
    let mut damaged = good.clone();
    damaged[..100].fill(7);
    for (bytes, said) in [
        (newer, "has layout 99"),
        (foreign, "is not a state file of generic-connector"),
        (damaged, "is damaged or not a state file"),
        (b"some text, long enough to be looked at as a database header would be, and a bit more than that".repeat(9), "is damaged or not a state file"),
    ] {
        fs::write(&file, &bytes).unwrap();
        let ran = place.poll();
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(ran.stderr.contains(said), "{said}: {ran}");
        assert!(fs::read(&file).unwrap() == bytes, "the file was changed: {said}");
    }
    fs::write(&file, good).unwrap();
    place.poll_well();
}

#[test]
fn a_state_damaged_in_the_middle_is_reported() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(65), "{ran}");
    assert!(ran.stderr.contains("is damaged"), "{ran}");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_reported() {
    let psp = FakePsp::with_a_bank();
    // A file where a directory is due, which stops root, too.
    let place = Place::new(&psp.url(), json!({ "stateDir": "file/state" }));
    fs::write(place.path().join("file"), "").unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(73), "{ran}");
    assert!(
        ran.stderr.contains("cannot make the state directory"),
        "{ran}"
    );
}

#[test]
fn a_read_only_state_directory_is_reported() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    fs::create_dir(place.state()).unwrap();
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o500)).unwrap();
    let writable_all_the_same = fs::write(place.state().join("probe"), "").is_ok();
    if writable_all_the_same {
        // Root may write everywhere; the message is that of the test above.
        return;
    }
    let ran = place.poll();
    assert_eq!(ran.code, Some(73), "{ran}");
    assert!(ran.stderr.contains("cannot open the lock"), "{ran}");
}

#[test]
fn a_full_disk_is_reported_and_the_next_poll_goes_on() {
    let psp = FakePsp::start();
    for number in 0..2_000 {
        psp.add_transaction(
            &format!("tx-{number}"),
            &format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60),
        );
    }
    let place = Place::new(&psp.url(), json!({ "batchRecords": 100, "pageSize": 100 }));
    // A limit on the size of files stands for the end of the disk.
    let mut limited = std::process::Command::new("sh");
    let poll = place.command("poll");
    limited
        .args(["-c", "ulimit -f 400; exec \"$@\"", "sh"])
        .arg(poll.get_program())
        .args(poll.get_args());
    let ran = run(limited);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("disk is full") || ran.stderr.contains("cannot commit"),
        "{ran}"
    );
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 2_000);
}

#[test]
fn an_interrupted_poll_keeps_what_it_has_read() {
    let psp = FakePsp::with_a_bank();
    psp.always(
        "/transactions",
        Reply::After(std::time::Duration::from_millis(300)),
    );
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let mut running = Running::start({
        let mut command = place.command("poll");
        command.stderr(Stdio::null());
        command
    });
    wait_until("some pages are read", || {
        psp.requests()
            .iter()
            .filter(|path| path.contains("updatedAtFrom"))
            .count()
            >= 2
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let (code, took) = running.ended();
    // Whoever goes on with what was read must know that it is not all.
    assert_eq!(code, Some(1));
    assert!(took.as_secs() < 5);
    let read = place.ids("transactions").len();
    assert!((10..250).contains(&read), "{read}");
    psp.heal();
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn what_was_delivered_while_its_offset_could_not_be_stored_is_not_delivered_again() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(
        &psp.url(),
        json!({ "pollingPeriod": "100ms", "publish": publish }),
    );
    place.poll_well();
    // As on a full disk, where there is still room for the lines.
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON publisher WHEN new.offset > 255 BEGIN \
                   SELECT RAISE(ABORT, 'no room'); END";
    state.execute_batch(trigger).unwrap();
    let log = place.path().join("log");
    let mut command = place.command("run");
    command.stderr(fs::File::create(&log).unwrap());
    let mut running = Running::start(command);
    let delivered = || fs::read_to_string(place.path().join("changes")).unwrap();
    for number in 0..5 {
        let id = format!("next-{number}");
        psp.add_transaction(&id, &format!("2024-02-01T00:05:0{number}Z"));
        wait_until("it is delivered", || delivered().contains(&id));
    }
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("cannot store a publisher's offset"), "{said}");
    state.execute_batch("DROP TRIGGER full").unwrap();
    psp.add_transaction("last", "2024-02-01T00:06:00Z");
    wait_until("delivery goes on", || delivered().contains("\"last\""));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
    place.poll_well();
    assert_eq!(delivered().lines().count(), 255 + 6);
}

/// A copy that leaves the write-ahead log out misses little.
#[test]
fn between_two_polls_the_file_alone_has_what_was_read() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({ "pollingPeriod": "1h" }));
    listening.wait_for_line("poll 1 complete");
    let state = listening.place.state().join(STATE_FILE);
    let copy = listening.place.path().join("copy.sqlite3");
    wait_until("the file alone has every transaction", || {
        fs::copy(&state, &copy).unwrap();
        let copy = rusqlite::Connection::open(&copy).unwrap();
        let count = "SELECT count(*) FROM version WHERE stream = 'transactions'";
        let found = copy.query_row(count, [], |row| row.get(0));
        found == Ok(service.transactions().len() as i64)
    });
}
