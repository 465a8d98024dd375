//! Decides whether and when a failed request is sent again. Only the decision: no clock, no thread, no connection.

use std::sync::Mutex;
use std::time::Duration;

use super::Backoff;
use crate::sync::lock;

/// How often to try a request that fails for a transient reason.
const TRIES: u32 = 5;
/// The longest first wait. Each further wait may be twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a request waits for a service that asks for patience, in one wait and in total.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the pool waits at least for a service that asks for patience. Some ask for 0 s, or until a time that has passed,
/// and would be asked again at once, over and over.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);

/// What a failed try means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It may succeed.
    Transient,
    /// It may succeed after that time: the service said so.
    AskedToWait(Duration),
    /// It will fail too.
    Final,
}

/// What to do after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Wait that long, then try again.
    Retry(Duration),
    /// Let the whole pool wait that long, then try again.
    Hold(Duration),
    /// Report the failure.
    GiveUp,
}

/// The failed tries of one request. The caller does the waiting.
#[derive(Debug)]
pub struct Retry {
    failures: u32,
    backoff: Backoff,
    /// How long the service has made the request wait, in total.
    waited: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::new(Backoff::new(FIRST_WAIT, LONGEST_WAIT))
    }
}

impl Retry {
    /// No failed try yet. `backoff` has the longest waits between two tries.
    pub fn new(backoff: Backoff) -> Retry {
        Retry {
            failures: 0,
            backoff,
            waited: Duration::ZERO,
        }
    }

    /// Decides after one more failed try. `jitter` draws a number from 0 to 1. It spreads waits over their whole range,
    /// so that workers which failed together do not return together.
    pub fn decide(&mut self, failure: FailureKind, jitter: impl FnOnce() -> f64) -> Decision {
        match failure {
            FailureKind::Final => Decision::GiveUp,
            FailureKind::AskedToWait(wait) => {
                let wait = wait.clamp(SHORTEST_HOLD, PATIENCE);
                self.waited += wait;
                if self.waited > PATIENCE {
                    Decision::GiveUp
                } else {
                    Decision::Hold(wait)
                }
            }
            FailureKind::Transient => {
                self.failures += 1;
                if self.failures >= TRIES {
                    return Decision::GiveUp;
                }
                Decision::Retry(self.backoff.delay().mul_f64(jitter().clamp(0.0, 1.0)))
            }
        }
    }
}

/// The retries that many requests share, such as those of a poll. A service that is down must not be asked five times for
/// every account.
#[derive(Debug)]
pub struct RetryBudget(Mutex<f64>);

impl RetryBudget {
    /// A whole budget has this many retries, and none ever has more.
    const WHOLE: f64 = 32.0;
    /// What a successful request adds. A service that fails every third time is still read to the end.
    const EARNED: f64 = 0.5;

    /// None left: each has to be earned first.
    pub fn unearned() -> RetryBudget {
        RetryBudget(Mutex::new(0.0))
    }

    /// A poll begins.
    pub fn refill(&self) {
        *lock(&self.0) = Self::WHOLE;
    }

    /// The other requests get no retry either.
    pub fn forfeit(&self) {
        *lock(&self.0) = 0.0;
    }

    /// A request has succeeded.
    pub fn succeeded(&self) {
        let mut left = lock(&self.0);
        *left = (*left + Self::EARNED).min(Self::WHOLE);
    }

    /// Spends a retry. False if none is left.
    pub fn take(&self) -> bool {
        let mut left = lock(&self.0);
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget(Mutex::new(Self::WHOLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transient_failures_are_tried_five_times_with_longer_waits() {
        let mut retry = Retry::default();
        for milliseconds in [250, 500, 1000, 2000] {
            let wait = Decision::Retry(Duration::from_millis(milliseconds));
            assert_eq!(retry.decide(FailureKind::Transient, || 1.0), wait);
        }
        let given_up = retry.decide(FailureKind::Transient, || 1.0);
        assert_eq!(given_up, Decision::GiveUp);
        let at_once = Retry::default().decide(FailureKind::Transient, || 0.0);
        assert_eq!(at_once, Decision::Retry(Duration::ZERO));
    }

    #[test]
    fn the_retries_of_a_poll_come_to_an_end_unless_requests_succeed() {
        let budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 32);
        budget.succeeded();
        assert!(!budget.take());
        budget.succeeded();
        assert!(budget.take());
        budget.refill();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 32);
        let budget = RetryBudget::unearned();
        assert!(!budget.take(), "a target that never answered gets none");
        (0..4).for_each(|_| budget.succeeded());
        assert!(budget.take());
        budget.forfeit();
        assert!(!budget.take());
    }

    #[test]
    fn a_service_that_asks_for_patience_gets_it_for_five_minutes() {
        let hour = FailureKind::AskedToWait(Duration::from_secs(3600));
        let mut retry = Retry::default();
        assert_eq!(retry.decide(hour, || 0.0), Decision::Hold(PATIENCE));
        assert_eq!(retry.decide(hour, || 0.0), Decision::GiveUp);
        let mut retry = Retry::default();
        let now = FailureKind::AskedToWait(Duration::ZERO);
        let given_up = (1..)
            .find(|_| retry.decide(now, || 0.0) == Decision::GiveUp)
            .unwrap();
        assert_eq!(
            given_up, 301,
            "a service that always says 0 must not be asked forever"
        );
    }

    #[test]
    fn what_fails_for_good_is_not_tried_again() {
        assert_eq!(
            Retry::default().decide(FailureKind::Final, || 1.0),
            Decision::GiveUp
        );
    }
}
