//! The service as its clients see it, and what the tests of its parts share.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::api::{ErrorBody, Page, Query, Record, Stream, balances_path, balances_record};

const KEY: &str = "secret";

pub(super) fn settings(data: Option<&Path>) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: KEY.to_owned(),
        data: data.map(Path::to_owned),
        live: false,
        latency: Duration::ZERO,
    }
}

pub(super) fn bank() -> Sandbox {
    Sandbox::start(settings(None)).unwrap()
}

pub(super) struct Said {
    pub status: u16,
    pub body: String,
    pub headers: ureq::http::HeaderMap,
}

fn ask(sandbox: &Sandbox, method: &str, path: &str, key: Option<&str>) -> Said {
    send(sandbox, method, path, key, "")
}

fn send(sandbox: &Sandbox, method: &str, path: &str, key: Option<&str>, body: &str) -> Said {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.url()));
    if let Some(key) = key {
        request = request.header("Authorization", key);
    }
    let mut response = match body {
        "" => agent.run(request.body(()).unwrap()).unwrap(),
        body => agent.run(request.body(body.to_owned()).unwrap()).unwrap(),
    };
    Said {
        status: response.status().as_u16(),
        body: response.body_mut().read_to_string().unwrap(),
        headers: response.headers().clone(),
    }
}

pub(super) fn get(sandbox: &Sandbox, path: &str) -> Said {
    ask(sandbox, "GET", path, Some(&format!("Bearer {KEY}")))
}

pub(super) fn list(sandbox: &Sandbox, stream: Stream, path: &str) -> Vec<Record> {
    let said = get(sandbox, path);
    assert_eq!(said.status, 200, "{path}: {}", said.body);
    let page = Page::read(stream, said.body.as_bytes()).unwrap();
    assert!(page.unusable.is_empty(), "{:?}", page.unusable);
    page.records
}

pub(super) fn transactions(sandbox: &Sandbox, query: &str) -> Vec<Record> {
    let path = format!("/transactions?{query}");
    list(sandbox, Stream::Transactions, &path)
}

pub(super) fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}

