//! Atomic: `kill -9` at any instant loses nothing, doubles nothing and needs no repair.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::{FakePsp, Place, Reply, Running};

#[test]
fn killed_at_any_moment_of_an_import_the_next_poll_completes_it() {
    let psp = FakePsp::start();
    for number in 0..40 {
        psp.add_account(&format!("acc-{number:02}"), "2024-01-01T00:00:00Z");
        psp.add_beneficiary(&format!("ben-{number:02}"), "2024-01-01T00:00:00Z");
    }
    for number in 0..3_000 {
        let (minute, second) = (number / 200 / 60, number / 200 % 60);
        psp.add_transaction(
            &format!("tx-{number:04}"),
            &format!("2024-02-01T00:{minute:02}:{second:02}Z"),
        );
    }
    let place = Place::new(&psp.url(), json!({ "batchRecords": 50, "workers": 4 }));
    // Slow enough that the moments differ.
    psp.script(|_| Reply::After(Duration::from_millis(2)));
    for kill in 0..12 {
        let mut command = place.command("poll");
        command.stderr(Stdio::null());
        let mut running = Running::start(command);
        std::thread::sleep(Duration::from_millis(15 + 17 * kill));
        running.0.kill().unwrap();
        running.ended();
    }
    place.poll_well();
    let changes = place.changes();
    let keys: BTreeSet<&str> = changes
        .iter()
        .map(|change| change["idempotencyKey"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), changes.len(), "something was delivered twice");
    assert_eq!(changes.len(), 40 + 40 + 40 + 3_000);
    let seqs: Vec<i64> = changes
        .iter()
        .map(|change| change["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(
        seqs,
        (1..=3_120).collect::<Vec<i64>>(),
        "in order, without a gap"
    );
}
