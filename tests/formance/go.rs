//! How Go's standard library decodes JSON and escapes URLs, as far as it decides what Formance can read.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::date::Date;

/// JSON nested deeper than this is refused (`encoding/json`: `maxNestingDepth`).
const DEEPEST: usize = 10_000;

const TYPES: &[&str] = &["PAYIN", "PAYOUT", "TRANSFER", "OTHER"];

/// The known values of `status`.
pub const STATUSES: &[&str] = &[
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

/// The type of a field in the struct that is decoded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoType {
    Text,
    /// A pointer: null unsets it.
    OptionalText,
    Date,
    Type,
    Status,
    Metadata,
    /// A list of objects.
    List,
}

/// A decoded object. What was missing or null is empty, or the zero date.
#[derive(Default)]
pub struct Fields {
    texts: BTreeMap<&'static str, String>,
    dates: BTreeMap<&'static str, Date>,
    lists: BTreeMap<&'static str, String>,
}

impl Fields {
    /// Decodes an object, or null, which leaves everything unset. Names match in any case, and later ones win; other
    /// names are passed over. A value of the wrong type or outside its rule is an error.
    pub fn read(json: &str, known: &[(&'static str, GoType)]) -> Result<Fields, String> {
        check_depth(json)?;
        let mut fields = Fields::default();
        let object: Option<Object> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        for (name, value) in object.map_or(vec![], |object| object.0) {
            let name = folded(&name);
            if let Some((field, go_type)) = known.iter().find(|(field, _)| folded(field) == name) {
                fields
                    .set(field, *go_type, value.get())
                    .map_err(|reason| format!("{field}: {reason}"))?;
            }
        }
        Ok(fields)
    }

    /// A text; empty if it is not set.
    pub fn text(&self, field: &str) -> &str {
        self.texts.get(field).map_or("", String::as_str)
    }

    /// A date; zero if it is not set.
    pub fn date(&self, field: &str) -> Date {
        self.dates.get(field).copied().unwrap_or(Date::ZERO)
    }

    /// The elements of a list; none if it is not set.
    pub fn list(&self, field: &str) -> Result<Vec<String>, String> {
        self.lists
            .get(field)
            .map_or(Ok(vec![]), |json| page_of(json))
    }

    fn set(&mut self, field: &'static str, go_type: GoType, json: &str) -> Result<(), String> {
        let null = json == "null";
        match go_type {
            GoType::Type | GoType::Status => {
                let value = if null { String::new() } else { text(json)? };
                let known = match go_type {
                    GoType::Type => TYPES,
                    _ => STATUSES,
                };
                if !known.contains(&value.as_str()) {
                    return Err(format!("{value:?} is not in the enum"));
                }
                self.texts.insert(field, value);
            }
            GoType::OptionalText if null => {
                self.texts.remove(field);
            }
            GoType::Text | GoType::Date if null => {}
            GoType::Text | GoType::OptionalText => {
                self.texts.insert(field, text(json)?);
            }
            GoType::Date => {
                self.dates.insert(field, Date::read(json)?);
            }
            GoType::Metadata => {
                let object: Option<Object> =
                    serde_json::from_str(json).map_err(|error| error.to_string())?;
                for (name, value) in object.map_or(vec![], |object| object.0) {
                    if value.get() != "null" {
                        text(value.get()).map_err(|reason| format!("{name}: {reason}"))?;
                    }
                }
            }
            GoType::List => {
                self.lists.insert(field, json.to_owned());
            }
        }
        Ok(())
    }
}

/// The elements of a list, each as it was written. Null is an empty list.
pub fn page_of(json: &str) -> Result<Vec<String>, String> {
    check_depth(json)?;
    let list: Option<Vec<&RawValue>> =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    let elements = list.unwrap_or_default().into_iter();
    Ok(elements.map(|element| element.get().to_owned()).collect())
}

fn check_depth(json: &str) -> Result<(), String> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err("exceeded max depth".to_owned());
        }
    }
    Ok(())
}

/// A field's name in the form in which names are compared.
fn folded(name: &str) -> String {
    let fold = |character: char| match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

/// The members of an object in their order, duplicates too.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text, Box<RawValue>>()? {
                    members.push((name.0, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A text in which half a surrogate pair has become U+FFFD.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                let mut whole = Vec::with_capacity(bytes.len());
                let mut rest = bytes;
                while let [first, others @ ..] = rest {
                    // No character of UTF-8 begins so.
                    if *first == 0xed && others.first().is_some_and(|second| *second >= 0xa0) {
                        whole.extend("\u{fffd}".bytes());
                        rest = &others[2..];
                    } else {
                        whole.push(*first);
                        rest = others;
                    }
                }
                Ok(Text(String::from_utf8_lossy(&whole).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

fn text(json: &str) -> Result<String, String> {
    if !json.starts_with('"') {
        return Err(format!("{json} is not a string"));
    }
    let text: Text = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(text.0)
}

/// What a URL's path is left as where it is valid already.
const ALLOWED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// The request target that is sent for a path into which an id was put unescaped: what follows a `#` is cut off, a `?`
/// begins the query, a `%` must begin an escape. A path with anything in it that a path may not hold is decoded and
/// escaped again as a whole.
pub fn escaped_target(target: &str) -> Result<String, String> {
    if target.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(format!("{target:?}: invalid control character in URL"));
    }
    let (target, fragment) = target.split_once('#').unwrap_or((target, ""));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    for part in [path, fragment] {
        for escape in part.split('%').skip(1) {
            let digits = escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
            if digits < 2 {
                return Err(format!("{part:?}: invalid URL escape"));
            }
        }
    }
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/!$&'()*+,;=:@[]%".contains(&byte);
    let path = if path.bytes().all(stays) {
        path.to_owned()
    } else {
        let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
        percent_encode(&decoded, ALLOWED_IN_PATH).to_string()
    };
    Ok(match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}
