use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::utf8_text::Utf8Text;
use super::{Invalid, Record, Stream, Unusable, read_record};

/// The most elements of one page that may break the API. Each costs memory and a place in quarantine; this many are
/// the fault of the service as a whole.
const MOST_UNUSABLE: usize = 10_000;

/// The answer to a request for a page of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The records that keep the API's rules, in the order of the answer.
    pub records: Vec<Record>,
    /// The elements that break a rule.
    pub unusable: Vec<Unusable>,
    /// The answer was `null`, which services in Go make of an empty list.
    pub is_null: bool,
}

impl Page {
    /// Reads the body of a list answer: a bare JSON array. `null` counts as an empty one.
    ///
    /// An element that breaks a rule does not affect the others. A body that is not a JSON array is an error, which
    /// shows how the body begins. So are more than 10,000 elements that break a rule, or bytes that are not UTF-8.
    pub fn read(stream: Stream, body: impl Into<Vec<u8>>) -> Result<Page, Invalid> {
        let body = body.into();
        let length = body.len();
        let mut page = Page {
            is_null: serde_json::from_slice::<()>(&body).is_ok(),
            ..Page::default()
        };
        if page.is_null {
            return Ok(page);
        }
        let text = Utf8Text::read(body)?;
        let mut deserializer = serde_json::Deserializer::from_str(&text.text);
        let elements = PageVisitor {
            stream,
            text: &text,
            page: &mut page,
        };
        let unread = deserializer
            .deserialize_seq(elements)
            .and_then(|unread| deserializer.end().map(|()| unread))
            .map_err(|error| not_json("a JSON array", text.text.as_bytes(), length, &error))?;
        if page.unusable.len() <= MOST_UNUSABLE {
            return Ok(page);
        }
        Err(Invalid(format!(
            "more than {MOST_UNUSABLE} of its {} elements break the API (the first one: {})",
            page.length() + unread,
            page.unusable[0].reason
        )))
    }

    /// The number of elements in the answer.
    pub fn length(&self) -> usize {
        self.records.len() + self.unusable.len()
    }
}

/// Fills a page element by element, since a list of all their texts could cost more than the body. Returns how many
/// elements it left unread, after too many had broken a rule.
struct PageVisitor<'a> {
    stream: Stream,
    text: &'a Utf8Text,
    page: &'a mut Page,
}

impl<'de> Visitor<'de> for PageVisitor<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
        while self.page.unusable.len() <= MOST_UNUSABLE
            && let Some(element) = elements.next_element::<&RawValue>()?
        {
            let read = read_record(self.stream, self.text.text.part(element.get()));
            match read.and_then(|record| self.text.check(record, element.get())) {
                Ok(record) => self.page.records.push(record),
                Err(unusable) => self.page.unusable.push(unusable),
            }
        }
        let mut unread = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            unread += 1;
        }
        Ok(unread)
    }
}

/// Reads the answer to a request for one account's balances: a bare JSON object.
///
/// The outer error is a body that is not a JSON object. The inner error is an object that breaks a rule, or that has
/// the balances of another account.
pub fn balances_record(account_id: &str, body: &[u8]) -> Result<Result<Record, Unusable>, Invalid> {
    let object: &RawValue = serde_json::from_slice(body)
        .map_err(|error| not_json("a JSON object", body, body.len(), &error))?;
    if !object.get().starts_with('{') {
        return Err(not_json(
            "a JSON object",
            body,
            body.len(),
            &"it is something else",
        ));
    }
    let record = match read_record(Stream::Balances, object.get()) {
        Ok(record) if *record.id != *account_id => record,
        read => return Ok(read),
    };
    let other = super::escaped(&record.id);
    Ok(Err(Unusable {
        id: Some(account_id.to_owned()),
        reason: format!("\"accountID\" is {other:?}, not the account of the request"),
        json: (*record.json).into(),
    }))
}

