//! A state that was put back from an older copy: it is noticed, nothing is lost, and no number stands for two contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::scrape::{scrape, text_of, unix_now};
use crate::support::{
    FakePsp, LISTEN_KEY, Listening, OBSERVE_KEY, Place, Receiver, STATE_FILE as FILE,
    StateCopy as Copy, run,
};

/// Every copy, put back: the log says so once, and what was done.
fn is_noticed(copy: Copy) {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    place.poll_well();
    let kept = place.path().join("kept");
    copy.make(&place.state(), &kept);
    service.add_transaction("lost", "2024-03-01T00:00:00Z");
    let ran = place.poll_well();
    assert!(!ran.stderr.contains("put back"), "{ran}");
    let before = place.changes();
    copy.put_back(&kept, &place.state());
    let ran = place.poll_well();
    assert_eq!(ran.stderr.matches("put back").count(), 1, "{ran}");
    let again = place.poll_well();
    assert!(!again.stderr.contains("put back"), "{again}");
    let (_, shown) = status(&place);
    assert!(shown["restoredAt"].is_string(), "{shown}");
    assert_eq!(shown["publishers"][0]["lag"], 0, "{shown}");
    // The file goes on, and no seq or key is there with two contents.
    let changes = place.changes();
    if copy != Copy::Directory {
        assert_eq!(changes[..before.len()], before[..]);
    }
    let mut contents = BTreeMap::new();
    for change in &changes {
        for number in ["seq", "idempotencyKey"] {
            let content = (&change["stream"], &change["id"], &change["record"]);
            let key = change[number].to_string();
            assert_eq!(*contents.entry(key).or_insert(content), content, "{change}");
        }
    }
    let ids: BTreeSet<String> = place.ids("transactions").into_iter().collect();
    assert_eq!(ids.len(), 251);
}

cases! { is_noticed;
    files_that_were_put_back_are_noticed(Copy::Files);
    a_snapshot_that_was_put_back_is_noticed(Copy::Snapshot);
    a_directory_that_was_put_back_is_noticed(Copy::Directory);
    a_state_that_was_removed_is_noticed(Copy::Nothing);
}

fn status(place: &Place) -> (String, Value) {
    let ran = run(place.command("status --json"));
    let shown = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran.stdout, shown)
}

/// A copy of the file without its -wal was taken for a new state.
#[test]
fn a_state_without_its_log_and_its_witness_is_not_taken_for_a_new_one() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let file = listening.place.state().join(FILE);
    let alone = fs::read(&file).unwrap();
    let place = {
        let mut listening = listening;
        listening.kill();
        listening.place
    };
    fs::remove_dir_all(place.state()).unwrap();
    fs::create_dir(place.state()).unwrap();
    fs::write(&file, alone).unwrap();
    let ran = place.poll();
    assert!(ran.stderr.contains("put back"), "{ran}");
}

#[test]
fn neither_a_kill_nor_another_program_nor_a_lost_witness_is_taken_for_a_restore() {
    let service = FakePsp::with_a_bank();
    let mut listening = Listening::start(&service.url(), json!({}));
    for spoilt in [None, Some(""), Some("{\"stateId\":\"x"), Some("missing")] {
        listening.poll();
        listening.kill();
        let state = listening.place.state();
        // It ends the write-ahead log when it closes the file. Without a witness, that would look like a copy.
        if spoilt.is_none() {
            let database = rusqlite::Connection::open(state.join(FILE)).unwrap();
            let count = "SELECT count(*) FROM version";
            let versions: i64 = database.query_row(count, [], |row| row.get(0)).unwrap();
            assert!(versions > 0);
        }
        match spoilt {
            None => {}
            Some("missing") => fs::remove_file(state.join("witness")).unwrap(),
            Some(text) => fs::write(state.join("witness"), text).unwrap(),
        }
        listening = listening.restart(&[]);
        listening.poll();
        assert!(!listening.log().contains("put back"), "{}", listening.log());
    }
}

/// Formance ignores an amount that is dated before the one it has.
#[test]
fn balances_wait_until_they_are_read_again_and_are_dated_later() {
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    let place = Place::new(&service.url(), keys);
    place.poll();
    let kept = place.path().join("kept");
    Copy::Files.make(&place.state(), &kept);
    let listening = Listening::on(place, &[]);
    listening.poll();
    let (_, before) = listening.get("/accounts/acc-1/balances");
    let mut listening = listening;
    listening.kill();
    Copy::Files.put_back(&kept, &listening.place.state());
    service.always("/accounts/", crate::support::Reply::status(503));
    let listening = listening.restart(&[]);
    listening.wait_for_line("poll 2");
    assert_eq!(listening.get("/accounts/acc-1/balances").0, 503);
    service.heal();
    listening.poll();
    let (status, after) = listening.get("/accounts/acc-1/balances");
    assert_eq!(status, 200);
    // The same amount, and a date that counts.
    assert_eq!(after["balances"], before["balances"]);
    assert!(after["at"].as_str() > before["at"].as_str(), "{after}");
}

