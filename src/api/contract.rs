//! The rules of the API that a record must keep to be accepted.
//!
//! They are checked on the record's own text, one field at a time, so that the reason names the field. Unknown fields,
//! missing names, and values of `type` and `status` that the API does not know break no rule.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::members::folds_to;
use super::text::{Text, text, without_half_pairs};
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

/// The fields that have rules.
const RULED: [&str; 11] = [
    "id",
    "accountID",
    "createdAt",
    "updatedAt",
    "at",
    "amount",
    "currency",
    "balances",
    "metadata",
    "type",
    "status",
];

/// The values of the fields that have rules. Each is kept as raw text first, so that one wrong field does not hide the
/// others.
///
/// A name that differs from a field's only in case is taken for it, as Go does, unless the field's own name is there, too,
/// or more than one is like that.
pub(super) struct RecordFields<'a>([Option<&'a RawValue>; RULED.len()]);

impl<'a> RecordFields<'a> {
    fn get(&self, field: &str) -> Option<&'a str> {
        let place = RULED.iter().position(|ruled| *ruled == field)?;
        self.0[place].map(RawValue::get)
    }

    /// The texts of the fields that are there, with their names.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let values = RULED.into_iter().zip(self.0);
        values.filter_map(|(field, value)| Some((field, value?.get())))
    }

    /// The record's key.
    pub fn key(&self, stream: Stream) -> Result<Cow<'a, str>, String> {
        let field = stream.key_field();
        let id = match stream {
            Stream::Balances => self.get("accountID"),
            _ => self.get("id"),
        };
        if let Some(json) = id
            && let Cow::Owned(_) = without_half_pairs(json)
        {
            // For Formance, several such ids would be the same.
            return Err(format!(
                "\"{field}\" is {}, with half a surrogate pair: have the service cut its texts between characters",
                super::escaped(json)
            ));
        }
        let id = text(field, id)?;
        check_id(field, &id)?;
        Ok(id)
    }

    /// The record's own date.
    pub fn date(&self, stream: Stream) -> Result<Timestamp, String> {
        let value = match stream {
            Stream::Accounts | Stream::Beneficiaries => self.get("createdAt"),
            Stream::Balances => self.get("at"),
            Stream::Transactions => self.get("updatedAt"),
        };
        date(stream.date_field(), value)
    }

    /// The field `createdAt`, if it is valid.
    pub fn created_at(&self) -> Option<Timestamp> {
        date("createdAt", self.get("createdAt")).ok()
    }

    /// Checks the rules other than those of the key and the date. The error is the first one that the record breaks.
    pub fn check(&self, stream: Stream) -> Result<(), String> {
        match stream {
            Stream::Accounts | Stream::Beneficiaries => {}
            Stream::Balances => check_balances(self.get("balances"))?,
            Stream::Transactions => {
                date("createdAt", self.get("createdAt"))?;
                check_amount(self.get("amount"))?;
                check_currency(self.get("currency"))?;
            }
        }
        match self.get("metadata") {
            Some(metadata) if stream != Stream::Balances => check_metadata(metadata),
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
            ("type", self.get("type"), TYPES.as_slice()),
            ("status", self.get("status"), STATUSES.as_slice()),
        ] {
            match text(field, value) {
                Ok(value) if known.contains(&&*value) => {}
                Ok(value) => unknown.push((field, super::escaped(&value))),
                Err(_) => {
                    let shown = value.map_or("(missing)".to_owned(), super::escaped);
                    unknown.push((field, shown));
                }
            }
        }
        unknown
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RecordFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordFields<'a>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = RecordFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut exact = [None; RULED.len()];
                let mut folded = [None; RULED.len()];
                let mut ambiguous = [false; RULED.len()];
                while let Some(Text(name)) = map.next_key()? {
                    if let Some(place) = RULED.iter().position(|field| *field == name) {
                        if exact[place].is_some() {
                            return Err(Error::duplicate_field(RULED[place]));
                        }
                        exact[place] = Some(map.next_value()?);
                    } else if let Some(place) =
                        RULED.iter().position(|field| folds_to(&name, field))
                    {
                        ambiguous[place] = folded[place].is_some();
                        folded[place] = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(RecordFields(std::array::from_fn(|place| {
                    exact[place].or(folded[place].filter(|_| !ambiguous[place]))
                })))
            }
        }
        deserializer.deserialize_map(Read)
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

fn date(field: &str, value: Option<&str>) -> Result<Timestamp, String> {
    Timestamp::parse(&text(field, value)?).map_err(|invalid| format!("\"{field}\": {invalid}"))
}

fn check_amount(value: Option<&str>) -> Result<(), String> {
    Amount::check(&text("amount", value)?).map_err(|invalid| format!("\"amount\": {invalid}"))
}

fn check_currency(value: Option<&str>) -> Result<(), String> {
    Asset::check(&text("currency", value)?).map_err(|invalid| format!("\"currency\": {invalid}"))
}

fn check_balances(value: Option<&str>) -> Result<(), String> {
    let json = match value {
        None | Some("null") => return Err("\"balances\" is missing".to_owned()),
        Some(json) => json,
    };
    let balances: Vec<RecordFields> = serde_json::from_str(json).map_err(|_| {
        format!(
            "\"balances\" is {}, not a list of objects",
            super::escaped(json)
        )
    })?;
    balances.iter().try_for_each(|balance| {
        check_amount(balance.get("amount"))?;
        check_currency(balance.get("currency"))
    })
}

/// Checks that metadata is null or an object of strings and nulls, which Go reads as empty strings.
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
            while map.next_entry::<Text, Option<Text>>()?.is_some() {}
            Ok(Strings)
        }
    }
    match serde_json::from_str::<Option<Strings>>(&without_half_pairs(metadata)) {
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
            ("metadata", r#"{"a":null,"b":"half \ud83d"}"#, ""),
            ("metadata", "7", "\"metadata\" is"),
            ("Amount", "12", ""),
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
    fn a_name_in_another_case_is_taken_for_the_field() {
        for (json, expected) in [
            (r#"{"Id":"a"}"#, Ok("a")),
            (r#"{"ID":"b","id":"a"}"#, Ok("a")),
            (r#"{"Id":"a","ID":"b"}"#, Err("\"id\" is missing")),
            (r#"{"i d":"a"}"#, Err("\"id\" is missing")),
        ] {
            let fields: RecordFields = serde_json::from_str(json).unwrap();
            let key = fields.key(Stream::Accounts);
            assert_eq!(key.as_deref().map_err(String::as_str), expected, "{json}");
        }
        let json = r#"{"Balances":[{"Amount":"1","CURRENCY":"EUR/2"}]}"#;
        assert_eq!(broken(Stream::Balances, json), "");
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
