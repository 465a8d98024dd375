//! Captures, refunds and related transactions, read through the listener: Formance ends with the amounts that are pushed.

use std::collections::BTreeMap;

use generic_connector::Stream;
use num_bigint::BigInt;
use serde_json::{Value, json};

use super::folded::{FoldedPayments, folded};
use super::listed::listening;
use super::push::{number, place};
use super::{Connectivity, Poller, payout, poller_on};
use crate::support::{FakePsp, KEY, LISTEN_KEY, Listening, StateCopy, run};

/// Transactions and what each of them is, step by step; `-` while it is not there. An amount other than 100 follows the
/// status. One whose name begins with `>` relates to the one without it.
const LIVES: &[(&str, &str)] = &[
    ("auth-capture-refund", "AUTHORISATION CAPTURE REFUNDED:30"),
    ("auth-succeeded", "AUTHORISATION SUCCEEDED"),
    ("pending-succeeded-refunded", "PENDING SUCCEEDED REFUNDED"),
    ("capture-first", "CAPTURE"),
    (
        "capture-failed-first",
        "CAPTURE_FAILED CAPTURE_FAILED CAPTURE",
    ),
    ("refunded-first", "REFUNDED"),
    ("reversed-first", "REFUND_REVERSED"),
    (
        "capture-refunded-reversed",
        "CAPTURE REFUNDED REFUND_REVERSED",
    ),
    ("dispute-won", "SUCCEEDED DISPUTE DISPUTE_WON"),
    ("refund-is-another", "SUCCEEDED"),
    (">refund-is-another", "- REFUNDED:30"),
    ("capture-is-another", "AUTHORISATION"),
    (">capture-is-another", "- CAPTURE"),
    ("after-its-refund", "- - SUCCEEDED"),
    (">after-its-refund", "REFUNDED:30"),
    ("two-captures", "AUTHORISATION"),
    (">two-captures", "- CAPTURE:40"),
    (">>two-captures", "- - CAPTURE:60"),
    ("own-captures", "AUTHORISATION CAPTURE:40 CAPTURE:60"),
    ("auth-refunded", "AUTHORISATION REFUNDED"),
    ("auth-refunded-in-part", "AUTHORISATION REFUNDED:30"),
    ("corrected", "SUCCEEDED SUCCEEDED:120"),
    ("flip", "PENDING FAILED PENDING"),
    ("flap", "PENDING FAILED PENDING FAILED PENDING"),
    ("auth-expired", "AUTHORISATION EXPIRED"),
    ("refund-of-too-much", "SUCCEEDED"),
    (">refund-of-too-much", "- REFUNDED:150"),
    (
        "capture-failed-once",
        "AUTHORISATION CAPTURE_FAILED CAPTURE",
    ),
    // The refund of this one is reversed, and the reversal relates to the refund.
    ("reversed", "- - SUCCEEDED"),
    (">reversed", "- REFUNDED:30"),
    ("reversal", "REFUND_REVERSED:30"),
    (
        "captured-and-counted",
        "SUCCEEDED CAPTURE REFUNDED:40 REFUNDED:50",
    ),
];

const STEPS: usize = 5;

/// What a transaction is in a step, if it is there.
fn transaction_at(name: &str, life: &str, step: usize) -> Option<Value> {
    let states: Vec<&str> = life.split(' ').collect();
    let place = step.min(states.len() - 1);
    let (status, amount) = states[place]
        .split_once(':')
        .unwrap_or((states[place], "100"));
    let number = LIVES.iter().position(|(known, _)| *known == name).unwrap();
    let first = states.iter().position(|state| *state != "-").unwrap();
    let at = |step: usize| format!("2025-01-01T00:{step:02}:{number:02}Z");
    let mut transaction = json!({
        "id": name, "createdAt": at(first), "updatedAt": at(place), "currency": "USD/2", "type": "PAYIN",
        "status": status, "amount": amount,
    });
    let related = match name {
        "reversal" => ">reversed",
        _ => name.trim_start_matches('>'),
    };
    if related != name {
        transaction["relatedTransactionID"] = json!(related);
        // A payment has the type of its own transaction.
        transaction["type"] = json!("PAYOUT");
    }
    (status != "-").then_some(transaction)
}

fn live(service: &FakePsp, step: usize) {
    service.remove_transactions();
    for (name, life) in LIVES {
        if let Some(transaction) = transaction_at(name, life, step) {
            service.add_raw_transaction(transaction);
        }
    }
}

/// Initial amount and amount of each payment.
type Amounts = BTreeMap<String, (BigInt, BigInt)>;

