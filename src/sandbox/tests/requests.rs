//! Bad requests, the address, the latency.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::api::ErrorBody;
use crate::sandbox::{Error, Fault};

/// The request is answered with the status and an error whose detail contains the text.
fn assert_error(sandbox: &Sandbox, request: &str, key: Option<&str>, status: u16, detail: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let answer = ask(sandbox, method, path, key);
    assert_eq!(answer.status, status, "{path}: {}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.headers.contains_key("date"));
    assert!(answer.body.starts_with(r#"{"Detail":"#) && answer.body.contains(r#""Title":"#));
    let body = ErrorBody::read(answer.body.as_bytes()).unwrap();
    assert!(body.detail.contains(detail), "{path}: {}", body.detail);
    assert_eq!(answer.headers.get("allow").is_some(), status == 405);
}

#[test]
fn a_request_without_the_key_is_rejected() {
    let sandbox = bank();
    for (request, key, detail) in [
        ("GET /accounts", None, "no Authorization header"),
        ("GET /accounts", Some("Bearer other"), "does not have"),
        ("GET /nowhere", Some(KEY), "does not have"),
        ("POST /payouts", None, "no Authorization header"),
    ] {
        assert_error(&sandbox, request, key, 401, detail);
    }
}

#[test]
fn a_bad_request_is_answered_with_the_reason() {
    let sandbox = bank();
    let key = format!("Bearer {KEY}");
    for (request, status, detail) in [
        ("GET /nowhere", 404, "no /nowhere here"),
        ("GET /", 404, "no / here"),
        ("GET /balances", 404, "no /balances here"),
        ("GET /accounts/", 404, "no /accounts/ here"),
        ("GET /accounts/x%2Fy/balances", 404, "no account \"x/y\""),
        ("GET /accounts/%FF/balances", 404, "here"),
        ("GET /accounts?page=0", 400, "page is \"0\""),
        ("GET /accounts?page=", 400, "page is \"\""),
        ("GET /accounts?page=%2B1", 400, "page is \"+1\""),
        ("GET /accounts?pageSize=-1", 400, "pageSize is \"-1\""),
        (
            "GET /accounts?sort=updatedAt:asc",
            400,
            "createdAt:asc or createdAt:desc",
        ),
        ("GET /transactions?sort=updatedAt", 400, "or by createdAt"),
        (
            "GET /transactions?updatedAtFrom=2024-05-01",
            400,
            "RFC 3339",
        ),
        ("GET /transactions?a=%FF", 400, "UTF-8"),
        ("DELETE /transactions", 405, "accepts GET only"),
        ("POST /accounts", 405, "accepts GET only"),
        ("GET /payouts", 405, "accepts POST only"),
        ("PUT /transfers", 405, "accepts POST only"),
        ("POST /payouts/1", 404, "no /payouts/1 here"),
    ] {
        assert_error(&sandbox, request, Some(&key), status, detail);
    }
}

#[test]
fn it_listens_on_loopback_only() {
    let outside = Settings {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..settings(None)
    };
    let error = Sandbox::start(outside).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::NotLoopback(_)), "{error}");
    let sandbox = bank();
    let taken = Settings {
        listen: sandbox.address(),
        ..settings(None)
    };
    let error = Sandbox::start(taken.clone()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error}");
    drop(sandbox);
    drop(Sandbox::start(taken).unwrap());
}

/// What is asked, and the status and the beginning of the answer.
fn spoiled(fault: Fault, answers: &[(&str, u16, &str)]) {
    let spoiled = Settings {
        fault: Some(fault),
        ..settings(None)
    };
    let sandbox = Sandbox::start(spoiled).unwrap();
    for (path, status, body) in answers {
        let said = get(&sandbox, path);
        assert_eq!(said.status, *status, "{fault:?}: {path}");
        assert!(
            said.body.starts_with(body),
            "{fault:?}: {path}: {}",
            said.body
        );
    }
}

#[test]
fn it_departs_from_the_api_if_that_is_wanted() {
    let future = "/accounts?createdAtFrom=2126-01-01T00:00:00Z";
    spoiled(
        Fault::Past404,
        &[
            ("/accounts?page=1", 200, "[{"),
            ("/accounts?page=999", 404, "{"),
            (future, 200, "[]"),
        ],
    );
    spoiled(
        Fault::PastNull,
        &[
            ("/accounts?page=1", 200, "[{"),
            ("/accounts?page=999", 200, "null"),
            (future, 200, "null"),
        ],
    );
    spoiled(
        Fault::Redirect,
        &[
            ("/accounts?page=1", 307, "{"),
            ("/accounts/?page=1", 200, "[{"),
            ("/accounts/?page=999", 200, "[]"),
            ("/nothing/", 404, "{"),
        ],
    );
    for (name, fault) in [("past404", Fault::Past404), ("pastnull", Fault::PastNull)] {
        assert_eq!(Fault::from_name(name), Some(fault));
    }
    assert_eq!(Fault::from_name("none"), None);
}

#[test]
fn answers_are_held_back_side_by_side() {
    let slow = Settings {
        latency: Duration::from_millis(200),
        ..settings(None)
    };
    let sandbox = Sandbox::start(slow).unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert_eq!(get(&sandbox, "/accounts").status, 200));
        }
    });
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_millis(1_500),
        "{took:?}"
    );
    let begun = Instant::now();
    drop(sandbox);
    assert!(begun.elapsed() < Duration::from_millis(600));
}

#[test]
fn odd_request_lines_are_answered() {
    let sandbox = bank();
    for target in [
        "*",
        "http://127.0.0.1/accounts",
        "?",
        "//",
        "/accounts//balances",
        "/accounts/%/balances",
        "/accounts/%2",
        "/accounts?%%%=%&%2&page=%31&pageSize=00",
        "/transactions?updatedAtFrom=9999-99-99T99:99:99Z&sort=:::",
        "/transactions?page=18446744073709551615&pageSize=18446744073709551615&sort=createdAt:desc",
    ] {
        for method in ["GET", "OPTIONS", "HEAD", "brew"] {
            let mut stream = TcpStream::connect(sandbox.address()).unwrap();
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {KEY}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            let status = said.split(' ').nth(1).unwrap_or_default();
            assert!(
                ["200", "400", "404", "405"].contains(&status),
                "{method} {target}: {said}"
            );
        }
    }
    assert_eq!(get(&sandbox, "/accounts").status, 200);
}
