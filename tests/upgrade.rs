//! A state of the layout before: what a publisher remembered of its target is still known.

use std::fs;

use serde_json::{Value, json};

use crate::formance::Connectivity;
use crate::formance::push::{history, is_post, number, publisher, with_status};
use crate::state::columns;
use crate::support::{FakePsp, Place};

/// The service whose records `layouts/4.sql` has.
fn service_of_layout_4() -> FakePsp {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:01Z");
    psp.change_account("acc-1", json!({ "accountName": "Renamed" }));
    psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
    let add = |id: &str, created_at: &str, status: &str, amount: &str, more: Value| {
        psp.add_raw_transaction(with_status(id, created_at, status, amount));
        psp.change_transaction(id, more);
    };
    add(
        "paid",
        "2024-02-01T00:00:01Z",
        "SUCCEEDED",
        "100",
        json!({ "metadata": { "order": "it's \"7\"" } }),
    );
    add(
        "refund",
        "2024-02-01T00:00:02Z",
        "REFUNDED",
        "30",
        json!({ "relatedTransactionID": "paid" }),
    );
    add(
        "held",
        "2024-02-01T00:00:03Z",
        "AUTHORISATION",
        "100",
        json!({ "updatedAt": "2024-02-01T00:01:01Z", "metadata": { "a": "1" } }),
    );
    add(
        "orphan",
        "2024-02-01T00:00:04Z",
        "REFUNDED_FAILURE",
        "30",
        json!({ "updatedAt": "2024-02-01T00:01:00Z", "relatedTransactionID": "missing" }),
    );
    add(
        "grandchild",
        "2024-02-01T00:00:05Z",
        "REFUND_REVERSED",
        "10",
        json!({ "relatedTransactionID": "orphan" }),
    );
    add(
        "odd",
        "2024-02-01T00:00:06Z",
        "SUCCEEDED",
        "5",
        json!({ "currency": "JPY" }),
    );
    add(
        "turned down",
        "2024-02-01T00:00:07Z",
        "SUCCEEDED",
        "77",
        json!({}),
    );
    psp
}

/// A state of layout 4, beside a stack that has nothing yet.
fn state_of_layout_4(psp: &FakePsp, stack: &Connectivity) -> Place {
    let place = Place::new(&psp.url(), json!({ "publish": [stack.entry()] }));
    fs::create_dir(place.state()).unwrap();
    let state = open(&place);
    state.execute_batch(include_str!("layouts/4.sql")).unwrap();
    let here = "UPDATE state SET value = ?1 WHERE key = 'endpoint'";
    state.execute(here, [psp.url()]).unwrap();
    place
}

fn open(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap()
}

#[test]
fn a_state_of_layout_4_is_brought_up_to_date_and_its_figures_stay() {
    let psp = service_of_layout_4();
    let stack = Connectivity::start();
    let place = state_of_layout_4(&psp, &stack);
    let ran = place.poll_well();
    assert!(ran.stderr.contains("the state from layout 4 to 5"), "{ran}");
    assert!(place.state().join("state.sqlite3.layout-4").exists());
    // What `status` showed before, in the words of the version that skipped them.
    let mut shown = publisher(&place);
    shown.as_object_mut().unwrap().remove("deliveredAt");
    assert_eq!(
        shown,
        json!({
            "name": "formance", "type": "formance", "offset": 13, "lag": 0, "error": null, "refused": 1,
            "waiting": 3, "waitingFor": "missing",
            "leftOut": [
                { "lastSeq": 9, "versions": 1, "reason": "asset JPY: the Payments API takes none but codes of ISO 4217 \
                   with their decimals, such as USD/2 or JPY/0" },
                { "lastSeq": 2, "versions": 1, "reason": "balances: no API of Formance takes them; let Connectivity \
                   poll this program (\"listen\")" },
                { "lastSeq": 11, "versions": 1, "reason": "changed accounts and beneficiaries: the Payments API writes \
                   them once and keeps the first name and metadata" },
            ],
        })
    );
    let exchanges = stack.exchanges();
    assert!(
        !exchanges
            .iter()
            .any(|(asked, _)| is_post(asked, "/payments"))
    );

    let fresh = Place::new(&psp.url(), json!({}));
    fresh.poll_well();
    assert_eq!(columns(&open(&place)), columns(&open(&fresh)));
}

#[test]
fn what_formance_has_is_known_after_the_upgrade() {
    let psp = service_of_layout_4();
    let stack = Connectivity::start();
    let place = state_of_layout_4(&psp, &stack);
    place.poll_well();
    // The stack is empty, so a payment begins with the amount that is known of it.
    psp.change_transaction(
        "held",
        json!({ "updatedAt": "2024-02-01T00:02:00Z", "status": "CAPTURE" }),
    );
    psp.change_transaction(
        "refund",
        json!({ "updatedAt": "2024-02-01T00:02:01Z", "amount": "50" }),
    );
    psp.change_transaction(
        "paid",
        json!({ "updatedAt": "2024-02-01T00:02:02Z", "type": "PAYOUT" }),
    );
    psp.add_raw_transaction(with_status(
        "missing",
        "2024-02-01T00:02:03Z",
        "SUCCEEDED",
        "100",
    ));
    place.poll_well();
    let held = stack.payment("held");
    assert_eq!(
        (&held.initial_amount, &held.amount),
        (&number(100), &number(100))
    );
    assert_eq!(history(&held), ["CAPTURE"]);
    let paid = stack.payment("paid");
    assert_eq!(
        (&paid.initial_amount, &paid.amount),
        (&number(100), &number(20))
    );
    assert_eq!(history(&paid), ["REFUNDED"]);
    let missing = stack.payment("missing");
    assert_eq!(missing.amount, number(80));
    assert_eq!(
        missing.history(),
        [
            ("orphan", "REFUNDED"),
            ("grandchild", "REFUND_REVERSED"),
            ("orphan", "REFUNDED_FAILURE"),
            ("missing", "SUCCEEDED"),
        ]
        .map(|(id, status)| (id.to_owned(), status.to_owned()))
    );
    let shown = publisher(&place);
    assert_eq!((&shown["waiting"], &shown["lag"]), (&json!(0), &json!(0)));
    let reasons = shown["leftOut"].as_array().unwrap();
    let balances = reasons
        .iter()
        .find(|left_out| left_out["lastSeq"] == 2)
        .unwrap();
    assert_eq!(balances["versions"], 1);
    assert!(reasons.iter().any(|left_out| {
        left_out["reason"]
            .as_str()
            .unwrap()
            .starts_with("changed types")
    }));
}
