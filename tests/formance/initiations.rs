//! Payouts and transfers through the listener: whatever happens between a request and its answer, the service never sees
//! two different requests under one key.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use generic_connector::Stream;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{payout, poller_on};
use crate::support::{FakePsp, LISTEN_KEY, Listening, Manners, Reply, wait_until};

/// A listener whose polls fail at once, so that nothing but payouts happens.
fn quiet_listener(service: &FakePsp, more: Value) -> Listening {
    lists_fail(service, Reply::Usual);
    let mut keys = json!({ "requestTimeout": "300ms" });
    keys.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Listening::start(&service.url(), keys)
}

/// Answers payouts so, and nothing else.
fn lists_fail(service: &FakePsp, payouts: Reply) {
    service.script(move |path| match path {
        "/payouts" | "/transfers" => payouts.clone(),
        _ => Reply::status(401),
    });
}

fn ask(listening: &Listening, key: &str, amount: &str) -> (u16, Value) {
    listening.post("/payouts", &payout(key, amount).to_string())
}

/// Asks from a thread of its own.
fn asking(listening: &Arc<Listening>, key: &'static str) -> JoinHandle<(u16, Value)> {
    let listening = listening.clone();
    std::thread::spawn(move || ask(&listening, key, "100"))
}

fn unsettled(listening: &Listening) -> Vec<(String, String)> {
    let (_, status) = listening.get("/status");
    let unsettled = status["unsettledInitiations"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    unsettled
        .iter()
        .map(|one| (text(&one["idempotencyKey"]), text(&one["state"])))
        .collect()
}

#[test]
fn what_breaks_a_rule_is_not_forwarded() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({}));
    for (field, value) in [
        ("idempotencyKey", json!("")),
        ("amount", json!("0")),
        ("amount", json!(100)),
        ("currency", json!("euro")),
        ("sourceAccountId", json!(null)),
        ("destinationAccountId", json!("")),
        // A service written in Go takes the last one for the amount or the key.
        ("Amount", json!("1000000")),
        ("IDEMPOTENCYKEY", json!("inner")),
        ("sourceAccountID", json!("acc-2")),
    ] {
        let mut body = payout("k", "100");
        body[field] = value;
        let (status, error) = listening.post("/payouts", &body.to_string());
        assert_eq!(
            (status, &error["Title"]),
            (400, &json!("Bad Request")),
            "{field}"
        );
        assert!(error["Detail"].as_str().unwrap().contains(field), "{error}");
    }
    assert_eq!(listening.post("/transfers", "<html>").0, 400);
    assert!(service.posts().is_empty());
}

#[test]
fn the_same_request_is_answered_from_the_journal() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({}));
    let (status, made) = ask(&listening, "k", "100");
    assert_eq!(
        (status, &made["status"]),
        (201, &json!("PENDING")),
        "{made}"
    );
    assert_eq!(
        service.posts(),
        [("/payouts".to_owned(), payout("k", "100"))]
    );
    // The same members in another order.
    let turned = r#"{"metadata":{"a":"b"},"description":"rent","destinationAccountId":"ben-1","sourceAccountId":"acc-1","currency":"EUR/2","amount":"100","idempotencyKey":"k"}"#;
    assert_eq!(listening.post("/payouts", turned), (201, made.clone()));
    assert_eq!(ask(&listening, "k", "101").0, 409);
    assert_eq!(listening.post("/transfers", turned).0, 409);
    let listening = listening.restart(&[]);
    assert_eq!(ask(&listening, "k", "100"), (201, made));
    assert_eq!(ask(&listening, "k", "101").0, 409);
    assert_eq!(service.posts().len(), 1);
    assert_eq!(
        listening.get("/status").1["initiations"],
        json!({ "made": 1 })
    );
}

