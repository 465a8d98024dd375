use std::time::Duration;

/// Delays that double with every failure in a row, up to a longest one.
///
/// Callers spread a delay with jitter of their own, so that requests which failed together do not return together.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// No failure yet: the next delay is `first`.
    pub const fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff {
            next: first,
            first,
            longest,
        }
    }

    /// The delay after one more failure.
    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = self.longest.min(delay * 2);
        delay
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_until_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let delays: Vec<u64> = (0..5).map(|_| backoff.delay().as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.delay(), Duration::from_secs(1));
    }
}
