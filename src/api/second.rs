use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Invalid, Timestamp};

/// A whole second: the unit of a list's filter, and of ties between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Second(pub(super) i64);

impl Second {
    /// 0001-01-01T00:00:00Z, the earliest second that [`earlier`](Second::earlier) returns.
    pub const MIN: Second = Second(-62_135_596_800);
    /// 9999-12-30T22:00:00Z, the latest second that [`next`](Second::next) returns.
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

    /// The second that is `seconds` after this one.
    pub fn later(self, seconds: u64) -> Second {
        Second(self.0.saturating_add_unsigned(seconds)).min(Second::MAX)
    }

    /// The second after this one.
    pub fn next(self) -> Second {
        self.later(1)
    }

    /// Seconds since 1970, negative before.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// Whole seconds from `earlier` to this one; zero if this one is not later.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
