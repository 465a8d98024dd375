//! The rules of the API that a record must keep to be accepted.
//!
//! They are checked on the record's own text, one field at a time, so that the reason names the field. Unknown fields,
//! missing names, and values of `type` and `status` that the API does not know break no rule.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Amount, Asset, Stream, Timestamp};

/// The values of `type` that the API knows.
pub const TYPES: [&str; 4] = ["PAYIN", "PAYOUT", "TRANSFER", "OTHER"];

/// The values of `status` that the API knows.
pub const STATUSES: [&str; 15] = [
    "PENDING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "EXPIRED",
    "REFUNDED",
    "REFUNDED_FAILURE",
    "REFUND_REVERSED",
    "DISPUTE",
    "DISPUTE_WON",
    "DISPUTE_LOST",
    "AUTHORISATION",
    "CAPTURE",
    "CAPTURE_FAILED",
    "OTHER",
];

/// The greatest length of an id, in characters.
const LONGEST_ID: usize = 1_000;

/// The fields that have rules. Each is kept as raw text first, so that one wrong field does not hide the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordFields<'a> {
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
    #[serde(borrow, default)]
    amount: Option<&'a RawValue>,
    #[serde(borrow, default)]
    currency: Option<&'a RawValue>,
    #[serde(borrow, default)]
    balances: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

impl<'a> RecordFields<'a> {
    /// The record's key.
    pub fn key(&self, stream: Stream) -> Result<Cow<'a, str>, String> {
        let field = stream.key_field();
        let id = match stream {
            Stream::Balances => self.account_id,
            _ => self.id,
        };
        let id = text(field, id.map(RawValue::get))?;
        check_id(field, &id)?;
        Ok(id)
    }

    /// The record's own date.
    pub fn date(&self, stream: Stream) -> Result<Timestamp, String> {
        let value = match stream {
            Stream::Accounts | Stream::Beneficiaries => self.created_at,
            Stream::Balances => self.at,
            Stream::Transactions => self.updated_at,
        };
        date(stream.date_field(), value)
    }

    /// Checks the rules other than those of the key and the date. The error is the first one that the record breaks.
    pub fn check(&self, stream: Stream) -> Result<(), String> {
        match stream {
            Stream::Accounts | Stream::Beneficiaries => {}
            Stream::Balances => check_balances(self.balances)?,
            Stream::Transactions => {
                date("createdAt", self.created_at)?;
                check_amount(self.amount)?;
                check_currency(self.currency)?;
            }
        }
        match self.metadata {
            Some(metadata) if stream != Stream::Balances => check_metadata(metadata.get()),
            _ => Ok(()),
        }
    }

    /// The values of `type` and `status` that the API does not know.
    pub fn unknown_values(&self, stream: Stream) -> Vec<(&'static str, String)> {
        if stream != Stream::Transactions {
            return Vec::new();
        }
        let mut unknown = Vec::new();
        for (field, value, known) in [
            ("type", self.kind, TYPES.as_slice()),
            ("status", self.status, STATUSES.as_slice()),
        ] {
            match text(field, value.map(RawValue::get)) {
                Ok(value) if known.contains(&&*value) => {}
                Ok(value) => unknown.push((field, super::escaped(&value))),
                Err(_) => unknown.push((
                    field,
                    value.map_or("(missing)".to_owned(), |value| super::escaped(value.get())),
                )),
            }
        }
        unknown
    }
}

/// A JSON string, borrowed if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Reads the JSON of a field as a string.
pub(super) fn text<'a>(field: &str, json: Option<&'a str>) -> Result<Cow<'a, str>, String> {
    match json {
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

/// Checks the length of an id.
pub fn check_id(field: &str, id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err(format!("\"{field}\" is empty"));
    }
    let characters = id.chars().count();
    if characters > LONGEST_ID {
        return Err(format!(
            "\"{field}\" has {characters} characters, more than {LONGEST_ID}"
        ));
    }
    Ok(())
}

fn date(field: &str, value: Option<&RawValue>) -> Result<Timestamp, String> {
    Timestamp::parse(&text(field, value.map(RawValue::get))?)
        .map_err(|invalid| format!("\"{field}\": {invalid}"))
}

fn check_amount(value: Option<&RawValue>) -> Result<(), String> {
    Amount::check(&text("amount", value.map(RawValue::get))?)
        .map_err(|invalid| format!("\"amount\": {invalid}"))
}

