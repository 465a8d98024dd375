//! How far the walk has read, and how far that lets the position move.

use crate::api::Second;

/// The newest dates that the walk has read, and the clocks to compare them with.
#[derive(Debug)]
pub(super) struct Horizon {
    /// Our clock when the walk began.
    pub now: Second,
    /// The service's clock at the latest answer.
    clock: Second,
    /// The service's clock at the first answer.
    began: Option<Second>,
    /// The newest second read that did not lie in the future at the time.
    pub newest: Option<Second>,
    /// The newest second read.
    pub latest: Option<Second>,
    /// A list was read plainly.
    pub plainly: bool,
}

impl Horizon {
    pub fn new(now: Second) -> Horizon {
        Horizon {
            now,
            clock: now,
            began: None,
            newest: None,
            latest: None,
            plainly: false,
        }
    }

    /// An answer came at this time of the service's clock.
    pub fn set_clock(&mut self, clock: Second) {
        self.began.get_or_insert(clock);
        self.clock = clock;
    }

    pub fn note(&mut self, second: Second) {
        self.latest = self.latest.max(Some(second));
        if second <= self.clock {
            self.newest = self.newest.max(Some(second));
        }
    }

    /// The position while the list is being read: it moves to `target` once a record of `last`, beyond it, was read.
    pub fn position_within(
        &self,
        position: Option<Second>,
        target: Option<Second>,
        last: Second,
    ) -> Option<Second> {
        position.max(target.filter(|target| last > *target && *target <= self.clock))
    }

    /// The position at the end of the list.
    pub fn position_at_end(&self, position: Option<Second>) -> Option<Second> {
        // In a list without order, what changed while it was read may have moved to a page that was read before.
        let newest = if self.plainly {
            self.newest.min(self.began)
        } else {
            self.newest
        };
        position.max(newest)
    }
}
