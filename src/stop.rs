//! The wish to stop, as every thread sees it.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Waits of any kind end at once when stopping is requested. Cloned into every thread.
#[derive(Debug, Clone)]
pub struct Stop(Receiver<()>);

/// Requests the stop by being dropped: every clone of its [`Stop`] sees that, now and later.
#[derive(Debug)]
pub struct Stopper(Sender<()>);

impl Stop {
    /// A wish that is not made yet, and what makes it.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = bounded(0);
        (Stopper(sender), Stop(receiver))
    }

    /// A wish that is never made.
    pub fn never() -> Stop {
        Stop(crossbeam_channel::never())
    }

    /// Whether to stop.
    pub fn requested(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits that long, or until stopping is requested; true if it is.
    pub fn wait(&self, duration: Duration) -> bool {
        matches!(
            self.0.recv_timeout(duration),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// For `select!`: becomes ready when stopping is requested.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.0
    }
}

impl Stopper {
    /// Requests the stop.
    pub fn stop(self) {
        drop(self.0);
    }
}
