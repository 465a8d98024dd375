use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::stop::Stop;
use crate::sync::lock;

/// The pace of the whole pool: a limit of requests a second, and a pause while the service asks for patience.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time between two requests.
    interval: Duration,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    next: Instant,
    held_until: Instant,
}

impl Pace {
    /// Without a rate, the pace is not limited.
    pub fn new(requests_per_second: Option<f64>) -> Pace {
        let interval =
            requests_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        let now = Instant::now();
        Pace {
            interval,
            times: Mutex::new(Times {
                next: now,
                held_until: now,
            }),
        }
    }

    /// Waits for this request's turn. False if stopping is requested first.
    pub fn wait_for_turn(&self, stop: &Stop) -> bool {
        loop {
            if !wait_until(lock(&self.times).held_until, stop) {
                return false;
            }
            let turn = {
                let mut times = lock(&self.times);
                let turn = times.next.max(Instant::now());
                times.next = turn + self.interval;
                turn
            };
            if !wait_until(turn, stop) {
                return false;
            }
            if lock(&self.times).held_until <= Instant::now() {
                return true;
            }
        }
    }

    /// Makes every request wait that long from now. False if they had to wait about that long anyway.
    pub fn hold(&self, duration: Duration) -> bool {
        let mut times = lock(&self.times);
        let until = Instant::now() + duration;
        // The answers to requests that were sent together ask for nearly the same.
        let longer = until > times.held_until + Duration::from_secs(1);
        times.held_until = times.held_until.max(until);
        longer
    }
}

/// False if stopping is or was requested.
fn wait_until(instant: Instant, stop: &Stop) -> bool {
    !stop.wait(instant.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_across_threads() {
        let pace = Pace::new(Some(200.0));
        let (_stopper, stop) = Stop::new();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| assert!(pace.wait_for_turn(&stop))));
            }
        });
        assert!(start.elapsed() >= Duration::from_millis(39 * 5));
    }

    #[test]
    fn a_held_pool_stops_at_once() {
        let pace = Pace::new(None);
        let (stopper, stop) = Stop::new();
        pace.hold(Duration::from_secs(300));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pace.wait_for_turn(&stop));
            stopper.stop();
            assert!(!waiting.join().unwrap());
        });
    }
}
