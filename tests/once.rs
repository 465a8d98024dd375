//! Once: a version is delivered once, whatever is listed again.

use serde_json::json;

use crate::support::{FakePsp, Place, Reply};

#[test]
fn a_second_poll_delivers_nothing_anew() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let first = place.changes();
    place.poll_well();
    assert_eq!(place.changes(), first);
}

#[test]
fn a_changed_record_is_delivered_once_more_with_a_key_of_its_own() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.change_transaction(
        "tx-010",
        json!({ "status": "SUCCEEDED", "updatedAt": "2024-03-01T00:00:00Z" }),
    );
    place.poll_well();
    place.poll_well();
    let changes = place.changes();
    let versions: Vec<&serde_json::Value> = changes
        .iter()
        .filter(|change| change["id"] == "tx-010")
        .collect();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1]["record"]["status"], "SUCCEEDED");
    let key = versions[1]["idempotencyKey"].as_str().unwrap();
    assert!(key.starts_with("test/transactions/tx-010/2-"), "{key}");
    assert_ne!(versions[0]["idempotencyKey"], key);
}

#[test]
fn the_order_of_keys_and_the_date_of_a_balance_make_no_version() {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    let mut poll = 0;
    psp.script(move |path| {
        poll += usize::from(path.starts_with("/beneficiaries?page=1"));
        let date = format!("2024-01-0{}T00:00:00Z", 1 + poll);
        match path {
            path if path.ends_with("/balances") => Reply::body(&format!(
                r#"{{"id":"b{poll}","accountID":"acc-1","at":"{date}","balances":[{{"amount":"5","currency":"EUR/2"}}]}}"#
            )),
            path if path.starts_with("/beneficiaries?page=1") && poll % 2 == 0 => {
                Reply::body(r#"[{"id":"t","ownerName":"T","createdAt":"2024-01-01T00:00:00Z","metadata":{"a":"1","b":"2"}}]"#)
            }
            path if path.starts_with("/beneficiaries?page=1") => {
                Reply::body(r#"[{"metadata":{"b":"2","a":"1"},"createdAt":"2024-01-01T00:00:00Z","id":"t","ownerName":"T"}]"#)
            }
            _ => Reply::Usual,
        }
    });
    for _ in 0..3 {
        place.poll_well();
    }
    assert_eq!(
        place.changes().len(),
        3,
        "an account, its balances, a beneficiary: {:?}",
        place.changes()
    );
}

#[test]
fn an_older_version_of_a_lagging_replica_supersedes_nothing() {
    let psp = FakePsp::start();
    psp.add_transaction("t", "2024-01-01T00:00:30Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.change_transaction(
        "t",
        json!({ "status": "FAILED", "updatedAt": "2024-01-01T00:00:10Z" }),
    );
    place.poll_well();
    assert_eq!(place.ids("transactions"), ["t"]);
}

#[test]
fn a_replica_that_lags_behind_a_change_without_a_new_date_makes_no_version() {
    let psp = FakePsp::start();
    psp.add_transaction("t", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    for status in ["PENDING", "SUCCEEDED", "PENDING", "SUCCEEDED", "PENDING"] {
        psp.change_transaction("t", json!({ "status": status }));
        place.poll_well();
    }
    let changes = place.changes();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[1]["record"]["status"], "SUCCEEDED");
}

#[test]
fn two_records_under_one_id_and_date_make_no_version_in_every_poll() {
    let psp = FakePsp::start();
    psp.add_transaction("t", "2024-01-01T00:00:00Z");
    psp.add_transaction("t", "2024-01-01T00:00:00Z");
    psp.change_transaction("t", json!({ "amount": "7" }));
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("the service lists another content under this id"),
        "{ran}"
    );
    for _ in 0..2 {
        let ran = place.poll_well();
        assert!(!ran.stderr.contains("WARN"), "said once: {ran}");
    }
    assert_eq!(place.ids("transactions"), ["t"]);
}
