//! The body of an answer: of a list, of an account's balances, of an error.
#![no_main]

use generic_connector::fuzzing::{ErrorBody, Page, Record, Stream, Unusable, balances_record, read_record};
use generic_connector_fuzz::assert_message;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|body: &[u8]| {
    for stream in Stream::ALL {
        check_page(stream, body);
    }
    check_balances(body);
    if let Some(error) = ErrorBody::read(body) {
        assert_message(&error.to_string());
    }
});

fn check_page(stream: Stream, body: &[u8]) {
    let elements: Option<Option<Vec<IgnoredAny>>> = serde_json::from_slice(body).ok();
    // null counts as an empty list.
    let elements = elements.map(Option::unwrap_or_default);
    let page = match Page::read(stream, body) {
        Ok(page) => page,
        Err(invalid) => {
            // An ignored element need not be UTF-8, a kept one must.
            assert!(elements.is_none() || std::str::from_utf8(body).is_err());
            return assert_message(&invalid.to_string());
        }
    };
    assert_eq!(Some(page.length()), elements.map(|elements| elements.len()));
    assert_eq!(page.length(), page.records.len() + page.unusable.len());

    let text = String::from_utf8_lossy(body);
    let mut rest = &*text;
    for record in &page.records {
        let found = rest.find(&*record.json);
        let start = found.expect("a record is a slice of the body, behind the one before it");
        rest = &rest[start + record.json.len()..];
        check_record(stream, record);
    }
    for unusable in &page.unusable {
        check_unusable(unusable);
        // It is kept with its text, and is no better when it is read again.
        assert!(text.contains(&*unusable.json));
        // U+FFFD replaces what is not UTF-8, and only the page tells.
        assert!(read_record(stream, &*unusable.json).is_err() || std::str::from_utf8(body).is_err());
    }
}

fn check_record(stream: Stream, record: &Record) {
    assert_eq!(record.stream, stream);
    assert!(!record.id.is_empty() && record.id.chars().count() <= 1_000);
    let again = read_record(stream, &*record.json).expect("it was read before");
    assert_eq!(*record, again);
    for (_, value) in &record.unknown_values {
        assert_message(value);
    }

    let alone = Page::read(stream, format!("[{}]", record.json).as_bytes());
    assert_eq!(alone.expect("one record").records, [again]);
    let fields: serde_json::Map<String, serde_json::Value> =
        match serde_json::from_str(&record.json) {
            Ok(fields) => fields,
            // A record may hold what a tree cannot, such as 1e999 or a hundred levels: it is never read as one.
            Err(_) => return,
        };
    let value = |name: &str| {
        let folded = || fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.get(name).or_else(|| Some(folded()?.1)).expect("the field is there")
    };
    assert_eq!(*value(stream.key_field()), *record.id);
    assert!(value(stream.date_field()).is_string());
}

fn check_unusable(unusable: &Unusable) {
    assert_message(&unusable.reason);
    assert_ne!(unusable.id.as_deref(), Some(""));
}

fn check_balances(body: &[u8]) {
    let asked = "the account asked about";
    match balances_record(asked, body) {
        Ok(Ok(record)) => {
            assert_eq!(record.id, asked);
            check_record(Stream::Balances, &record);
        }
        Ok(Err(unusable)) => check_unusable(&unusable),
        Err(invalid) => return assert_message(&invalid.to_string()),
    }

    // The same object as a page's only element names the account that it would have answered for.
    let element = [b"[", body, b"]"].concat();
    let page = Page::read(Stream::Balances, element).expect("an object is an element");
    assert_eq!(page.length(), 1);
    for record in page.records {
        assert_eq!(balances_record(&record.id, body), Ok(Ok(record)));
    }
}