/// Its key was that of the state and the seqs alone.
#[test]
fn a_batch_never_has_the_key_of_another_one() {
    let service = FakePsp::with_a_bank();
    let target = Receiver::start();
    service.add_transaction("moves", "2024-02-01T00:00:00Z");
    let place = Place::new(&service.url(), json!({ "publish": [target.entry()] }));
    place.poll_well();
    let kept = place.path().join("kept");
    Copy::Directory.make(&place.state(), &kept);
    let lives = |status: &str, at: &str| {
        service.change_transaction("moves", json!({ "status": status, "updatedAt": at }));
        place.poll_well();
    };
    lives("PENDING", "2024-03-01T00:00:00Z");
    Copy::Directory.put_back(&kept, &place.state());
    lives("SUCCEEDED", "2024-03-02T00:00:00Z");
    let mut bodies = BTreeMap::new();
    for batch in target.batches() {
        let lines = batch.lines;
        assert_eq!(*bodies.entry(batch.key).or_insert(lines.clone()), lines);
    }
}

#[test]
fn an_operator_can_say_that_a_state_was_put_back() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    place.poll_well();
    let ran = run(place.command("restored"));
    assert_eq!(ran.code, Some(0), "{ran}");
    service.add_transaction("new", "2024-03-01T00:00:00Z");
    place.poll_well();
    let last = place.changes().pop().unwrap();
    assert!(
        last["seq"].as_i64().unwrap() > 1_000_000_000_000_000,
        "{last}"
    );
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    place.configure(&service.url(), keys);
    let listening = Listening::on(place, &[]);
    let ran = run(listening.place.command("restored"));
    assert_eq!(ran.code, Some(75), "{ran}");
}

/// A copy is made beside a running connector, and put back.
#[test]
fn a_backup_is_made_beside_a_running_connector_and_put_back() {
    let service = FakePsp::with_a_bank();
    let keys = json!({
        "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h",
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY,
        "publish": [{ "type": "ndjson", "path": "changes.ndjson" }],
    });
    let place = Place::new(&service.url(), keys);
    let mut listening = Listening::on(place, &[]);
    listening.poll();
    let place = &listening.place;
    let folder = place.path().join("backups");
    let command = format!("backup --keep 2 --to {}", folder.display());
    let backups = || {
        let entries = fs::read_dir(&folder).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let made_at = || scrape(&text_of(&listening))["backup_timestamp_seconds"];
    assert_eq!(made_at(), 0.0);
    let before = unix_now();
    let ran = run(place.command(&command));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!((before..=unix_now()).contains(&made_at()));
    let shown = run(place.command("status"));
    assert!(shown.stdout.contains("backup     made at 20"), "{shown}");
    let first = backups().pop().unwrap();
    let mode = fs::metadata(&first).unwrap().permissions().mode();
    assert_eq!((backups().len(), mode & 0o777), (1, 0o600));
    for _ in 0..2 {
        crate::support::wait_a_second();
        run(place.command(&command));
    }
    assert_eq!(backups().len(), 2);
    assert!(!backups().contains(&first));
    let restore =
        |place: &Place| run(place.command(&format!("restore {}", backups()[0].display())));
    assert_eq!(restore(place).code, Some(75));
    service.add_transaction("lost", "2024-03-01T00:00:00Z");
    listening.poll();
    listening.kill();
    let place = &listening.place;
    let before = place.state().join(FILE);
    let ran = restore(place);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stderr.contains("is a copy that was put back"), "{ran}");
    assert!(ran.stdout.contains("publisher \"ndjson\""), "{ran}");
    assert_eq!(
        fs::metadata(&before).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let aside = fs::read_dir(place.state()).unwrap();
    let aside = aside.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("state.sqlite3.before-")
    });
    assert!(aside.count() >= 1);
    let listening = listening.restart(&[]);
    listening.poll();
    assert!(!listening.log().contains("put back"), "{}", listening.log());
    // What is no state of this connector is refused, and nothing changes.
    let other = Place::new(&service.url(), json!({}));
    let file = other.path().join("file");
    let restore = || run(other.command(&format!("restore {}", file.display())));
    assert_eq!(restore().code, Some(1));
    for text in ["no database at all", ""] {
        fs::write(&file, text).unwrap();
        let ran = restore();
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(!other.state().join(FILE).exists());
    }
    let stranger = Place::new("http://127.0.0.1:1", json!({}));
    fs::copy(&backups()[0], &file).unwrap();
    let ran = run(stranger.command(&format!("restore {}", file.display())));
    assert_eq!(ran.code, Some(65), "{ran}");
}