#[test]
fn a_service_that_answers_late_is_waited_for_in_the_background() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({ "requestTimeout": "40s" }));
    let (release, released) = crossbeam_channel::bounded(1);
    lists_fail(&service, Reply::When(released));
    let begun = Instant::now();
    let (status, headers, body) = listening.ask(
        "POST",
        "/payouts",
        Some(&format!("Bearer {LISTEN_KEY}")),
        &payout("k", "100").to_string(),
    );
    assert_eq!(
        (status, headers.contains_key("retry-after")),
        (503, true),
        "{body}"
    );
    assert!(
        (7..10).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(unsettled(&listening), [("k".into(), "open".into())]);
    assert_eq!(ask(&listening, "k", "101").0, 409);
    release.send(()).unwrap();
    assert_eq!(ask(&listening, "k", "100").0, 201);
    assert_eq!((service.posts().len(), unsettled(&listening).len()), (1, 0));
}

#[test]
fn without_an_answer_the_outcome_is_unknown_until_it_is_asked_for_again() {
    for reply in [Reply::Cut, Reply::Never] {
        let service = FakePsp::start();
        let listening = quiet_listener(&service, json!({}));
        lists_fail(&service, reply);
        let (status, error) = ask(&listening, "k", "100");
        assert_eq!(
            (status, &error["Title"]),
            (503, &json!("Outcome Unknown")),
            "{error}"
        );
        assert_eq!(unsettled(&listening), [("k".into(), "unknown".into())]);
        let tries = service.posts().len();
        assert!(tries > 1);
        lists_fail(&service, Reply::Usual);
        // Never unasked, not even after a restart.
        let listening = listening.restart(&[]);
        assert_eq!(unsettled(&listening), [("k".into(), "unknown".into())]);
        let warnings = listening.get("/status").1["warnings"].to_string();
        assert!(warnings.contains("is unknown"), "{warnings}");
        assert_eq!(service.posts().len(), tries);
        assert_eq!(ask(&listening, "k", "100").0, 201);
        let posts = service.posts();
        assert_eq!(posts.len(), tries + 1);
        assert!(posts.iter().all(|post| *post == posts[0]));
        assert_eq!(service.transactions().len(), 1);
    }
}

#[test]
fn only_what_the_service_decides_is_an_outcome() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({}));
    for (status, state) in [
        (401, "not made"),
        (403, "not made"),
        (404, "not made"),
        (405, "not made"),
        (429, "not made"),
        (302, "unknown"),
        (500, "unknown"),
        (503, "unknown"),
    ] {
        lists_fail(&service, Reply::status(status));
        let key = format!("k-{status}");
        let (answered, error) = ask(&listening, &key, "100");
        assert_eq!(answered, 503, "{status}: {error}");
        assert!(
            error["Detail"]
                .as_str()
                .unwrap()
                .contains(&status.to_string()),
            "{error}"
        );
        assert_eq!(
            unsettled(&listening),
            [(key.clone(), state.into())],
            "{status}"
        );
        lists_fail(&service, Reply::Usual);
        assert_eq!(ask(&listening, &key, "101").0, 409);
        assert_eq!(ask(&listening, &key, "100").0, 201, "{status}");
    }
    for status in [400, 409, 422] {
        lists_fail(&service, Reply::status(status));
        let key = format!("k-{status}");
        let refused = (
            status,
            json!({ "Title": "Told so", "Detail": "by the test" }),
        );
        assert_eq!(ask(&listening, &key, "100"), refused);
        lists_fail(&service, Reply::Usual);
        assert_eq!(ask(&listening, &key, "100"), refused);
    }
}

#[test]
fn what_never_reached_the_service_is_not_made() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listening = Listening::start(&format!("http://{port}"), json!({}));
    let (status, error) = ask(&listening, "k", "100");
    assert_eq!(
        (status, &error["Title"]),
        (503, &json!("Not Made")),
        "{error}"
    );
    assert_eq!(unsettled(&listening), [("k".into(), "not made".into())]);
}

#[test]
fn what_came_of_a_payout_without_an_answer_is_held_back_too() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({ "requestTimeout": "300ms" }));
    listening.poll();
    service.always("/payouts", Reply::Cut);
    assert_eq!(ask(&listening, "k", "100").0, 503);
    listening.poll();
    let listed = || {
        listening
            .get("/transactions?pageSize=1000")
            .1
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(listed().len(), 250);
    // Asked for again, it is known, and listed under its key.
    service.heal();
    let (status, made) = ask(&listening, "k", "100");
    assert_eq!((status, listed().len()), (201, 251));
    let shown = listed()
        .into_iter()
        .find(|shown| shown["id"] == made["id"])
        .unwrap();
    assert_eq!(shown["relatedTransactionID"], "k");
}