#[test]
fn the_bank_is_what_it_should_be() {
    let sandbox = bank();
    let accounts = list(&sandbox, Stream::Accounts, "/accounts");
    let beneficiaries = list(&sandbox, Stream::Beneficiaries, "/beneficiaries");
    assert_eq!((accounts.len(), beneficiaries.len()), (6, 6));
    let all = transactions(&sandbox, "pageSize=1000");
    assert_eq!(all.len(), 400);
    let now = Timestamp::now();
    let (mut kinds, mut statuses) = (BTreeMap::new(), BTreeMap::new());
    let (mut seconds, mut assets) = (BTreeMap::new(), BTreeMap::new());
    let known = [ids(&accounts), ids(&beneficiaries)].concat();
    for record in &all {
        let value: Value = serde_json::from_str(&record.json).unwrap();
        let date = |name| Timestamp::parse(field(&value, name)).unwrap();
        assert!(date("createdAt") <= date("updatedAt") && date("updatedAt") <= now);
        assert!(now.since(date("createdAt")) < Duration::from_secs(91 * 86_400));
        for end in ["sourceAccountID", "destinationAccountID"] {
            assert!(value[end].is_null() || known.contains(&field(&value, end)));
        }
        *kinds.entry(field(&value, "type").to_owned()).or_insert(0) += 1;
        *statuses
            .entry(field(&value, "status").to_owned())
            .or_insert(0) += 1;
        *assets
            .entry(field(&value, "currency").to_owned())
            .or_insert(0) += 1;
        *seconds.entry(record.timestamp).or_insert(0) += 1;
        crate::api::Amount::parse(field(&value, "amount")).unwrap();
        crate::api::Asset::parse(field(&value, "currency")).unwrap();
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert_eq!(statuses.len(), 15, "{statuses:?}");
    assert_eq!(statuses["PENDING"], 20);
    assert_eq!(assets.len(), 4, "{assets:?}");
    let ties = |size| seconds.values().filter(|count| **count == size).count();
    assert_eq!((ties(150), ties(12), ties(8), ties(5)), (1, 1, 1, 1));
    assert_eq!(seconds.values().max(), Some(&150));
    assert!(
        all.iter()
            .any(|record| record.json.contains(r#""250000000000000000000000000""#))
    );
    for account in ids(&accounts) {
        let said = get(&sandbox, &balances_path(account));
        let balances = balances_record(account, said.body.as_bytes())
            .unwrap()
            .unwrap();
        assert!(balances.timestamp <= now && !balances.json.contains(r#""-"#));
    }
}

#[test]
fn a_tie_larger_than_a_page_is_read_page_by_page() {
    let sandbox = bank();
    let all = transactions(&sandbox, "pageSize=1000");
    let mut query = Query {
        page: 1,
        page_size: 100,
        from: None,
    };
    let mut read = Vec::new();
    loop {
        let path = query.path(Stream::Transactions);
        let page = list(&sandbox, Stream::Transactions, &path);
        if page.is_empty() {
            break;
        }
        read.extend(page);
        query.page += 1;
    }
    assert_eq!(ids(&read), ids(&all));
    assert!(all.is_sorted_by_key(|record| record.timestamp));
    let tie = all
        .windows(150)
        .find(|w| w[0].timestamp == w[149].timestamp);
    let tie = tie.unwrap();
    let from = format!("updatedAtFrom={}", tie[0].timestamp.second());
    let first = transactions(&sandbox, &from);
    let second = transactions(&sandbox, &format!("{from}&page=2"));
    assert_eq!([ids(&first), ids(&second)].concat()[..150], ids(tie));
}

#[test]
fn filters_include_their_bound_and_lists_can_be_turned() {
    let sandbox = bank();
    let all = transactions(&sandbox, "pageSize=1000");
    let at = all[60].timestamp;
    let filter = format!("pageSize=1000&updatedAtFrom={at}");
    let from = transactions(&sandbox, &filter);
    let expected: Vec<_> = all
        .iter()
        .filter(|record| record.timestamp >= at)
        .cloned()
        .collect();
    assert_eq!(ids(&from), ids(&expected));
    assert!(from.len() >= 340);
    let newest_first = transactions(&sandbox, &format!("{filter}&sort=updatedAt%3Adesc"));
    let turned: Vec<_> = newest_first.iter().rev().cloned().collect();
    assert_eq!(ids(&turned), ids(&from));
    assert_eq!(
        ids(&transactions(
            &sandbox,
            "sort=updatedAt:desc&page=2&pageSize=3"
        )),
        ids(&[all[396].clone(), all[395].clone(), all[394].clone()])
    );
    let created = transactions(&sandbox, &format!("{filter}&sort=createdAt:asc"));
    assert_eq!(created.len(), from.len());
    assert!(created.is_sorted_by_key(|record| {
        field(
            &serde_json::from_str::<Value>(&record.json).unwrap(),
            "createdAt",
        )
        .to_owned()
    }));
    let accounts = list(
        &sandbox,
        Stream::Accounts,
        "/accounts?sort=createdAt:desc&x=y&&=",
    );
    assert!(accounts.is_sorted_by_key(|record| std::cmp::Reverse(record.timestamp)));
    // The second after, written with an offset whose plus is not escaped.
    let later = all[399]
        .timestamp
        .second()
        .next()
        .to_string()
        .replace('Z', "+00:00");
    assert!(transactions(&sandbox, &format!("updatedAtFrom={later}")).is_empty());
    assert!(
        transactions(
            &sandbox,
            "page=99999999999999999999&pageSize=18446744073709551615"
        )
        .is_empty()
    );
}

#[test]
fn what_is_wrong_is_refused_with_a_reason() {
    let sandbox = bank();
    let key = format!("Bearer {KEY}");
    for (method, path, key, status, detail) in [
        ("GET", "/accounts", None, 401, "no Authorization header"),
        (
            "GET",
            "/accounts",
            Some("Bearer other"),
            401,
            "does not carry",
        ),
        ("GET", "/nowhere", Some(KEY), 401, "does not carry"),
        ("GET", "/nowhere", Some(&*key), 404, "no /nowhere here"),
        ("GET", "/", Some(&*key), 404, "no / here"),
        ("GET", "/balances", Some(&*key), 404, "no /balances here"),
        ("GET", "/accounts/", Some(&*key), 404, "no /accounts/ here"),
        (
            "GET",
            "/accounts/x%2Fy/balances",
            Some(&*key),
            404,
            "no account \"x/y\"",
        ),
        ("GET", "/accounts/%FF/balances", Some(&*key), 404, "here"),
        ("GET", "/accounts?page=0", Some(&*key), 400, "page is \"0\""),
        ("GET", "/accounts?page=", Some(&*key), 400, "page is \"\""),
        (
            "GET",
            "/accounts?page=%2B1",
            Some(&*key),
            400,
            "page is \"+1\"",
        ),
        (
            "GET",
            "/accounts?pageSize=-1",
            Some(&*key),
            400,
            "pageSize is \"-1\"",
        ),
        (
            "GET",
            "/accounts?sort=updatedAt:asc",
            Some(&*key),
            400,
            "createdAt:asc or createdAt:desc",
        ),
        (
            "GET",
            "/transactions?sort=updatedAt",
            Some(&*key),
            400,
            "or by createdAt",
        ),
        (
            "GET",
            "/transactions?updatedAtFrom=2024-05-01",
            Some(&*key),
            400,
            "RFC 3339",
        ),
        ("GET", "/transactions?a=%FF", Some(&*key), 400, "UTF-8"),
        ("DELETE", "/transactions", Some(&*key), 405, "read with GET"),
        ("POST", "/accounts", Some(&*key), 405, "read with GET"),
        ("GET", "/payouts", Some(&*key), 405, "asked for with POST"),
        ("PUT", "/transfers", Some(&*key), 405, "asked for with POST"),
        ("POST", "/payouts/1", Some(&*key), 404, "no /payouts/1 here"),
        ("POST", "/payouts", None, 401, "no Authorization header"),
    ] {
        let said = ask(&sandbox, method, path, key);
        assert_eq!(said.status, status, "{path}: {}", said.body);
        assert_eq!(said.headers["content-type"], "application/json");
        assert!(said.headers.contains_key("date"));
        assert!(said.body.starts_with(r#"{"Detail":"#) && said.body.contains(r#""Title":"#));
        let body = ErrorBody::read(said.body.as_bytes()).unwrap();
        assert!(body.detail.contains(detail), "{path}: {}", body.detail);
        assert_eq!(said.headers.get("allow").is_some(), status == 405);
    }
}

#[test]
fn it_can_be_reached_from_this_machine_only() {
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

fn initiate(sandbox: &Sandbox, path: &str, body: &Value) -> (u16, Value) {
    let key = format!("Bearer {KEY}");
    let said = send(sandbox, "POST", path, Some(&key), &body.to_string());
    (said.status, serde_json::from_str(&said.body).unwrap())
}

fn request(key: &str) -> Value {
    json!({
        "idempotencyKey": key, "amount": "1050", "currency": "EUR/2",
        "sourceAccountId": "acc-eur-operating", "destinationAccountId": "ben-vauban",
        "description": "rent", "metadata": { "invoice": "7" }, "unknown": 1,
    })
}

fn transaction(sandbox: &Sandbox, id: &Value) -> Value {
    let all = transactions(sandbox, "pageSize=1000");
    let found = all.iter().find(|record| *id == *record.id).unwrap();
    serde_json::from_str(&found.json).unwrap()
}

#[test]
fn a_payout_is_made_once_and_listed() {
    let sandbox = bank();
    let before = Timestamp::now();
    let (status, payout) = initiate(&sandbox, "/payouts", &request("k"));
    assert_eq!(status, 201, "{payout}");
    let mut expected = request("k");
    expected.as_object_mut().unwrap().remove("unknown");
    for field in ["id", "createdAt", "updatedAt"] {
        expected[field] = payout[field].clone();
    }
    expected["status"] = json!("PENDING");
    assert_eq!(payout, expected);
    assert!(Timestamp::parse(field(&payout, "createdAt")).unwrap() >= before);
    let mut reordered = request("k").to_string();
    reordered.insert_str(1, r#""unknown":1e999,"#);
    let key = format!("Bearer {KEY}");
    let again = send(&sandbox, "POST", "/payouts", Some(&key), &reordered);
    assert_eq!(again.status, 201);
    assert_eq!(serde_json::from_str::<Value>(&again.body).unwrap(), payout);
    let mut other = request("k");
    other["amount"] = json!("1051");
    let (status, said) = initiate(&sandbox, "/payouts", &other);
    assert_eq!(status, 409);
    assert!(
        field(&said, "Detail").contains("\"k\" was used before"),
        "{said}"
    );
    let (status, transfer) = initiate(&sandbox, "/transfers", &other);
    assert_eq!(status, 201);
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 402);
    let listed = transaction(&sandbox, &payout["id"]);
    let expected = json!({
        "id": payout["id"], "createdAt": payout["createdAt"], "updatedAt": payout["createdAt"],
        "currency": "EUR/2", "type": "PAYOUT", "status": "PENDING", "amount": "1050",
        "scheme": "OTHER", "sourceAccountID": "acc-eur-operating",
        "destinationAccountID": "ben-vauban", "metadata": { "invoice": "7" },
    });
    assert_eq!(listed, expected);
    assert_eq!(transaction(&sandbox, &transfer["id"])["type"], "TRANSFER");
}

#[test]
fn an_initiation_that_breaks_a_rule_is_refused() {
    let sandbox = bank();
    for (field, value, detail) in [
        (
            "idempotencyKey",
            json!(""),
            "\"idempotencyKey\" is missing or empty",
        ),
        (
            "idempotencyKey",
            Value::Null,
            "\"idempotencyKey\" is missing or empty",
        ),
        (
            "idempotencyKey",
            json!(7),
            "\"idempotencyKey\" is 7, not a string",
        ),
        ("amount", json!(1050), "\"amount\" is 1050, not a string"),
        (
            "amount",
            json!("10.50"),
            "\"amount\": \"10.50\" is not an amount",
        ),
        (
            "amount",
            json!("-0"),
            "\"amount\" is 0; it must be above zero",
        ),
        (
            "amount",
            json!("-5"),
            "\"amount\" is -5; it must be above zero",
        ),
        (
            "currency",
            json!("euro"),
            "\"currency\": \"euro\" is not an asset",
        ),
        (
            "sourceAccountId",
            Value::Null,
            "\"sourceAccountId\" is missing or empty",
        ),
        (
            "destinationAccountId",
            json!(""),
            "\"destinationAccountId\" is missing or empty",
        ),
        (
            "description",
            json!(1),
            "\"description\" is 1, not a string",
        ),
        ("metadata", json!({ "a": 1 }), "not an object of strings"),
        ("metadata", json!([]), "not an object of strings"),
    ] {
        let mut body = request("k");
        body[field] = value;
        let (status, said) = initiate(&sandbox, "/transfers", &body);
        assert_eq!(
            (status, &said["Title"]),
            (400, &json!("Bad Request")),
            "{body}"
        );
        assert!(said["Detail"].as_str().unwrap().contains(detail), "{said}");
    }
    for body in ["[]", "null", "{", "\"x\""] {
        let key = format!("Bearer {KEY}");
        let said = send(&sandbox, "POST", "/payouts", Some(&key), body);
        assert_eq!(said.status, 400, "{body}");
        assert!(said.body.contains("not a JSON object"), "{}", said.body);
    }
    let mut long = request("long");
    long["description"] = json!("x".repeat(64 * 1024));
    assert_eq!(initiate(&sandbox, "/payouts", &long).0, 413);
    long["description"] = json!("x".repeat(60 * 1024));
    assert_eq!(initiate(&sandbox, "/payouts", &long).0, 201);
    let mut least = request("least");
    for field in ["description", "metadata"] {
        least[field] = Value::Null;
    }
    let (status, made) = initiate(&sandbox, "/payouts", &least);
    assert_eq!(status, 201);
    assert!(made.get("description").is_none() && made.get("metadata").is_none());
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 402);
}

/// A directory that holds those files.
pub(super) fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn no_request_line_stops_it() {
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
