//! What is said of a target that fails now and then: a line where something begins or lasts, not one for each failure.

use std::time::{Duration, Instant};

/// A target that fails again this soon after it has recovered fails now and then.
const SOON: Duration = Duration::from_secs(600);
/// A failure that lasts this long is no longer one of those that come and go. It is the time of about five tries.
const SHORT: Duration = Duration::from_secs(10);
/// The reasons that are said until a delivery succeeds. `status` shows the newest, whatever it is.
const MOST_REASONS: usize = 8;
/// The time between two lines about what happens often.
const SELDOM: Duration = Duration::from_secs(600);

/// Spaces the lines about something that happens often.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    /// Whether it is time for a line, which is then said.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now - last >= SELDOM);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// What to say of a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureLine {
    /// That it fails, and why.
    Fails,
    /// That it fails again and again, but never for long.
    NowAndThen,
    /// Nothing.
    Nothing,
}

/// The failures of a publisher's deliveries.
#[derive(Debug, Default)]
pub(super) struct Flapping {
    /// When the first delivery after the last success failed.
    failing_since: Option<Instant>,
    /// The reasons for them that were said.
    said: Vec<String>,
    recovered_at: Option<Instant>,
    lines: Seldom,
}

impl Flapping {
    /// A delivery has failed. A failure for a reason that was said is not news. Nor is one soon after others, unless it
    /// lasts.
    pub fn failed(&mut self, reason: &str, now: Instant) -> FailureLine {
        let since = *self.failing_since.get_or_insert(now);
        let failed_lately = self.recovered_at.is_some_and(|at| since - at < SOON);
        if failed_lately && now - since < SHORT {
            return if self.lines.is_due(now) {
                FailureLine::NowAndThen
            } else {
                FailureLine::Nothing
            };
        }
        if self.said.len() >= MOST_REASONS || self.said.iter().any(|said| said == reason) {
            return FailureLine::Nothing;
        }
        self.said.push(reason.to_owned());
        FailureLine::Fails
    }

    /// A delivery has succeeded. True if that is news.
    pub fn succeeded(&mut self, now: Instant) -> bool {
        if self.failing_since.take().is_some() {
            self.recovered_at = Some(now);
        }
        !std::mem::take(&mut self.said).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::FailureLine::{Fails, Nothing, NowAndThen};
    use super::*;

    #[test]
    fn a_target_that_fails_now_and_then_takes_a_few_lines_and_an_outage_is_still_said() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut flapping = Flapping::default();
        assert_eq!(flapping.failed("500", at(0)), Fails);
        assert_eq!(flapping.failed("500", at(1)), Nothing);
        assert_eq!(flapping.failed("refused", at(2)), Fails);
        assert_eq!(flapping.failed("500", at(2)), Nothing);
        assert!(flapping.succeeded(at(3)));
        assert!(!flapping.succeeded(at(4)));
        assert_eq!(flapping.failed("500", at(5)), NowAndThen);
        for second in 0..100 {
            assert_eq!(flapping.failed("500", at(6 + 3 * second)), Nothing);
            assert_eq!(flapping.failed("500", at(7 + 3 * second)), Nothing);
            assert!(!flapping.succeeded(at(8 + 3 * second)));
        }
        assert_eq!(flapping.failed("500", at(400)), Nothing);
        assert_eq!(flapping.failed("500", at(410)), Fails, "it lasts");
        assert_eq!(flapping.failed("500", at(470)), Nothing);
        assert!(flapping.succeeded(at(500)));
        assert_eq!(
            flapping.failed("500", at(605)),
            NowAndThen,
            "ten minutes later"
        );
        assert!(!flapping.succeeded(at(606)));
        assert_eq!(
            flapping.failed("500", at(1_300)),
            Fails,
            "after a calm time"
        );
    }
}