#[test]
fn what_may_be_made_is_not_called_refused_or_not_made() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({}));
    lists_fail(&service, Reply::Cut);
    assert_eq!(ask(&listening, "k", "100").0, 503);
    // The service has made it, and says so in its own way, or cannot be asked.
    for status in [409, 401, 404, 429] {
        lists_fail(&service, Reply::status(status));
        assert_eq!(ask(&listening, "k", "100").0, 503, "{status}");
        assert_eq!(
            unsettled(&listening),
            [("k".into(), "unknown".into())],
            "{status}"
        );
    }
    lists_fail(&service, Reply::Usual);
    assert_eq!(ask(&listening, "k", "100").0, 201);
    assert_eq!(service.transactions().len(), 1);
}

#[test]
fn an_answer_that_says_nothing_is_none_and_a_poor_one_is_completed() {
    let service = FakePsp::start();
    let listening = quiet_listener(&service, json!({}));
    for (number, nothing) in ["<html>", "", "{}", r#"{"id":5}"#].into_iter().enumerate() {
        lists_fail(&service, Reply::With(201, vec![], nothing.into()));
        assert_eq!(
            ask(&listening, &format!("k-{number}"), "1").0,
            503,
            "{nothing}"
        );
    }
    lists_fail(
        &service,
        Reply::With(200, vec![], br#"{"id":"p","amount":100}"#.to_vec()),
    );
    let (status, made) = ask(&listening, "k", "100");
    assert_eq!(status, 201);
    assert_eq!(
        (&made["id"], &made["amount"], &made["idempotencyKey"]),
        (&json!("p"), &json!("100"), &json!("k"))
    );
    assert!(
        made["createdAt"].is_string() && made["status"] == "OTHER",
        "{made}"
    );
}

#[test]
fn a_hundred_requests_with_one_key_are_one_for_the_service() {
    let service = FakePsp::start();
    let listening = Arc::new(quiet_listener(&service, json!({ "requestTimeout": "30s" })));
    let (release, released) = crossbeam_channel::bounded(1);
    lists_fail(&service, Reply::When(released));
    let asking: Vec<_> = (0..100).map(|_| asking(&listening, "k")).collect();
    wait_until("the service is asked", || !service.posts().is_empty());
    std::thread::sleep(Duration::from_millis(200));
    release.send(()).unwrap();
    let answers: Vec<_> = asking
        .into_iter()
        .map(|asking| asking.join().unwrap())
        .collect();
    assert_eq!(answers[0].0, 201);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(service.posts().len(), 1);
    // And a hundred keys are a hundred, each made once, however many have to ask again.
    lists_fail(&service, Reply::Usual);
    let asking: Vec<_> = (0..100)
        .map(|number| {
            let listening = listening.clone();
            std::thread::spawn(move || {
                wait_until("it is made", || {
                    ask(&listening, &format!("k-{number}"), "1").0 == 201
                });
            })
        })
        .collect();
    asking.into_iter().for_each(|asking| asking.join().unwrap());
    assert_eq!(service.transactions().len(), 101);
    assert_eq!(service.posts().len(), 101);
}

#[test]
fn the_process_may_end_at_any_step_of_the_journal() {
    let mut step = 1;
    loop {
        let service = FakePsp::start();
        lists_fail(&service, Reply::Usual);
        let place = crate::support::Place::new(
            &service.url(),
            json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" }),
        );
        let crash = [("GENERIC_CONNECTOR_CRASH_AT", step.to_string())];
        let mut listening = Listening::begin(place, &crash);
        // The steps of its start and of its first poll come before those of the payout.
        if listening.url.is_empty() {
            step += 1;
            continue;
        }
        wait_until("the first poll has ended", || {
            listening.log().contains("poll 1 failed")
                || listening.process.0.try_wait().unwrap().is_some()
        });
        let first = poller_on(&listening).post("payouts", &payout("k", "100"));
        let crashed = first.is_err();
        if crashed {
            listening.process.0.wait().unwrap();
            let asked = !service.posts().is_empty();
            listening = listening.restart(&[]);
            // Once the service may have been asked, another request cannot have the key.
            if asked {
                assert_eq!(ask(&listening, "k", "101").0, 409, "step {step}");
            }
        }
        assert_eq!(ask(&listening, "k", "100").0, 201, "step {step}");
        let posts = service.posts();
        assert!(posts.iter().all(|post| *post == posts[0]), "step {step}");
        assert_eq!(service.transactions().len(), 1, "step {step}");
        assert!(unsettled(&listening).is_empty());
        if !crashed {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "only {step} steps");
}

#[test]
fn what_came_of_a_payout_is_listed_under_its_key_and_not_before_it_is_known() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let before = listening
        .get("/transactions?pageSize=1000")
        .1
        .as_array()
        .unwrap()
        .len();
    let (release, released) = crossbeam_channel::bounded(1);
    service.always("/payouts", Reply::When(released));
    let listening = Arc::new(listening);
    let asking = asking(&listening, "k");
    wait_until("the payout is made", || {
        service.transactions().len() > before
    });
    listening.poll();
    // Stored, and held back: its id is not known to be the payout's yet.
    let listed = || {
        listening
            .get("/transactions?pageSize=1000")
            .1
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(listed().len(), before);
    release.send(()).unwrap();
    let (_, made) = asking.join().unwrap();
    assert_eq!(listed().len(), before + 1);
    let shown = listed()
        .into_iter()
        .find(|shown| shown["id"] == made["id"])
        .unwrap();
    assert_eq!(shown["relatedTransactionID"], "k");
    let mut poller = poller_on(&listening);
    assert_eq!(poller.post("payouts", &payout("k", "100")).unwrap().0, 201);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.payments().len(), before + 1, "one payment, not two");
}

#[test]
fn what_is_held_back_is_listed_after_a_minute() {
    let service = FakePsp::with_a_bank();
    service.behave(Manners {
        hides_initiations: true,
        ..Manners::default()
    });
    let listening = Arc::new(Listening::start(
        &service.url(),
        json!({ "requestTimeout": "40s" }),
    ));
    listening.poll();
    let (release, released) = crossbeam_channel::bounded(1);
    service.always("/payouts", Reply::When(released));
    let asking = asking(&listening, "k");
    wait_until("the payout is asked for", || !service.posts().is_empty());
    service.add_transaction("newer", "2024-03-01T00:00:00Z");
    listening.poll();
    let listed = || {
        listening
            .get("/transactions?pageSize=1000")
            .1
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(listed(), 250);
    let state = rusqlite::Connection::open(listening.place.state().join("state.sqlite3")).unwrap();
    state
        .execute(
            "UPDATE initiation SET asked_at = '2024-03-01T00:00:00Z'",
            [],
        )
        .unwrap();
    assert_eq!(listed(), 251);
    release.send(()).unwrap();
    asking.join().unwrap();
}

#[test]
fn a_stop_leaves_an_open_payout_in_the_journal() {
    let service = FakePsp::start();
    let mut listening = quiet_listener(&service, json!({ "requestTimeout": "40s" }));
    lists_fail(&service, Reply::Never);
    let asking = std::thread::spawn({
        let mut poller = poller_on(&listening);
        move || poller.post("payouts", &payout("k", "100"))
    });
    wait_until("the service is asked", || !service.posts().is_empty());
    listening.process.signal(Signal::SIGTERM);
    let (code, took) = listening.process.ended();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let _ = asking.join().unwrap();
    lists_fail(&service, Reply::Usual);
    let listening = listening.restart(&[]);
    assert_eq!(unsettled(&listening), [("k".into(), "unknown".into())]);
    assert_eq!(ask(&listening, "k", "100").0, 201);
    assert_eq!(service.transactions().len(), 1);
}
