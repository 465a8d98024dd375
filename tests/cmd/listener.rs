//! The listener's answers: what breaks a rule, what cannot be had now, and what became of payouts.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::Session;
use crate::formance::payout;
use crate::support::{FakePsp, LISTEN_KEY, Listening, Reply};

/// A request with the key and its answer, the headers that matter included.
fn asked(session: &mut Session, listening: &Listening, method: &str, path: &str, body: &str) {
    let bearer = format!("Bearer {LISTEN_KEY}");
    asked_as(session, listening, Some(&bearer), (method, path, body));
}

fn asked_as(
    session: &mut Session,
    listening: &Listening,
    key: Option<&str>,
    (method, path, body): (&str, &str, &str),
) {
    let (status, headers, answer) = listening.ask(method, path, key, body);
    session.line(&format!("> {method} {path}"));
    session.line(&format!("{status}"));
    for name in ["allow", "retry-after", "www-authenticate"] {
        if let Some(value) = headers.get(name) {
            session.line(&format!("{name}: {}", value.to_str().unwrap()));
        }
    }
    session.line(&format!("{answer:#}\n"));
}

/// Sends bytes as they are.
fn sent(session: &mut Session, listening: &Listening, bytes: &str) {
    let mut stream = TcpStream::connect(listening.url.trim_start_matches("http://")).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    // The server may close before it has read everything.
    let _ = stream.read_to_string(&mut answer);
    let shown: String = bytes.chars().take(60).collect();
    session.line(&format!("> {}", shown.escape_debug()));
    for line in answer.lines().filter(|line| !line.starts_with("Date:")) {
        session.line(line);
    }
    session.line("");
}

#[test]
fn requests_that_break_a_rule() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({ "workers": 1 }));
    listening.wait_for_line("poll 1 complete");
    let mut session = Session::new();
    asked_as(&mut session, &listening, None, ("GET", "/transactions", ""));
    asked_as(
        &mut session,
        &listening,
        Some("Bearer wrong"),
        ("GET", "/transactions", ""),
    );
    for (method, path) in [
        ("GET", "/nothing"),
        ("GET", "/payouts"),
        ("GET", "/poll"),
        ("POST", "/transactions"),
        ("POST", "/status"),
        ("POST", "/healthz"),
        ("GET", "/transactions?page=0"),
        ("GET", "/transactions?pageSize=ten"),
        ("GET", "/transactions?updatedAtFrom=yesterday"),
        ("GET", "/transactions?sort=amount:asc"),
        ("GET", "/accounts?createdAtFrom=1"),
        ("GET", "/accounts/nobody/balances"),
        ("GET", "/accounts//balances"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/poll?wait=true"),
        ("POST", "/poll?wait=maybe"),
        ("POST", "/poll"),
    ] {
        asked(&mut session, &listening, method, path, "");
    }
    for bytes in [
        "nonsense\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "GET /transactions HTTP/1.1\r\n\r\n",
        "POST /payouts HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "POST /payouts HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        "POST /payouts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        sent(&mut session, &listening, bytes);
    }
    let keyed = format!(
        "POST /payouts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {LISTEN_KEY}\r\nContent-Length: 99999999999\r\n\r\n"
    );
    sent(&mut session, &listening, &keyed);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    sent(&mut session, &listening, &long);
    session.is("listener-requests");
}

#[test]
fn before_the_first_import() {
    let service = FakePsp::with_a_bank();
    service.always("/", Reply::status(401));
    let listening = Listening::start(&service.url(), json!({ "workers": 1 }));
    listening.wait_for_line("poll 1 failed");
    let mut session = Session::new();
    for path in [
        "/accounts",
        "/accounts/acc-1/balances",
        "/transactions",
        "/readyz",
        "/healthz",
    ] {
        asked(&mut session, &listening, "GET", path, "");
    }
    asked(&mut session, &listening, "POST", "/poll?wait=true", "");
    session.is("listener-empty");
}

#[test]
fn payouts() {
    let service = FakePsp::start();
    let listening = Listening::start(&service.url(), json!({ "workers": 1 }));
    listening.wait_for_line("poll 1 complete");
    let mut session = Session::new();
    session.hide(listening.place.path().to_str().unwrap(), "[FOLDER]");
    for (field, value) in [
        ("idempotencyKey", json!("")),
        ("amount", json!("0")),
        ("amount", json!(100)),
        ("currency", json!("euro")),
        ("sourceAccountId", Value::Null),
        ("destinationAccountId", json!("")),
    ] {
        let mut body = payout("k", "100");
        body[field] = value;
        session.line(&format!("# {field}: {}", body[field]));
        pay(&mut session, &listening, &body);
    }
    for (key, reply) in [
        ("refused", Reply::status(422)),
        ("conflict", Reply::status(409)),
        ("key-refused", Reply::status(401)),
        ("failing", Reply::status(500)),
        ("cut", Reply::Cut),
        ("html", Reply::With(201, vec![], b"<html>".to_vec())),
    ] {
        service.always("/payouts", reply);
        session.line(&format!("# {key}"));
        pay(&mut session, &listening, &payout(key, "100"));
        session.line("# another amount under the same key");
        pay(&mut session, &listening, &payout(key, "101"));
    }
    session.line("# no JSON");
    asked(&mut session, &listening, "POST", "/payouts", "<html>");
    session.line("# the log");
    listening.wait_for_line("whether \"html\" was made");
    session.log(&listening.log());
    session.is("listener-payouts");
}

#[test]
fn a_payout_that_is_not_answered() {
    let service = FakePsp::start();
    service.always("/payouts", Reply::Never);
    let listening = Listening::start(&service.url(), json!({ "requestTimeout": "300ms" }));
    let mut session = Session::new();
    pay(&mut session, &listening, &payout("silent", "100"));
    session.log(&listening.wait_for_line("payouts: "));
    session.is("listener-silence");
}

fn pay(session: &mut Session, listening: &Listening, body: &Value) {
    asked(session, listening, "POST", "/payouts", &body.to_string());
}
