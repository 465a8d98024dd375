use std::borrow::Cow;

use crate::api::{Members, Stream, replace_escapes, without_half_pairs};

/// The fields that must be strings for the Go client, and that no rule of the API checks.
pub(super) fn unchecked_texts(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::Accounts => &["accountName"],
        Stream::Balances => &["id"],
        Stream::Beneficiaries => &["ownerName"],
        Stream::Transactions => &[
            "relatedTransactionID",
            "scheme",
            "sourceAccountID",
            "destinationAccountID",
        ],
    }
}

/// The text of a field that should be a string; `None` if it is missing or null. Any other value counts as its JSON.
pub(super) fn text<'r>(record: &'r Members, field: &str) -> Option<Cow<'r, str>> {
    let json = record.get(field).filter(|json| *json != "null")?;
    Some(record.text(field).unwrap_or(Cow::Borrowed(json)))
}

/// The text of a field that should be a string; `None` if it is missing, null or empty. Any other value counts as its
/// JSON.
pub fn non_empty_text(record: &Members, field: &str) -> Option<String> {
    let text = text(record, field).filter(|text| !text.is_empty())?;
    Some(text.into_owned())
}

/// A JSON text in which U+FFFD replaces what PostgreSQL cannot store: U+0000 and half a surrogate pair.
pub fn storable(json: &str) -> Cow<'_, str> {
    match without_half_pairs(json) {
        Cow::Borrowed(json) => replace_escapes(json, replace_nul),
        Cow::Owned(json) => Cow::Owned(replace_escapes(&json, replace_nul).into_owned()),
    }
}

/// A text in which U+FFFD replaces U+0000, as [`storable`] does in JSON.
pub fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn replace_nul(escape: &str) -> Option<(&str, usize)> {
    const NUL: &str = r"\u0000";
    escape.starts_with(NUL).then_some((r"\ufffd", NUL.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_and_what_only_looks_like_one_is_not() {
        for (json, expected) in [
            (r#"{"a":"x\u0000y\u00001"}"#, r#"{"a":"x\ufffdy\ufffd1"}"#),
            (
                r#"{"a\u0000":"\\u0000","b":"\\\u0000\n"}"#,
                r#"{"a\ufffd":"\\u0000","b":"\\\ufffd\n"}"#,
            ),
            (r#"{"a":"\u0001é\\"}"#, r#"{"a":"\u0001é\\"}"#),
        ] {
            assert_eq!(storable(json), expected);
        }
    }

    #[test]
    fn a_value_that_is_no_string_counts_as_its_json() {
        let json = r#"{"a":"x","b":{"c":1},"d":null,"e":""}"#;
        let record = Members::read(json).unwrap();
        let read = |field| non_empty_text(&record, field);
        assert_eq!(read("a").as_deref(), Some("x"));
        assert_eq!(read("b").as_deref(), Some(r#"{"c":1}"#));
        for none in ["d", "e", "f"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
