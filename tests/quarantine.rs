//! The quarantine: what breaks the contract is kept aside with its text and the reason, and everything else goes on.

use serde_json::{Value, json};

use crate::support::{FakePsp, Place, Ran, Reply, run, transaction, wait_a_second};

fn listed(place: &Place) -> Vec<Value> {
    let ran = run(place.command("quarantine list --json"));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"))
}

fn quarantine(place: &Place, words: &str) -> Ran {
    run(place.command(&format!("quarantine {words}")))
}

/// A service that lists one transaction which breaks the contract, among others.
fn with(fields: Value) -> FakePsp {
    let psp = FakePsp::with_a_bank();
    let mut bad = transaction("bad", "2024-02-01T00:00:20Z");
    for (key, value) in fields.as_object().unwrap() {
        bad[key] = value.clone();
    }
    psp.add_raw_transaction(bad);
    psp
}

/// Such a record goes into quarantine for that reason, once; the rest arrives; corrected, it is released by itself.
fn kept_aside(fields: Value, reason: &str) {
    let psp = with(fields.clone());
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("put into quarantine") && ran.stderr.contains(reason),
        "{ran}"
    );
    assert_eq!(place.ids("transactions").len(), 250);
    let kept = listed(&place);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["stream"], "transactions");
    assert!(
        kept[0]["reason"].as_str().unwrap().contains(reason),
        "{kept:?}"
    );
    let text: Value = serde_json::from_str(kept[0]["text"].as_str().unwrap()).unwrap();
    for (key, value) in fields.as_object().unwrap() {
        assert_eq!(&text[key], value);
    }
    let again = run(place.command("poll --sweep"));
    assert_eq!(again.code, Some(0), "it is known: {again}");
    assert!(!again.stderr.contains("WARN"), "said once: {again}");
    assert_eq!(listed(&place)[0]["number"], kept[0]["number"]);

    psp.remove_transaction(fields.get("id").and_then(Value::as_str).unwrap_or("bad"));
    psp.add_raw_transaction(transaction("bad", "2024-03-01T00:00:20Z"));
    run(place.command("poll --sweep"));
    assert!(place.ids("transactions").contains(&"bad".to_owned()));
}

#[test]
fn a_missing_date() {
    kept_aside(json!({ "updatedAt": null }), "\"updatedAt\" is missing");
}

#[test]
fn a_date_without_an_offset() {
    kept_aside(
        json!({ "updatedAt": "2024-02-01T00:00:20" }),
        "not an RFC 3339 date",
    );
}

#[test]
fn a_creation_date_that_is_none() {
    kept_aside(json!({ "createdAt": "yesterday" }), "\"createdAt\"");
}

#[test]
fn an_amount_that_is_a_number() {
    kept_aside(json!({ "amount": 12 }), "\"amount\" is 12, not a string");
}

#[test]
fn an_amount_with_a_point() {
    kept_aside(json!({ "amount": "1.50" }), "is not an amount");
}

#[test]
fn an_asset_that_is_none() {
    kept_aside(json!({ "currency": "euro" }), "is not an asset");
}

#[test]
fn metadata_that_are_no_strings() {
    kept_aside(json!({ "metadata": { "a": 1 } }), "\"metadata\" is");
}

#[test]
fn an_id_that_is_too_long() {
    kept_aside(json!({ "id": "x".repeat(1_001) }), "has 1001 characters");
}

#[test]
fn what_has_no_id_is_kept_and_released_when_it_is_listed_no_more() {
    let psp = FakePsp::with_a_bank();
    psp.add_raw_transaction(json!(7));
    psp.add_raw_transaction(json!({ "id": "" }));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    run(place.command("poll --sweep"));
    assert_eq!(listed(&place).len(), 2);
    let table = run(place.command("quarantine list"));
    assert!(table.stdout.contains("without a usable id"), "{table}");
    psp.remove_transaction("");
    wait_a_second();
    let ran = run(place.command("poll --sweep"));
    assert_eq!(listed(&place).len(), 1, "{ran}");
}

