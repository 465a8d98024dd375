//! Delivery: every version of the change log, in order, to each publisher, at its own pace.
//!
//! Polling and delivery share nothing but the store. Each publisher has a thread (`delivery`) that reads the log above
//! its offset, delivers, and stores the offset; a commit wakes it. A target that is down is tried again for ever, with
//! backoff, and holds up nobody else.

mod change_line;
mod delivery;
mod ndjson;

use crate::store::{Change, ChangeLog};

pub use delivery::{Deliveries, Delivery, Standing};
pub use ndjson::NdjsonPublisher;

/// Delivers versions to one place.
pub trait Publisher: Send {
    /// The name under which its offset is kept.
    fn name(&self) -> &str;

    /// What it is, as the configuration's `type` says.
    fn kind(&self) -> &'static str;

    /// The seq after which to go on. `stored` is the stored offset; a target that itself knows what it holds says so.
    fn resume(&mut self, log: &ChangeLog, stored: i64) -> Result<i64, DeliveryError>;

    /// Delivers changes whose seqs follow the last ones. When it returns, they are durable at the target.
    fn deliver(&mut self, log: &ChangeLog, changes: &[Change]) -> Result<(), DeliveryError>;
}

/// Why changes could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The target cannot take anything now. The same changes are delivered again later.
    #[error("{0}")]
    Down(String),
    /// What the target holds does not belong to this state. Someone has to look.
    #[error("{0}")]
    Refused(String),
}
