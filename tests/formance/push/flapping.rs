//! A target that fails now and then: a request that failed is sent again by itself, and the log stays short.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{history, is_post, number, place, publisher, with_status};
use crate::formance::Connectivity;
use crate::support::{FakePsp, Mishap, Place, TestAnswer, TestRequest, run};

/// A bank with that many payments, every third of which is refunded in part by a transaction of its own.
fn bank(payments: usize) -> FakePsp {
    let psp = FakePsp::start();
    for payment in 0..payments {
        let at = |second| {
            let (minutes, seconds) = (payment / 60, payment % 60);
            format!(
                "2024-02-01T{:02}:{:02}:{seconds:02}.{second}Z",
                minutes / 60,
                minutes % 60
            )
        };
        let id = format!("tx-{payment:04}");
        psp.add_raw_transaction(with_status(&id, &at(0), "SUCCEEDED", "100"));
        if payment % 3 == 0 {
            let mut refund = with_status(&format!("{id}-refund"), &at(1), "REFUNDED", "40");
            refund["relatedTransactionID"] = json!(id);
            psp.add_raw_transaction(refund);
        }
    }
    psp
}

fn has_all(stack: &Connectivity, payments: usize) {
    assert_eq!(stack.payments().len(), payments);
    for ((id, _), payment) in stack.payments() {
        let is_refunded = id[3..].parse::<usize>().unwrap() % 3 == 0;
        let (amount, statuses): (i64, &[&str]) = if is_refunded {
            (60, &["SUCCEEDED", "REFUNDED"])
        } else {
            (100, &["SUCCEEDED"])
        };
        assert_eq!(payment.amount, number(amount), "{id}");
        assert_eq!(history(&payment), statuses, "{id}");
    }
}

/// The lines of a log about delivery.
fn lines(log: &str) -> Vec<&str> {
    let is_about_delivery = |line: &&str| line.contains("\"formance\"");
    log.lines().filter(is_about_delivery).collect()
}

/// The requests to the stack, and when each came in.
type Asked = Arc<Mutex<Vec<(Instant, TestRequest)>>>;

/// Lets each request end as `mishap` says by its number, from 1.
fn script(stack: &Connectivity, mut mishap: impl FnMut(usize) -> Mishap + Send + 'static) -> Asked {
    let asked = Asked::default();
    let seen = asked.clone();
    stack.script(move |request| {
        let mut seen = seen.lock().unwrap();
        seen.push((Instant::now(), request.clone()));
        mishap(seen.len())
    });
    asked
}

fn count(asked: &Asked, is: impl Fn(&TestRequest) -> bool) -> usize {
    let asked = asked.lock().unwrap();
    asked.iter().filter(|(_, request)| is(request)).count()
}

