use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Invalid, Record, Stream, Timestamp};

/// One list answer, read.
#[derive(Debug, Default)]
pub struct Page {
    /// The records that have a usable key and date, in the order of the answer.
    pub records: Vec<Record>,
    /// The elements that have not.
    pub unusable: Vec<Unusable>,
}

/// An element of a page, or a Balances object, that cannot be kept as a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its key, where that much could be read.
    pub id: Option<String>,
    /// Why it cannot be kept, in words for a person.
    pub reason: String,
}

impl Page {
    /// Reads the body of a list answer: a bare JSON array.
    ///
    /// An element without a usable key or date is set aside with the reason, and the rest of the page goes on. A body
    /// that is no JSON array at all is an error that says what stands there instead.
    pub fn read(stream: Stream, body: &[u8]) -> Result<Page, Invalid> {
        let elements: Vec<&RawValue> =
            serde_json::from_slice(body).map_err(|error| not_json("a JSON array", body, &error))?;
        let mut page = Page::default();
        page.records.reserve(elements.len());
        for element in elements {
            match read_record(stream, element.get()) {
                Ok(record) => page.records.push(record),
                Err(unusable) => page.unusable.push(unusable),
            }
        }
        Ok(page)
    }

    /// How many elements the answer held.
    pub fn length(&self) -> usize {
        self.records.len() + self.unusable.len()
    }
}

/// Reads the answer to a request for one account's balances: a bare JSON object.
///
/// The outer error is a body that is no JSON at all; the inner one an object that cannot be kept, also because it
/// speaks of another account than the one that was asked about.
pub fn balances_record(account_id: &str, body: &[u8]) -> Result<Result<Record, Unusable>, Invalid> {
    let object: &RawValue =
        serde_json::from_slice(body).map_err(|error| not_json("a JSON object", body, &error))?;
    if !object.get().starts_with('{') {
        return Err(not_json("a JSON object", body, &"it is something else"));
    }
    Ok(
        read_record(Stream::Balances, object.get()).and_then(|record| {
            match record.id == account_id {
                true => Ok(record),
                false => Err(Unusable {
                    reason: format!(
                        "\"accountID\" is {:?}, not the account asked about",
                        super::escaped(&record.id)
                    ),
                    id: Some(account_id.to_owned()),
                }),
            }
        }),
    )
}

/// The fields that a record needs. Each is read on its own, so that one wrong field does not hide the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "accountID")]
    account_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    at: Option<&'a RawValue>,
}

fn read_record(stream: Stream, json: &str) -> Result<Record, Unusable> {
    let head: Head = match json.starts_with('{') {
        true => serde_json::from_str(json).map_err(|error| Unusable {
            id: None,
            reason: error.to_string(),
        })?,
        false => {
            return Err(Unusable {
                id: None,
                reason: format!("{:?} is not an object", super::escaped(json)),
            });
        }
    };
    let key = match stream {
        Stream::Balances => head.account_id,
        _ => head.id,
    };
    let date = match stream {
        Stream::Accounts | Stream::Beneficiaries => head.created_at,
        Stream::Balances => head.at,
        Stream::Transactions => head.updated_at,
    };
    let id = match text(stream.key_field(), key) {
        Ok(id) if id.is_empty() => Err(format!("\"{}\" is empty", stream.key_field())),
        other => other,
    };
    let id = id.map_err(|reason| Unusable { id: None, reason })?;
    let timestamp = text(stream.date_field(), date).and_then(|date| {
        Timestamp::parse(&date).map_err(|invalid| format!("\"{}\": {invalid}", stream.date_field()))
    });
    match timestamp {
        Ok(timestamp) => Ok(Record::new(stream, id.into_owned(), timestamp, json)),
        Err(reason) => Err(Unusable {
            id: Some(id.into_owned()),
            reason,
        }),
    }
}

fn text<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Cow<'a, str>, String> {
    /// A bare `Cow` is always read as owned; in a field it can borrow.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match value.map(RawValue::get) {
        None | Some("null") => Err(format!("\"{field}\" is missing")),
        Some(json) => match serde_json::from_str::<Text>(json) {
            Ok(Text(text)) => Ok(text),
            Err(_) => Err(format!(
                "\"{field}\" is {}, not a string",
                super::escaped(json)
            )),
        },
    }
}

