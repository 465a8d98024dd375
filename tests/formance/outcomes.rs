//! What the service answers to a payout or transfer, and which of its answers are an outcome.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::scope;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::payout;
use crate::support::{FakePsp, Listening, Mishap, Reply, TestAnswer, TestServer, run, wait_until};

/// A service that gives each payout's first request one answer, and every later one another.
struct Answering {
    server: TestServer,
    /// The bodies that came under each key.
    bodies: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Answering {
    /// The key of each payout names both answers, `first|then`, and may have a number after `#`.
    fn start(answers: Vec<(&'static str, Mishap)>) -> Answering {
        let made = |body: &str| json!({ "id": "po-1", "amount": "100", "x": body }).to_string();
        let server = TestServer::start(move |asked| TestAnswer::new(201, made(&asked.text())));
        let answers: BTreeMap<_, _> = answers.into_iter().collect();
        let bodies: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
        let seen = bodies.clone();
        server.script(move |asked| {
            if asked.method == "GET" {
                // A payout must not find the connection of a poll.
                return Mishap::Instead(told(401).with("Connection", "close"));
            }
            let body = asked.text();
            let read: Value = serde_json::from_str(&body).unwrap();
            let key = read["idempotencyKey"].as_str().unwrap();
            let (names, _) = key.split_once('#').unwrap_or((key, ""));
            let (first, then) = names.split_once('|').unwrap();
            let mut seen = seen.lock().unwrap();
            let bodies = seen.entry(key.to_owned()).or_default();
            bodies.push(body);
            answers[if bodies.len() == 1 { first } else { then }].clone()
        });
        Answering { server, bodies }
    }

    fn listening(&self) -> Listening {
        let keys = json!({ "requestTimeout": "300ms", "maxBodyBytes": 100_000 });
        Listening::start(&self.server.url(), keys)
    }

    fn requests(&self, key: &str) -> usize {
        self.bodies.lock().unwrap().get(key).map_or(0, Vec::len)
    }

    /// Asks for a payout until the service has given the second answer, as Formance does after a 503.
    fn ask_twice(&self, listening: &Listening, key: &str) -> (u16, Value) {
        let mut answer = ask(listening, key);
        while self.requests(key) < 2 {
            assert_eq!(answer.0, 503, "{key}: {}", answer.1);
            answer = ask(listening, key);
        }
        answer
    }
}

fn ask(listening: &Listening, key: &str) -> (u16, Value) {
    listening.post("/payouts", &payout(key, "100").to_string())
}

fn told(status: u16) -> TestAnswer {
    TestAnswer::new(status, r#"{"Title":"Told so","Detail":"by the test"}"#)
}

fn instead(status: u16, body: &str) -> Mishap {
    Mishap::Instead(TestAnswer::new(status, body))
}

fn refusal(status: u16) -> Mishap {
    Mishap::Instead(told(status))
}

/// Every initiation that an operator has to look at, by key.
fn listed(listening: &Listening) -> BTreeMap<String, Value> {
    let ran = run(listening.place.command("initiation list --json"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let listed: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let key = |one: &Value| one["idempotencyKey"].as_str().unwrap().to_owned();
    listed.into_iter().map(|one| (key(&one), one)).collect()
}

/// The alarms of payouts in `status`.
fn alarms(listening: &Listening) -> Vec<String> {
    let (_, status) = listening.get("/status");
    let warnings = status["warnings"].as_array().unwrap().iter();
    let texts = warnings.map(|warning| warning.as_str().unwrap().to_owned());
    texts.filter(|text| text.starts_with("payouts: ")).collect()
}

/// Answers after which the payout may be made.
fn unclear() -> Vec<(&'static str, Mishap)> {
    let location = |status| Mishap::Instead(told(status).with("Location", "/payouts/po-1"));
    vec![
        ("cut", Mishap::Cut),
        ("silence", Mishap::Silence),
        ("lost", Mishap::LostAnswer),
        ("reset", Mishap::Reset),
        ("cut in head", Mishap::CutInHead),
        ("cut in body", Mishap::CutInBody),
        ("truncated", Mishap::TruncatedBody),
        ("stalled", Mishap::StallInBody),
        ("408", refusal(408)),
        ("500", refusal(500)),
        ("502", instead(502, "<html>")),
        ("503", refusal(503)),
        ("504", instead(504, "")),
        ("599", refusal(599)),
        ("200 html", instead(200, "<html>ok</html>")),
        ("201 garbage", instead(201, "garbage")),
        ("201 no id", instead(201, r#"{"status":"PENDING"}"#)),
        (
            "201 long id",
            instead(201, &json!({ "id": "i".repeat(1_001) }).to_string()),
        ),
        (
            "201 other key",
            instead(201, r#"{"id":"po-1","idempotencyKey":"x"}"#),
        ),
        (
            "201 other amount",
            instead(201, r#"{"id":"po-1","amount":"7"}"#),
        ),
        (
            "201 large",
            instead(
                201,
                &json!({ "id": "p", "x": "x".repeat(200_000) }).to_string(),
            ),
        ),
        ("202", instead(202, "")),
        ("204", instead(204, "")),
        ("302", location(302)),
        ("303", location(303)),
        ("307", location(307)),
        ("308", location(308)),
    ]
}

#[test]
fn after_an_unclear_answer_only_success_is_an_outcome() {
    let refusals = [
        "400", "401", "402", "404", "405", "409", "410", "422", "423", "451",
    ];
    let mut answers = unclear();
    let firsts: Vec<&str> = answers.iter().map(|(name, _)| *name).collect();
    for status in refusals {
        answers.push((status, refusal(status.parse().unwrap())));
    }
    answers.push(("made", Mishap::None));
    let service = Answering::start(answers);
    let listening = service.listening();
    scope(|threads| {
        // Fewer at once than are accepted at once.
        for firsts in firsts.chunks(2) {
            let (service, listening) = (&service, &listening);
            threads.spawn(move || {
                for first in firsts {
                    for then in refusals {
                        let key = format!("{first}|{then}");
                        let (status, error) = service.ask_twice(listening, &key);
                        assert_eq!(
                            (status, &error["Title"]),
                            (503, &json!("Outcome Unknown")),
                            "{key}: {error}"
                        );
                        let detail = error["Detail"].as_str().unwrap();
                        assert!(detail.contains(&format!("answered {then}")), "{detail}");
                    }
                    let (status, made) = service.ask_twice(listening, &format!("{first}|made"));
                    assert_eq!((status, &made["id"]), (201, &json!("po-1")), "{first}");
                }
            });
        }
    });
    let check = |listening: &Listening| {
        let listed = listed(listening);
        for first in &firsts {
            for then in refusals {
                let one = &listed[&format!("{first}|{then}")];
                assert_eq!(one["state"], "unknown", "{one}");
                let error = one["error"].as_str().unwrap();
                assert!(
                    error.contains(&format!("answered {then} (Told so: by the test)")),
                    "{error}"
                );
            }
        }
    };
    check(&listening);
    // So it is after a restart: the next request gets the second answer at once.
    let listening = listening.restart(&[]);
    for first in &firsts {
        let key = format!("{first}|422");
        assert_eq!(ask(&listening, &key).0, 503, "{key}");
    }
    check(&listening);
    for (key, bodies) in &*service.bodies.lock().unwrap() {
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{key}");
    }
}

#[test]
fn after_an_answer_that_rules_success_out_a_refusal_is_an_outcome() {
    let firsts = [
        "401", "403", "404", "405", "407", "421", "423", "425", "426", "429",
    ];
    let thens = ["400", "402", "409", "410", "422"];
    let answers = firsts.iter().chain(&thens);
    let answers = answers.map(|status| (*status, refusal(status.parse().unwrap())));
    let service = Answering::start(answers.collect());
    let listening = service.listening();
    for first in firsts {
        for then in thens {
            let (status, error) = service.ask_twice(&listening, &format!("{first}|{then}"));
            assert_eq!(
                (status.to_string().as_str(), &error["Title"]),
                (then, &json!("Told so")),
                "{first}"
            );
        }
    }
    assert!(listed(&listening).is_empty());
}

#[test]
fn a_request_that_never_arrived_leaves_a_refusal_an_outcome() {
    let service = Answering::start(vec![("422", refusal(422))]);
    let listening = service.listening();
    service.server.stop_listening();
    assert_eq!(ask(&listening, "422|422").1["Title"], "Not Made");
    service.server.listen_again();
    assert_eq!(ask(&listening, "422|422").0, 422);
}

#[test]
fn a_kill_before_the_answer_leaves_the_outcome_unknown() {
    let answers = vec![("silence", Mishap::Silence), ("422", refusal(422))];
    let service = Answering::start(answers);
    let keys = json!({ "requestTimeout": "40s" });
    let listening = Listening::start(&service.server.url(), keys);
    let mut poller = super::poller_on(&listening);
    let asking = std::thread::spawn(move || poller.post("payouts", &payout("silence|422", "100")));
    wait_until("the service is asked", || {
        service.requests("silence|422") == 1
    });
    let listening = listening.restart(&[]);
    let _ = asking.join().unwrap();
    assert_eq!(listed(&listening)["silence|422"]["state"], "unknown");
    let (status, error) = ask(&listening, "silence|422");
    assert_eq!((status, &error["Title"]), (503, &json!("Outcome Unknown")));
    let error = &listed(&listening)["silence|422"]["error"];
    assert!(error.as_str().unwrap().contains("422 (Told so"), "{error}");
}

#[test]
fn an_answer_with_our_key_is_ours_and_its_differences_are_an_alarm() {
    let ours = json!({ "id": "po-1", "idempotencyKey": "net|net", "amount": "97", "destinationAccountId": "DE02 1" });
    let service = Answering::start(vec![("net", instead(201, &ours.to_string()))]);
    let listening = service.listening();
    let (status, made) = ask(&listening, "net|net");
    assert_eq!((status, &made["amount"]), (201, &json!("97")));
    let alarm = "payouts: \"net|net\" was made as \"po-1\", but its amount is \"97\" instead of \"100\", its \
                 destinationAccountId is \"DE02 1\" instead of \"ben-1\"; look it up at the PSP and confirm it: \
                 generic-connector initiation settle 'net|net' made po-1";
    listening.wait_for_line(alarm);
    let listening = listening.restart(&[]);
    assert_eq!(alarms(&listening), [alarm]);
    assert_eq!(listed(&listening)["net|net"]["state"], "made");
    let mut confirm = listening.place.command("initiation settle");
    confirm.args(["net|net", "made", "po-1"]);
    let ran = run(confirm);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(alarms(&listening), [""; 0]);
    assert!(listed(&listening).is_empty());
    // Its answer stays the service's.
    assert_eq!(ask(&listening, "net|net"), (201, made));
    assert_eq!(service.requests("net|net"), 1);
}

#[test]
fn two_keys_with_one_id_are_an_alarm() {
    let service = Answering::start(vec![("a", Mishap::None), ("b", Mishap::None)]);
    let listening = service.listening();
    assert_eq!(ask(&listening, "a|a").0, 201);
    assert!(listed(&listening).is_empty());
    // A transfer is numbered on its own.
    let transfer = payout("b|b", "100").to_string();
    assert_eq!(listening.post("/transfers", &transfer).0, 201);
    assert!(listed(&listening).is_empty());
    assert_eq!(ask(&listening, "b|a").0, 201);
    let said = "\"b|a\" was made as \"po-1\", but \"a|a\" was made under the same id";
    listening.wait_for_line(said);
    let alarms = alarms(&listening);
    assert!(alarms.len() == 1 && alarms[0].contains(said), "{alarms:?}");
    let status = run(listening.place.command("status"));
    let line = "is made: \"a|a\" was made under the same id";
    assert!(status.stdout.contains(line), "{status}");
}

#[test]
fn what_is_unknown_leaves_room_for_what_is_new_and_gets_one_try() {
    const UNKNOWN: usize = 40;
    let answers = vec![
        ("303", refusal(303)),
        ("silence", Mishap::Silence),
        ("made", Mishap::None),
    ];
    let service = Answering::start(answers);
    let keys = json!({ "requestTimeout": "5s" });
    let listening = Listening::start(&service.server.url(), keys);
    let keys: Vec<String> = (0..UNKNOWN)
        .map(|number| format!("303|silence#{number}"))
        .collect();
    for key in &keys {
        assert_eq!(ask(&listening, key).0, 503);
    }
    let titles: Vec<String> = scope(|threads| {
        let asking: Vec<_> = keys
            .iter()
            .map(|key| threads.spawn(|| ask(&listening, key).1["Title"].to_string()))
            .collect();
        let silent = || keys.iter().filter(|key| service.requests(key) == 2).count();
        wait_until("the service is asked again", || silent() == 24);
        let made = ask(&listening, "made|made");
        assert_eq!(made.0, 201, "{}", made.1);
        asking
            .into_iter()
            .map(|asking| asking.join().unwrap())
            .collect()
    });
    let count = |title: &str| titles.iter().filter(|one| one.contains(title)).count();
    assert_eq!(
        (count("Outcome Unknown"), count("Too Many Initiations")),
        (24, UNKNOWN - 24),
        "{titles:?}"
    );
    let most = keys.iter().map(|key| service.requests(key)).max();
    assert_eq!(most, Some(2), "one more request for each of Formance's");
}

#[test]
fn what_an_operator_has_settled_is_the_answer_and_the_relation() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({ "requestTimeout": "300ms" }));
    listening.poll();
    // Made, but the answer is lost, and it is listed before the operator knows.
    service.always("/payouts", Reply::Cut);
    assert_eq!(ask(&listening, "k").0, 503);
    service.always("/payouts", Reply::status(409));
    listening.poll();
    let settle = |outcome: &str| {
        run(listening
            .place
            .command(&format!("initiation settle k {outcome}")))
    };
    let ran = settle("made payout-k");
    assert_eq!(ran.code, Some(0), "{ran}");
    let asked = service.posts().len();
    let (status, made) = ask(&listening, "k");
    assert_eq!((status, &made["id"]), (201, &json!("payout-k")));
    assert_eq!(service.posts().len(), asked);
    let (_, listed) = listening.get("/transactions?pageSize=1000");
    let listed = listed.as_array().unwrap().iter();
    let shown: Vec<_> = listed.filter(|shown| shown["id"] == "payout-k").collect();
    assert_eq!(shown[0]["relatedTransactionID"], "k");
    assert_eq!(settle("refused").code, Some(1));
}

#[test]
fn what_is_being_asked_for_cannot_be_settled_until_the_connector_has_ended() {
    let service = Answering::start(vec![("silence", Mishap::Silence)]);
    let keys = json!({ "requestTimeout": "40s" });
    let mut listening = Listening::start(&service.server.url(), keys);
    let mut poller = super::poller_on(&listening);
    let key = "silence|silence";
    let asking = std::thread::spawn(move || poller.post("payouts", &payout(key, "100")));
    wait_until("the service is asked", || service.requests(key) == 1);
    let settle = |listening: &Listening| {
        run(listening
            .place
            .command(&format!("initiation settle {key} refused")))
    };
    let ran = settle(&listening);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("the service is being asked"), "{ran}");
    listening.process.signal(Signal::SIGKILL);
    listening.process.ended();
    let _ = asking.join().unwrap();
    let ran = settle(&listening);
    assert_eq!(ran.code, Some(0), "{ran}");
    let listening = listening.restart(&[]);
    assert_eq!(ask(&listening, key).0, 422);
    assert_eq!(service.requests(key), 1);
}
