//! Atomic: the process is ended at each step of a commit and of a delivery in turn, as a power cut would.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{FakePsp, Place, run, transaction};

/// Everything that a batch can hold: versions of all streams, a record in quarantine, one released from it, a
/// transaction that waits for another one, a sweep.
fn service() -> FakePsp {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
    for number in 0..5 {
        psp.add_transaction(
            &format!("tx-{number}"),
            &format!("2024-02-01T00:00:0{number}Z"),
        );
    }
    let mut orphan = transaction("orphan", "2024-02-01T00:00:02Z");
    orphan["relatedTransactionID"] = json!("not listed");
    psp.add_raw_transaction(orphan);
    let mut bad = transaction("bad", "2024-02-01T00:00:02Z");
    bad["amount"] = json!(12);
    psp.add_raw_transaction(bad);
    psp
}

fn changed(psp: &FakePsp) {
    psp.change_transaction("bad", json!({ "amount": "12" }));
    psp.change_transaction(
        "tx-2",
        json!({ "type": "ACH", "updatedAt": "2024-02-01T00:01:00Z" }),
    );
    psp.add_transaction("tx-5", "2024-02-01T00:01:00Z");
    psp.add_transaction("late", "2024-01-20T00:00:00Z");
}

#[test]
fn the_process_may_end_at_any_step() {
    for words in ["poll", "poll --sweep"] {
        for before in [false, true] {
            let mut step = 1;
            while crashes_at(step, words, before) {
                step += 1;
            }
            assert!(step > 15, "{words}: only {step} steps");
        }
    }
}

/// Ends the process at that step, then goes on: nothing is lost, nothing is there twice. False if there are not so many
/// steps. `before`: there is a state already, and the service has changed since.
fn crashes_at(step: usize, words: &str, before: bool) -> bool {
    let psp = service();
    let place = Place::new(&psp.url(), json!({ "batchRecords": 3, "pageSize": 3 }));
    if before {
        place.poll();
        changed(&psp);
    }
    let mut command = place.command(words);
    command.env("GENERIC_CONNECTOR_CRASH_AT", step.to_string());
    let crashed = run(command).code.is_none();
    if !before {
        changed(&psp);
    }
    place.poll();
    run(place.command("poll --sweep"));
    let changes = place.changes();
    let seqs: Vec<i64> = changes
        .iter()
        .map(|change| change["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(
        seqs,
        (1..=seqs.len() as i64).collect::<Vec<i64>>(),
        "step {step}"
    );
    let keys: BTreeSet<&str> = changes
        .iter()
        .map(|change| change["idempotencyKey"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys.len(),
        changes.len(),
        "step {step}: something is there twice"
    );
    let ids: BTreeSet<String> = place.ids("transactions").into_iter().collect();
    let expected = [
        "bad", "late", "orphan", "tx-0", "tx-1", "tx-2", "tx-3", "tx-4", "tx-5",
    ];
    assert_eq!(ids, expected.map(str::to_owned).into(), "step {step}");
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let shown = state.query_row(
        "SELECT (SELECT count(*) FROM listed JOIN version USING (seq) WHERE id = 'orphan') + (SELECT count(*) FROM held)",
        [],
        |row| row.get(0),
    );
    assert_eq!(shown, Ok(1), "step {step}: it is listed once, or waits");
    let newest = changes.iter().rfind(|change| change["id"] == "tx-2");
    assert_eq!(newest.unwrap()["record"]["type"], "ACH", "step {step}");
    let quarantine = run(place.command("quarantine list"));
    let status = run(place.command("status"));
    assert!(
        status.stdout.contains("quarantine empty"),
        "step {step}: {status}{quarantine}"
    );
    crashed
}
