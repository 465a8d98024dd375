//! What is pushed: once, as the API wants it, counted where it cannot be pushed.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{history, is_post, left_out, number, place, publisher, replayed, with_status};
use crate::formance::{CLIENT_SECRET, CONNECTOR_SECRET, Connectivity, sandbox};
use crate::support::{FakePsp, Place, run, transaction};

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
    assert_eq!(stack.payments().len(), 252, "{ran}");
    assert_eq!(stack.payment("yen").asset, "JPY/0");
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
        ("ids shorter than 3 characters", 2),
        ("ids too long for an index of Formance's database", 1),
        (
            "accounts of transactions whose ids Formance's database cannot index",
            1,
        ),
        ("changed assets, schemes, accounts or creation dates", 1),
        (
            "captures and refunds in an asset other than their payment's",
            1,
        ),
        ("an account and a beneficiary have the same id", 1),
        ("asset BTC/8", 2),
        ("asset COIN/0", 1),
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
        status.contains("skipped, 3 versions: balances: no API of Formance accepts them"),
        "{status}"
    );
    assert_eq!(stack.payment("tx-001").adjustments.len(), 2);
    assert_eq!(stack.payment("tx-002").amount, number(100));
    assert_eq!(stack.accounts()["acc-2"].name, "Account acc-2");
}

#[test]
fn what_relates_to_a_skipped_payment_is_skipped_too() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let add = |id: &str, second: u8, more: Value| {
        let mut added = transaction(id, &format!("2024-02-01T00:00:{second:02}Z"));
        added
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        psp.add_raw_transaction(added);
    };
    let relates = |to: &str| json!({ "relatedTransactionID": to, "status": "REFUNDED" });
    add("before", 0, relates("bitcoin"));
    add("before its child", 1, relates("before"));
    add("before x", 1, relates("x"));
    place.poll_well();
    assert_eq!(publisher(&place)["waiting"], 3);
    add("bitcoin", 2, json!({ "currency": "BTC/8" }));
    add("after", 3, relates("bitcoin"));
    add("x", 4, json!({}));
    place.poll_well();
    add("later", 5, relates("bitcoin"));
    add("later x", 5, relates("x"));
    add("later than its child", 6, relates("after"));
    place.poll_well();
    assert_eq!(publisher(&place)["waiting"], 0);
    let expected = [
        ("related transactions whose payments are skipped", 7),
        ("ids shorter than 3 characters", 1),
        ("asset BTC/8", 1),
    ];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(left_out(&place), expected.into());

    // Its asset is corrected.
    psp.change_transaction(
        "bitcoin",
        json!({ "currency": "EUR/2", "updatedAt": "2024-02-01T00:01:00Z" }),
    );
    let mut refund = with_status("refund", "2024-02-01T00:02:00Z", "REFUNDED", "40");
    refund["relatedTransactionID"] = json!("bitcoin");
    psp.add_raw_transaction(refund);
    place.poll_well();
    assert_eq!(history(&stack.payment("bitcoin")), ["PENDING", "REFUNDED"]);
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