/// `length`: bytes of the body as it came.
fn not_json(wanted: &str, body: &[u8], length: usize, error: &dyn std::fmt::Display) -> Invalid {
    /// Bytes.
    const SHOWN: usize = 80;
    let start = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let start = super::escaped(start.trim());
    // If the body is a string, serde_json's error contains all of it.
    let error = super::escaped(&error.to_string());
    Invalid(match length {
        0 => format!("the body is empty, not {wanted}"),
        length => {
            format!("the body is not {wanted} ({error}); its {length} bytes start with \"{start}\"")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    fn read(stream: Stream, body: &str) -> Result<Page, Invalid> {
        Page::read(stream, body.as_bytes())
    }

    #[test]
    fn a_record_keeps_the_exact_text_and_its_unknown_fields() {
        let element = r#"{ "x":1e2,"id" : "\u0061\/1", "createdAt":"2024-05-01T12:00:00Z", "amount":"1","currency":"JPY","updatedAt":"2024-05-01T12:00:00+02:00","m":{"b":1,"a":[ ]}}"#;
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
                "half a surrogate pair",
            ),
            (r#"{"id":"a"}"#, "\"createdAt\" is missing"),
            (r#"{"id":"a","createdAt":null}"#, "\"createdAt\" is missing"),
            (
                r#"{"id":"a","createdAt":"yesterday"}"#,
                "not an RFC 3339 date",
            ),
            (
                r#"{"id":"a","createdAt":"2024-05-01T12:00:00Z","metadata":{"a":1}}"#,
                "\"metadata\" is",
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
            let unusable = &page.unusable[0];
            assert!(
                unusable.reason.contains(reason),
                "{bad}: {}",
                unusable.reason
            );
            assert_eq!(&*unusable.json, bad);
        }
    }

    #[test]
    fn an_id_has_at_most_a_thousand_characters() {
        let account = |length| {
            let id = "é".repeat(length);
            format!(r#"[{{"id":"{id}","createdAt":"2024-05-01T12:00:00Z"}}]"#)
        };
        let read = |length| read(Stream::Accounts, &account(length)).unwrap();
        assert_eq!(read(1_000).records.len(), 1);
        let reason = &read(1_001).unusable[0].reason;
        assert!(reason.contains("1001 characters"), "{reason}");
    }

    #[test]
    fn what_is_no_array_is_rejected_whole() {
        for (body, said) in [
            ("", "the body is empty"),
            ("<html>\u{1b}[2J", "start with \"<html>"),
            (r#"{"data":[]}"#, "start with"),
            ("[{\"id\":\"a\"},", "not a JSON array"),
            ("[] []", "trailing characters"),
            ("nul", "not a JSON array"),
            ("null null", "not a JSON array"),
            ("\u{c}null", "not a JSON array"),
            ("[null", "not a JSON array"),
        ] {
            let error = read(Stream::Accounts, body).unwrap_err().to_string();
            assert!(
                error.contains(said) && !error.contains('\u{1b}'),
                "{body}: {error}"
            );
        }
        for (empty, is_null) in [
            ("[]", false),
            (" [ ]\n", false),
            ("null", true),
            ("null\n", true),
        ] {
            let page = read(Stream::Accounts, empty).unwrap();
            assert_eq!((page.length(), page.is_null), (0, is_null), "{empty:?}");
        }
    }

    #[test]
    fn a_byte_that_is_not_utf_8_affects_only_its_record() {
        let record = |id: &str, more: &str| {
            format!(r#"{{"id":"{id}","createdAt":"2024-05-01T12:00:00Z"{more}}}"#)
        };
        let records = [
            record("a", ""),
            record("b", r#","metadata":{"a":"caf@"}"#),
            record("c", r#","accountName":"caf@""#),
            record("d@", ""),
        ];
        let body = format!("[{}]", records.join(","));
        let body: Vec<u8> = body
            .bytes()
            .map(|byte| if byte == b'@' { 0xe9 } else { byte })
            .collect();
        let page = Page::read(Stream::Accounts, body).unwrap();
        let ids: Vec<&str> = page.records.iter().map(|record| &*record.id).collect();
        assert_eq!(ids, ["a", "c"]);
        assert!(page.records[1].json.contains("caf\u{fffd}"));
        let unusable: Vec<_> = page
            .unusable
            .iter()
            .map(|one| (one.id.as_deref(), &*one.reason))
            .collect();
        assert_eq!(unusable[0].0, Some("b"));
        assert!(
            unusable[0]
                .1
                .contains("\"metadata\" contains bytes that are not UTF-8"),
            "{unusable:?}"
        );
        assert_eq!(unusable[1].0, None);
        let many = [b"[\"".as_slice(), &[0xff; 10_001], b"\"]"].concat();
        let error = Page::read(Stream::Accounts, many).unwrap_err().to_string();
        assert!(error.contains("is not UTF-8"), "{error}");
    }

    #[test]
    fn a_page_of_too_many_bad_elements_is_rejected_whole() {
        let page = |bad: usize| {
            let good = r#"{"id":"good","createdAt":"2024-05-01T12:00:00Z"}"#;
            read(Stream::Accounts, &format!("[{good}{}]", ",{}".repeat(bad)))
        };
        assert_eq!(page(MOST_UNUSABLE).unwrap().length(), MOST_UNUSABLE + 1);
        let error = page(MOST_UNUSABLE + 5).unwrap_err().to_string();
        assert!(
            error.contains("more than 10000 of its 10006 elements break the API")
                && error.contains("\"id\" is missing"),
            "{error}"
        );
    }

    #[test]
    fn balances_belong_to_the_account_that_was_asked_about() {
        let body = br#"{"id":"b","accountID":"a","at":"2024-05-01T12:00:00Z","balances":[]}"#;
        assert_eq!(balances_record("a", body).unwrap().unwrap().id, "a");
        let other = balances_record("c", body).unwrap().unwrap_err();
        assert_eq!(other.id.as_deref(), Some("c"));
        assert!(other.reason.contains("not the account of the request"));
        assert!(balances_record("a", b"[]").is_err());
        assert!(balances_record("a", b"").is_err());
    }
}
