//! Secrets never echo: whatever a service or a target repeats of what it was sent, and in whichever form, no key gets into
//! the log, the state, the output of a command or an answer to Formance.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::formance::payout;
use crate::support::{
    FakePsp, Greeting, KEY, LISTEN_KEY, Listening, Place, Ran, Reply, TARGET_KEY, TARGET_TOKEN,
    TestAnswer, TestRequest, TestServer, run, transaction, wait_until,
};

/// What nothing may show: the keys, and the middle of their base64.
fn forbidden() -> Vec<String> {
    let encoded = STANDARD.encode(format!("user:{KEY}"));
    let encoded = encoded[8..encoded.len() - 4].to_owned();
    let escaped = KEY.replace('-', "%2D");
    [
        KEY,
        &escaped,
        &encoded,
        LISTEN_KEY,
        TARGET_KEY,
        TARGET_TOKEN,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A text with the service's key in each form.
fn echo() -> String {
    let basic = STANDARD.encode(format!("user:{KEY}"));
    format!(
        "token Bearer {KEY}, {}, Basic {basic}",
        KEY.replace('-', "%2D")
    )
}

fn is_clean(what: &str, text: &str) {
    for secret in forbidden() {
        assert!(!text.contains(&secret), "{secret} in {what}:\n{text}");
    }
}

fn is_clean_after(ran: &Ran) {
    is_clean("the output of a command", &ran.to_string());
}

/// Looks at all that the connector has written and can be asked for.
fn is_clean_everywhere(place: &Place) {
    for command in ["status", "status --json", "quarantine list", "check"] {
        is_clean_after(&run(place.command(command)));
    }
    for number in 1..4 {
        is_clean_after(&run(place.command(&format!("quarantine show {number}"))));
    }
    for entry in fs::read_dir(place.state()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        is_clean(&format!("{path:?}"), &String::from_utf8_lossy(&bytes));
    }
}

/// A poll whose service answers everything in that way.
fn repeated_by_the_service(reply: Reply) {
    let service = FakePsp::with_a_bank();
    service.script(move |_| reply.clone());
    let place = Place::new(&service.url(), json!({ "workers": 1 }));
    let ran = run(place.command("poll --verbose"));
    is_clean_after(&ran);
    assert!(ran.stderr.contains("[redacted]"), "{ran}");
    is_clean_everywhere(&place);
}

fn with_status(status: u16) {
    let body = json!({ "Title": "bad token", "Detail": echo() });
    let location = format!("/login?token={KEY}");
    let headers = vec![("Location", location)];
    repeated_by_the_service(Reply::With(status, headers, body.to_string().into_bytes()));
}

fn with_body(body: String) {
    repeated_by_the_service(Reply::body(&body));
}

/// As [`repeated_by_the_service`], with bytes that are no proper answer.
fn with_bytes(bytes: String) {
    let service = TestServer::greeting(Greeting::Reply(bytes.into_bytes()));
    let place = Place::new(&service.url(), json!({ "workers": 1 }));
    is_clean_after(&run(place.command("poll --verbose")));
    is_clean_everywhere(&place);
}

cases! {
    with_status;
    in_a_redirect(302);
    in_a_400(400);
    in_a_401(401);
    in_a_403(403);
    in_a_404(404);
    in_a_422(422);
    in_a_429(429);
    in_a_500(500);
    in_a_503(503);
}

cases! {
    with_body;
    in_html(format!("<html>{}</html>", echo()));
    in_an_object(json!({ "Title": "ok", "Detail": echo() }).to_string());
    in_a_string(json!(echo()).to_string());
}

cases! {
    with_bytes;
    in_the_reason(format!("HTTP/1.1 500 {}\r\nContent-Length: 0\r\n\r\n", echo()));
    in_a_header(format!("HTTP/1.1 200 OK\r\nX: {}\0\r\nContent-Length: 0\r\n\r\n", echo()));
    in_no_status(format!("{}\r\n\r\n", echo()));
}

#[test]
fn a_record_with_a_key_is_in_quarantine_until_the_service_corrects_it() {
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    service.add_account("acc-2", "2024-01-01T00:00:00Z");
    service.change_account("acc-2", json!({ "metadata": { "request": echo() } }));
    service.add_transaction("good", "2024-02-01T00:00:00Z");
    // In a field, in the id, and in what breaks the API anyway.
    let mut in_a_field = transaction("leaks", "2024-02-02T00:00:00Z");
    in_a_field["metadata"] = json!({ "debug": echo() });
    service.add_raw_transaction(in_a_field);
    service.add_raw_transaction(transaction(KEY, "2024-02-03T00:00:00Z"));
    service.add_raw_transaction(transaction("no-date", &format!("Bearer {KEY}")));
    service.script(|path| match path {
        "/accounts/acc-1/balances" => Reply::body(
            &json!({ "id": "b", "accountID": "acc-1", "at": "2024-02-01T00:00:00Z", "balances": [], "x": echo() }).to_string(),
        ),
        _ => Reply::Usual,
    });
    let place = Place::new(&service.url(), json!({}));
    let ran = run(place.command("poll --verbose"));
    assert_eq!(ran.code, Some(2), "{ran}");
    is_clean_after(&ran);
    is_clean_everywhere(&place);
    assert_eq!(place.ids("transactions"), ["good"]);
    assert_eq!(place.ids("accounts"), ["acc-1"]);
    let listed = run(place.command("quarantine list")).stdout;
    let reason = "it contains a key of this program, which is replaced with [redacted] here: have the service corrected";
    assert_eq!(listed.matches(reason).count(), 5, "{listed}");

    service.heal();
    service.change_account("acc-2", json!({ "metadata": {} }));
    service.change_transaction("leaks", json!({ "metadata": {} }));
    service.change_transaction(
        "no-date",
        json!({ "createdAt": "2024-02-04T00:00:00Z", "updatedAt": "2024-02-04T00:00:00Z" }),
    );
    service.change_transaction(KEY, json!({ "id": "other" }));
    run(place.command("poll --sweep"));
    let mut ids = place.ids("transactions");
    ids.sort_unstable();
    assert_eq!(ids, ["good", "leaks", "no-date", "other"]);
    assert_eq!(place.ids("accounts"), ["acc-1", "acc-2"]);
    assert_eq!(place.ids("balances").len(), 2);
}

#[test]
fn formance_is_never_answered_with_a_key() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let error = json!({ "Title": "bad token", "Detail": echo() }).to_string();
    for status in [302, 400, 401, 403, 404, 409, 422] {
        let headers = vec![("Location", format!("/login?token={KEY}"))];
        let reply = Reply::With(status, headers, error.clone().into_bytes());
        service.always("/payouts", reply);
        let body = payout(&format!("key-{status}"), "100").to_string();
        let (answered, answer) = listening.post("/payouts", &body);
        assert!(
            answered >= 400 && answer.to_string().contains("[redacted]"),
            "{answer}"
        );
        is_clean("an answer", &answer.to_string());
    }
    // A payout that is made is made, whatever else the answer has.
    let mut made = payout("made", "100");
    for (key, value) in [
        ("id", json!("po-1")),
        ("createdAt", json!("2024-03-01T00:00:00Z")),
        ("status", json!("PENDING")),
        ("metadata", json!({ "debug": echo() })),
    ] {
        made[key] = value;
    }
    let reply = Reply::With(201, vec![], made.to_string().into_bytes());
    service.always("/payouts", reply);
    let (status, answer) = listening.post("/payouts", &payout("made", "100").to_string());
    assert_eq!((status, &answer["id"]), (201, &json!("po-1")), "{answer}");
    is_clean("an answer", &answer.to_string());
    // One whose answer cannot be read is asked for again.
    service.always("/payouts", Reply::With(201, vec![], echo().into_bytes()));
    let asked = service.posts().len();
    let lost = payout("lost", "100").to_string();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| listening.post("/payouts", &lost));
        wait_until("it is asked for again", || {
            service.posts().len() >= asked + 2
        });
        is_clean("an answer", &asking.join().unwrap().1.to_string());
    });
    is_clean("the status", &listening.get("/status").1.to_string());
    is_clean("the log", &listening.log());
    is_clean_everywhere(&listening.place);
}