#[test]
fn a_request_that_fails_now_and_then_fails_no_batch() {
    let psp = bank(900);
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let asked = script(&stack, |number| match (number % 33, number / 33 % 7) {
        (0, 0) => Mishap::Instead(TestAnswer::new(500, r#"{"errorCode":"INTERNAL"}"#)),
        (0, 1) => Mishap::Instead(TestAnswer::new(502, "<html>bad gateway")),
        (0, 2) => Mishap::Instead(TestAnswer::new(429, "")),
        (0, 3) => Mishap::Cut,
        (0, 4) => Mishap::LostAnswer,
        (0, 5) => Mishap::Reset,
        (0, _) => Mishap::CutInBody,
        _ => Mishap::None,
    });
    let ran = place.poll_well();
    has_all(&stack, 900);
    assert_eq!(publisher(&place)["refused"], 0);
    // A batch that fails is followed by a look-up of the connector, and is sent again from its beginning.
    let is_look_up = |request: &TestRequest| request.path.contains("/connectors");
    assert_eq!(count(&asked, is_look_up), 1);
    let failed = asked.lock().unwrap().len() / 33;
    assert!(failed > 30, "{failed}");
    let pushed = count(&asked, |request| is_post(request, "/payments"));
    assert_eq!(pushed, 1_200 + failed);
    let lines = lines(&ran.stderr);
    assert_eq!(lines.len(), 1, "{ran}");
    assert!(lines[0].contains("the target fails now and then"), "{ran}");
}

#[test]
fn a_target_that_asks_for_patience_is_left_alone() {
    let psp = bank(60);
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let asked = script(&stack, |number| match number {
        40 => Mishap::Instead(TestAnswer::new(503, "").with("Retry-After", "2")),
        _ => Mishap::None,
    });
    place.poll_well();
    has_all(&stack, 60);
    let asked = asked.lock().unwrap();
    let (turned_away_at, turned_away) = &asked[39];
    let mut later = asked[40..].iter();
    let again = later.find(|(_, request)| request.body == turned_away.body);
    let waited = again.unwrap().0 - *turned_away_at;
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    let look_ups = asked
        .iter()
        .filter(|(_, request)| request.path.contains("/connectors"));
    let look_ups: Vec<_> = look_ups.map(|(at, _)| *at - *turned_away_at).collect();
    assert!(look_ups[1] >= Duration::from_secs(2), "{look_ups:?}");
}

#[test]
fn batches_that_fail_now_and_then_take_a_few_lines() {
    let psp = bank(150);
    let stack = Connectivity::start();
    let place = place(&psp, &stack);
    let wait = || TestAnswer::new(429, "").with("Retry-After", "0");
    let asked = script(&stack, move |number| match number % 33 {
        0 => Mishap::Instead(wait()),
        _ => Mishap::None,
    });
    let ran = place.poll_well();
    has_all(&stack, 150);
    let failed = asked.lock().unwrap().len() / 33;
    assert!(failed > 6, "{failed}");
    let lines = lines(&ran.stderr);
    assert!(lines.len() <= 6, "{failed} failures: {ran}");
}

/// A proxy may show in its answer what it was sent.
#[test]
fn what_is_said_of_a_request_for_a_token_has_no_secret() {
    let psp = bank(60);
    let stack = Arc::new(Connectivity::start());
    let place = place(&psp, &stack);
    let expiring = stack.clone();
    let (mut requests, mut has_failed) = (0, false);
    stack.script(move |request| {
        requests += 1;
        if requests == 20 {
            expiring.expire_tokens();
        }
        if requests > 20 && is_post(request, "/oauth/token") && !has_failed {
            has_failed = true;
            return Mishap::Instead(TestAnswer::new(500, request.text()));
        }
        Mishap::None
    });
    let ran = run(place.command("poll --verbose"));
    stack.script(|_| Mishap::None);
    has_all(&stack, 60);
    let said = "the last one after: POST";
    let line = ran.stderr.lines().find(|line| line.contains(said)).unwrap();
    assert!(line.ends_with("/oauth/token answered 500"), "{ran}");
    assert!(!ran.stderr.contains("s3cret"), "{ran}");
}

/// Prints what 5,000 transactions take at a target that fails for none, one and three of a hundred requests:
/// `cargo test --release --test promises -- --ignored --nocapture delivery_at_a_target_that_fails`
#[test]
#[ignore = "a measurement"]
fn delivery_at_a_target_that_fails() {
    let psp = FakePsp::start();
    for number in 0..5_000 {
        let at = format!(
            "2024-02-01T{:02}:{:02}:{:02}Z",
            number / 3_600,
            number / 60 % 60,
            number % 60
        );
        psp.add_transaction(&format!("tx-{number:04}"), &at);
    }
    for percent in [0, 1, 3] {
        let stack = Connectivity::start();
        stack.latency(Duration::from_millis(2));
        let place = Place::new(&psp.url(), json!({ "publish": [stack.entry()] }));
        let mut random = fastrand::Rng::with_seed(7);
        let asked = script(&stack, move |_| {
            if random.u32(0..100) < percent {
                Mishap::Instead(TestAnswer::new(503, ""))
            } else {
                Mishap::None
            }
        });
        let ran = place.poll_well();
        assert_eq!(stack.payments().len(), 5_000);
        let asked = asked.lock().unwrap();
        let took = asked[asked.len() - 1].0 - asked[0].0;
        let (requests, lines) = (asked.len(), lines(&ran.stderr).len());
        println!(
            "{percent} %: {:.2} s, {requests} requests, {lines} lines",
            took.as_secs_f64()
        );
    }
}
