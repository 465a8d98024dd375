//! `check --change`: a person changes something at the PSP, and the service shows it, or does not.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::Stdio;

use generic_connector::Timestamp;
use serde_json::{Value, json};

use crate::check_service::ids;
use crate::support::{FakePsp, KEY, Manners, Place, transaction};

/// What happens at the PSP when the tool asks for a change. The number counts the questions.
fn changed(patience: &str, change: impl Fn(&FakePsp, usize), failed: &[&str]) -> Value {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        knows_its_accounts: true,
        ..Manners::default()
    });
    psp.add_raw_transaction(transaction("tx-open", &minutes_ago(30)));
    let place = Place::new(&psp.url(), json!({}));
    let mut command = place.command("check --json --only X");
    command.arg(format!("--change={patience}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut answers, mut questions) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
    for number in 0..3 {
        let mut question = Vec::new();
        while !question.ends_with(b"to skip): ") {
            let mut byte = [0];
            assert_eq!(
                questions.read(&mut byte).unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&question)
            );
            question.push(byte[0]);
        }
        assert!(!String::from_utf8_lossy(&question).contains(KEY));
        change(&psp, number);
        answers.write_all(b"\n").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(said).contains(KEY));
    }
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: BTreeSet<String> = failed.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(ids(&document, &["fail", "warn"]), failed, "{document:#}");
    document
}

fn minutes_ago(minutes: i64) -> String {
    Timestamp::now()
        .plus_nanoseconds(-minutes * 60_000_000_000)
        .to_string()
}

fn good(psp: &FakePsp, number: usize) {
    match number {
        0 => psp.add_transaction("tx-new", &minutes_ago(0)),
        1 => psp.change_transaction(
            "tx-open",
            json!({ "status": "SUCCEEDED", "updatedAt": minutes_ago(0) }),
        ),
        _ => psp.change_account("acc-1", json!({ "accountName": "New name" })),
    }
}

#[test]
fn a_good_service_passes() {
    let document = changed("30s", good, &[]);
    assert_eq!(document["verdict"], "conformant", "{document:#}");
}

#[test]
fn a_new_transaction_may_not_appear() {
    let change = |psp: &FakePsp, number| {
        if number > 0 {
            good(psp, number);
        }
    };
    changed("2s", change, &["X1"]);
}

#[test]
fn a_change_may_keep_its_date() {
    let change = |psp: &FakePsp, number| match number {
        1 => psp.change_transaction("tx-open", json!({ "status": "SUCCEEDED" })),
        _ => good(psp, number),
    };
    changed("30s", change, &["X2"]);
}

#[test]
fn a_renamed_account_may_have_another_id() {
    let change = |psp: &FakePsp, number| match number {
        2 => {
            psp.remove_account("acc-1");
            psp.add_account("acc-1-renamed", "2024-01-01T00:00:00Z");
        }
        _ => good(psp, number),
    };
    changed("2s", change, &["X3"]);
}

#[test]
fn what_appears_late_asks_for_a_longer_lookback() {
    let change = |psp: &FakePsp, number| match number {
        0 => psp.add_transaction("tx-new", &minutes_ago(3)),
        _ => good(psp, number),
    };
    let document = changed("30s", change, &["X4"]);
    let checks = document["checks"].as_array().unwrap();
    let late = checks.iter().find(|check| check["id"] == "X4").unwrap();
    assert!(
        late["got"]
            .as_str()
            .unwrap()
            .contains("set \"lookback\" to \""),
        "{late}"
    );
}

/// Other transactions and accounts come while a person makes a change.
#[test]
fn a_service_with_other_traffic_passes() {
    let change = |psp: &FakePsp, number| {
        good(psp, number);
        psp.add_transaction(&format!("other-{number}"), &minutes_ago(0));
        psp.add_account(&format!("other-{number}"), "2024-01-01T00:00:00Z");
    };
    changed("30s", change, &[]);
}

#[test]
fn a_change_may_appear_as_a_new_transaction() {
    let change = |psp: &FakePsp, number| match number {
        1 => psp.add_transaction("tx-instead", &minutes_ago(0)),
        _ => good(psp, number),
    };
    let document = changed("2s", change, &["X2"]);
    assert!(document.to_string().contains("tx-instead"), "{document:#}");
}