fn check_currency(value: Option<&RawValue>) -> Result<(), String> {
    Asset::check(&text("currency", value.map(RawValue::get))?)
        .map_err(|invalid| format!("\"currency\": {invalid}"))
}

fn check_balances(value: Option<&RawValue>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct BalanceFields<'a> {
        #[serde(borrow, default)]
        amount: Option<&'a RawValue>,
        #[serde(borrow, default)]
        currency: Option<&'a RawValue>,
    }
    let json = match value.map(RawValue::get) {
        None | Some("null") => return Err("\"balances\" is missing".to_owned()),
        Some(json) => json,
    };
    let balances: Vec<BalanceFields> = serde_json::from_str(json).map_err(|_| {
        format!(
            "\"balances\" is {}, not a list of objects",
            super::escaped(json)
        )
    })?;
    balances.iter().try_for_each(|balance| {
        check_amount(balance.amount)?;
        check_currency(balance.currency)
    })
}

/// Checks that metadata is null or an object of strings.
pub fn check_metadata(metadata: &str) -> Result<(), String> {
    struct Strings;
    impl<'de> Deserialize<'de> for Strings {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strings, D::Error> {
            deserializer.deserialize_map(Strings)
        }
    }
    impl<'de> Visitor<'de> for Strings {
        type Value = Strings;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
            while map.next_entry::<Text, Text>()?.is_some() {}
            Ok(Strings)
        }
    }
    match serde_json::from_str::<Option<Strings>>(metadata) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "\"metadata\" is {}, not an object whose values are all strings",
            super::escaped(metadata)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(stream: Stream, json: &str) -> String {
        let fields: RecordFields = serde_json::from_str(json).unwrap();
        fields.check(stream).err().unwrap_or_default()
    }

    #[test]
    fn every_rule_names_its_field() {
        let transaction = |field: &str, value: &str| {
            let mut fields = vec![
                ("createdAt", "\"2024-05-01T12:00:00Z\""),
                ("amount", "\"-007\""),
                ("currency", "\"USD/2\""),
                ("metadata", "{\"a\":\"b\"}"),
            ];
            fields.retain(|(name, _)| *name != field);
            fields.push((field, value));
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            broken(Stream::Transactions, &format!("{{{}}}", fields.join(",")))
        };
        for (field, value, said) in [
            ("x", "1", ""),
            ("metadata", "null", ""),
            ("metadata", "{}", ""),
            ("metadata", r#"{"a":1}"#, "\"metadata\" is"),
            ("metadata", r#"{"a":null}"#, "\"metadata\" is"),
            ("metadata", "[]", "\"metadata\" is"),
            ("amount", "12", "\"amount\" is 12, not a string"),
            ("amount", "null", "\"amount\" is missing"),
            ("amount", "\"1.5\"", "is not an amount"),
            ("currency", "\"usd\"", "is not an asset"),
            ("currency", "null", "\"currency\" is missing"),
            ("createdAt", "\"yesterday\"", "\"createdAt\""),
        ] {
            let reason = transaction(field, value);
            assert!(
                reason.contains(said) && reason.is_empty() == said.is_empty(),
                "{field} {value}: {reason}"
            );
        }
        for (balances, said) in [
            (r#"[]"#, ""),
            (r#"[{"amount":"1","currency":"EUR/2","x":1}]"#, ""),
            (r#"[{"amount":1,"currency":"EUR/2"}]"#, "\"amount\" is 1"),
            (r#"[{"amount":"1"}]"#, "\"currency\" is missing"),
            (r#"{}"#, "not a list"),
            (r#"null"#, "\"balances\" is missing"),
        ] {
            let reason = broken(Stream::Balances, &format!("{{\"balances\":{balances}}}"));
            assert!(
                reason.contains(said) && reason.is_empty() == said.is_empty(),
                "{balances}: {reason}"
            );
        }
    }

    #[test]
    fn unknown_values_are_named_and_break_no_rule() {
        let json = r#"{"type":"ACH","status":7}"#;
        let fields: RecordFields = serde_json::from_str(json).unwrap();
        assert_eq!(
            fields.unknown_values(Stream::Transactions),
            [("type", "ACH".to_owned()), ("status", "7".to_owned())]
        );
        let json = r#"{"type":"PAYIN"}"#;
        let fields: RecordFields = serde_json::from_str(json).unwrap();
        assert_eq!(
            fields.unknown_values(Stream::Transactions),
            [("status", "(missing)".to_owned())]
        );
        assert!(fields.unknown_values(Stream::Accounts).is_empty());
    }
}
