//! How far the walk has read, and how far that lets the position move.

use crate::api::Second;

/// What the clocks said about an answer. Where two clocks differ, the slower one is believed: a position that lags costs
/// requests, one that is ahead hides records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTime {
    /// When the answer was asked for, by the slower clock.
    pub asked: Second,
    /// When it came, by the slower clock.
    pub came: Second,
    /// When it came, by the faster clock.
    pub latest: Second,
    /// A clock says more than is believed.
    pub doubted: bool,
}

impl AnswerTime {
    /// By a single clock, which is believed, and without a delay.
    pub fn at(time: Second) -> AnswerTime {
        AnswerTime {
            asked: time,
            came: time,
            latest: time,
            doubted: false,
        }
    }
}

/// The newest dates that the walk has read, and the clock to compare them with.
#[derive(Debug)]
pub(super) struct Horizon {
    /// Our clock when the walk began.
    pub now: Second,
    /// How late records may appear. Seconds.
    pub lookback: u64,
    /// Of the latest answer.
    pub time: AnswerTime,
    /// When the first answer was asked for.
    pub began: Option<Second>,
    /// The newest second of the first answer that reached what was still being written. What appears after it may be dated
    /// up to the lookback before, where nothing is read any more.
    tail: Option<Second>,
    /// The newest second read that did not lie in the future at the time.
    pub newest: Option<Second>,
    /// The newest second read.
    latest: Option<Second>,
    /// A list was read plainly.
    pub plainly: bool,
}

impl Horizon {
    pub fn new(now: Second, lookback: u64) -> Horizon {
        Horizon {
            now,
            lookback,
            time: AnswerTime::at(now),
            began: None,
            tail: None,
            newest: None,
            latest: None,
            plainly: false,
        }
    }

    /// An answer came.
    pub fn set_time(&mut self, time: AnswerTime) {
        self.began.get_or_insert(time.asked);
        self.time = time;
    }

    /// It has records of these seconds.
    pub fn note(&mut self, seconds: impl Iterator<Item = Second> + Clone) {
        let AnswerTime { asked, came, .. } = self.time;
        let past = seconds.clone().filter(|second| *second <= came);
        self.newest = self.newest.max(past.max());
        let newest = seconds.max();
        self.latest = self.latest.max(newest);
        let still_written = asked.earlier(self.lookback);
        if let Some(newest) = newest.filter(|newest| *newest >= still_written) {
            self.tail.get_or_insert(newest.min(came));
        }
    }

    /// The position while the list is being read: it moves to `target` once a record of `last`, beyond it, was read.
    pub fn position_within(
        &self,
        position: Option<Second>,
        target: Option<Second>,
        last: Second,
    ) -> Option<Second> {
        let target = target.filter(|target| last > *target && *target <= self.time.came);
        position.max(target.map(|target| self.before_tail(target)))
    }

    /// The position at the end of the list.
    pub fn position_at_end(&self, position: Option<Second>) -> Option<Second> {
        // In a list without order, what changed while it was read may have moved to a page that was read before.
        let newest = if self.plainly {
            self.newest.min(self.began)
        } else {
            self.newest
        };
        position.max(newest.map(|newest| self.before_tail(newest)))
    }

    /// Whether all that was read after the position lies in the future.
    pub fn only_future_after(&self, position: Option<Second>) -> bool {
        !self.time.doubted && self.newest <= position && self.latest > position
    }

    fn before_tail(&self, second: Second) -> Second {
        self.tail.map_or(second, |tail| tail.min(second))
    }
}