/// What was asked for after the copy was forgotten: a key was free again, and the payout's transaction was another payment.
#[test]
fn payouts_that_the_copy_does_not_know_are_known() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let kept = listening.place.path().join("kept");
    Copy::Files.make(&listening.place.state(), &kept);
    let ask = |listening: &Listening, amount: &str| {
        let body = crate::formance::payout("k", amount).to_string();
        listening.post("/payouts", &body)
    };
    let made = ask(&listening, "100");
    assert_eq!(made.0, 201);
    let mut listening = listening;
    listening.kill();
    let journal = listening.place.state().join("initiations.ndjson");
    let lines = std::fs::read_to_string(&journal).unwrap();
    // Another amount, and still JSON.
    let damaged = lines.replace("\\\"100\\\"", "\\\"999\\\"");
    let damaged = damaged.lines().last().unwrap();
    let other = "{}\n{\"key\":\"x\"}\n[\n";
    std::fs::write(&journal, format!("{damaged}\n{lines}{other}")).unwrap();
    Copy::Files.put_back(&kept, &listening.place.state());
    let listening = listening.restart(&[]);
    listening.wait_for_line("4 lines of the journal beside the state cannot be read");
    assert_eq!(ask(&listening, "100"), made);
    assert_eq!(ask(&listening, "999").0, 409);
    assert_eq!(service.posts().len(), 1);
    listening.poll();
    let (_, listed) = listening.get("/transactions?pageSize=1000");
    let id = &made.1["id"];
    let listed = listed.as_array().unwrap();
    let transaction = listed.iter().find(|shown| shown["id"] == *id).unwrap();
    assert_eq!(transaction["relatedTransactionID"], "k");
}

/// The file beside the state was put back with it. The one outside of the directory was not.
fn whole_directory_put_back(with_logs: bool) {
    let service = FakePsp::with_a_bank();
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    let place = Place::new(&service.url(), keys);
    let logs = place.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let variables = [("LOGS_DIRECTORY", logs.to_str().unwrap().to_owned())];
    let variables = if with_logs { &variables[..] } else { &[] };
    let mut listening = Listening::on(place, variables);
    listening.poll();
    listening.kill();
    let (state, kept) = (listening.place.state(), listening.place.path().join("kept"));
    copy_directory(&state, &kept);
    let listening = listening.restart(variables);
    let ask = |listening: &Listening, amount: &str| {
        let body = crate::formance::payout("k", amount).to_string();
        listening.post("/payouts", &body)
    };
    let made = ask(&listening, "100");
    assert_eq!(made.0, 201);
    let mut listening = listening;
    listening.kill();
    std::fs::remove_dir_all(&state).unwrap();
    copy_directory(&kept, &state);
    let listening = listening.restart(variables);
    listening.wait_for_line("1 payouts and transfers were found in the journal beside the state");
    assert_eq!(ask(&listening, "999").0, 409);
    assert_eq!(ask(&listening, "100"), made);
    assert_eq!(service.posts().len(), 1);
}

cases! {
    whole_directory_put_back;
    payouts_are_known_from_the_logs_although_the_whole_directory_was_put_back(true);
    payouts_are_known_from_beside_the_directory_although_all_of_it_was_put_back(false);
}

/// The logs cannot be written, and what the copy has beside the directory is another connector's.
#[test]
fn a_copy_that_cannot_be_used_stops_neither_the_start_nor_a_payout() {
    let service = FakePsp::with_a_bank();
    let mut listening = Listening::start(&service.url(), json!({}));
    let ask = |listening: &Listening, key: &str| {
        let body = crate::formance::payout(key, "100").to_string();
        listening.post("/payouts", &body)
    };
    listening.kill();
    let (state, kept) = (listening.place.state(), listening.place.path().join("kept"));
    copy_directory(&state, &kept);
    let mut listening = listening.restart(&[]);
    assert_eq!(ask(&listening, "k").0, 201);
    listening.kill();
    let missing = listening.place.path().join("missing").display().to_string();
    let listening = listening.restart(&[("LOGS_DIRECTORY", missing)]);
    listening.wait_for_line("cannot copy the journal of payouts and transfers to");
    assert_eq!(ask(&listening, "other").0, 201);

    let mut listening = listening;
    listening.kill();
    std::fs::remove_dir_all(&state).unwrap();
    copy_directory(&kept, &state);
    let beside = format!("{}.initiations.ndjson", state.display());
    let lines = std::fs::read_to_string(&beside).unwrap();
    std::fs::write(&beside, lines.replace(" at http", " at the old http")).unwrap();
    let listening = listening.restart(&[]);
    listening.wait_for_line("0 payouts and transfers were found in the journal");
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
