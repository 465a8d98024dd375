//! Delivery: every version of the change log, in order, to each publisher, at its own pace.
//!
//! Polling and delivery share nothing but the store. Each publisher has a thread (`delivery`) that reads the log above
//! its offset, delivers, and stores the offset; a commit wakes it. A target that is down is tried again for ever, with
//! backoff, and holds up nobody else.
//!
//! A target can fail in two ways that must not be confused. What speaks against the *caller* (no answer, 5xx, a refused
//! key, a wrong path) says nothing about the changes, which wait. What speaks against the *content* of a change would
//! be said again for ever: the change goes into quarantine with that answer, and delivery goes on.

mod change_line;
mod delivery;
mod formance;
mod http;
mod ndjson;
mod target;
mod worker;

use std::time::Duration;

use crate::store::{self, Change, ChangeLog, Delivered};

pub use delivery::{Deliveries, Delivery};
pub use formance::{
    CONNECTIONS as FORMANCE_CONNECTIONS, Credentials, FormancePublisher,
    Settings as FormanceSettings,
};
pub use http::{HttpPublisher, Settings as HttpSettings};
pub use ndjson::NdjsonPublisher;
pub use target::TargetFinding;

/// Delivers versions to one place.
pub trait Publisher: Send {
    /// The name under which its offset is kept.
    fn name(&self) -> &str;

    /// What it is, as the configuration's `type` says.
    fn kind(&self) -> &'static str;

    /// What must hold before anything starts, as far as this machine knows. An error if what the target holds is not of
    /// this state.
    fn open(&mut self, _log: &ChangeLog) -> Result<(), String> {
        Ok(())
    }

    /// Changes delivered at once, at most.
    fn most_changes(&self) -> usize {
        1_000
    }

    /// Whether the target tells batches apart by where they begin and end, so that one that was begun before a crash is
    /// to be sent again as it was.
    fn keeps_batches(&self) -> bool {
        false
    }

    /// The seq after which to go on. `stored` is the stored offset; a target that itself knows what it holds says so.
    /// Asked before the first delivery, after each failure, and from time to time.
    fn resume(&mut self, log: &ChangeLog, stored: i64) -> Result<i64, DeliveryError>;

    /// Delivers changes whose seqs follow the last ones. When it returns, they are durable at the target, but for what
    /// it says became of them instead.
    fn deliver(&mut self, log: &ChangeLog, changes: &[Change]) -> Result<Delivered, DeliveryError>;
}

/// Why changes could not be delivered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeliveryError {
    /// The target cannot take anything now, or not from this caller. The same changes are delivered again later, but
    /// not before the target wants to be asked again, if it said so.
    #[error("{reason}")]
    Down {
        /// What happened and what to do about it.
        reason: String,
        /// How long the target wants to be left alone.
        wait: Option<Duration>,
    },
    /// The target refuses the changes for their content, one of them at least.
    #[error("{0}")]
    Refused(String),
    /// What the target holds does not belong to this state. Someone has to look.
    #[error("{0}")]
    Foreign(String),
}

impl DeliveryError {
    /// A target that is down and did not say for how long.
    fn down(reason: impl Into<String>) -> DeliveryError {
        DeliveryError::Down {
            reason: reason.into(),
            wait: None,
        }
    }
}

impl From<store::Error> for DeliveryError {
    fn from(error: store::Error) -> DeliveryError {
        DeliveryError::down(error.to_string())
    }
}
