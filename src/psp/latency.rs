use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Steps in each power of two: a step is at most 1/16 wide, so a figure is at most 3 % off.
const STEPS: u64 = 16;

/// Microseconds are counted one by one up to here.
const FINE: u64 = 2 * STEPS;

/// Powers of two above that. Nobody waits longer than 2^30 microseconds, 18 minutes.
const POWERS: usize = 25;

#[allow(clippy::cast_possible_truncation)]
const SLOTS: usize = FINE as usize + POWERS * STEPS as usize;

/// How long the answers to the requests of a poll took. Any number of them takes the same room.
#[derive(Debug)]
pub(super) struct Latencies([AtomicU32; SLOTS]);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies([const { AtomicU32::new(0) }; SLOTS])
    }
}

impl Latencies {
    /// Forgets the answers so far.
    pub fn clear(&self) {
        self.0.iter().for_each(|slot| slot.store(0, Relaxed));
    }

    /// Counts an answer.
    pub fn count(&self, took: Duration) {
        self.0[slot(took)].fetch_add(1, Relaxed);
    }

    /// The time within which that part of the answers came, in percent; none if there was no answer.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let counts = || self.0.iter().map(|slot| u64::from(slot.load(Relaxed)));
        let rank = (counts().sum::<u64>() * percent).div_ceil(100);
        let mut passed = 0;
        let slot = counts().position(|count| {
            passed += count;
            rank > 0 && passed >= rank
        });
        slot.map(middle)
    }
}

fn slot(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < FINE {
        return usize::try_from(micros).unwrap_or(SLOTS);
    }
    let power = u64::from(micros.ilog2() - FINE.ilog2());
    let step = (micros >> (power + 1)) - STEPS;
    let slot = FINE + power * STEPS + step;
    usize::try_from(slot).unwrap_or(SLOTS).min(SLOTS - 1)
}

/// The time in the middle of a slot.
fn middle(slot: usize) -> Duration {
    let slot = slot as u64;
    let Some(above) = slot.checked_sub(FINE) else {
        return Duration::from_micros(slot);
    };
    let (power, step) = (above / STEPS, above % STEPS);
    let width = 1 << (power + 1);
    Duration::from_micros((STEPS + step) * width + width / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_an_answer_there_is_no_figure() {
        let latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        latencies.count(Duration::from_millis(20));
        assert!(latencies.percentile(95).is_some());
        latencies.clear();
        assert_eq!(latencies.percentile(95), None);
    }

    proptest! {
        #[test]
        fn a_figure_is_as_the_sorted_times_say(
            times in proptest::collection::vec(prop_oneof![0..100u64, 0..10_000u64, 0..1_000_000_000u64], 1..300),
            percent in 1..=100u64,
        ) {
            let latencies = Latencies::default();
            for time in &times {
                latencies.count(Duration::from_micros(*time));
            }
            let mut sorted = times;
            sorted.sort_unstable();
            let rank = (sorted.len() as u64 * percent).div_ceil(100);
            let exact = sorted[usize::try_from(rank).unwrap() - 1];
            let shown = latencies.percentile(percent).unwrap().as_micros();
            let off = u128::from(exact).abs_diff(shown);
            prop_assert!(off * 32 <= u128::from(exact), "{shown} for {exact}");
        }
    }

    #[test]
    fn the_longest_time_has_a_slot() {
        let latencies = Latencies::default();
        latencies.count(Duration::MAX);
        assert!(latencies.percentile(50).unwrap() > Duration::from_secs(1_000));
    }
}
