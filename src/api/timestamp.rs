use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A date of the API: RFC 3339, to the nanosecond, kept in UTC.
///
/// Written with nine fractional digits, so that the text sorts as the instant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The clock of this machine.
    pub fn now() -> Timestamp {
        Timestamp(jiff::Timestamp::now())
    }

    /// Reads `2024-05-01T12:00:00Z`, with up to nine fractional digits, and `Z` or `±hh:mm`.
    ///
    /// Anything else is an error: a date without an offset names no instant, and the other spellings of ISO 8601 are
    /// not in the API. The last two days of the year 9999, which some services write for "never", count as the last
    /// instant that can be computed with, 9999-12-30T22:00:00Z; the record keeps what was written.
    pub fn parse(text: &str) -> Result<Timestamp, Invalid> {
        let invalid = || {
            Invalid(format!(
                "{:?} is not an RFC 3339 date such as 2024-05-01T12:00:00Z",
                super::escaped(text)
            ))
        };
        if !has_the_shape_of_rfc3339(text.as_bytes()) {
            return Err(invalid());
        }
        let computed = text.parse::<jiff::Timestamp>().or_else(|error| {
            let rest = text.strip_prefix("9999-12-3").ok_or(error)?;
            // A year earlier everything can be computed with but what is no date.
            let year_earlier = format!("9998-12-3{rest}").parse::<jiff::Timestamp>();
            year_earlier.map(|_| jiff::Timestamp::MAX)
        });
        computed.map(Timestamp::written).map_err(|_| invalid())
    }

    /// Reads an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110 section 5.6.7).
    pub fn parse_http(text: &str) -> Option<Timestamp> {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .ok()
            .map(Timestamp::written)
    }

    /// What a text said. An offset may lead out of the year 0, but years have no sign: there it ends.
    fn written(computed: jiff::Timestamp) -> Timestamp {
        let year_zero = jiff::Timestamp::constant(-62_167_219_200, 0);
        Timestamp(computed.max(year_zero))
    }

    /// The date of that text as Go reads it, if it does not read the text itself: it knows no second 60, no offset of a
    /// day or more, and takes the first day of the year 1 for no date at all.
    pub fn for_go(self, text: &str) -> Option<String> {
        /// Always the same, because Formance tells a payment's changes apart by it.
        const INSTEAD_OF_NONE: &str = "1970-01-01T00:00:00Z";
        // Seconds are the last two of nineteen bytes. The hours of an offset stand before its colon.
        let leaps = text.get(17..19) == Some("60");
        let offset_hours = text
            .len()
            .checked_sub(5)
            .and_then(|start| text.get(start..start + 2));
        let is_far = !text.ends_with('Z') && offset_hours.is_none_or(|hours| hours >= "24");
        match () {
            () if self <= Second::MIN.start() => Some(INSTEAD_OF_NONE.to_owned()),
            () if leaps || is_far => Some(self.to_string()),
            () => None,
        }
    }

    /// The whole second that this instant lies in.
    pub fn second(self) -> Second {
        // At most 2^39 seconds lie within RFC 3339's years, so the quotient fits.
        Second(self.0.as_nanosecond().div_euclid(1_000_000_000) as i64)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z. What lies beyond 64 bits counts as their ends, 1677-09-21 and 2262-04-11.
    pub fn nanoseconds(self) -> i64 {
        let nanoseconds = self.0.as_nanosecond();
        nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// The instant so many nanoseconds after 1970-01-01T00:00:00Z.
    pub fn from_nanoseconds(nanoseconds: i64) -> Timestamp {
        let computed = jiff::Timestamp::from_nanosecond(nanoseconds.into());
        // Every instant of 64 bits can be computed with.
        Timestamp(computed.unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// The instant so many nanoseconds later, or earlier if they are negative, within what can be computed with.
    pub fn plus_nanoseconds(self, nanoseconds: i64) -> Timestamp {
        let moved = self
            .0
            .saturating_add(jiff::SignedDuration::from_nanos(nanoseconds));
        Timestamp(moved.unwrap_or(self.0))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or(Duration::ZERO)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", self.0)
    }
}

/// A whole second, the unit of filters and of ties: Formance's own connector sends its filters truncated to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Second(i64);

impl Second {
    /// 0001-01-01T00:00:00Z, below which [`earlier`](Second::earlier) does not go: RFC 3339 has no sign for years.
    pub const MIN: Second = Second(-62_135_596_800);
    /// 9999-12-30T22:00:00Z, beyond which [`next`](Second::next) does not go.
    pub const MAX: Second = Second(253_402_207_200);

    /// The last nanosecond of this second.
    pub fn end(self) -> Timestamp {
        let last = i128::from(self.0) * 1_000_000_000 + 999_999_999;
        Timestamp(jiff::Timestamp::from_nanosecond(last).unwrap_or(jiff::Timestamp::MAX))
    }

    /// The first nanosecond of this second.
    pub fn start(self) -> Timestamp {
        Timestamp(jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::MAX))
    }

    /// The second that is `seconds` before this one.
    pub fn earlier(self, seconds: u64) -> Second {
        Second(self.0.saturating_sub_unsigned(seconds)).max(Second::MIN)
    }

    /// The second after this one.
    pub fn next(self) -> Second {
        Second(self.0.saturating_add(1)).min(Second::MAX)
    }

    /// Whole seconds from `earlier` to this one; zero if it is not after it.
    pub fn since(self, earlier: Second) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl From<Second> for String {
    fn from(second: Second) -> String {
        second.to_string()
    }
}

impl TryFrom<String> for Second {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Second, Invalid> {
        Timestamp::parse(&text).map(Timestamp::second)
    }
}

impl fmt::Display for Second {
    /// As filters carry it: `2024-05-01T12:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.0}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// `YYYY-MM-DDThh:mm:ss[.f{1,9}](Z|±hh:mm)`. The values of the digits are checked by the parser proper, which alone
/// would also take spaces, commas, missing seconds and named zones.
fn has_the_shape_of_rfc3339(text: &[u8]) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let shape = b"0000-00-00T00:00:00";
    let matches = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, rule)| match rule {
                b'0' => byte.is_ascii_digit(),
                _ => byte == rule,
            })
    };
    if !matches(date_time, shape) {
        return false;
    }
    let offset = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &rest[digits..]
        }
        None => rest,
    };
    offset == b"Z" || matches(offset, b"+00:00") || matches(offset, b"-00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_allows() {
        for (text, shown) in [
            ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00.000000000Z"),
            ("2024-05-01T12:00:00.5Z", "2024-05-01T12:00:00.500000000Z"),
            (
                "2024-05-01T12:00:00.123456789+02:00",
                "2024-05-01T10:00:00.123456789Z",
            ),
            (
                "2024-05-01T12:00:00-05:30",
                "2024-05-01T17:30:00.000000000Z",
            ),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999000000Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in [
            "",
            "null",
            "2024-05-01",
            "2024-05-01T12:00:00",
            "2024-05-01 12:00:00Z",
            "2024-05-01t12:00:00z",
            "2024-05-01T12:00Z",
            "2024-13-01T12:00:00Z",
            "2024-02-30T12:00:00Z",
            "2024-05-01T12:00:00,5Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00.1234567890Z",
            "2024-05-01T12:00:00+0200",
            "2024-05-01T12:00:00+02",
            "2024-05-01T12:00:00Z[UTC]",
            "2024-05-01T12:00:00+99:99",
            "9999-12-31T23:59:59+99:99",
            "9999-12-32T23:59:59Z",
            "1714564800",
            "２024-05-01T12:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn floors_to_the_second_before_the_epoch_too() {
        let second = |text| Timestamp::parse(text).unwrap().second();
        assert_eq!(
            second("1969-12-31T23:59:59.001Z").to_string(),
            "1969-12-31T23:59:59Z"
        );
        assert_eq!(
            second("2024-05-01T12:00:00.999999999Z"),
            second("2024-05-01T12:00:00Z")
        );
        assert_eq!(
            second("2024-05-01T12:00:01Z").earlier(61).to_string(),
            "2024-05-01T11:59:00Z"
        );
        assert_eq!(
            second("0001-01-01T00:00:01Z").earlier(3600).to_string(),
            "0001-01-01T00:00:00Z"
        );
        assert_eq!(
            second("9999-12-31T23:59:59Z").to_string(),
            "9999-12-30T22:00:00Z"
        );
        assert_eq!(
            second("9999-12-31T23:59:59Z").next(),
            second("9999-12-31T23:59:59Z")
        );
        assert_eq!(
            second("0000-01-01T00:00:00+01:00").to_string(),
            "0000-01-01T00:00:00Z"
        );
    }

    #[test]
    fn reads_http_dates() {
        let date = Timestamp::parse_http("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.second().to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(Timestamp::parse_http("tomorrow"), None);
        let first = Timestamp::parse_http("Sat, 01 Jan 0000 00:30:00 +0100").unwrap();
        assert_eq!(first.to_string(), "0000-01-01T00:00:00.000000000Z");
    }
}