fn not_json(wanted: &str, body: &[u8], error: &dyn std::fmt::Display) -> Invalid {
    const SHOWN: usize = 80;
    let start = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let start = super::escaped(start.trim());
    Invalid(match body.len() {
        0 => format!("the body is empty where {wanted} is due"),
        length => {
            format!("the body is not {wanted} ({error}); its {length} bytes begin with {start:?}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: Stream, body: &str) -> Result<Page, Invalid> {
        Page::read(stream, body.as_bytes())
    }

    #[test]
    fn a_record_keeps_the_exact_text_and_its_unknown_fields() {
        let element = r#"{ "x":1e2,"id" : "\u0061\/1", "updatedAt":"2024-05-01T12:00:00+02:00","m":{"b":1,"a":[ ]}}"#;
        let page = read(
            Stream::Transactions,
            &format!(" [\n{element} ,{element}\n] "),
        )
        .unwrap();
        assert_eq!(page.records.len(), 2);
        assert_eq!(&*page.records[0].json, element);
        assert_eq!(page.records[0].id, "a/1");
        assert_eq!(
            page.records[0].timestamp,
            Timestamp::parse("2024-05-01T10:00:00Z").unwrap()
        );
    }

    #[test]
    fn one_bad_element_does_not_hide_the_others() {
        let good = r#"{"id":"good","createdAt":"2024-05-01T12:00:00Z","updatedAt":12}"#;
        for (bad, reason) in [
            ("7", "not an object"),
            ("null", "not an object"),
            (
                r#"{"createdAt":"2024-05-01T12:00:00Z"}"#,
                "\"id\" is missing",
            ),
            (
                r#"{"id":null,"createdAt":"2024-05-01T12:00:00Z"}"#,
                "\"id\" is missing",
            ),
            (
                r#"{"id":"","createdAt":"2024-05-01T12:00:00Z"}"#,
                "\"id\" is empty",
            ),
            (
                r#"{"id":17,"createdAt":"2024-05-01T12:00:00Z"}"#,
                "\"id\" is 17, not a string",
            ),
            (
                r#"{"id":"\ud800","createdAt":"2024-05-01T12:00:00Z"}"#,
                "not a string",
            ),
            (r#"{"id":"a"}"#, "\"createdAt\" is missing"),
            (r#"{"id":"a","createdAt":null}"#, "\"createdAt\" is missing"),
            (
                r#"{"id":"a","createdAt":"yesterday"}"#,
                "not an RFC 3339 date",
            ),
            (
                r#"{"id":"a","id":"b","createdAt":"2024-05-01T12:00:00Z"}"#,
                "duplicate field",
            ),
        ] {
            let page = read(Stream::Accounts, &format!("[{good},{bad},{good}]")).unwrap();
            assert_eq!(
                (page.records.len(), page.unusable.len(), page.length()),
                (2, 1, 3),
                "{bad}"
            );
            assert!(
                page.unusable[0].reason.contains(reason),
                "{bad}: {}",
                page.unusable[0].reason
            );
        }
    }

    #[test]
    fn what_is_no_array_is_refused_whole() {
        for (body, said) in [
            ("", "the body is empty"),
            ("<html>\u{1b}[2J", "begin with \"<html>"),
            (r#"{"data":[]}"#, "begin with"),
            ("[{\"id\":\"a\"},", "not a JSON array"),
            ("[] []", "trailing characters"),
            ("null", "not a JSON array"),
        ] {
            let error = read(Stream::Accounts, body).unwrap_err().to_string();
            assert!(
                error.contains(said) && !error.contains('\u{1b}'),
                "{body}: {error}"
            );
        }
        assert_eq!(read(Stream::Accounts, "[]").unwrap().length(), 0);
        assert!(Page::read(Stream::Accounts, b"[\"\xff\"]").is_err());
    }

    #[test]
    fn balances_are_those_of_the_account_asked_about() {
        let body = br#"{"id":"b","accountID":"a","at":"2024-05-01T12:00:00Z","balances":[]}"#;
        assert_eq!(balances_record("a", body).unwrap().unwrap().id, "a");
        let other = balances_record("c", body).unwrap().unwrap_err();
        assert_eq!(other.id.as_deref(), Some("c"));
        assert!(other.reason.contains("not the account asked about"));
        assert!(balances_record("a", b"[]").is_err());
        assert!(balances_record("a", b"").is_err());
    }
}
