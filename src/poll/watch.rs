use std::time::Instant;

use super::{Error, PollReport, WorkDone};

/// What the loop reports while it works.
pub trait Watch {
    /// The loop turns. When it has to turn again even if nothing happens; none if it need not.
    fn turns(&mut self) -> Option<Instant> {
        None
    }
    /// A request of a poll was answered. The report says how far the poll has come.
    fn progress(&mut self, _report: &PollReport) {}
    /// A poll has ended.
    fn ended(&mut self, _report: &PollReport) {}
    /// A page of a sweep was read.
    fn swept(&mut self, _progress: WorkDone) {}
    /// A poll was aborted, because the state has failed.
    fn aborted(&mut self, _error: &Error) {}
    /// Stopping is requested. Called again when the loop ends.
    fn stops(&mut self) {}
}

/// Watches nothing.
impl Watch for () {}
