//! `verify`: whatever is damaged in a state is found, beside a running connector and without a change.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::formance::payout;
use crate::support::{FakePsp, LISTEN_KEY, Listening, Place, Ran, Reply, run};

/// A state with something in each part of it.
fn full_place() -> Place {
    let psp = FakePsp::with_a_bank();
    psp.add_transaction("bad", "2024-02-02T00:00:00Z");
    psp.change_transaction("bad", json!({ "amount": 12 }));
    let mut listening = Listening::start(
        &psp.url(),
        json!({ "publish": [{ "type": "ndjson", "path": "changes.ndjson" }] }),
    );
    listening.poll();
    psp.change_transaction("tx-000", json!({ "updatedAt": "2024-03-01T00:00:00Z" }));
    listening.poll();
    for (key, reply) in [("made", Reply::Usual), ("unknown", Reply::status(303))] {
        psp.always("/payouts", reply);
        listening.post("/payouts", &payout(key, "100").to_string());
    }
    let verified = verify(&listening.place);
    assert_eq!(verified.code, Some(0), "{verified}");
    // It ends in order, so that all of the state is in one file.
    listening.process.signal(Signal::SIGTERM);
    listening.process.ended();
    listening.place
}

fn verify(place: &Place) -> Ran {
    run(place.command("verify"))
}

fn file(place: &Place) -> std::path::PathBuf {
    place.state().join("state.sqlite3")
}

fn open(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(file(place)).unwrap()
}

#[test]
fn what_is_damaged_is_found() {
    let place = full_place();
    let good = fs::read(file(&place)).unwrap();
    let newest = "(SELECT seq FROM record WHERE id = 'tx-000')";
    for (change, expected) in [
        (
            format!("UPDATE version SET json = replace(json, 'EUR', 'EUS') WHERE seq = {newest}"),
            "of record \"tx-000\", is damaged in the state",
        ),
        (
            format!("UPDATE version SET json = 7 WHERE seq = {newest}"),
            "is damaged in the state",
        ),
        (
            format!("UPDATE version SET number = 5 WHERE seq = {newest}"),
            "does not follow the version before it",
        ),
        (
            format!("UPDATE version SET previous = NULL WHERE seq = {newest}"),
            "does not follow the version before it",
        ),
        (
            format!("UPDATE version SET previous = previous - 1 WHERE seq = {newest}"),
            "does not follow the version before it",
        ),
        (
            format!("UPDATE version SET stream = 'transactionz' WHERE seq = {newest}"),
            "its stream or id is damaged",
        ),
        (
            format!(
                "UPDATE version SET timestamp = replace(timestamp, '2024', '2025') WHERE seq = {newest}"
            ),
            "has another date than its text",
        ),
        (
            format!("UPDATE version SET observed_at = 'never' WHERE seq = {newest}"),
            "has another date than its text",
        ),
        (
            "UPDATE new_transaction SET seq = seq + 1 WHERE id = 'tx-249'".to_owned(),
            "which is none of its versions",
        ),
        (
            "UPDATE old_transaction SET seq = (SELECT min(seq) FROM version WHERE id = 'tx-000') WHERE id = 'tx-000'"
                .to_owned(),
            "is not known to its record",
        ),
        (
            "DELETE FROM old_transaction WHERE id = 'tx-000'".to_owned(),
            "is not known to its record",
        ),
        (
            "UPDATE listed SET seq = 999999 WHERE stream = 'transactions' AND place = 3".to_owned(),
            "leads to seq 999999, which is no version of that list",
        ),
        (
            "UPDATE listed SET stamp = 7 WHERE stream = 'transactions' AND place = 3".to_owned(),
            "place 3 of the list is not dated later",
        ),
        (
            "UPDATE listed SET seq = seq + 7 WHERE stream = 'transactions' AND place = 30".to_owned(),
            "is missing in the list",
        ),
        (
            "DELETE FROM listed WHERE stream = 'transactions' AND place = 30".to_owned(),
            "is missing in the list",
        ),
        (
            "DELETE FROM listed WHERE stream = 'accounts'".to_owned(),
            "of record \"acc-1\", is missing in the list",
        ),
        (
            "UPDATE listed SET stream = CAST(x'ff' AS TEXT) WHERE stream = 'transactions' AND place = 3"
                .to_owned(),
            "lists: not all can be read",
        ),
        (
            "UPDATE quarantine SET json = replace(json, '12', '13')".to_owned(),
            "quarantine drop 1",
        ),
        (
            "UPDATE initiation SET request = replace(request, '100', '900') WHERE key = 'unknown'"
                .to_owned(),
            "initiation settle unknown made ID",
        ),
        (
            "UPDATE initiation SET answer = replace(answer, '100', '900') WHERE key = 'made'"
                .to_owned(),
            "initiation settle made made ID",
        ),
        (
            "UPDATE publisher SET offset = 999999".to_owned(),
            "publisher replay ndjson",
        ),
        (
            "UPDATE cursor SET numbered = '[' WHERE stream = 'transactions'".to_owned(),
            "transactions: the cursor cannot be read",
        ),
        (
            "UPDATE cursor SET quirks = '[' WHERE stream = 'transactions'".to_owned(),
            "transactions: the cursor cannot be read",
        ),
        (
            "UPDATE poll SET outcome = 'odd'".to_owned(),
            "polls and cursors: they cannot be read",
        ),
        (
            "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'version'".to_owned(),
            "seqs would be used twice",
        ),
        (
            "UPDATE counted SET rows = rows + 1 WHERE kind = 'version' AND part = 'transactions'"
                .to_owned(),
            "counts: 252 rows of \"transactions\" are counted in the table \"version\", and it has 251",
        ),
        (
            "UPDATE counted SET rows = rows - 1 WHERE kind = 'record' AND part = 'accounts'"
                .to_owned(),
            "counts: 1 rows of \"accounts\" are counted in the table \"record\", and it has 2",
        ),
        (
            "DELETE FROM counted WHERE kind = 'quarantine'".to_owned(),
            "counts: 0 rows of \"transactions\" are counted in the table \"quarantine\", and it has 1",
        ),
        (
            "INSERT INTO counted VALUES ('held', '', 1)".to_owned(),
            "counts: 1 rows are counted in the table \"held\", and it has 0",
        ),
    ] {
        fs::write(file(&place), &good).unwrap();
        let state = open(&place);
        assert!(state.execute(&change, []).unwrap() > 0, "{change}");
        drop(state);
        let damaged = fs::read(file(&place)).unwrap();
        let verified = verify(&place);
        assert_eq!(verified.code, Some(2), "{change}: {verified}");
        assert!(verified.stdout.contains(expected), "{change}: {verified}");
        assert!(damaged == fs::read(file(&place)).unwrap(), "{change}: it is not changed");
    }
}

