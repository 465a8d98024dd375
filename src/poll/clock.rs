use std::time::{Duration, Instant};

use super::cursor::AnswerTime;
use crate::api::{Timestamp, span};
use crate::psp::ListPage;

/// A clock may run this much ahead of the time that has passed. That is more than any correction of a clock that is right.
const SLACK: Duration = Duration::from_secs(30);

/// So many polls wait for the clock of this machine before anything was ever stored. One without a battery may set it
/// only after it has started.
pub const POLLS_WAITING: i64 = 5;

/// One of two clocks is wrong if they are this far apart.
const FAR: Duration = Duration::from_secs(3_600);

/// A clock that has jumped forward is believed once it has held for so long.
const HOLDS: Duration = Duration::from_secs(600);

/// The service's clock and that of this machine, as far as they are believed.
///
/// A clock that is ahead for a moment would move positions into the future, where they hide what is dated rightly. So the
/// time that has passed since an earlier answer tells how far a clock may have come.
#[derive(Debug)]
pub struct Clocks {
    service: Clock,
    ours: Clock,
}

impl Clocks {
    /// Clocks that have not been read yet.
    pub fn new() -> Clocks {
        Clocks {
            service: Clock::new("the service's clock (its \"Date\")"),
            ours: Clock::new("the clock of this machine"),
        }
    }

    /// What the clocks say about an answer that came just now. `waited`: how long it took.
    pub fn read(&mut self, page: &ListPage, waited: Duration) -> AnswerTime {
        let (now, passed) = (Timestamp::now(), Instant::now());
        let service = self.service.read(page.clock, passed);
        let came = self.ours.read(now, passed).min(service);
        let waited = i64::try_from(waited.as_nanos()).unwrap_or(i64::MAX);
        AnswerTime {
            asked: came.plus_nanoseconds(-waited).second(),
            came: came.second(),
            latest: page.clock.max(now).second(),
            doubted: self.service.ahead_since.is_some() || self.ours.ahead_since.is_some(),
        }
    }
}

/// Why nothing is stored yet, if the service's clock says so.
pub fn clocks_far_apart(service: Timestamp) -> Option<String> {
    let now = Timestamp::now();
    let apart = service.since(now).max(now.since(service));
    (apart >= FAR).then(|| {
        format!(
            "the clock of this machine says {}, that of the service (its \"Date\") {}: Connectivity keeps the dates that \
            it sees first, so the first {POLLS_WAITING} polls store nothing before the clocks agree; set the clock that is \
            wrong, or wait for the poll after them if that is not yours to do",
            now.second(),
            service.second()
        )
    })
}

#[derive(Debug)]
struct Clock {
    name: &'static str,
    /// What it was last believed to say, and when.
    believed: Option<(Timestamp, Instant)>,
    /// Since when it has been ahead of that.
    ahead_since: Option<Instant>,
}

impl Clock {
    fn new(name: &'static str) -> Clock {
        Clock {
            name,
            believed: None,
            ahead_since: None,
        }
    }

    /// What to believe when the clock says `says`.
    fn read(&mut self, says: Timestamp, now: Instant) -> Timestamp {
        let Some((time, at)) = self.believed else {
            self.believed = Some((says, now));
            return says;
        };
        let passed = now.saturating_duration_since(at);
        let ahead = says.since(time).saturating_sub(passed);
        let holds = self
            .ahead_since
            .is_some_and(|since| now.saturating_duration_since(since) >= HOLDS);
        if ahead <= SLACK || holds {
            self.believed = Some((says, now));
            self.ahead_since = None;
            return says;
        }
        if self.ahead_since.is_none() {
            self.ahead_since = Some(now);
            log::warn!(
                "{} jumped {} ahead, to {}: cursors do not follow it until it has held for {}; check the clocks of this \
                machine and of the service",
                self.name,
                span(ahead.as_secs()),
                says.second(),
                span(HOLDS.as_secs())
            );
        }
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        time.plus_nanoseconds(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is believed of a clock that says these seconds, each after so many seconds have passed.
    fn believed(readings: &[(u64, u64)]) -> Vec<u64> {
        let mut clock = Clock::new("the clock");
        let begin = Instant::now();
        let readings = readings.iter();
        let seconds = |seconds: u64| Timestamp::from_nanoseconds(seconds as i64 * 1_000_000_000);
        let believed = readings
            .map(|(passed, says)| clock.read(seconds(*says), begin + Duration::from_secs(*passed)));
        believed
            .map(|time| time.since(Timestamp::EPOCH).as_secs())
            .collect()
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_not_believed_until_it_holds() {
        let day = 86_400;
        // Ahead for 20 seconds, and then right.
        let readings = [(0, 1000), (10, 1010 + day), (30, 1030 + day), (40, 1040)];
        assert_eq!(believed(&readings), [1000, 1010, 1030, 1040]);
        // Ahead for good.
        let readings = [
            (0, 1000),
            (10, 1010 + day),
            (609, 1609 + day),
            (610, 1610 + day),
            (620, 1620 + day),
        ];
        assert_eq!(
            believed(&readings),
            [1000, 1010, 1609, 1610 + day, 1620 + day]
        );
    }

    #[test]
    fn a_clock_that_goes_back_is_believed_at_once() {
        assert_eq!(
            believed(&[(0, 90_000), (10, 1010), (20, 1020)]),
            [90_000, 1010, 1020]
        );
    }

    #[test]
    fn a_clock_may_run_a_little_fast() {
        assert_eq!(
            believed(&[(0, 1000), (10, 1040), (20, 1080)]),
            [1000, 1040, 1080]
        );
    }
}
