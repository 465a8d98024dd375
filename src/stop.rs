//! The request to stop, as every thread sees it.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Ends waits of any kind when stopping is requested. Every thread has a clone.
#[derive(Debug, Clone)]
pub struct Stop(Receiver<()>);

/// Requests the stop when it is dropped. Every clone of its [`Stop`] sees that from then on.
#[derive(Debug)]
pub struct Stopper(Sender<()>);

impl Stop {
    /// A stop that is not requested yet, and its stopper.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = bounded(0);
        (Stopper(sender), Stop(receiver))
    }

    /// A stop that is never requested.
    pub fn never() -> Stop {
        Stop(crossbeam_channel::never())
    }

    /// Whether stopping is requested.
    pub fn requested(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for that long or until stopping is requested. True if it is requested.
    pub fn wait(&self, duration: Duration) -> bool {
        matches!(
            self.0.recv_timeout(duration),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// For `select!`. It becomes ready when stopping is requested.
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
