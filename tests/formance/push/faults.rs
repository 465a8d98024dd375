//! Faults: of any exchange, a reset of the connector, an end of the process, a target that is down or slow.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{
    begin_again, changed, history, is_post, is_right, number, place, publisher, replayed,
    small_bank, with_status,
};
use crate::formance::{CLIENT_SECRET, Connectivity};
use crate::support::{FakePsp, Mishap, Place, Running, TestAnswer, run, wait_until};

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

/// Lets that exchange go wrong in that way. False if there are fewer exchanges.
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
    assert_eq!(log.matches("failed, retrying").count(), 1, "{log}");
}

#[test]
fn a_request_without_an_answer_does_not_hold_up_a_stop() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let mut entry = stack.entry();
    entry["requestTimeout"] = json!("1h");
    let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
    let (asked, was_asked) = std::sync::mpsc::channel();
    stack.script(move |request| {
        if is_post(request, "/payments") {
            asked.send(()).unwrap();
            Mishap::Silence
        } else {
            Mishap::None
        }
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
            .contains("Formance issues no token; check \"clientId\", the client's secret"),
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
        ran.stderr.contains("ahead of the target's clock")
            && ran.stderr.contains("Is this machine's clock right?"),
        "{ran}"
    );
    assert_eq!(stack.payment("new").adjustments[0].created_at, now.start());
    assert_eq!(publisher(&place)["refused"], 0);
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
    assert!(ran.stderr.contains("\"out\" has a new type"), "{ran}");
    changed(&psp);
    place.poll_well();
    is_right(&stack, "a new type");
}
