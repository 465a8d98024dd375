//! Damage: what is no longer what was stored is neither shown nor delivered, and is read again where that is possible.

use std::fs;

use rusqlite::params;
use serde_json::{Value, json};

use crate::support::{FakePsp, LISTEN_KEY, Listening, Place, Reply, run};

/// Changes one character of the newest version of a record, as a flipped bit would, or its hash.
fn damage(place: &Place, stream: &str, id: &str, column: &str) -> i64 {
    let state = open(place);
    let seq: i64 = state
        .query_row(
            "SELECT seq FROM record WHERE stream = ?1 AND id = ?2",
            params![stream, id],
            |row| row.get(0),
        )
        .unwrap();
    damage_version(&state, seq, column);
    seq
}

fn damage_version(state: &rusqlite::Connection, seq: i64, column: &str) {
    let changed = match column {
        // The text stays JSON, and its id and dates stay as well.
        "json" => {
            "UPDATE version SET json = replace(replace(json, '\"100\"', '\"900\"'), 'EUR', 'EUS') WHERE seq = ?1"
        }
        "cut" => "UPDATE version SET json = substr(json, 2) WHERE seq = ?1",
        "stream" => "UPDATE version SET stream = 'transactionz' WHERE seq = ?1",
        "type" => "UPDATE version SET json = CAST(x'ff' AS TEXT) WHERE seq = ?1",
        _ => "UPDATE version SET hash = x'00112233445566778899aabbccddeeff' WHERE seq = ?1",
    };
    assert_eq!(state.execute(changed, [seq]).unwrap(), 1);
}

fn open(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap()
}

const PAGE: &str = "/transactions?page=1&pageSize=20&sort=updatedAt:asc";

fn amounts(listening: &Listening, path: &str) -> Vec<(String, String)> {
    let (status, page) = listening.get(path);
    assert_eq!(status, 200, "{page}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = page.as_array().unwrap().iter();
    records
        .map(|record| (text(&record["id"]), text(&record["amount"])))
        .collect()
}

/// A service with ten transactions of one amount, t-0 to t-9.
fn service() -> FakePsp {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    for number in 0..10 {
        psp.add_transaction(
            &format!("t-{number}"),
            &format!("2024-02-01T00:00:0{number}Z"),
        );
    }
    psp
}

/// It is left out and reported once, and a sweep reads it again: it is repaired, and listed again at the end.
fn listed_again(column: &str) {
    let psp = service();
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    let all = amounts(&listening, PAGE);
    assert_eq!(all.len(), 10);
    let seq = damage(&listening.place, "transactions", "t-3", column);

    let left = amounts(&listening, PAGE);
    assert_eq!(left.len(), 9);
    assert!(
        left.iter()
            .all(|(id, amount)| id != "t-3" && amount == "100")
    );
    let line = listening.wait_for_line("is damaged in the state");
    for part in [
        "ERROR",
        "transactions",
        &format!("seq {seq},"),
        "\"t-3\"",
        "sends the same bytes again",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    amounts(&listening, PAGE);
    assert_eq!(
        listening.log().matches("is damaged in the state").count(),
        1,
        "said once"
    );
    let (_, status) = listening.get("/status");
    assert!(
        status["warnings"]
            .to_string()
            .contains("is damaged in the state"),
        "{status}"
    );

    listening.poll();
    listening.wait_for_line("it is repaired, and listed again");
    listening.wait_for_line("complete: ");
    listening.wait_for_line("sweep 1 complete");
    let again = amounts(&listening, PAGE);
    assert_eq!(again.len(), 10);
    assert_eq!(again[9], ("t-3".to_owned(), "100".to_owned()));
    let (_, status) = listening.get("/status");
    assert_eq!(status["warnings"], json!([]));
}

cases! {
    listed_again;
    a_changed_text_is_not_listed("json");
    a_text_that_is_no_json_does_not_stop_the_list("cut");
    a_text_that_is_no_text_does_not_stop_the_list("type");
    a_text_without_its_hash_is_not_listed("hash");
    a_version_of_no_known_stream_is_not_listed("stream");
}

#[test]
fn balances_that_are_damaged_answer_503_until_they_are_read_again() {
    let psp = FakePsp::with_a_bank();
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    let (_, good) = listening.get("/accounts/acc-1/balances");
    damage(&listening.place, "balances", "acc-1", "json");
    let (status, answer) = listening.get("/accounts/acc-1/balances");
    assert_eq!(status, 503, "{answer}");
    listening.wait_for_line("is damaged in the state");
    assert_eq!(listening.get("/accounts/acc-2/balances").0, 200);
    listening.poll();
    let (status, again) = listening.get("/accounts/acc-1/balances");
    assert_eq!((status, &again["balances"]), (200, &good["balances"]));
}

#[test]
fn a_page_that_begins_a_run_is_full_however_much_is_damaged() {
    let psp = service();
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    for number in 0..6 {
        damage(
            &listening.place,
            "transactions",
            &format!("t-{number}"),
            "json",
        );
    }
    let first = amounts(
        &listening,
        "/transactions?page=1&pageSize=3&sort=updatedAt:asc",
    );
    let ids: Vec<&str> = first.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["t-6", "t-7", "t-8"]);
    let second = amounts(
        &listening,
        "/transactions?page=2&pageSize=3&sort=updatedAt:asc",
    );
    assert_eq!(second[0].0, "t-9");
}

#[test]
fn a_superseded_version_that_is_damaged_is_an_alarm_only() {
    let psp = service();
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    let state = open(&listening.place);
    psp.change_transaction(
        "t-3",
        json!({ "updatedAt": "2024-03-01T00:00:00Z", "status": "FAILED" }),
    );
    listening.poll();
    let first = "SELECT min(seq) FROM version WHERE id = 't-3'";
    let first = state.query_row(first, [], |row| row.get(0)).unwrap();
    damage_version(&state, first, "json");
    assert_eq!(amounts(&listening, PAGE).len(), 10);
    let line = listening.wait_for_line("is damaged in the state");
    assert!(
        line.contains("only a backup of the state still has this one"),
        "{line}"
    );
    listening.poll();
    assert!(!listening.log().contains("reads damaged versions again"));
}

#[test]
fn what_is_damaged_is_delivered_once_it_is_repaired() {
    let psp = service();
    let nowhere = json!([{ "type": "http", "url": "http://127.0.0.1:9" }]);
    let place = Place::new(&psp.url(), json!({ "publish": nowhere }));
    run(place.command("poll --delivery-patience 10ms"));
    damage(&place, "transactions", "t-3", "json");
    // The target that is reachable begins at the beginning.
    place.configure(&psp.url(), json!({}));
    psp.always("/transactions", Reply::status(500));
    let ran = place.poll();
    assert!(ran.stderr.contains("is damaged in the state"), "{ran}");
    let ids = place.ids("transactions");
    assert_eq!(ids.len(), 9);
    assert!(!ids.contains(&"t-3".to_owned()));
    let listed = run(place.command("quarantine list"));
    assert!(
        listed.stdout.contains("its text in the state is damaged"),
        "{listed}"
    );
    let shown = run(place.command("quarantine list --json"));
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown[0]["text"], json!(null));

    psp.heal();
    run(place.command("poll --sweep"));
    place.poll_well();
    let changes = place.changes();
    let t3: Vec<&Value> = changes
        .iter()
        .filter(|change| change["id"] == "t-3")
        .collect();
    assert_eq!(t3.len(), 1, "{t3:?}");
    assert_eq!(t3[0]["record"]["amount"], "100");
    let status = run(place.command("status"));
    assert!(!status.stdout.contains("is damaged"), "{status}");
}

