//! Which records, dates and ids pass Formance's client, which is written in Go.

use std::collections::BTreeMap;

use generic_connector::Stream;
use serde_json::json;

use super::{Date, Fields, GoType, Poller, escaped_target};
use crate::support::{FakePsp, KEY, Reply, transaction};

/// Reads a page with one transaction, which has a field replaced or, with an empty value, removed.
fn page_with(service: &FakePsp, field: &str, value: &str) -> Result<usize, String> {
    let mut members: BTreeMap<String, String> = transaction("tx", "2024-01-01T00:00:00Z")
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    members.remove(field);
    let mut members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    if !value.is_empty() {
        members.push(format!("{}:{value}", json!(field)));
    }
    page(service, &format!("[{{{}}}]", members.join(",")))
}

/// How many records it keeps of a page with that text.
fn page(service: &FakePsp, body: &str) -> Result<usize, String> {
    service.always("/transactions", Reply::body(body));
    let mut poller = Poller::new(&service.url(), KEY);
    poller.run(Stream::Transactions)?;
    Ok(poller.received(Stream::Transactions).len())
}

#[test]
fn one_record_that_cannot_be_decoded_fails_its_page() {
    let service = FakePsp::start();
    for (field, value, kept) in [
        ("type", r#""PAYOUT""#, Ok(1)),
        ("type", r#""ACH""#, Err("not in the enum")),
        ("type", "null", Err("not in the enum")),
        ("type", "", Ok(1)),
        ("status", r#""succeeded""#, Err("not in the enum")),
        ("status", "7", Err("not a string")),
        ("status", "", Ok(1)),
        ("amount", "100", Err("not a string")),
        ("amount", r#""1.5""#, Err("not an amount")),
        ("amount", r#""-007""#, Ok(1)),
        ("amount", "null", Err("not an amount")),
        ("amount", "", Err("not an amount")),
        ("currency", "978", Err("not a string")),
        ("currency", r#""eur""#, Err("not an asset")),
        ("currency", "", Err("not an asset")),
        ("id", "5", Err("not a string")),
        ("id", r#""""#, Err("without an id")),
        ("id", "null", Err("without an id")),
        ("scheme", "null", Ok(1)),
        ("scheme", "{}", Err("not a string")),
        ("sourceAccountID", "false", Err("not a string")),
        ("relatedTransactionID", "null", Ok(1)),
        ("metadata", "null", Ok(1)),
        ("metadata", r#"{"a":"b","c":null}"#, Ok(1)),
        ("metadata", r#"{"a":1}"#, Err("not a string")),
        ("metadata", "[]", Err("metadata")),
        ("updatedAt", "null", Ok(0)),
        ("updatedAt", "", Ok(0)),
        ("updatedAt", r#""0001-01-01T00:00:00Z""#, Ok(0)),
        ("updatedAt", "1704067200", Err("not a date")),
        (
            "updatedAt",
            r#""2024-01-01T00:00:00+24:00""#,
            Err("timezone hour"),
        ),
        ("createdAt", "null", Err("without createdAt")),
        ("createdAt", r#""""#, Err("not a date")),
        (
            "createdAt",
            r#""2024-01-01T00:00:00\u005a""#,
            Err("not a date"),
        ),
        ("unknown", "[1e999999]", Ok(1)),
        ("AMOUNT", r#""7""#, Ok(1)),
        ("AMOUNT", "7", Err("not a string")),
        ("\u{17f}tatus", r#""x""#, Err("not in the enum")),
        ("Id", "null", Ok(1)),
    ] {
        let said = page_with(&service, field, value);
        match kept {
            Ok(kept) => assert_eq!(said, Ok(kept), "{field} {value}"),
            Err(reason) => {
                let error = said.unwrap_err();
                assert!(error.contains(reason), "{field} {value}: {error}");
            }
        }
    }
    for (body, kept) in [
        ("null", Some(0)),
        ("[null]", Some(0)),
        ("[]", Some(0)),
        ("{}", None),
        ("", None),
        ("[5]", None),
        ("[] x", None),
        ("<html>", None),
        ("\u{feff}[]", None),
    ] {
        assert_eq!(page(&service, body).ok(), kept, "{body}");
    }
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(page_with(&service, "unknown", &nested(9_998)), Ok(1));
    assert!(
        page_with(&service, "unknown", &nested(9_999))
            .unwrap_err()
            .contains("max depth")
    );
}

#[test]
fn later_names_win_in_any_case() {
    let known = [("id", GoType::Text), ("scheme", GoType::OptionalText)];
    let read = |json| Fields::read(json, &known).unwrap();
    let fields = read(r#"{"ID":"1","id":"2","\u0049d":"3","iD":null,"scheme":"a","Scheme":null}"#);
    assert_eq!((fields.text("id"), fields.text("scheme")), ("3", ""));
    assert_eq!(
        read(r#"{"id":"a\ud800b\ud83d\ude00"}"#).text("id"),
        "a\u{fffd}b\u{1f600}"
    );
    assert_eq!(read(r#"{"id":"a\nb","x":"\ud800"}"#).text("id"), "a\nb");
}

#[test]
fn dates_are_read_as_go_reads_them() {
    let read = |text: &str| Date::read(&json!(text).to_string());
    for (text, second, nanosecond) in [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z", 0),
        (
            "2024-05-01T12:00:00.123456789+02:00",
            "2024-05-01T10:00:00Z",
            123_456_789,
        ),
        (
            "2024-02-29T23:59:59.5-05:30",
            "2024-03-01T05:29:59Z",
            500_000_000,
        ),
        (
            "1969-12-31T23:59:59.999Z",
            "1969-12-31T23:59:59Z",
            999_000_000,
        ),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 0),
        ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", 0),
        ("2024-05-01T1:00:00Z", "2024-05-01T01:00:00Z", 0),
        (
            "2024-05-01T12:00:00,5Z",
            "2024-05-01T12:00:00Z",
            500_000_000,
        ),
        ("2024-05-01T12:00:00.0000000019Z", "2024-05-01T12:00:00Z", 1),
    ] {
        let date = read(text).unwrap();
        assert_eq!(date.whole_second(), second, "{text}");
        assert_eq!(
            date.instant().rem_euclid(1_000_000_000),
            nanosecond,
            "{text}"
        );
    }
    for text in [
        "",
        "2024-05-01",
        "2024-05-01T12:00:00",
        "2024-05-01 12:00:00Z",
        "2024-05-01t12:00:00Z",
        "2024-05-01T12:00:00z",
        "2024-05-01T12:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:00:60Z",
        "2024-02-30T12:00:00Z",
        "2023-02-29T12:00:00Z",
        "2024-00-01T12:00:00Z",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00+0200",
        "2024-05-01T12:00:00+25:00",
        "2024-05-01T12:00:00+02:61",
        "2024-05-01T12:00:00Z ",
        "12024-05-01T12:00:00Z",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn ids_stand_in_paths_as_they_are() {
    for (id, sent) in [
        ("acc-1", "/accounts/acc-1/balances"),
        ("a/b", "/accounts/a/b/balances"),
        ("a%2Fb", "/accounts/a%2Fb/balances"),
        ("a b", "/accounts/a%20b/balances"),
        ("é%2F", "/accounts/%C3%A9//balances"),
        ("a#b", "/accounts/a"),
        ("a?b=c", "/accounts/a?b=c/balances"),
        ("(1)'*", "/accounts/(1)'*/balances"),
        ("(1) ", "/accounts/%281%29%20/balances"),
    ] {
        let target = format!("/accounts/{id}/balances");
        assert_eq!(escaped_target(&target).as_deref(), Ok(sent), "{id}");
    }
    for id in ["100%", "%zz", "a\nb", "a#%"] {
        assert!(
            escaped_target(&format!("/accounts/{id}/balances")).is_err(),
            "{id:?}"
        );
    }
}
