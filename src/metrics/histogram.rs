use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The greatest time of each bucket but the last. Seconds.
pub const BOUNDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How long something took, each time that it happened.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramFigures {
    /// For each of [`BOUNDS`], how often it took no longer than that.
    pub within: [u64; BOUNDS.len()],
    /// How often it happened.
    pub count: u64,
    /// How long it took in all. Seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Relaxed);
    }

    /// What was counted.
    pub fn read(&self) -> HistogramFigures {
        let mut count = 0;
        let mut within = [0; BOUNDS.len()];
        for (bucket, within) in self.buckets.iter().zip(&mut within) {
            count += bucket.load(Relaxed);
            *within = count;
        }
        HistogramFigures {
            within,
            count: count + self.buckets[BOUNDS.len()].load(Relaxed),
            sum: self.microseconds.load(Relaxed) as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_not_longer() {
        let histogram = Histogram::default();
        for milliseconds in [1, 10, 11, 30_000, 30_001] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let figures = histogram.read();
        assert_eq!(figures.within, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((figures.count, figures.sum), (5, 60.023));
    }
}