#[test]
fn a_poll_that_reads_a_damaged_record_repairs_it() {
    let psp = service();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    // The newest one lies within the lookback.
    let seq = damage(&place, "transactions", "t-9", "json");
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("it is repaired, and listed again"),
        "{ran}"
    );
    let text: String = open(&place)
        .query_row("SELECT json FROM version WHERE seq = ?1", [seq], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(text.contains("\"100\""), "{text}");
    assert_eq!(place.ids("transactions").len(), 10, "delivered once");
}

#[test]
fn another_content_of_a_damaged_record_is_a_new_version() {
    let psp = service();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    damage(&place, "transactions", "t-9", "json");
    psp.change_transaction("t-9", json!({ "amount": "7" }));
    place.poll_well();
    let changes = place.changes();
    let last = changes.last().unwrap();
    assert_eq!(
        (&last["id"], &last["record"]["amount"]),
        (&json!("t-9"), &json!("7"))
    );
}

#[test]
fn a_damaged_text_in_quarantine_is_not_shown() {
    let psp = service();
    psp.change_transaction("t-9", json!({ "amount": 12 }));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    let damage = "UPDATE quarantine SET json = replace(json, '12', '13')";
    assert_eq!(open(&place).execute(damage, []).unwrap(), 1);
    let shown = run(place.command("quarantine show 1"));
    assert!(
        shown.stdout.contains("its text is damaged in the state"),
        "{shown}"
    );
    assert!(!shown.stdout.contains("\"amount\":13"), "{shown}");
    run(place.command("quarantine retry 1"));
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("its text in the state is damaged"),
        "{ran}"
    );
    // The same poll has read it again.
    let shown = run(place.command("quarantine show 1"));
    assert!(shown.stdout.contains("\"amount\":12"), "{shown}");
}

#[test]
fn a_structure_that_is_damaged_ends_the_connector_instead_of_failing_each_poll() {
    let psp = service();
    let place = Place::new(
        &psp.url(),
        json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1s" }),
    );
    place.poll_well();
    let state = open(&place);
    let root = |name: &str| -> usize {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u32 = state.query_row(sql, [name], |row| row.get(0)).unwrap();
        page as usize
    };
    let (page, size) = (root("other_record"), 4096);
    drop(state);
    let file = place.state().join("state.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    bytes[(page - 1) * size..page * size].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let mut listening = Listening::begin(place, &[]);
    assert_eq!(listening.process.ended().0, Some(65), "{}", listening.log());
    let line = listening.wait_for_line("is damaged or not a state file");
    assert!(line.contains("restore a backup"), "{line}");
}

#[test]
fn a_record_whose_version_is_gone_is_known_once_when_it_is_read_again() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    // The first one was moved to the table of older transactions, the other one was not.
    let ids = ["tx-000", "tx-240"];
    for id in ids {
        let gone = "DELETE FROM version WHERE id = ?1";
        assert_eq!(open(&place).execute(gone, [id]).unwrap(), 1);
        psp.change_transaction(id, json!({ "updatedAt": "2024-03-01T00:00:00Z" }));
    }
    place.poll_well();
    let state = open(&place);
    for id in ids {
        let sql = "SELECT count(*), max(seq) = (SELECT max(seq) FROM version WHERE id = ?1) FROM record WHERE id = ?1";
        let known: (i64, bool) = state.query_row(sql, [id], |row| row.try_into()).unwrap();
        assert_eq!(known, (1, true), "{id}");
    }
    let sql = "SELECT rows FROM counted WHERE kind = 'record' AND part = 'transactions'";
    let counted: i64 = state.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(counted, 250);
}