#[test]
fn balances_that_break_the_contract_are_kept_until_they_do_not() {
    let psp = FakePsp::with_a_bank();
    let bad = r#"{"id":"b","accountID":"acc-1","at":"2024-03-01T00:00:00Z","balances":[{"amount":1,"currency":"EUR/2"}]}"#;
    psp.always("/accounts/acc-1/balances", Reply::body(bad));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    assert_eq!(place.ids("balances"), ["acc-2"]);
    let kept = listed(&place);
    assert_eq!((kept.len(), &kept[0]["id"]), (1, &json!("acc-1")));
    assert_eq!(kept[0]["text"], bad);
    place.poll_well();
    psp.heal();
    place.poll_well();
    assert_eq!(place.ids("balances"), ["acc-2", "acc-1"]);
    assert!(listed(&place).is_empty());
}

#[test]
fn a_record_is_shown_dropped_and_comes_again() {
    let psp = with(json!({ "amount": 12 }));
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    let shown = quarantine(&place, "show 1");
    assert!(
        shown.stdout.contains("\"amount\" is 12") && shown.stdout.contains("\"amount\":12"),
        "{shown}"
    );
    assert_eq!(quarantine(&place, "show 9").code, Some(1));
    assert_eq!(quarantine(&place, "drop 1").code, Some(0));
    assert!(listed(&place).is_empty());
    run(place.command("poll --sweep"));
    assert_eq!(listed(&place).len(), 1);
    assert_eq!(
        listed(&place)[0]["number"],
        2,
        "a number is never used again"
    );
}

#[test]
fn of_two_records_under_one_id_the_second_is_delivered_when_it_is_wanted() {
    let psp = FakePsp::start();
    psp.add_transaction("t", "2024-01-01T00:00:00Z");
    psp.add_transaction("t", "2024-01-01T00:00:00Z");
    psp.change_transaction("t", json!({ "amount": "7" }));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    assert_eq!(listed(&place)[0]["kind"], "duplicate");
    place.poll_well();
    assert_eq!(place.ids("transactions"), ["t"]);
    let retried = quarantine(&place, "retry 1");
    assert_eq!(retried.code, Some(0), "{retried}");
    place.poll();
    let changes = place.changes();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0]["record"]["amount"], "7");
    assert_eq!(changes[1]["record"]["amount"], "100");
}

#[test]
fn what_is_tried_again_in_vain_stays() {
    let psp = with(json!({ "amount": 12 }));
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    quarantine(&place, "retry 1");
    let ran = place.poll_well();
    assert!(ran.stderr.contains("number 1 stays in quarantine"), "{ran}");
    assert_eq!(listed(&place)[0]["retry"], false);
}

#[test]
fn unknown_values_are_delivered_counted_and_said_once() {
    let psp = FakePsp::with_a_bank();
    for id in ["a", "b"] {
        let mut odd = transaction(id, "2024-02-01T00:00:20Z");
        odd["type"] = json!("ACH");
        odd["status"] = json!("ON_HOLD");
        psp.add_raw_transaction(odd);
    }
    let place = Place::new(&psp.url(), json!({}));
    let ran = place.poll_well();
    assert_eq!(place.ids("transactions").len(), 252);
    for value in ["type \"ACH\"", "status \"ON_HOLD\""] {
        assert_eq!(ran.stderr.matches(value).count(), 1, "{value}: {ran}");
    }
    psp.change_transaction("a", json!({ "updatedAt": "2024-03-01T00:00:00Z" }));
    let ran = place.poll_well();
    assert!(!ran.stderr.contains("ACH"), "said once: {ran}");
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    assert_eq!(status["unknownValues"][0]["value"], "ON_HOLD");
    assert_eq!(status["unknownValues"][0]["versions"], 3);
    let table = run(place.command("status"));
    assert!(table.stdout.contains("type ACH: 3 versions"), "{table}");
}
