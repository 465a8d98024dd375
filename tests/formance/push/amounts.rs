//! Amounts, statuses and histories end right, however a story reaches us.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{history, number, place, publisher, replayed, with_status};
use crate::formance::Connectivity;
use crate::support::FakePsp;

#[test]
fn amounts_of_captures_and_refunds_come_out_right() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let histories = [
        (
            "captured",
            vec![("AUTHORISATION", "100"), ("CAPTURE", "100")],
            100,
        ),
        (
            "first-seen-captured",
            vec![("CAPTURE", "100"), ("CAPTURE", "100")],
            100,
        ),
        (
            "authorised",
            vec![("AUTHORISATION", "100"), ("AUTHORISATION", "100")],
            0,
        ),
        (
            "refunded",
            vec![("SUCCEEDED", "100"), ("REFUNDED", "30")],
            70,
        ),
        (
            "first-seen-refunded",
            vec![("REFUNDED", "100"), ("REFUNDED", "100")],
            0,
        ),
        (
            "reversed",
            vec![("REFUNDED", "100"), ("REFUND_REVERSED", "100")],
            100,
        ),
        (
            "missed",
            vec![("AUTHORISATION", "100"), ("SUCCEEDED", "100")],
            100,
        ),
    ];
    for step in 0..2 {
        for (id, history, _) in &histories {
            let (status, amount) = history[step];
            let at = format!("2024-02-01T00:0{step}:00Z");
            match step {
                0 => psp.add_raw_transaction(with_status(id, &at, status, amount)),
                _ => psp.change_transaction(
                    id,
                    json!({ "updatedAt": at, "status": status, "amount": amount }),
                ),
            }
        }
        place.poll_well();
    }
    for (id, history, amount) in &histories {
        let payment = stack.payment(id);
        assert_eq!(payment.amount, number(*amount), "{id}");
        assert_eq!(payment.initial_amount, number(100), "{id}");
        assert_eq!(payment.status(), history[1].0, "{id}");
    }
    replayed(&place, &stack);
}

#[test]
fn related_transactions_are_adjustments_of_their_parent_whenever_it_comes() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let related = |id: &str, at: &str, status: &str, amount: &str, to: &str| {
        let mut transaction = with_status(id, at, status, amount);
        transaction["relatedTransactionID"] = json!(to);
        transaction["type"] = json!("PAYOUT");
        transaction
    };
    // A refund of a refund, the refund, and then the payment, each in a poll of its own.
    psp.add_raw_transaction(related(
        "reversal",
        "2024-02-01T00:03:00Z",
        "REFUND_REVERSED",
        "10",
        "refund",
    ));
    place.poll_well();
    assert_eq!(publisher(&place)["waiting"], 1);
    psp.add_raw_transaction(related(
        "refund",
        "2024-02-01T00:03:01Z",
        "REFUNDED",
        "30",
        "payment",
    ));
    place.poll_well();
    psp.change_transaction(
        "refund",
        json!({ "updatedAt": "2024-02-01T00:03:02Z", "status": "REFUNDED_FAILURE" }),
    );
    place.poll_well();
    assert_eq!(stack.payments().len(), 0);
    assert_eq!(publisher(&place)["waiting"], 3);
    assert_eq!(publisher(&place)["lag"], 0);
    psp.add_raw_transaction(with_status(
        "payment",
        "2024-02-01T00:02:50Z",
        "SUCCEEDED",
        "100",
    ));
    // These come in one poll, the child first.
    psp.add_raw_transaction(related(
        "child",
        "2024-02-01T00:03:04Z",
        "REFUNDED",
        "5",
        "later",
    ));
    psp.add_raw_transaction(with_status(
        "later",
        "2024-02-01T00:03:05Z",
        "SUCCEEDED",
        "50",
    ));
    psp.add_raw_transaction(related(
        "self",
        "2024-02-01T00:03:06Z",
        "PENDING",
        "50",
        "self",
    ));
    place.poll_well();
    assert_eq!(publisher(&place)["waiting"], 0);
    let payment = stack.payment("payment");
    assert_eq!(payment.amount, number(80));
    let pushed = payment.history();
    let pushed: Vec<(&str, &str)> = pushed
        .iter()
        .map(|(id, status)| (id.as_str(), status.as_str()))
        .collect();
    assert_eq!(
        pushed,
        [
            ("payment", "SUCCEEDED"),
            ("reversal", "REFUND_REVERSED"),
            ("refund", "REFUNDED"),
            ("refund", "REFUNDED_FAILURE"),
        ]
    );
    assert_eq!(stack.payment("later").amount, number(45));
    assert_eq!(stack.payment("self").amount, number(50));
    assert_eq!(stack.payments().len(), 3);
    // Another state of the child, later.
    psp.change_transaction(
        "child",
        json!({ "updatedAt": "2024-02-01T00:04:00Z", "amount": "7" }),
    );
    place.poll_well();
    assert_eq!(stack.payment("later").amount, number(38));
    replayed(&place, &stack);
}

