//! What Go's standard library makes of JSON, dates and URLs, as far as it decides what Formance can read.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper JSON is refused, wherever it stands.
const DEEPEST: usize = 10_000;
/// 0001-01-01T00:00:00Z in nanoseconds from 1970: what an unset date is.
const ZERO: i128 = -62_135_596_800 * 1_000_000_000;

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
pub enum Kind {
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
    pub fn read(json: &str, known: &[(&'static str, Kind)]) -> Result<Fields, String> {
        check_depth(json)?;
        let mut fields = Fields::default();
        let object: Option<Object> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        for (name, value) in object.map_or(vec![], |object| object.0) {
            let name = folded(&name);
            if let Some((field, kind)) = known.iter().find(|(field, _)| folded(field) == name) {
                fields
                    .set(field, *kind, value.get())
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

    fn set(&mut self, field: &'static str, kind: Kind, json: &str) -> Result<(), String> {
        let null = json == "null";
        match kind {
            Kind::Type | Kind::Status => {
                let value = if null { String::new() } else { text(json)? };
                let known = match kind {
                    Kind::Type => TYPES,
                    _ => STATUSES,
                };
                if !known.contains(&value.as_str()) {
                    return Err(format!("{value:?} is not in the enum"));
                }
                self.texts.insert(field, value);
            }
            Kind::OptionalText if null => {
                self.texts.remove(field);
            }
            Kind::Text | Kind::Date if null => {}
            Kind::Text | Kind::OptionalText => {
                self.texts.insert(field, text(json)?);
            }
            Kind::Date => {
                self.dates.insert(field, Date::read(json)?);
            }
            Kind::Metadata => {
                let object: Option<Object> =
                    serde_json::from_str(json).map_err(|error| error.to_string())?;
                for (name, value) in object.map_or(vec![], |object| object.0) {
                    if value.get() != "null" {
                        text(value.get()).map_err(|reason| format!("{name}: {reason}"))?;
                    }
                }
            }
            Kind::List => {
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

/// An instant, and the offset in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// From 1970.
    nanoseconds: i128,
    /// In seconds.
    offset: i128,
}

impl Date {
    /// What an unset date is.
    pub const ZERO: Date = Date {
        nanoseconds: ZERO,
        offset: 0,
    };

    /// Reads the text of a JSON value. Escapes in it are not resolved.
    ///
    /// Some spellings pass that RFC 3339 does not know: an hour of one digit, a comma before the fraction, more than
    /// nine digits after it, an offset of up to 24:60.
    pub fn read(json: &str) -> Result<Date, String> {
        let text = json
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        text.and_then(|text| Date::parse(Reader(text.as_bytes())))
            .ok_or_else(|| format!("{json} is not a date"))
    }

    fn parse(mut text: Reader) -> Option<Date> {
        let year = text.number(4, 4)?;
        text.byte(b"-")?;
        let month = text.number(2, 2).filter(|month| (1..=12).contains(month))?;
        text.byte(b"-")?;
        let day = text.number(2, 2)?;
        text.byte(b"T")?;
        let hour = text.number(1, 2).filter(|hour| *hour < 24)?;
        text.byte(b":")?;
        let minute = text.number(2, 2).filter(|minute| *minute < 60)?;
        text.byte(b":")?;
        let second = text.number(2, 2).filter(|second| *second < 60)?;
        let fraction = text.fraction();
        let offset = match text.byte(b"Z+-")? {
            b'Z' => 0,
            sign => {
                let hours = text.number(2, 2).filter(|hours| *hours <= 24)?;
                text.byte(b":")?;
                let minutes = text.number(2, 2).filter(|minutes| *minutes <= 60)?;
                let seconds = (hours * 60 + minutes) * 60;
                if sign == b'-' { -seconds } else { seconds }
            }
        };
        if !text.0.is_empty() || !(1..=days_in(month, year)).contains(&day) {
            return None;
        }
        let seconds =
            days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Date {
            nanoseconds: (seconds - offset) * 1_000_000_000 + fraction,
            offset,
        })
    }

    /// Nanoseconds from 1970: what dates are compared by.
    pub fn instant(self) -> i128 {
        self.nanoseconds
    }

    /// Microseconds from 1970, rounded: what the database keeps.
    pub fn microseconds(self) -> i128 {
        (self.nanoseconds + 500).div_euclid(1_000)
    }

    /// An offset of a whole day can be read but not be written again.
    pub fn check_writable(self) -> Result<(), String> {
        match self.offset.abs() < 86_400 {
            true => Ok(()),
            false => Err("timezone hour outside of range [0,23]".to_owned()),
        }
    }

    /// The second that it lies in, in UTC, as a filter carries it.
    pub fn whole_second(self) -> String {
        let seconds = self.nanoseconds.div_euclid(1_000_000_000);
        let second = seconds.rem_euclid(86_400);
        let days = seconds.div_euclid(86_400);
        // Not too early, before 1970 and after it.
        let mut year = 1970 + days.div_euclid(365).max(days.div_euclid(366));
        while days_since_1970(year, 1, 1) > days {
            year -= 1;
        }
        let mut month = 12;
        while days_since_1970(year, month, 1) > days {
            month -= 1;
        }
        let day = days - days_since_1970(year, month, 1) + 1;
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
            second % 60
        )
    }
}

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        allowed.contains(first).then_some(*first)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i128> {
        let digits = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit());
        let length = digits.count();
        if length < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0')),
        )
    }

    /// Nanoseconds; zero if there is none.
    fn fraction(&mut self) -> i128 {
        let [b'.' | b',', digits @ ..] = self.0 else {
            return 0;
        };
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 {
            return 0;
        }
        let (digits, rest) = digits.split_at(length);
        self.0 = rest;
        let padded = digits
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        padded.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'))
    }
}

fn is_leap(year: i128) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(month: i128, year: i128) -> i128 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i128, month: i128, day: i128) -> i128 {
    // The leap days up to the end of a year, counted from the year 0.
    let leap_days = |year: i128| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: i128 = (1..month).map(|month| days_in(month, year)).sum();
    years + months + day - 1
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
/// begins the query, a `%` must begin an escape. A path with anything in it that may not stand in one is decoded and
/// escaped anew as a whole.
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
    let path = match path.bytes().all(stays) {
        true => path.to_owned(),
        false => {
            let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
            percent_encode(&decoded, ALLOWED_IN_PATH).to_string()
        }
    };
    Ok(match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}
