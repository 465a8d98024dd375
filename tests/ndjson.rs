//! The ndjson publisher: a file is its own offset.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{FakePsp, Listening, Place, Running, run};

#[test]
fn a_torn_last_line_is_cut_off_and_delivered_again() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let whole = fs::read(place.changes_file()).unwrap();
    // Torn in the last line, in the line before, in the very first one, and exactly at a line's end.
    let ends: Vec<usize> = (0..whole.len())
        .filter(|place| whole[*place] == b'\n')
        .collect();
    for cut in [
        whole.len() - 1,
        whole.len() - 40,
        ends[ends.len() - 2] + 1,
        ends[ends.len() - 3] + 3,
        ends[0],
        5,
        1,
        0,
    ] {
        fs::write(place.changes_file(), &whole[..cut]).unwrap();
        if cut <= ends[0] {
            // Without a whole line the file knows nothing: the stored offset counts.
            fs::remove_file(place.state().join("state.sqlite3")).unwrap();
        }
        place.poll_well();
        let delivered = fs::read(place.changes_file()).unwrap();
        if cut > ends[0] {
            assert!(delivered == whole, "cut at {cut}");
        } else {
            assert_eq!(place.changes().len(), 255, "cut at {cut}");
        }
    }
}

#[test]
fn a_file_that_was_rotated_away_is_begun_anew_at_the_stored_offset() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    fs::rename(place.changes_file(), place.path().join("old")).unwrap();
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    place.poll_well();
    assert_eq!(place.ids("transactions"), ["new"]);
}

#[test]
fn a_file_of_another_state_is_refused_with_the_way_out() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    // The witness would tell that a state was lost here.
    for file in [
        "state.sqlite3",
        "state.sqlite3-wal",
        "state.sqlite3-shm",
        "witness",
    ] {
        let _ = fs::remove_file(place.state().join(file));
    }
    let before = fs::read(place.changes_file()).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("does not belong to this state")
            && ran.stderr.contains("Move the file away"),
        "{ran}"
    );
    assert!(
        fs::read(place.changes_file()).unwrap() == before,
        "the file was touched"
    );
    fs::remove_file(place.changes_file()).unwrap();
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn a_file_that_is_something_else_is_left_alone() {
    let psp = FakePsp::with_a_bank();
    for text in [
        "important notes\n",
        "important notes",
        "{\"a\":1}\n",
        "a\nb",
    ] {
        let place = Place::new(&psp.url(), json!({}));
        fs::create_dir(place.state()).unwrap();
        fs::write(place.changes_file(), text).unwrap();
        let ran = place.poll();
        assert_eq!(ran.code, Some(1), "{ran}");
        assert_eq!(fs::read_to_string(place.changes_file()).unwrap(), text);
    }
}

#[test]
fn standard_output_gets_the_lines_and_nothing_else() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(
        &psp.url(),
        json!({ "publish": [{ "type": "ndjson", "path": "-" }] }),
    );
    let ran = place.poll_well();
    assert_eq!(ran.stdout.lines().count(), 255);
    assert!(ran.stdout.lines().all(|line| line.starts_with("{\"seq\":")));
    assert_eq!(place.poll_well().stdout, "");
}

#[test]
fn a_closed_pipe_ends_a_poll_at_once_and_nothing_is_lost() {
    let psp = FakePsp::with_a_bank();
    let entry = json!({ "type": "ndjson", "path": "-" });
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let log = place.path().join("log");
    let mut command = place.command("poll --delivery-patience 10m");
    command
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap());
    let mut running = Running::start(command);
    drop(running.0.stdout.take());
    let (code, took) = running.ended();
    assert_eq!(code, Some(1));
    assert!(took < Duration::from_secs(60), "{took:?}");
    let log = fs::read_to_string(&log).unwrap();
    assert!(
        log.contains("has 255 changes to deliver")
            && log.contains("the program that reads it has ended"),
        "{log}"
    );
    assert_eq!(place.poll_well().stdout.lines().count(), 255);
}

