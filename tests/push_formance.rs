//! The formance publisher, against a fake that keeps to the API's rules: what arrives is right, however often it is
//! pushed and whatever happens to an exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use num_bigint::BigInt;
use serde_json::{Value, json};

use crate::formance::sandbox;
use crate::support::{
    Answer, Asked, CLIENT_SECRET, CONNECTOR_SECRET, Connectivity, FakePsp, Mishap, Payment, Place,
    Ran, Running, run, transaction, wait_until,
};

/// A connector that pushes there.
fn place(psp: &FakePsp, stack: &Connectivity) -> Place {
    Place::new(
        &psp.url(),
        json!({ "publish": [stack.entry()], "pollingPeriod": "100ms" }),
    )
}

fn publisher(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    status["publishers"][0].clone()
}

fn left_out(place: &Place) -> BTreeMap<String, i64> {
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

fn with_status(id: &str, at: &str, status: &str, amount: &str) -> Value {
    let mut transaction = transaction(id, at);
    transaction["status"] = json!(status);
    transaction["amount"] = json!(amount);
    transaction
}

fn number(number: i64) -> BigInt {
    BigInt::from(number)
}

fn history(payment: &Payment) -> Vec<String> {
    payment
        .history()
        .into_iter()
        .map(|(_, status)| status)
        .collect()
}

fn is_post(asked: &Asked, what: &str) -> bool {
    asked.method == "POST" && asked.path.ends_with(what)
}

/// Pushes everything once more. Nothing changes by that.
fn replayed(place: &Place, stack: &Connectivity) {
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
    assert!(
        stack.payment("tx-3").adjustments[0].created_at < generic_connector::api::Timestamp::now()
    );
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
        "2024-02-01T00:03:03Z",
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
            ("refund", "REFUNDED"),
            ("reversal", "REFUND_REVERSED"),
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
    let ran = place.poll_well();
    assert_eq!(stack.payments().len(), 250, "{ran}");
    psp.change_account("acc-2", json!({ "accountName": "Another name" }));
    psp.change_transaction(
        "tx-001",
        json!({ "type": "PAYOUT", "amount": "77", "updatedAt": "2024-02-03T00:00:00Z" }),
    );
    run(place.command("poll --sweep"));
    let expected = [
        ("balances", 3),
        ("ids of fewer than 3 characters", 2),
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
    assert_eq!(stack.accounts()["acc-2"].name, "Account acc-2");
}

/// A small bank with everything in it that takes a request, in two polls.
fn small_bank() -> FakePsp {
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

fn changed(psp: &FakePsp) {
    psp.change_transaction(
        "tx-1",
        json!({ "status": "CAPTURE", "updatedAt": "2024-02-01T00:01:00Z", "metadata": { "a": "1" } }),
    );
}

/// What both polls of the small bank lead to.
fn is_right(stack: &Connectivity, what: &str) {
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

#[test]
fn any_fault_of_any_exchange_loses_nothing_and_tells_nothing_twice() {
    let no_wait = || Answer::new(429, "").with("Retry-After", "0");
    let faults: [(&str, Mishap); 9] = [
        ("a lost answer", Mishap::LostAnswer),
        ("a cut connection", Mishap::Cut),
        (
            "500",
            Mishap::Instead(Answer::new(500, r#"{"errorCode":"INTERNAL"}"#)),
        ),
        ("401", Mishap::Instead(Answer::new(401, ""))),
        ("403", Mishap::Instead(Answer::new(403, ""))),
        ("404", Mishap::Instead(Answer::new(404, ""))),
        ("429", Mishap::Instead(no_wait())),
        (
            "400 of something else",
            Mishap::Instead(Answer::new(400, "<html>")),
        ),
        ("silence", Mishap::Silence),
    ];
    std::thread::scope(|scope| {
        for faults in faults.chunks(3) {
            scope.spawn(move || {
                let psp = small_bank();
                for (what, mishap) in faults {
                    let mut exchange = 1;
                    while goes_well(&psp, exchange, what, mishap) {
                        exchange += 1;
                    }
                    assert!(exchange > 10, "{what}: only {exchange} exchanges");
                }
            });
        }
    });
}

/// Lets that exchange go wrong in that way. False if there are not so many.
fn goes_well(psp: &FakePsp, exchange: usize, what: &str, mishap: &Mishap) -> bool {
    begin_again(psp);
    let stack = Connectivity::start();
    let mut entry = stack.entry();
    entry["requestTimeout"] = json!("300ms");
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let mishap = mishap.clone();
    let mut left = exchange;
    let (happened, has_happened) = std::sync::mpsc::channel();
    stack.script(move |_| {
        left = left.wrapping_sub(1);
        match left {
            0 => {
                happened.send(()).unwrap();
                mishap.clone()
            }
            _ => Mishap::None,
        }
    });
    let what = format!("{what} at {exchange}");
    let ran = place.poll();
    assert_eq!(ran.code, Some(0), "{what}: {ran}");
    changed(psp);
    let ran = place.poll();
    assert_eq!(ran.code, Some(0), "{what}: {ran}");
    is_right(&stack, &what);
    assert_eq!(publisher(&place)["refused"], 0, "{what}");
    replayed(&place, &stack);
    has_happened.try_recv().is_ok()
}

#[test]
fn a_reset_of_the_connector_at_any_exchange_leads_to_everything_anew() {
    let psp = small_bank();
    let mut exchange = 1_usize;
    loop {
        begin_again(&psp);
        let stack = std::sync::Arc::new(Connectivity::start());
        let place = place(&psp, &stack);
        place.poll_well();
        changed(&psp);
        let before = stack.exchanges().len();
        let reset = stack.clone();
        let mut left = exchange;
        stack.script(move |_| {
            left = left.wrapping_sub(1);
            if left == 0 {
                reset.reset_connector();
            }
            Mishap::None
        });
        let ran = place.poll_well();
        let has_happened = stack.exchanges().len() - before >= exchange;
        stack.script(|_| Mishap::None);
        if !has_happened {
            break;
        }
        // One that came after the last request is seen at the next look.
        let next = place.poll_well();
        is_right(&stack, &format!("a reset at {exchange}"));
        let said = "has a new id, so it was reset or is another one";
        assert!(
            ran.stderr.contains(said) || next.stderr.contains(said),
            "{ran}{next}"
        );
        exchange += 1;
    }
    assert!(exchange > 3, "{exchange}");
}

#[test]
fn the_process_may_end_at_any_step() {
    let psp = small_bank();
    let mut step = 1;
    loop {
        begin_again(&psp);
        let stack = Connectivity::start();
        let place = place(&psp, &stack);
        let crashing = |step: usize| {
            let mut command = place.command("poll");
            command.env("GENERIC_CONNECTOR_CRASH_AT", step.to_string());
            run(command).code.is_none()
        };
        let first = crashing(step);
        place.poll();
        changed(&psp);
        let second = crashing(step);
        let ran = place.poll();
        assert_eq!(ran.code, Some(0), "step {step}: {ran}");
        is_right(&stack, &format!("step {step}"));
        replayed(&place, &stack);
        if !first && !second {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "only {step} steps");
}

#[test]
fn the_process_may_be_killed_at_any_moment() {
    let psp = FakePsp::start();
    for number in 0..1_500 {
        let at = format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60);
        psp.add_raw_transaction(with_status(
            &format!("tx-{number:04}"),
            &at,
            "AUTHORISATION",
            "100",
        ));
    }
    let stack = Connectivity::start();
    let place = Place::new(
        &psp.url(),
        json!({ "publish": [stack.entry()], "batchRecords": 100, "pollingPeriod": "50ms" }),
    );
    let mut random = fastrand::Rng::new();
    for kill in 0..12 {
        let mut command = place.command("run");
        command.stderr(Stdio::null());
        let mut running = Running::start(command);
        std::thread::sleep(Duration::from_millis(random.u64(10..250)));
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.ended();
        let id = format!("tx-{:04}", kill * 100);
        psp.change_transaction(
            &id,
            json!({ "status": "CAPTURE", "updatedAt": format!("2024-02-01T01:{kill:02}:00Z") }),
        );
    }
    place.poll_well();
    assert_eq!(stack.payments().len(), 1_500);
    for ((id, _), payment) in stack.payments() {
        let is_captured = history(&payment).last().unwrap() == "CAPTURE";
        assert_eq!(
            payment.amount,
            number(if is_captured { 100 } else { 0 }),
            "{id}"
        );
        assert!(payment.adjustments.len() <= 2, "{id}: {payment:?}");
    }
    for kill in 0..12 {
        assert_eq!(
            stack.payment(&format!("tx-{:04}", kill * 100)).status(),
            "CAPTURE"
        );
    }
    replayed(&place, &stack);
}

#[test]
fn a_target_that_is_down_holds_up_no_poll_and_gets_everything_afterwards() {
    let psp = FakePsp::with_a_bank();
    let mut stack = Connectivity::start();
    let place = place(&psp, &stack);
    stack.go_down();
    let log = place.path().join("log");
    let mut command = place.command("run");
    command
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::null());
    let mut running = Running::start(command);
    let said = |text: &str| fs::read_to_string(&log).unwrap().contains(text);
    wait_until("polls go on", || said("poll 1 complete: 255 new versions"));
    wait_until("it is said", || {
        said("connection refused; is the service running, and is the port in \"url\" right?")
    });
    psp.add_transaction("while-down", "2024-03-01T00:00:00Z");
    wait_until("polls still go on", || said("1 new version"));
    stack.come_up();
    wait_until("everything arrives", || stack.payments().len() == 251);
    wait_until("it is said", || said("delivers again"));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
    // Said once, not at every try.
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("cannot deliver").count(), 1, "{log}");
}

#[test]
fn a_request_without_an_answer_does_not_hold_up_a_stop() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let mut entry = stack.entry();
    entry["requestTimeout"] = json!("1h");
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let (asked, was_asked) = std::sync::mpsc::channel();
    stack.script(move |request| match is_post(request, "/payments") {
        true => {
            asked.send(()).unwrap();
            Mishap::Silence
        }
        false => Mishap::None,
    });
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let mut running = Running::start(command);
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let (code, took) = running.ended();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn tokens_and_secrets_change_while_it_runs() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    // A token that ends in mid-batch.
    let expired = std::sync::Arc::new(stack);
    let stack = expired.clone();
    let mut payments = 0;
    expired.script(move |asked| {
        payments += usize::from(is_post(asked, "/payments"));
        if payments == 2 {
            payments = 100;
            stack.expire_tokens();
        }
        Mishap::None
    });
    let stack = expired;
    place.poll_well();
    assert_eq!(stack.tokens_given(), 2);
    stack.script(|_| Mishap::None);

    // A secret that is rotated: first in the stack, then here.
    stack.client_secret("another secret");
    changed(&psp);
    let ran = run(place.command("poll --delivery-patience 500ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("Formance gives no token; check \"clientId\" and the client's secret"),
        "{ran}"
    );
    assert!(!ran.stderr.contains(CLIENT_SECRET), "{ran}");
    let mut running = Running::start({
        let mut command = place.command("run");
        command.stderr(Stdio::null());
        command
    });
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(
        place.config(),
        config.replace(CLIENT_SECRET, "another secret"),
    )
    .unwrap();
    // The metadata comes last.
    wait_until("it goes on", || stack.payment("tx-1").metadata.len() == 1);
    is_right(&stack, "after the rotation");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_token_is_fetched_anew_before_it_ends() {
    let psp = small_bank();
    let stack = Connectivity::start();
    stack.token_lifetime(Duration::from_secs(1));
    let place = place(&psp, &stack);
    let mut running = Running::start({
        let mut command = place.command("run");
        command.stderr(Stdio::null());
        command
    });
    wait_until("it is pushed", || stack.payments().len() == 2);
    std::thread::sleep(Duration::from_millis(600));
    changed(&psp);
    wait_until("it is pushed", || {
        stack.payment("tx-1").adjustments.len() == 2
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
    // Half of its life is over by then.
    assert!(stack.tokens_given() >= 2);
    assert!(stack.exchanges().iter().all(|(_, status)| *status != 401));
}

#[test]
fn a_target_whose_clock_is_behind_is_waited_for() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    stack.clock_behind(Duration::from_secs(3));
    let place = place(&psp, &stack);
    let now = generic_connector::api::Timestamp::now().second();
    psp.add_transaction("old", "2024-02-01T00:00:00Z");
    psp.add_transaction("new", &now.to_string());
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("after the target's clock")
            && ran.stderr.contains("Is this machine's clock right?"),
        "{ran}"
    );
    assert_eq!(stack.payment("new").adjustments[0].created_at, now.start());
    assert_eq!(publisher(&place)["refused"], 0);
}

#[test]
fn what_is_refused_goes_into_quarantine_and_can_be_tried_again() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let refuse =
        |asked: &Asked| match is_post(asked, "/payments") && asked.text().contains("\"tx-1\"") {
            true => Mishap::Instead(Answer::new(
                400,
                r#"{"errorCode":"VALIDATION","errorMessage":"Scheme is\ninvalid"}"#,
            )),
            false => Mishap::None,
        };
    stack.script(refuse);
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("1 changes are refused by the target and kept in quarantine"),
        "{ran}"
    );
    assert_eq!(stack.payments().len(), 1);
    let quarantine = || run(place.command("quarantine list"));
    assert!(
        quarantine().stdout.contains("formance/4")
            && quarantine().stdout.contains("\"tx-1\": POST")
            && quarantine()
                .stdout
                .contains("VALIDATION: Scheme is\\ninvalid"),
        "{}",
        quarantine()
    );
    let shown = run(place.command("quarantine show formance/4"));
    assert!(shown.stdout.contains("AUTHORISATION"), "{shown}");
    assert_eq!(
        run(place.command("quarantine show formance/5")).code,
        Some(1)
    );
    // Tried again in vain, then not.
    let retry = || {
        assert_eq!(
            run(place.command("quarantine retry formance/4")).code,
            Some(0)
        )
    };
    retry();
    let ran = place.poll_well();
    assert!(ran.stderr.contains("seq 4 is refused again"), "{ran}");
    stack.script(|_| Mishap::None);
    retry();
    let ran = place.poll_well();
    assert!(ran.stderr.contains("seq 4 is settled"), "{ran}");
    changed(&psp);
    place.poll_well();
    is_right(&stack, "after the retry");
    assert!(
        !quarantine().stdout.contains("formance/"),
        "{}",
        quarantine()
    );

    // A newer version that was taken has said it all.
    stack.script(refuse);
    psp.change_transaction(
        "tx-1",
        json!({ "status": "DISPUTE", "updatedAt": "2024-02-01T00:02:00Z" }),
    );
    place.poll();
    stack.script(|_| Mishap::None);
    psp.change_transaction(
        "tx-1",
        json!({ "status": "DISPUTE_WON", "updatedAt": "2024-02-01T00:03:00Z" }),
    );
    place.poll_well();
    let number = quarantine()
        .stdout
        .split_whitespace()
        .find(|word| word.starts_with("formance/"))
        .unwrap()
        .to_owned();
    run(place.command(&format!("quarantine retry {number}")));
    place.poll_well();
    assert_eq!(
        history(&stack.payment("tx-1")),
        ["AUTHORISATION", "CAPTURE", "DISPUTE_WON"]
    );
    assert!(
        !quarantine().stdout.contains("formance/"),
        "{}",
        quarantine()
    );
}

/// A place whose entry differs.
fn differing(psp: &FakePsp, stack: &Connectivity, fields: Value) -> Place {
    let mut entry = stack.entry();
    for (key, value) in fields.as_object().unwrap() {
        entry[key] = value.clone();
    }
    Place::new(&psp.url(), json!({ "publish": [entry] }))
}

fn check(place: &Place) -> Ran {
    run(place.command("check"))
}

#[test]
fn check_finds_what_is_wrong_and_writes_nothing() {
    let psp = FakePsp::start();
    let mut stack = Connectivity::start();
    let good = place(&psp, &stack);
    let checked = check(&good);
    assert_eq!(checked.code, Some(0), "{checked}");
    assert!(
        checked.stdout.contains(
            "ok       formance: url, credentials and connector: the connector \"acme\" is installed"
        ) && checked
            .stdout
            .contains("ok       formance: scope payments:write: the client may write"),
        "{checked}"
    );
    assert!(!good.state().exists());
    assert!(stack.accounts().is_empty());
    let id = stack.connector_id();
    let by_id = differing(&psp, &stack, json!({ "connector": id }));
    assert_eq!(check(&by_id).code, Some(0));
    for (fields, said) in [
        (
            json!({ "connector": "acme-bank" }),
            "has no connector whose name is \"acme-bank\"",
        ),
        (
            json!({ "connector": "cards" }),
            "is of provider \"stripe\", to which nothing can be pushed",
        ),
        (
            json!({ "clientSecret": "wrong" }),
            "Formance gives no token; check \"clientId\"",
        ),
        (
            json!({ "clientId": "wrong" }),
            "Formance gives no token; check \"clientId\"",
        ),
        (
            json!({ "clientId": null, "clientSecret": null }),
            "the API wants a token; set \"clientId\"",
        ),
        (
            json!({ "url": format!("{}/nowhere", stack.url()) }),
            "answered 404",
        ),
    ] {
        let checked = check(&differing(&psp, &stack, fields));
        assert_eq!(checked.code, Some(1), "{checked}");
        assert!(
            checked.stdout.contains("FAILED   formance:") && checked.stdout.contains(said),
            "{said}: {checked}"
        );
        assert!(
            !checked.stdout.contains(CONNECTOR_SECRET) && !checked.stdout.contains(CLIENT_SECRET)
        );
    }
    stack.scopes(&["payments:read"]);
    let checked = check(&good);
    assert!(
        checked
            .stdout
            .contains("FAILED   formance: scope payments:write:")
            && checked
                .stdout
                .contains("allow the client the scopes payments:read and payments:write"),
        "{checked}"
    );
    stack.go_down();
    let checked = check(&good);
    assert!(checked.stdout.contains("connection refused"), "{checked}");
}

#[test]
fn a_bare_service_wants_no_token() {
    let psp = small_bank();
    let stack = Connectivity::start();
    stack.without_auth();
    let place = differing(
        &psp,
        &stack,
        json!({ "clientId": null, "clientSecret": null }),
    );
    assert_eq!(check(&place).code, Some(0));
    place.poll_well();
    changed(&psp);
    place.poll_well();
    is_right(&stack, "without a token");
    assert_eq!(stack.tokens_given(), 0);
    assert!(
        stack
            .exchanges()
            .iter()
            .all(|(asked, _)| asked.path.starts_with("/v3/"))
    );
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

/// How fast a bank is pushed, and what that costs: `PUSH_RECORDS` and `PUSH_LATENCY` (milliseconds) set the size.
#[test]
#[ignore = "a benchmark: cargo test --release --test promises figures -- --ignored --nocapture"]
fn figures() {
    let set = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (records, latency) = (set("PUSH_RECORDS", 10_000), set("PUSH_LATENCY", 0));
    let psp = FakePsp::start();
    for number in 0..records {
        let (minute, second) = (number / 60 % 60, number % 60);
        let at = format!(
            "2024-02-{:02}T{:02}:{minute:02}:{second:02}Z",
            1 + number / 86_400,
            number / 3_600 % 24
        );
        psp.add_transaction(&format!("tx-{number:07}"), &at);
    }
    let mut stack = Connectivity::start();
    let place = Place::new(
        &psp.url(),
        json!({ "publish": [stack.entry()], "pageSize": 10_000 }),
    );
    stack.go_down();
    run(place.command("poll --delivery-patience 1ms"));
    stack.come_up();
    stack.latency(Duration::from_millis(latency));
    let begun = std::time::Instant::now();
    let mut polling = Running::start(place.command("poll"));
    let mut memory = String::new();
    while polling.0.try_wait().unwrap().is_none() {
        let status =
            fs::read_to_string(format!("/proc/{}/status", polling.0.id())).unwrap_or_default();
        memory = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .map_or(memory, str::to_owned);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(stack.payments().len() as u64, records);
    println!(
        "{records} records at {latency} ms: {took:.1} s, {:.0} a second; {memory}",
        records as f64 / took
    );
}