fn polled_amounts(payments: &FoldedPayments) -> Amounts {
    let amounts: Amounts = payments
        .iter()
        .map(|((id, _), payment)| {
            let amounts = (payment.initial_amount.clone(), payment.amount.clone());
            (id.clone(), amounts)
        })
        .collect();
    let types: Vec<_> = payments.keys().collect();
    assert_eq!(
        amounts.len(),
        types.len(),
        "a payment of two types: {types:?}"
    );
    amounts
}

fn pushed_amounts(stack: &Connectivity) -> Amounts {
    let payments = stack.payments().into_iter();
    payments
        .map(|((id, _), payment)| (id, (payment.initial_amount, payment.amount)))
        .collect()
}

#[test]
fn payments_end_the_same_whether_they_are_polled_or_pushed() {
    let service = FakePsp::start();
    let stack = Connectivity::start();
    let pushing = place(&service, &stack);
    live(&service, 0);
    let mut listening = listening(&service);
    let mut poller = poller_on(&listening);
    for step in 0..STEPS {
        live(&service, step);
        pushing.poll_well();
        listening.poll();
        poller.run(Stream::Transactions).unwrap();
        let polled = folded(&poller);
        assert_eq!(
            polled_amounts(&polled),
            pushed_amounts(&stack),
            "step {step}"
        );
        for ((id, kind), payment) in &polled {
            let is_alone = payment.adjustments.iter().all(|one| one.reference == *id);
            assert_eq!(kind, "PAYIN", "{id}");
            if is_alone {
                assert_eq!(payment.status(), stack.payment(id).status(), "{id}");
            }
        }
        if step == 2 {
            listening = listening.restart(&[]);
            poller.point_at(&listening.url, LISTEN_KEY);
        }
    }
    assert_eq!(pushed_amounts(&stack)["reversed"].1, number(100));
    // Read from the beginning, they are the same.
    let mut new = poller_on(&listening);
    new.run(Stream::Transactions).unwrap();
    assert_eq!(polled_amounts(&folded(&new)), pushed_amounts(&stack));
    let ran = run(listening.place.command("verify"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let (_, status) = listening.get("/status");
    assert_eq!(status["relatives"]["waiting"], 0, "{status}");
}

/// What Formance has read after the copy was made, it reads again, and counts nothing twice.
#[test]
fn payments_end_the_same_if_the_state_is_put_back() {
    for copy in [StateCopy::Files, StateCopy::Directory] {
        let service = FakePsp::start();
        let stack = Connectivity::start();
        let pushing = place(&service, &stack);
        live(&service, 0);
        let mut listening = listening(&service);
        let mut poller = poller_on(&listening);
        poller.run(Stream::Transactions).unwrap();
        pushing.poll_well();
        live(&service, 1);
        pushing.poll_well();
        listening.poll();
        poller.run(Stream::Transactions).unwrap();
        let kept = listening.place.path().join("kept");
        copy.make(&listening.place.state(), &kept);
        live(&service, 2);
        listening.poll();
        poller.run(Stream::Transactions).unwrap();
        listening.kill();
        copy.put_back(&kept, &listening.place.state());
        let listening = listening.restart(&[]);
        poller.point_at(&listening.url, LISTEN_KEY);
        for step in 2..STEPS {
            live(&service, step);
            pushing.poll_well();
            listening.poll();
            if poller.run(Stream::Transactions).is_err() {
                listening.place.age();
                poller.run(Stream::Transactions).unwrap();
            }
        }
        assert_eq!(
            polled_amounts(&folded(&poller)),
            pushed_amounts(&stack),
            "{copy:?}"
        );
    }
}

/// The id and the status of each entry of the list.
fn entries(listening: &Listening) -> Vec<(String, String)> {
    // Connectivity would name the order, too.
    let (status, listed) = listening.get("/transactions?pageSize=1000");
    assert_eq!(status, 200, "{listed}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = listed.as_array().unwrap().iter();
    entries
        .map(|entry| (text(&entry["id"]), text(&entry["status"])))
        .collect()
}

fn entry(id: &str, status: &str) -> (String, String) {
    (id.to_owned(), status.to_owned())
}

fn transaction(id: &str, at: &str, status: &str) -> Value {
    json!({
        "id": id, "createdAt": at, "updatedAt": at, "currency": "USD/2", "type": "PAYIN", "status": status,
        "amount": "100",
    })
}

/// Formance may have what would be added, and an AUTHORISATION that comes after its CAPTURE would be shown for good.
#[test]
fn what_formance_may_have_read_itself_is_shown_as_it_was_sent() {
    let service = FakePsp::start();
    service.add_raw_transaction(transaction("old", "2024-02-01T00:00:00Z", "CAPTURE"));
    service.add_raw_transaction(transaction("open", "2024-02-01T00:00:01Z", "AUTHORISATION"));
    let mut held = transaction("held", "2024-02-01T00:00:02Z", "REFUNDED");
    held["relatedTransactionID"] = json!("coming");
    service.add_raw_transaction(held);
    let mut poller = Poller::new(&service.url(), KEY);
    poller.run(Stream::Transactions).unwrap();
    let listening = listening(&service);
    let added = [entry("old", "AUTHORISATION"), entry("old", "CAPTURE")];
    assert_eq!(entries(&listening)[..2], added);
    poller.point_at(&listening.url, LISTEN_KEY);
    assert!(poller.run(Stream::Transactions).is_err());
    listening.place.age();
    poller.run(Stream::Transactions).unwrap();
    // One appears late, one changes, one is new, and one had to come before another.
    service.add_raw_transaction(transaction(
        "coming",
        "2024-02-02T00:00:02Z",
        "AUTHORISATION",
    ));
    service.add_raw_transaction(transaction("late", "2024-01-31T00:00:00Z", "CAPTURE"));
    service.add_raw_transaction(transaction("new", "2024-02-02T00:00:00Z", "CAPTURE"));
    service.change_transaction(
        "open",
        json!({ "status": "SUCCEEDED", "updatedAt": "2024-02-02T00:00:01Z" }),
    );
    listening.poll();
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(
        entries(&listening),
        [
            entry("old", "CAPTURE"),
            entry("open", "AUTHORISATION"),
            entry("late", "CAPTURE"),
            entry("new", "AUTHORISATION"),
            entry("new", "CAPTURE"),
            entry("open", "SUCCEEDED"),
            entry("coming", "AUTHORISATION"),
            entry("held", "REFUNDED"),
        ]
    );
    let payments = folded(&poller);
    let payment = |id: &str| &payments[&(id.to_owned(), "PAYIN".to_owned())];
    assert_eq!(payment("new").amount, number(100));
    assert_eq!(payment("old").status(), "CAPTURE");
    assert_eq!(payment("open").status(), "SUCCEEDED");
}

#[test]
fn a_relative_waits_for_its_payment_until_a_sweep_has_not_found_it() {
    let service = FakePsp::start();
    let refund = transaction_at(">after-its-refund", "REFUNDED:30", 0).unwrap();
    service.add_raw_transaction(refund);
    service.add_transaction("other", "2025-01-01T00:00:00Z");
    let listening = listening(&service);
    assert_eq!(entries(&listening), [entry("other", "PENDING")]);
    let (_, status) = listening.get("/status");
    let mut relatives = status["relatives"].clone();
    let since = relatives["waitingSince"].take();
    assert!(since.is_string(), "{since}");
    let expected = json!({
        "waiting": 1, "waitingFor": "after-its-refund", "waitingSince": null, "missing": 0, "missingId": null,
    });
    assert_eq!(relatives, expected);
    let ran = run(listening.place.command("status"));
    assert!(ran.stdout.contains("waiting    transactions, 1: "), "{ran}");
    let ran = run(listening.place.command("verify"));
    assert_eq!(ran.code, Some(0), "{ran}");
    // Within the lookback its payment can still be listed late.
    run(listening.place.command("sweep"));
    listening.poll();
    listening.wait_for_line("sweep 1 complete");
    assert_eq!(entries(&listening), [entry("other", "PENDING")]);
    listening.place.age();
    // The next sweep waits for 20 times as long as the last one took, in whole seconds.
    let file = listening.place.state().join("state.sqlite3");
    let state = rusqlite::Connection::open(file).unwrap();
    let at_once = "UPDATE sweep SET ended_at = started_at";
    assert_eq!(state.execute(at_once, []).unwrap(), 1);
    drop(state);
    listening.poll();
    listening.wait_for_line("that waited for it are listed");
    let refunded = entry(">after-its-refund", "REFUNDED");
    assert_eq!(entries(&listening), [entry("other", "PENDING"), refunded]);
    let warned = || {
        let (_, status) = listening.get("/status");
        status["warnings"].to_string()
    };
    assert!(
        warned().contains("such as \\\"after-its-refund\\\""),
        "{}",
        warned()
    );
    // It is listed after all.
    let payment = transaction_at("after-its-refund", "SUCCEEDED", 0).unwrap();
    service.add_raw_transaction(payment);
    listening.poll();
    assert_eq!(entries(&listening).len(), 3);
    assert_eq!(warned(), "[]");
}

/// Some services relate transactions to what another system has.
#[test]
fn a_relative_that_moves_no_amount_is_listed_right_after_the_first_poll() {
    let service = FakePsp::start();
    let mut fee = transaction("fee", "2025-01-01T00:00:00Z", "SUCCEEDED");
    fee["relatedTransactionID"] = json!("order-of-the-shop");
    service.add_raw_transaction(fee);
    let listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("1 that waited for it are listed");
    assert_eq!(entries(&listening), [entry("fee", "SUCCEEDED")]);
    // No sweep is due for it.
    listening.poll();
    assert!(!listening.log().contains("sweep 1"), "{}", listening.log());
}

#[test]
fn what_waits_although_sweeps_were_due_is_an_alarm() {
    let service = FakePsp::start();
    let refund = transaction_at(">after-its-refund", "REFUNDED:30", 0).unwrap();
    service.add_raw_transaction(refund);
    let listening = Listening::start(&service.url(), json!({ "sweepPeriod": "1h" }));
    listening.poll();
    let (_, status) = listening.get("/status");
    assert_eq!(status["warnings"], json!([]));
    listening.place.age();
    let (_, status) = listening.get("/status");
    let warnings = status["warnings"].to_string();
    let since = "since 2024-03-01T00:00:00Z: they relate";
    assert!(warnings.contains(since), "{warnings}");
}

/// Each part of a circle waits for the other one.
#[test]
fn transactions_that_relate_to_each_other_are_listed_after_a_sweep() {
    let service = FakePsp::start();
    for (id, related) in [("one", "two"), ("two", "one"), ("three", "two")] {
        let mut transaction = transaction(id, "2025-01-01T00:00:00Z", "CAPTURE");
        transaction["relatedTransactionID"] = json!(related);
        service.add_raw_transaction(transaction);
    }
    let listening = listening(&service);
    assert_eq!(entries(&listening), []);
    listening.place.age();
    listening.poll();
    listening.wait_for_line("that waited for it are listed");
    let mut listed: Vec<String> = entries(&listening).into_iter().map(|(id, _)| id).collect();
    listed.sort();
    assert_eq!(listed, ["one", "three", "two"]);
}

#[test]
fn what_relates_to_a_payout_is_part_of_its_payment() {
    let service = FakePsp::start();
    let listening = listening(&service);
    let mut poller = poller_on(&listening);
    let (status, made) = poller.post("payouts", &payout("key-1", "100")).unwrap();
    assert_eq!(status, 201, "{made}");
    let made = made["id"].as_str().unwrap();
    // One names the payout's transaction, and one its key.
    for (id, related) in [("refund", made), ("other-refund", "key-1")] {
        let mut refund = transaction(id, "2025-01-01T00:00:01Z", "REFUNDED");
        refund["relatedTransactionID"] = json!(related);
        refund["type"] = json!("PAYOUT");
        refund["amount"] = json!("10");
        service.add_raw_transaction(refund);
    }
    listening.poll();
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 3);
    let payments: Vec<&(String, String)> = poller.payments().keys().collect();
    assert_eq!(payments, [&("key-1".to_owned(), "PAYOUT".to_owned())]);
}

/// What is added belongs to the version, also when it is repaired and listed again.
#[test]
fn a_capture_that_is_repaired_is_counted_once() {
    let service = FakePsp::start();
    service.add_raw_transaction(transaction("tx", "2025-01-01T00:00:00Z", "CAPTURE"));
    let mut refund = transaction("refund", "2025-01-01T00:00:01Z", "REFUNDED");
    refund["relatedTransactionID"] = json!("tx");
    refund["amount"] = json!("130");
    service.add_raw_transaction(refund);
    let listening = listening(&service);
    let file = listening.place.state().join("state.sqlite3");
    let damage = "UPDATE version SET json = replace(json, '2025', '2024')";
    let connection = rusqlite::Connection::open(file).unwrap();
    assert_eq!(connection.execute(damage, []).unwrap(), 2);
    let mut poller = poller_on(&listening);
    // Both are left out, and read again.
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.received(Stream::Transactions).len(), 0);
    listening.poll();
    listening.wait_for_line("sweep 1 complete");
    for _ in 0..2 {
        poller.run(Stream::Transactions).unwrap();
        let payments = folded(&poller);
        let payment = &payments[&("tx".to_owned(), "PAYIN".to_owned())];
        assert_eq!(payment.initial_amount, number(100));
        assert_eq!(payment.amount, number(0), "{payment:?}");
        poller = poller_on(&listening);
    }
}
