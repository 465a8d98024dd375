use std::fmt;
use std::time::Duration;

use super::{Invalid, Second};

/// A date of the API: RFC 3339, to the nanosecond, kept in UTC.
///
/// It is displayed with nine fractional digits, so that its text sorts as the instant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub(super) jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(jiff::Timestamp::UNIX_EPOCH);

    /// The present, by the clock of this machine.
    pub fn now() -> Timestamp {
        Timestamp(jiff::Timestamp::now())
    }

    /// Reads `2024-05-01T12:00:00Z`, with up to nine fractional digits, and `Z` or `±hh:mm`.
    ///
    /// Anything else is an error: a date without an offset names no instant, and the API has no other spelling of ISO
    /// 8601. Some services write the last two days of the year 9999 for "never". jiff cannot represent them, so they
    /// become its last instant, in the second 9999-12-30T22:00:00Z; the record keeps the text that the service sent.
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
        let parsed = text.parse::<jiff::Timestamp>().or_else(|error| {
            let rest = text.strip_prefix("9999-12-3").ok_or(error)?;
            // The same text one year earlier parses unless it is no date at all.
            let year_earlier = format!("9998-12-3{rest}").parse::<jiff::Timestamp>();
            year_earlier.map(|_| jiff::Timestamp::MAX)
        });
        parsed.map(Timestamp::from_year_zero).map_err(|_| invalid())
    }

    /// Reads an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110 section 5.6.7).
    pub fn parse_http(text: &str) -> Option<Timestamp> {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .ok()
            .map(Timestamp::from_year_zero)
    }

    /// An offset can lead to before the year 0. RFC 3339 has no sign for years, so such a date becomes the year's start.
    fn from_year_zero(parsed: jiff::Timestamp) -> Timestamp {
        let year_zero = jiff::Timestamp::constant(-62_167_219_200, 0);
        Timestamp(parsed.max(year_zero))
    }

    /// The whole second that this instant lies in.
    pub fn second(self) -> Second {
        // jiff truncates towards 1970. Before 1970 the fraction is negative, and the second starts one earlier.
        Second(self.0.as_second() - i64::from(self.0.subsec_nanosecond() < 0))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, saturating at the ends of 64 bits: 1677-09-21 and 2262-04-11.
    pub fn nanoseconds(self) -> i64 {
        let end = if self < Timestamp::EPOCH {
            i64::MIN
        } else {
            i64::MAX
        };
        i64::try_from(self.0.as_nanosecond()).unwrap_or(end)
    }

    /// The instant this many nanoseconds after 1970-01-01T00:00:00Z.
    pub fn from_nanoseconds(nanoseconds: i64) -> Timestamp {
        // jiff represents every instant of 64 bits, so the fallback is never taken.
        let instant = jiff::Timestamp::from_nanosecond(nanoseconds.into());
        instant.map_or(Timestamp::EPOCH, Timestamp)
    }

    /// The instant this many nanoseconds later, or earlier if the number is negative. Saturates.
    pub fn plus_nanoseconds(self, nanoseconds: i64) -> Timestamp {
        let moved = self
            .0
            .saturating_add(jiff::SignedDuration::from_nanos(nanoseconds));
        Timestamp(moved.unwrap_or(self.0))
    }

    /// The time from `earlier` to this instant; zero if this one is not later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or(Duration::ZERO)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", self.0)
    }
}

/// Whether the text has the form `YYYY-MM-DDThh:mm:ss[.f{1,9}](Z|±hh:mm)`. jiff checks the values of the digits, but
/// would also accept spaces, commas, missing seconds and named zones.
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
    fn reads_rfc_3339() {
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
    fn rejects_every_other_spelling() {
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
    fn reads_http_dates() {
        let date = Timestamp::parse_http("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.second().to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(Timestamp::parse_http("tomorrow"), None);
        let first = Timestamp::parse_http("Sat, 01 Jan 0000 00:30:00 +0100").unwrap();
        assert_eq!(first.to_string(), "0000-01-01T00:00:00.000000000Z");
    }
}
