use crate::api::Timestamp;

/// The date under which the listener shows a version: unique and strictly increasing within its stream.
///
/// Formance's own connector keeps the date of the last record that it read, and drops everything that is not later. So
/// records whose dates tie, or that appear late, would be lost. A stamp is the record's own date wherever that is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

impl Stamp {
    /// The stamp as the state keeps it: nanoseconds since 1970-01-01T00:00:00Z.
    pub fn nanoseconds(self) -> i64 {
        self.0.nanoseconds()
    }

    /// The stamp that the state keeps as that number.
    pub fn from_nanoseconds(nanoseconds: i64) -> Stamp {
        Stamp(Timestamp::from_nanoseconds(nanoseconds))
    }

    /// The stamp as a date.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

/// Gives the versions of one list their stamps, in the order of the list.
#[derive(Debug, Clone, Copy)]
pub struct Stamps {
    now: Timestamp,
    last: Option<Stamp>,
    /// How many stamps lie in the second of the last one.
    crowd: u32,
}

impl Stamps {
    /// Nanoseconds between two stamps while there is room below the present. That makes at most 100 in a second, which
    /// is a page of that connector: it reads the whole second of its last record again each time.
    const WIDE: i64 = 10_000_000;
    /// Nanoseconds between two stamps that lie [`FAR`](Stamps::FAR) in the future. They are ten pages of a second.
    const MIDDLE: i64 = 1_000_000;
    /// Nanoseconds between two stamps where there is no room. Formance keeps dates to the microsecond.
    const NARROW: i64 = 1_000;
    /// The most stamps in a second. They are a hundred pages of that connector, each time.
    const CROWD: u32 = 10_000;
    /// Nanoseconds. A list that is dated again near the present runs into the future, and Formance's bound with it. If the
    /// state is lost then, a bound more than an hour ahead is not believed. So stamps lie closer from here on.
    const FAR: i64 = 900_000_000_000;
    /// Nanoseconds. From here on they lie as close as they can: ten million of them still end within the hour.
    const FARTHEST: i64 = 2_700_000_000_000;

    /// Those that follow `last`, which has `crowd` stamps in its second already.
    pub fn after(last: Option<Stamp>, crowd: u32, now: Timestamp) -> Stamps {
        Stamps { now, last, crowd }
    }

    /// Lets the next stamp lie in a later second than the last one.
    ///
    /// Formance asks from the second of what it has read last. If the state was put back, and Formance has read on
    /// elsewhere within the last second, then everything that is new here is later than that.
    pub fn leave_second(&mut self) {
        self.last = self.last.map(|last| Stamp(last.0.second().end()));
    }

    /// The stamp of a version with that date: its own, if that is later than the last one and not in the future.
    ///
    /// A stamp lies in the future only to stay above the last one. Otherwise one date in the future would take everything
    /// that comes after it there, too.
    pub fn next(&mut self, own: Timestamp) -> Stamp {
        let own = own.min(self.now).nanoseconds();
        let stamp = self.last.map_or(own, |last| own.max(self.follow(last)));
        let stamp = Stamp::from_nanoseconds(stamp);
        let second = stamp.0.second();
        self.crowd = match self.last {
            Some(last) if last.0.second() == second => self.crowd.saturating_add(1),
            _ => 1,
        };
        let stamp = if self.crowd > Stamps::CROWD {
            self.crowd = 1;
            Stamp(second.next().start())
        } else {
            stamp
        };
        self.last = Some(stamp);
        stamp
    }

    /// The earliest place of the next one.
    fn follow(&self, last: Stamp) -> i64 {
        let (last, now) = (last.nanoseconds(), self.now.nanoseconds());
        let ahead = last.saturating_sub(now);
        let step = if ahead < -Stamps::WIDE {
            Stamps::WIDE
        } else if ahead <= 1_000_000_000 || ahead > Stamps::FARTHEST {
            Stamps::NARROW
        } else if ahead > Stamps::FAR {
            Stamps::MIDDLE
        } else {
            // In the future there is all the room that is needed.
            Stamps::WIDE
        };
        last.saturating_add(step)
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
        let on_the_day = |time: &str| at(&format!("2024-05-01T{time}Z"));
        let now = on_the_day("12:00:00");
        let stamp = |own, last| Stamps::after(last, 1, now).next(own).timestamp();
        for (own, last, expected) in [
            ("10:00:00.000000001", "", "10:00:00.000000001"),
            // Later than the last one.
            ("10:00:01", "10:00:00", "10:00:01"),
            // A tie, a record that appears late, and one that is less than a step later.
            ("10:00:00", "10:00:00", "10:00:00.01"),
            ("09:00:00", "10:00:00", "10:00:00.01"),
            ("10:00:00.001", "10:00:00", "10:00:00.01"),
            // The future, and no room below the present.
            ("13:00:00", "", "12:00:00"),
            ("13:00:00", "12:00:00", "12:00:00.000001"),
            ("10:00:00", "12:10:00", "12:10:00.01"),
            ("10:00:00", "12:20:00", "12:20:00.001"),
            ("10:00:00", "23:00:00", "23:00:00.000001"),
        ] {
            let before = (!last.is_empty()).then(|| Stamp(on_the_day(last)));
            let expected = on_the_day(expected);
            assert_eq!(
                stamp(on_the_day(own), before),
                expected,
                "{own} after {last}"
            );
        }
        // What Go writes for no date at all.
        let earliest = at("1677-09-21T00:12:43.145224192Z");
        assert_eq!(stamp(at("0001-01-01T00:00:00Z"), None), earliest);
    }

    #[test]
    fn a_second_is_never_so_full_that_it_cannot_be_read_again() {
        let now = at("2024-05-01T12:00:00Z");
        let mut stamps = Stamps::after(None, 0, now);
        let mut last = None;
        let mut seconds = std::collections::BTreeMap::new();
        for _ in 0..35_000 {
            let stamp = stamps.next(now);
            assert!(Some(stamp) > last);
            last = Some(stamp);
            *seconds.entry(stamp.0.second()).or_insert(0) += 1;
        }
        let counts: Vec<u32> = seconds.values().copied().collect();
        // Beyond the next second, stamps are wide again.
        assert_eq!(counts[0], Stamps::CROWD);
        assert!(
            counts.iter().all(|count| *count <= Stamps::CROWD),
            "{counts:?}"
        );
    }

    #[test]
    fn ten_million_stamps_end_within_an_hour() {
        let now = at("2024-05-01T12:00:00Z");
        let mut stamps = Stamps::after(Some(Stamp(now)), 1, now);
        let mut last = None;
        for _ in 0..10_000_000 {
            last = Some(stamps.next(now));
        }
        let end = at("2024-05-01T13:00:00Z");
        assert!(last.unwrap().timestamp() < end, "{last:?}");
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
                let stamp = Stamps::after(last, 1, milliseconds(now)).next(milliseconds(own));
                prop_assert!(Some(stamp) > last);
                last = Some(stamp);
            }
        }
    }
}