#[test]
fn what_is_counted_wrong_is_counted_again_as_verify_says() {
    let place = full_place();
    let counted = || {
        let state = open(&place);
        let sql = "SELECT kind || ' ' || part || ' ' || rows FROM counted WHERE rows <> 0 ORDER BY kind, part";
        let mut statement = state.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let good = counted();
    assert!(
        good.contains(&"initiation payouts made 1".to_owned()),
        "{good:?}"
    );
    open(&place)
        .execute_batch("UPDATE counted SET rows = rows + 7")
        .unwrap();
    let found = verify(&place);
    assert_eq!(found.code, Some(2), "{found}");
    assert!(found.stdout.contains("\"DELETE FROM counted\""), "{found}");
    open(&place).execute_batch("DELETE FROM counted").unwrap();
    // Nothing answers any more. It is opened all the same.
    place.poll();
    assert_eq!(counted(), good);
    assert_eq!(verify(&place).code, Some(0));
}

#[test]
fn a_state_without_versions_is_counted_again() {
    let psp = FakePsp::start();
    psp.add_raw_transaction(json!({ "id": "broken" }));
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    open(&place)
        .execute_batch("UPDATE counted SET rows = rows + 7")
        .unwrap();
    assert_eq!(verify(&place).code, Some(2));
    open(&place).execute_batch("DELETE FROM counted").unwrap();
    place.poll();
    let verified = verify(&place);
    assert_eq!(verified.code, Some(0), "{verified}");
}

#[test]
fn a_page_of_an_index_that_is_damaged_is_found() {
    let place = full_place();
    let state = open(&place);
    for index in ["stamped", "quarantined", "unsettled", "account"] {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u32 = state.query_row(sql, [index], |row| row.get(0)).unwrap();
        let mut bytes = fs::read(file(&place)).unwrap();
        let good = bytes.clone();
        // The first entry is at the end of the page.
        bytes[page as usize * 4096 - 3] ^= 1;
        fs::write(file(&place), &bytes).unwrap();
        let verified = verify(&place);
        assert_eq!(verified.code, Some(2), "{index}: {verified}");
        assert!(
            verified.stdout.contains("structure: "),
            "{index}: {verified}"
        );
        fs::write(file(&place), &good).unwrap();
    }
    assert_eq!(verify(&place).code, Some(0));
}

#[test]
fn a_state_that_cannot_be_read_is_no_finding() {
    let place = full_place();
    let good = fs::read(file(&place)).unwrap();
    for (what, bytes) in [
        ("torn", &good[..good.len() / 2]),
        ("only a header", &good[..100]),
        (
            "no state",
            b"<html>, and a little more than a header of a database has"
                .repeat(9)
                .as_slice(),
        ),
    ] {
        fs::write(file(&place), bytes).unwrap();
        let verified = verify(&place);
        assert_eq!(verified.code, Some(65), "{what}: {verified}");
        assert!(
            verified.stderr.contains("is damaged or not a state file"),
            "{what}: {verified}"
        );
    }
    fs::remove_file(file(&place)).unwrap();
    assert_eq!(verify(&place).code, Some(1));
}

#[test]
fn what_a_sweep_can_repair_is_good_afterwards() {
    let psp = FakePsp::with_a_bank();
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY });
    let place = Place::new(&psp.url(), keys);
    place.poll_well();
    let damage = "UPDATE version SET json = replace(json, 'EUR', 'EUS') WHERE seq IN (SELECT seq FROM record)
        AND stream = 'transactions' AND seq % 7 = 0";
    assert!(open(&place).execute(damage, []).unwrap() > 10);
    assert_eq!(verify(&place).code, Some(2));
    run(place.command("poll --sweep"));
    let verified = verify(&place);
    assert_eq!(verified.code, Some(0), "{verified}");
}