#[test]
fn a_path_that_is_no_file_is_refused_with_the_way_out() {
    let psp = FakePsp::with_a_bank();
    let entry = json!({ "type": "ndjson", "path": "pipe" });
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(place.path().join("pipe"));
    assert_eq!(run(mkfifo).code, Some(0));
    for command in ["poll", "check"] {
        let ran = run(place.command(command));
        assert_ne!(ran.code, Some(0), "{ran}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            said.contains("is not a file: set \"path\" to one, or to \"-\""),
            "{ran}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_used_keeps_neither_polls_nor_the_listener_from_running() {
    let psp = FakePsp::with_a_bank();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes");
    fs::write(&path, "# a note\n").unwrap();
    let publish = json!([{ "type": "ndjson", "path": path }]);
    let listening = Listening::start(&psp.url(), json!({ "publish": publish }));
    assert_eq!(listening.poll()["outcome"], "complete");
    let (_, status) = listening.get("/status");
    let said = status["warnings"].to_string();
    assert!(said.contains("Move the file away"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"# a note\n");
}

#[test]
fn a_replay_is_not_forgotten_whenever_the_process_ends() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let once = place.changes().len();
    let replay = "publisher replay ndjson --from 1";
    for step in 1.. {
        let before = place.changes().len();
        assert_eq!(run(place.command(replay)).code, Some(0));
        let mut command = place.command("poll");
        command.env("GENERIC_CONNECTOR_CRASH_AT", step.to_string());
        let has_crashed = run(command).code.is_none();
        place.poll_well();
        let added = place.changes().len() - before;
        assert!(added == once || added == 2 * once, "step {step}: {added}");
        if !has_crashed {
            break;
        }
    }
}

#[test]
fn publishers_keep_offsets_of_their_own() {
    let psp = FakePsp::with_a_bank();
    let one = json!([{ "type": "ndjson", "path": "one" }]);
    let two = json!([{ "type": "ndjson", "path": "one" }, { "type": "ndjson", "name": "second", "path": "two" }]);
    let place = Place::new(&psp.url(), json!({ "publish": one }));
    place.poll_well();
    place.configure(&psp.url(), json!({ "publish": two }));
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    place.poll_well();
    let lines = |file: &str| fs::read_to_string(place.path().join(file)).unwrap();
    assert_eq!(lines("one").lines().count(), 256);
    assert!(
        lines("one") == lines("two"),
        "a new publisher starts at the beginning"
    );
}

#[test]
fn a_target_that_is_down_leaves_the_rest_to_the_next_run() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "later/changes.ndjson" }]);
    let place = Place::new(&psp.url(), json!({ "publish": publish }));
    let ran = run(place.command("poll --delivery-patience 100ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("255 changes to deliver")
            && ran.stderr.contains("later/changes.ndjson"),
        "{ran}"
    );
    fs::create_dir(place.path().join("later")).unwrap();
    place.poll_well();
    let text = fs::read_to_string(place.path().join("later/changes.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 255);
}

#[test]
fn a_line_is_what_the_readme_says() {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({ "name": "acme-bank" }));
    place.poll_well();
    let change = &place.changes()[0];
    assert_eq!(change["seq"], 1);
    assert_eq!(change["connector"], "acme-bank");
    assert_eq!(change["stream"], "accounts");
    assert_eq!(change["id"], "acc-1");
    assert_eq!(change["record"]["accountName"], "Account acc-1");
    assert!(change["observedAt"].as_str().unwrap().ends_with('Z'));
    assert!(
        change["idempotencyKey"]
            .as_str()
            .unwrap()
            .starts_with("acme-bank/accounts/acc-1/1-")
    );
}

#[test]
fn a_new_file_gets_the_mode_and_the_group_that_readers_need() {
    let psp = FakePsp::with_a_bank();
    let entry = |more: Value| {
        let mut entry = json!({ "type": "ndjson", "path": "changes.ndjson" });
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "publish": [entry] })
    };
    let place = Place::new(&psp.url(), entry(json!({})));
    let file = place.path().join("changes.ndjson");
    let own = fs::metadata(place.path()).unwrap();
    // Only root may give a file to any group.
    let group = if own.uid() == 0 { 54_321 } else { own.gid() };
    let loose = entry(json!({ "mode": "0664", "group": group.to_string() }));
    for (keys, mode, group) in [(entry(json!({})), 0o600, own.gid()), (loose, 0o664, group)] {
        place.configure(&psp.url(), keys);
        place.poll_well();
        let made = fs::metadata(&file).unwrap();
        assert_eq!((made.mode() & 0o777, made.gid()), (mode, group));
        fs::remove_file(&file).unwrap();
        psp.add_transaction(&format!("with-{mode:o}"), "2024-03-01T00:00:00Z");
    }
    // A file that is there, as logrotate makes it, stays as it is.
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    place.poll_well();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
    for (key, value, fix) in [
        ("mode", "0444", "let the owner read and write"),
        ("mode", "rw-r--r--", "let the owner read and write"),
        ("group", "no-such-group", "name a group of this machine"),
    ] {
        let mut keys = json!({});
        keys[key] = json!(value);
        place.configure(&psp.url(), entry(keys));
        let ran = run(place.command("check --offline"));
        assert_eq!(ran.code, Some(78), "{ran}");
        assert!(
            ran.stderr.contains(&format!("publish: \"{key}\"")) && ran.stderr.contains(fix),
            "{ran}"
        );
    }
}

#[test]
fn a_group_that_cannot_be_given_is_said_at_each_try() {
    let psp = FakePsp::with_a_bank();
    let entry = json!({ "type": "ndjson", "path": "out/changes.ndjson", "group": "0" });
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let is_root = fs::metadata(&out).unwrap().uid() == 0;
    let poll = || {
        let mut command = place.command("poll --delivery-patience 10ms");
        if is_root {
            command.uid(54_321).gid(54_321);
        }
        run(command)
    };
    if is_root {
        for path in [place.path().to_owned(), place.config(), out.clone()] {
            chown(path, Some(54_321), Some(54_321)).unwrap();
        }
    }
    for _ in 0..2 {
        let ran = poll();
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("it cannot get the group 0"), "{ran}");
        assert!(!out.join("changes.ndjson").exists());
    }
}