#[test]
fn by_a_proxy() {
    let password = "passw0rd-of-the-proxy";
    let basic = STANDARD.encode(format!("user:{password}"));
    let answer = format!("HTTP/1.1 407 Basic {basic} {password}\r\nX: {password}\0\r\n\r\n");
    let proxy = TestServer::greeting(Greeting::Reply(answer.into_bytes()));
    let url = proxy.url().replace("://", &format!("://user:{password}@"));
    let place = Place::new(
        "http://service.invalid",
        json!({ "workers": 1, "proxy": url }),
    );
    let ran = run(place.command("poll --verbose"));
    let told = ran.to_string();
    assert!(
        !told.contains(password) && !told.contains(&basic[..12]),
        "{ran}"
    );
    assert_eq!(ran.code, Some(1), "{ran}");
}

fn repeated_by_a_target(status: u16) {
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    let target = TestServer::start(move |request: &TestRequest| {
        let said = format!("{:?} {:?}", request.path, request.header("authorization"));
        TestAnswer::new(status, said)
            .with("Location", &format!("/?k={TARGET_KEY}&q={TARGET_TOKEN}"))
    });
    let url = format!("{}/changes?token={TARGET_TOKEN}", target.url());
    let entry = json!({ "type": "http", "url": url, "apiKey": TARGET_KEY });
    let place = Place::new(&service.url(), json!({ "publish": [entry] }));
    let ran = run(place.command("poll --verbose --delivery-patience 100ms"));
    is_clean_after(&ran);
    assert!(ran.stderr.contains("[redacted]"), "{ran}");
    is_clean_everywhere(&place);
    let listed = run(place.command("quarantine show http/1"));
    is_clean_after(&listed);
}

cases! {
    repeated_by_a_target;
    by_a_target_in_a_302(302);
    by_a_target_in_a_401(401);
    by_a_target_in_a_404(404);
    by_a_target_in_a_422(422);
    by_a_target_in_a_500(500);
}