#[test]
fn random_histories_end_in_the_right_amounts_statuses_and_histories() {
    let seed: u64 =
        std::env::var("PUSH_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("PUSH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    // What each transaction has been, in every poll another one.
    let mut pushed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let statuses = [
        "PENDING",
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "EXPIRED",
        "DISPUTE",
        "DISPUTE_WON",
        "OTHER",
    ];
    for minute in 0..8 {
        let mut moved = BTreeSet::new();
        for _ in 0..6 {
            let at = format!("2024-02-01T00:0{minute}:{:02}Z", random.u8(..60));
            let status = random.choice(statuses).unwrap();
            let id = format!("tx-{}", random.u8(..12));
            match pushed.get_mut(&id) {
                None => {
                    psp.add_raw_transaction(with_status(&id, &at, status, "100"));
                    moved.insert(id.clone());
                    pushed.insert(id, vec![status]);
                }
                // One version of it in each poll.
                Some(history) if moved.insert(id.clone()) => {
                    psp.change_transaction(&id, json!({ "updatedAt": at, "status": status }));
                    if *history.last().unwrap() != status {
                        history.push(status);
                    }
                }
                Some(_) => {}
            }
        }
        place.poll_well();
        if random.u8(..4) == 0 {
            stack.reset_connector();
        }
    }
    place.poll_well();
    assert_eq!(stack.payments().len(), pushed.len());
    for (id, statuses) in &pushed {
        let payment = stack.payment(id);
        assert_eq!(history(&payment), *statuses, "{id}");
        assert_eq!(payment.amount, number(100), "{id}");
    }
    replayed(&place, &stack);
}

/// Captures, refunds and relations in any order: the result is the same poll by poll and in one go.
#[test]
fn a_story_is_the_same_however_it_is_cut_into_polls() {
    let seed: u64 =
        std::env::var("PUSH_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("PUSH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for minute in 0..8 {
        for _ in 0..8 {
            let number = random.u8(..20);
            let id = format!("tx-{number}");
            let at = format!("2024-02-01T00:0{minute}:{:02}Z", random.u8(..60));
            let status = random.choice(generic_connector::STATUSES).unwrap();
            let amount = random.u8(..150).to_string();
            if known.insert(id.clone()) {
                let mut transaction = with_status(&id, &at, status, &amount);
                // Some relate to one that comes later, or never, or in a circle.
                if random.bool() {
                    transaction["relatedTransactionID"] = json!(format!("tx-{}", random.u8(..22)));
                }
                psp.add_raw_transaction(transaction);
            } else {
                psp.change_transaction(
                    &id,
                    json!({ "updatedAt": at, "status": status, "amount": amount }),
                );
            }
        }
        place.poll_well();
    }
    for payment in stack.payments().values() {
        assert!(payment.amount >= number(0), "{payment:?}");
    }
    // Everything is pushed once, or waits.
    let pushed: BTreeSet<String> = stack
        .payments()
        .values()
        .flat_map(|payment| payment.adjustments.clone())
        .map(|adjustment| adjustment.reference)
        .collect();
    let waiting = publisher(&place)["waiting"].as_i64().unwrap();
    assert!(
        pushed.len() == known.len() || waiting > 0,
        "{pushed:?} of {known:?}"
    );
    assert_eq!(publisher(&place)["refused"], 0);
    replayed(&place, &stack);
    assert_eq!(publisher(&place)["waiting"], waiting);
}
