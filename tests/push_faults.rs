//! The formance publisher when things go wrong: any fault of any exchange, a reset of the connector, an end of the
//! process at any step, a target that is down, refuses, or has another clock.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::push_formance::{history, is_post, number, place, publisher, replayed, with_status};
use crate::support::{
    CLIENT_SECRET, Connectivity, FakePsp, Mishap, Place, Running, TestAnswer, TestRequest, run,
    wait_until,
};

/// A small bank with everything in it that takes a request, in two polls.
pub(crate) fn small_bank() -> FakePsp {
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

pub(crate) fn changed(psp: &FakePsp) {
    psp.change_transaction(
        "tx-1",
        json!({ "status": "CAPTURE", "updatedAt": "2024-02-01T00:01:00Z", "metadata": { "a": "1" } }),
    );
}

/// What both polls of the small bank lead to.
pub(crate) fn is_right(stack: &Connectivity, what: &str) {
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
    let no_wait = || TestAnswer::new(429, "").with("Retry-After", "0");
    let faults: [(&str, Mishap); 9] = [
        ("a lost answer", Mishap::LostAnswer),
        ("a cut connection", Mishap::Cut),
        (
            "500",
            Mishap::Instead(TestAnswer::new(500, r#"{"errorCode":"INTERNAL"}"#)),
        ),
        ("401", Mishap::Instead(TestAnswer::new(401, ""))),
        ("403", Mishap::Instead(TestAnswer::new(403, ""))),
        ("404", Mishap::Instead(TestAnswer::new(404, ""))),
        ("429", Mishap::Instead(no_wait())),
        (
            "400 of something else",
            Mishap::Instead(TestAnswer::new(400, "<html>")),
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
    let stack = Connectivity::start();
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
    let now = generic_connector::Timestamp::now().second();
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
fn what_never_passes_is_named_and_can_be_skipped() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    stack.script(|asked| match asked.text().contains("\"tx-1\"") {
        true => Mishap::Instead(TestAnswer::new(
            500,
            r#"{"errorCode":"INTERNAL","errorMessage":"no"}"#,
        )),
        false => Mishap::None,
    });
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("\"tx-1\" (seq 4): POST") && ran.stderr.contains("publisher skip"),
        "{ran}"
    );
    let wrong = run(place.command("publisher skip formance 99"));
    assert!(
        wrong
            .stderr
            .contains("99 is not among what it has yet to deliver"),
        "{wrong}"
    );
    assert_eq!(
        run(place.command("publisher skip formance 4")).code,
        Some(0)
    );
    place.poll_well();
    assert_eq!(publisher(&place)["lag"], 0);
    assert_eq!(
        (stack.payments().len(), &publisher(&place)["refused"]),
        (1, &json!(1))
    );
    stack.script(|_| Mishap::None);
    run(place.command("quarantine retry formance/4"));
    changed(&psp);
    place.poll_well();
    // The retry comes first.
    is_right(&stack, "after the retry");
}

#[test]
fn what_is_refused_goes_into_quarantine_and_can_be_tried_again() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let refuse = |asked: &TestRequest| match is_post(asked, "/payments")
        && asked.text().contains("\"tx-1\"")
    {
        true => Mishap::Instead(TestAnswer::new(
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
        );
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

#[test]
fn a_target_that_lets_only_some_through_at_once_gets_everything() {
    let psp = FakePsp::start();
    for number in 0..600 {
        let at = format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60);
        psp.add_transaction(&format!("tx-{number:03}"), &at);
    }
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    // Every hundredth request fails, and of the others no more than forty pass between two look-ups.
    let (mut passed, mut number) = (0, 0);
    stack.script(move |asked| {
        if asked.method == "GET" {
            passed = 0;
        }
        passed += 1;
        number += 1;
        match passed > 40 || number % 100 == 0 {
            true => Mishap::Instead(TestAnswer::new(429, "").with("Retry-After", "0")),
            false => Mishap::None,
        }
    });
    place.poll_well();
    assert_eq!(stack.payments().len(), 600);
}

#[test]
fn a_page_that_stands_before_the_api_takes_nothing() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    stack.script(
        |asked| match is_post(asked, "/accounts") || is_post(asked, "/payments") {
            true => Mishap::Instead(TestAnswer::new(200, "<html>down for maintenance</html>")),
            false => Mishap::None,
        },
    );
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("which is not the API's answer"),
        "{ran}"
    );
    stack.script(|_| Mishap::None);
    changed(&psp);
    place.poll_well();
    stack.script(|asked| match asked.method == "PATCH" {
        true => Mishap::Instead(TestAnswer::new(200, "<html>down for maintenance</html>")),
        false => Mishap::None,
    });
    psp.change_transaction(
        "tx-2",
        json!({ "updatedAt": "2024-02-01T00:05:00Z", "metadata": { "a": "1" } }),
    );
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    stack.script(|_| Mishap::None);
    place.poll_well();
    assert_eq!(stack.payment("tx-2").metadata.len(), 1);
}

#[test]
fn what_is_told_late_is_not_told_twice_by_a_replay() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let refund = |id: &str, at: &str| {
        let mut refund = with_status(id, at, "REFUNDED", "30");
        refund["relatedTransactionID"] = json!("paid");
        refund
    };
    psp.add_raw_transaction(with_status(
        "paid",
        "2024-02-01T00:00:00Z",
        "SUCCEEDED",
        "100",
    ));
    psp.add_raw_transaction(with_status(
        "held",
        "2024-02-01T00:00:00Z",
        "AUTHORISATION",
        "100",
    ));
    psp.add_raw_transaction(refund("refund-1", "2024-02-01T00:01:00Z"));
    psp.add_raw_transaction(refund("refund-2", "2024-02-01T00:02:00Z"));
    let refuse = |what: &'static str| {
        move |asked: &TestRequest| match is_post(asked, "/payments") && asked.text().contains(what)
        {
            true => Mishap::Instead(TestAnswer::new(
                400,
                r#"{"errorCode":"VALIDATION","errorMessage":"no"}"#,
            )),
            false => Mishap::None,
        }
    };
    stack.script(refuse("\"reference\":\"refund-1\""));
    assert_eq!(place.poll().code, Some(2));
    // Part of a capture is refused, too, before the rest of it is not.
    stack.script(refuse("\"amount\":40"));
    psp.change_transaction(
        "held",
        json!({ "status": "CAPTURE", "amount": "40", "updatedAt": "2024-02-01T00:03:00Z" }),
    );
    assert_eq!(place.poll().code, Some(2));
    stack.script(|_| Mishap::None);
    psp.change_transaction(
        "held",
        json!({ "status": "CAPTURE", "amount": "60", "updatedAt": "2024-02-01T00:04:00Z" }),
    );
    place.poll_well();
    assert_eq!(stack.payment("paid").amount, number(70));
    assert_eq!(stack.payment("held").amount, number(60));
    run(place.command("quarantine retry formance/3 formance/5"));
    let ran = place.poll_well();
    assert_eq!(publisher(&place)["refused"], 0, "{ran}");
    assert_eq!(stack.payment("paid").amount, number(40));
    assert_eq!(stack.payment("held").amount, number(100));
    replayed(&place, &stack);
}

#[test]
fn a_publisher_of_another_type_under_the_same_name_begins_at_the_beginning() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let entry = json!({ "type": "ndjson", "name": "out", "path": "changes" });
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    place.poll_well();
    let mut entry = stack.entry();
    entry["name"] = json!("out");
    place.configure(&psp.url(), json!({ "publish": [entry] }));
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("\"out\" has another type than it had"),
        "{ran}"
    );
    changed(&psp);
    place.poll_well();
    is_right(&stack, "another type");
}
