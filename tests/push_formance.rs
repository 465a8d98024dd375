//! The formance publisher, against a fake that keeps to the API's rules: what arrives is right, however often it is
//! pushed and whatever happens to an exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use num_bigint::BigInt;
use serde_json::{Value, json};

use crate::formance::sandbox;
use crate::support::{
    CLIENT_SECRET, CONNECTOR_SECRET, Connectivity, FakePsp, Payment, Place, TestRequest, run,
    transaction,
};

/// A connector that pushes there.
pub(crate) fn place(psp: &FakePsp, stack: &Connectivity) -> Place {
    Place::new(
        &psp.url(),
        json!({ "publish": [stack.entry()], "pollingPeriod": "100ms" }),
    )
}

pub(crate) fn publisher(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    status["publishers"][0].clone()
}

pub(crate) fn left_out(place: &Place) -> BTreeMap<String, i64> {
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

pub(crate) fn with_status(id: &str, at: &str, status: &str, amount: &str) -> Value {
    let mut transaction = transaction(id, at);
    transaction["status"] = json!(status);
    transaction["amount"] = json!(amount);
    transaction
}

pub(crate) fn number(number: i64) -> BigInt {
    BigInt::from(number)
}

pub(crate) fn history(payment: &Payment) -> Vec<String> {
    payment
        .history()
        .into_iter()
        .map(|(_, status)| status)
        .collect()
}

pub(crate) fn is_post(asked: &TestRequest, what: &str) -> bool {
    asked.method == "POST" && asked.path.ends_with(what)
}

/// Pushes everything once more. Nothing changes by that.
pub(crate) fn replayed(place: &Place, stack: &Connectivity) {
    let (accounts, payments) = (stack.accounts(), stack.payments());
    let ran = run(place.command("publisher replay formance"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let before = stack.exchanges().len();
    place.poll();
    assert!(stack.exchanges().len() >= before + payments.len());
    assert_eq!(stack.accounts(), accounts);
    assert_eq!(stack.payments(), payments);
}

#[test]
fn a_bank_arrives_once_and_pushing_it_again_changes_nothing() {
    let psp = FakePsp::with_a_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let ran = place.poll_well();
    let accounts = stack.accounts();
    assert_eq!(accounts["acc-1"].kind, "INTERNAL");
    assert_eq!(accounts["acc-1"].name, "Account acc-1");
    assert_eq!(accounts["ben-1"].kind, "EXTERNAL");
    assert_eq!(accounts.len(), 3);
    assert_eq!(stack.payments().len(), 250);
    let payment = stack.payment("tx-000");
    assert_eq!(payment.amount, number(100));
    assert_eq!(payment.initial_amount, number(100));
    assert_eq!(
        (payment.status().as_str(), payment.asset.as_str()),
        ("PENDING", "EUR/2")
    );
    assert_eq!(payment.destination.as_deref(), Some("acc-1"));
    assert_eq!(
        payment.adjustments[0].created_at.to_string(),
        "2024-02-01T00:00:00.000000000Z"
    );
    assert_eq!(
        left_out(&place),
        BTreeMap::from([("balances".to_owned(), 2)])
    );
    // Every account was there before a payment named it.
    let asked = stack.exchanges();
    let first_payment = asked
        .iter()
        .position(|(asked, _)| is_post(asked, "/payments"));
    let last_account = asked
        .iter()
        .rposition(|(asked, _)| is_post(asked, "/accounts"));
    assert!(last_account < first_payment);
    assert_eq!(stack.tokens_given(), 1);

    let before = stack.exchanges().len();
    place.poll_well();
    let asked: Vec<String> = stack.exchanges()[before..]
        .iter()
        .map(|(asked, _)| asked.path.split('?').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        asked,
        ["/api/auth/oauth/token", "/api/payments/v3/connectors"]
    );
    replayed(&place, &stack);

    for text in [ran.stderr, run(place.command("status")).stdout] {
        assert!(
            !text.contains(CLIENT_SECRET) && !text.contains(CONNECTOR_SECRET),
            "{text}"
        );
    }
    let state = fs::read(place.state().join("state.sqlite3")).unwrap();
    for secret in [CLIENT_SECRET, CONNECTOR_SECRET, "token-1"] {
        assert!(
            !state
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes()),
            "{secret}"
        );
    }
}

#[test]
fn a_status_is_told_when_it_changes_and_not_when_only_the_date_does() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    psp.add_transaction("tx-1", "2024-02-01T00:00:00Z");
    place.poll_well();
    psp.change_transaction("tx-1", json!({ "updatedAt": "2024-02-01T00:01:00Z" }));
    place.poll_well();
    assert_eq!(stack.payment("tx-1").adjustments.len(), 1);
    psp.change_transaction(
        "tx-1",
        json!({ "updatedAt": "2024-02-01T00:02:00Z", "status": "SUCCEEDED", "metadata": { "a": "1" } }),
    );
    place.poll_well();
    psp.change_transaction(
        "tx-1",
        json!({ "updatedAt": "2024-02-01T00:03:00Z", "metadata": { "b": "2" } }),
    );
    place.poll_well();
    // It returns, at a date that was there before.
    psp.change_transaction(
        "tx-1",
        json!({ "updatedAt": "2024-02-01T00:04:00Z", "status": "PENDING" }),
    );
    place.poll_well();
    let payment = stack.payment("tx-1");
    assert_eq!(history(&payment), ["PENDING", "SUCCEEDED", "PENDING"]);
    let dates: Vec<String> = payment
        .adjustments
        .iter()
        .map(|adjustment| adjustment.created_at.to_string()[14..19].to_owned())
        .collect();
    assert_eq!(dates, ["00:00", "02:00", "04:00"]);
    assert_eq!(
        payment.metadata,
        [("a", "1"), ("b", "2")]
            .map(|(k, v)| (k.into(), v.into()))
            .into()
    );
    replayed(&place, &stack);
}

#[test]
fn values_are_written_as_the_api_wants_them() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let huge = "-123456789012345678901234567890";
    let mut odd = with_status(
        "tx / \"é\" 😀",
        "2024-02-01T00:00:00.123456789+02:00",
        "IN_LIMBO",
        huge,
    );
    odd["type"] = json!("PAYOUT");
    odd["scheme"] = json!("SEPA_CREDIT");
    odd["sourceAccountID"] = json!("acc / \"é\" \\ 😀");
    odd["destinationAccountID"] = json!(12);
    odd["metadata"] = json!(null);
    psp.add_raw_transaction(odd);
    let mut other = transaction("tx-2", "2024-02-01T00:00:01Z");
    other["scheme"] = json!("carrier pigeon");
    other["type"] = json!("ACH");
    other["currency"] = json!("JPY/0");
    other["createdAt"] = json!("0000-06-01T00:00:00Z");
    psp.add_raw_transaction(other);
    let mut future = transaction("tx-3", "2999-02-01T00:00:01Z");
    future["metadata"] = json!({ "nul": "a\u{0}b" });
    psp.add_raw_transaction(future);
    place.poll_well();
    let payments = stack.payments();
    let payment = &payments[&("tx / \"é\" 😀".to_owned(), "PAYOUT".to_owned())];
    assert_eq!(payment.amount.to_string(), huge);
    assert_eq!(
        (payment.status().as_str(), payment.scheme.as_str()),
        ("OTHER", "SEPA_CREDIT")
    );
    assert_eq!(payment.source.as_deref(), Some("acc / \"é\" \\ 😀"));
    assert_eq!(payment.destination.as_deref(), Some("12"));
    assert_eq!(
        payment.adjustments[0].created_at.to_string(),
        "2024-01-31T22:00:00.123456789Z"
    );
    let other = &payments[&("tx-2".to_owned(), "OTHER".to_owned())];
    assert_eq!(
        (other.asset.as_str(), other.scheme.as_str()),
        ("JPY/0", "OTHER")
    );
    assert_eq!(&other.created_at.to_string()[..4], "1970");
    assert!(stack.payment("tx-3").adjustments[0].created_at < generic_connector::Timestamp::now());
    replayed(&place, &stack);
}

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
    let told = payment.history();
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|(id, status)| (id.as_str(), status.as_str()))
        .collect();
    assert_eq!(
        told,
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
fn what_the_api_cannot_take_is_counted_and_holds_nothing_up() {
    let psp = FakePsp::with_a_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    psp.add_account("ac", "2024-01-01T00:00:00Z");
    psp.add_beneficiary("acc-1", "2024-01-01T00:00:00Z");
    for (id, asset) in [
        ("btc-1", "BTC/8"),
        ("btc-2", "BTC/8"),
        ("yen", "JPY"),
        ("coin", "COIN"),
    ] {
        let mut transaction = transaction(id, "2024-02-02T00:00:00Z");
        transaction["currency"] = json!(asset);
        psp.add_raw_transaction(transaction);
    }
    psp.add_transaction("t1", "2024-02-02T00:00:00Z");
    psp.add_transaction(&"é".repeat(460), "2024-02-02T00:00:00Z");
    let mut far = transaction("far", "2024-02-02T00:00:00Z");
    far["sourceAccountID"] = json!("é".repeat(1_000));
    psp.add_raw_transaction(far);
    let ran = place.poll_well();
    assert_eq!(stack.payments().len(), 251, "{ran}");
    assert_eq!(stack.payment("far").source, None);
    psp.change_account("acc-2", json!({ "accountName": "Another name" }));
    psp.change_transaction(
        "tx-001",
        json!({ "type": "PAYOUT", "amount": "77", "updatedAt": "2024-02-03T00:00:00Z" }),
    );
    psp.change_transaction(
        "tx-002",
        json!({ "currency": "USD/2", "status": "REFUNDED", "updatedAt": "2024-02-03T00:00:00Z" }),
    );
    run(place.command("poll --sweep"));
    let expected = [
        ("balances", 3),
        ("ids of fewer than 3 characters", 2),
        ("ids so long that Formance's database cannot index them", 1),
        (
            "accounts of transactions whose ids Formance's database cannot index",
            1,
        ),
        ("changed assets, schemes, accounts or creation dates", 1),
        (
            "captures and refunds in another asset than their payment's",
            1,
        ),
        ("an account and a beneficiary have the same id", 1),
        ("asset BTC/8", 2),
        ("asset JPY", 1),
        ("asset COIN", 1),
        ("changed accounts and beneficiaries", 1),
        ("changed types", 1),
        ("changed amounts without a capture or a refund", 1),
    ];
    let expected: BTreeMap<String, i64> = expected
        .map(|(reason, count)| (reason.to_owned(), count))
        .into();
    assert_eq!(left_out(&place), expected);
    assert_eq!(publisher(&place)["lag"], 0);
    let status = run(place.command("status")).stdout;
    assert!(
        status.contains("left out, 3 versions: balances: no API of Formance takes them"),
        "{status}"
    );
    assert_eq!(stack.payment("tx-001").adjustments.len(), 2);
    assert_eq!(stack.payment("tx-002").amount, number(100));
    assert_eq!(stack.accounts()["acc-2"].name, "Account acc-2");
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
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
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
            match told.get_mut(&id) {
                None => {
                    psp.add_raw_transaction(with_status(&id, &at, status, "100"));
                    moved.insert(id.clone());
                    told.insert(id, vec![status]);
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
    assert_eq!(stack.payments().len(), told.len());
    for (id, statuses) in &told {
        let payment = stack.payment(id);
        assert_eq!(history(&payment), *statuses, "{id}");
        assert_eq!(payment.amount, number(100), "{id}");
    }
    replayed(&place, &stack);
}

/// Captures, refunds and relations in any order: poll by poll the same is told as in one go.
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
    // What is told is told once, or waits.
    let told: BTreeSet<String> = stack
        .payments()
        .values()
        .flat_map(|payment| payment.adjustments.clone())
        .map(|adjustment| adjustment.reference)
        .collect();
    let waiting = publisher(&place)["waiting"].as_i64().unwrap();
    assert!(
        told.len() == known.len() || waiting > 0,
        "{told:?} of {known:?}"
    );
    assert_eq!(publisher(&place)["refused"], 0);
    replayed(&place, &stack);
    assert_eq!(publisher(&place)["waiting"], waiting);
}

/// The directory that BANK_DATA names holds 49,102 transactions of a real bank, 4,500 accounts and 6,446 beneficiaries.
#[test]
fn all_of_a_real_bank_is_pushed() {
    let Some(data) = std::env::var_os("BANK_DATA") else {
        println!("skipped: BANK_DATA names no directory");
        return;
    };
    let sandbox = sandbox(Some(data.into()));
    let stack = Connectivity::start();
    let place = Place::new(&sandbox.url(), json!({ "publish": [stack.entry()] }));
    let begun = std::time::Instant::now();
    place.poll_well();
    println!(
        "imported and pushed in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let payments = stack.payments();
    assert_eq!(payments.len(), 49_102);
    assert!(
        payments
            .values()
            .all(|payment| payment.adjustments.len() == 1)
    );
    let of_kind = |kind: &str| {
        stack
            .accounts()
            .values()
            .filter(|account| account.kind == kind)
            .count()
    };
    assert_eq!((of_kind("INTERNAL"), of_kind("EXTERNAL")), (4_500, 6_446));
    assert_eq!(
        left_out(&place),
        BTreeMap::from([("balances".to_owned(), 4_500)])
    );
    replayed(&place, &stack);
}
