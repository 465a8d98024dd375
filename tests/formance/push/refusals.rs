//! What the target refuses, delays or does not understand.

use serde_json::json;

use super::{
    changed, history, is_post, is_right, number, place, publisher, replayed, small_bank,
    with_status,
};
use crate::formance::Connectivity;
use crate::support::{FakePsp, Mishap, TestAnswer, TestRequest, run};

#[test]
fn what_never_passes_is_named_and_can_be_skipped() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    stack.script(|asked| {
        if asked.text().contains("\"tx-1\"") {
            Mishap::Instead(TestAnswer::new(
                500,
                r#"{"errorCode":"INTERNAL","errorMessage":"no"}"#,
            ))
        } else {
            Mishap::None
        }
    });
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("\"tx-1\" (seq 4): POST") && ran.stderr.contains("publisher skip"),
        "{ran}"
    );
    let wrong = run(place.command("publisher skip formance 99"));
    assert!(
        wrong.stderr.contains("it does not have to deliver 99"),
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
fn a_batch_whose_payment_releases_what_is_refused_is_settled() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    for id in ["refund-1", "refund-2"] {
        let mut refund = with_status(id, "2024-02-01T00:00:01Z", "REFUNDED", "10");
        refund["relatedTransactionID"] = json!("late");
        psp.add_raw_transaction(refund);
    }
    place.poll_well();
    stack.script(|asked| {
        if asked.text().contains("\"refund-") {
            Mishap::Instead(TestAnswer::new(400, r#"{"errorCode":"VALIDATION"}"#))
        } else {
            Mishap::None
        }
    });
    psp.add_raw_transaction(with_status(
        "late",
        "2024-02-01T00:00:02Z",
        "SUCCEEDED",
        "100",
    ));
    let ran = place.poll();
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert_eq!(publisher(&place)["refused"], 2, "{ran}");
    assert_eq!(publisher(&place)["lag"], 0);
}

#[test]
fn what_is_refused_goes_into_quarantine_and_can_be_tried_again() {
    let psp = small_bank();
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let refuse = |asked: &TestRequest| {
        if is_post(asked, "/payments") && asked.text().contains("\"tx-1\"") {
            Mishap::Instead(TestAnswer::new(
                400,
                r#"{"errorCode":"VALIDATION","errorMessage":"Scheme is\ninvalid"}"#,
            ))
        } else {
            Mishap::None
        }
    };
    stack.script(refuse);
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("1 changes were refused by the target and quarantined"),
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
    // The first retry is refused again, the second one is not.
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
        if passed > 40 || number % 100 == 0 {
            Mishap::Instead(TestAnswer::new(429, "").with("Retry-After", "0"))
        } else {
            Mishap::None
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
    stack.script(|asked| {
        if is_post(asked, "/accounts") || is_post(asked, "/payments") {
            Mishap::Instead(TestAnswer::new(200, "<html>down for maintenance</html>"))
        } else {
            Mishap::None
        }
    });
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("which is not the API's answer"),
        "{ran}"
    );
    stack.script(|_| Mishap::None);
    changed(&psp);
    place.poll_well();
    stack.script(|asked| {
        if asked.method == "PATCH" {
            Mishap::Instead(TestAnswer::new(200, "<html>down for maintenance</html>"))
        } else {
            Mishap::None
        }
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
        move |asked: &TestRequest| {
            if is_post(asked, "/payments") && asked.text().contains(what) {
                Mishap::Instead(TestAnswer::new(
                    400,
                    r#"{"errorCode":"VALIDATION","errorMessage":"no"}"#,
                ))
            } else {
                Mishap::None
            }
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
