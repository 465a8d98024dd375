//! The formance publisher, on a fake of the Payments API: what is pushed ends right, and to push it again changes
//! nothing.

mod amounts;
mod faults;
mod flapping;
mod refusals;
mod restores;
mod values;

use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde_json::{Value, json};

use crate::formance::{Connectivity, StackPayment};
use crate::support::{FakePsp, Place, TestRequest, run, transaction};

/// A connector that pushes there.
pub fn place(psp: &FakePsp, stack: &Connectivity) -> Place {
    Place::new(
        &psp.url(),
        json!({ "publish": [stack.entry()], "pollingPeriod": "100ms" }),
    )
}

pub fn publisher(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    status["publishers"][0].clone()
}

pub fn left_out(place: &Place) -> BTreeMap<String, i64> {
    let publisher = publisher(place);
    let reasons = publisher["leftOut"].as_array().unwrap().iter();
    reasons
        .map(|left_out| {
            let reason = left_out["reason"].as_str().unwrap();
            let short = reason.split(':').next().unwrap();
            (short.to_owned(), left_out["versions"].as_i64().unwrap())
        })
        .collect()
}

pub fn with_status(id: &str, at: &str, status: &str, amount: &str) -> Value {
    let mut transaction = transaction(id, at);
    transaction["status"] = json!(status);
    transaction["amount"] = json!(amount);
    transaction
}

pub fn number(number: i64) -> BigInt {
    BigInt::from(number)
}

pub fn history(payment: &StackPayment) -> Vec<String> {
    payment
        .history()
        .into_iter()
        .map(|(_, status)| status)
        .collect()
}

pub fn is_post(asked: &TestRequest, what: &str) -> bool {
    asked.method == "POST" && asked.path.ends_with(what)
}

/// Pushes everything once more. Nothing changes by that.
pub fn replayed(place: &Place, stack: &Connectivity) {
    let (accounts, payments) = (stack.accounts(), stack.payments());
    let ran = run(place.command("publisher replay formance"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let before = stack.exchanges().len();
    place.poll();
    assert!(stack.exchanges().len() >= before + payments.len());
    assert_eq!(stack.accounts(), accounts);
    assert_eq!(stack.payments(), payments);
}

/// A small bank with everything in it that takes a request, in two polls.
pub fn small_bank() -> FakePsp {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
    begin_again(&psp);
    psp
}

/// Its transactions as they are first.
fn begin_again(psp: &FakePsp) {
    psp.remove_transactions();
    psp.add_raw_transaction(with_status(
        "tx-1",
        "2024-02-01T00:00:00Z",
        "AUTHORISATION",
        "100",
    ));
    psp.add_raw_transaction(with_status(
        "tx-2",
        "2024-02-01T00:00:01Z",
        "SUCCEEDED",
        "100",
    ));
    let mut refund = with_status("refund", "2024-02-01T00:00:02Z", "REFUNDED", "40");
    refund["relatedTransactionID"] = json!("tx-2");
    psp.add_raw_transaction(refund);
}

pub fn changed(psp: &FakePsp) {
    psp.change_transaction(
        "tx-1",
        json!({ "status": "CAPTURE", "updatedAt": "2024-02-01T00:01:00Z", "metadata": { "a": "1" } }),
    );
}

/// What both polls of the small bank lead to.
pub fn is_right(stack: &Connectivity, what: &str) {
    assert_eq!(stack.accounts().len(), 2, "{what}");
    assert_eq!(stack.payments().len(), 2, "{what}");
    let captured = stack.payment("tx-1");
    assert_eq!(
        (captured.amount.clone(), history(&captured)),
        (number(100), vec!["AUTHORISATION".into(), "CAPTURE".into()]),
        "{what}"
    );
    assert_eq!(captured.metadata.len(), 1, "{what}");
    let refunded = stack.payment("tx-2");
    assert_eq!(
        (refunded.amount.clone(), history(&refunded)),
        (number(60), vec!["SUCCEEDED".into(), "REFUNDED".into()]),
        "{what}"
    );
}
