use std::time::Duration;

use crate::api::Timestamp;

/// The date under which the listener shows a version: unique and strictly increasing within its stream.
///
/// Formance's own connector keeps the date of the last record that it read and drops everything that is not later, so
/// dates that tie, or that appear late, would lose records. A stamp is the record's own date wherever that is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

impl Stamp {
    /// Between two stamps while there is room below the present: at most 100 in a second, a page of that connector,
    /// which reads the whole second of its last record again each time.
    pub const WIDE: Duration = Duration::from_millis(10);
    /// Between two stamps where there is no room. Formance keeps dates to the microsecond.
    pub const NARROW: Duration = Duration::from_micros(1);

    /// The stamp of a version with that date that follows one with the stamp `last`.
    ///
    /// Never in the future but to stay above `last`: everything that comes after a date in the future would have to be
    /// stamped there, too.
    pub fn next(own: Timestamp, now: Timestamp, last: Option<Stamp>) -> Stamp {
        Stamp::next_by(Stamp::WIDE, own, now, last)
    }

    /// As [`next`](Stamp::next), with another distance than [`WIDE`](Stamp::WIDE).
    pub fn next_by(wide: Duration, own: Timestamp, now: Timestamp, last: Option<Stamp>) -> Stamp {
        let own = own.min(now).nanoseconds();
        let after = last.map(|last| {
            let last = last.nanoseconds();
            let by = |step: Duration| last.saturating_add(step.as_nanos() as i64);
            match by(wide) {
                wide if wide < now.nanoseconds() => wide,
                // Once it is in the future, it costs nothing to go on there, and a crowded second would.
                _ if last > now.nanoseconds().saturating_add(1_000_000_000) => by(Stamp::WIDE),
                _ => by(Stamp::NARROW),
            }
        });
        Stamp::from_nanoseconds(after.map_or(own, |after| after.max(own)))
    }

    /// The stamp as the state keeps it: nanoseconds since 1970-01-01T00:00:00Z.
    pub fn nanoseconds(self) -> i64 {
        self.0.nanoseconds()
    }

    /// The stamp that the state keeps so.
    pub fn from_nanoseconds(nanoseconds: i64) -> Stamp {
        Stamp(Timestamp::from_nanoseconds(nanoseconds))
    }

    /// The stamp as a date.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_stamp_is_the_records_own_date_wherever_that_is_safe() {
        let now = at("2024-05-01T12:00:00Z");
        let stamp = |own, last: Option<&str>| {
            let last = last.map(|last| Stamp(at(last)));
            Stamp::next(at(own), now, last).timestamp()
        };
        for (own, last, expected) in [
            (
                "2024-05-01T10:00:00.000000001Z",
                None,
                "2024-05-01T10:00:00.000000001Z",
            ),
            // Later than the last one.
            (
                "2024-05-01T10:00:01Z",
                Some("2024-05-01T10:00:00Z"),
                "2024-05-01T10:00:01Z",
            ),
            // A tie, a record that appears late, and one that is less than a step later.
            (
                "2024-05-01T10:00:00Z",
                Some("2024-05-01T10:00:00Z"),
                "2024-05-01T10:00:00.01Z",
            ),
            (
                "2024-04-01T10:00:00Z",
                Some("2024-05-01T10:00:00Z"),
                "2024-05-01T10:00:00.01Z",
            ),
            (
                "2024-05-01T10:00:00.001Z",
                Some("2024-05-01T10:00:00Z"),
                "2024-05-01T10:00:00.01Z",
            ),
            // The future, and no room below the present.
            ("2025-01-01T00:00:00Z", None, "2024-05-01T12:00:00Z"),
            (
                "2025-01-01T00:00:00Z",
                Some("2024-05-01T12:00:00Z"),
                "2024-05-01T12:00:00.000001Z",
            ),
            (
                "2024-05-01T10:00:00Z",
                Some("2030-01-01T00:00:00Z"),
                "2030-01-01T00:00:00.01Z",
            ),
            // What Go writes for no date at all.
            (
                "0001-01-01T00:00:00Z",
                None,
                "1677-09-21T00:12:43.145224192Z",
            ),
        ] {
            assert_eq!(stamp(own, last), at(expected), "{own} after {last:?}");
        }
    }

    proptest! {
        #[test]
        fn stamps_increase_strictly_whatever_the_dates_and_the_clock(
            steps in proptest::collection::vec((-20_000i64..20_000, -20_000i64..20_000), 1..200)
        ) {
            let start = at("2024-05-01T12:00:00Z").nanoseconds();
            let milliseconds = |number: i64| Timestamp::from_nanoseconds(start + number * 1_000_000);
            let mut last = None;
            for (own, now) in steps {
                let stamp = Stamp::next(milliseconds(own), milliseconds(now), last);
                prop_assert!(Some(stamp) > last);
                last = Some(stamp);
            }
        }
    }
}
