//! Delivery: every version of the change log, in order, to each publisher, at its own pace.
//!
//! Polling and delivery share only the store. Each publisher has a thread that reads the change log above its offset,
//! delivers, and stores the new offset. A commit wakes it. While a target is down, its thread retries with backoff, and
//! no other publisher waits for it.
//!
//! Two kinds of failure must not be confused. A failure that concerns the *caller* (no answer, 5xx, a refused key, a
//! wrong path) says nothing about the changes: they wait. If it may pass at once, the request is sent again first. A change that a target refuses for its *content* would be
//! refused every time: it is quarantined with the target's answer, and delivery goes on.
//!
//! | file | what it is |
//! |---|---|
//! | `delivery` | the delivery threads, and how far each has come |
//! | `worker` | what one delivery thread does |
//! | `ndjson`, `http`, `formance` | the publishers |
//! | `change_line` | a change as `ndjson` and `http` write it |
//! | `target` | what `http` and `formance` share: requests with their retries, and an answer in words |
//! | `flapping` | what is said of a target that fails now and then |

mod change_line;
mod delivery;
mod delivery_state;
mod flapping;
mod formance;
mod http;
mod ndjson;
mod target;
mod worker;

use std::time::Duration;

use crate::store::{self, Change, Delivered, PublisherState};

pub use delivery::{Deliveries, Delivery};
pub use formance::{
    CONNECTIONS as FORMANCE_CONNECTIONS, Credentials, FormancePublisher, LedgerFigures,
    Settings as FormanceSettings,
};
pub use http::{HttpPublisher, Settings as HttpSettings};
pub use ndjson::{ChangeFile, NdjsonPublisher};
pub use target::TargetFinding;

/// Delivers versions to one place.
pub trait Publisher: Send {
    /// The `type` that it has in the configuration.
    fn kind(&self) -> &'static str;

    /// The most changes in a batch.
    fn most_changes(&self) -> usize {
        1_000
    }

    /// Whether the target identifies a batch by its first and last seq. A batch that was started before a crash is then
    /// sent again as it was.
    fn keeps_batches(&self) -> bool {
        false
    }

    /// The seq after which to go on. `stored` is the stored offset, which a target that knows what it holds overrides.
    /// Called before the first delivery, after each failure, and from time to time.
    fn resume(&mut self, state: &PublisherState, stored: i64) -> Result<i64, DeliveryError>;

    /// Delivers changes whose seqs follow the last ones. When it returns, they are durable at the target, except for
    /// those that [`Delivered`] lists.
    fn deliver(
        &mut self,
        state: &PublisherState,
        changes: &[Change],
    ) -> Result<Delivered, DeliveryError>;
}

/// Whether a publisher of that type can begin a replay anywhere. One that builds on everything it delivered before
/// can only begin at the beginning.
pub fn replays_from_anywhere(kind: &str) -> bool {
    kind != formance::KIND
}

/// What a delivery lacks after so many superseded balances were dropped; nothing if that type of publisher delivers none.
pub fn lacks_balances(kind: &str, dropped: Option<i64>) -> Option<String> {
    let dropped = dropped.filter(|_| kind != formance::KIND)?;
    Some(format!(
        "superseded balances that were kept for \"keepBalances\" are not among them ({dropped} were dropped); the newest ones of \
         each account are"
    ))
}

/// Changes could not be delivered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeliveryError {
    /// The target takes nothing at the moment, or nothing from this caller. The same changes are delivered again later,
    /// but not before the time that the target asked for, if it did.
    #[error("{reason}")]
    Down {
        /// What happened and what to do about it.
        reason: String,
        /// How long the target asked to be left alone.
        wait: Option<Duration>,
    },
    /// The target refuses at least one of the changes for its content.
    #[error("{0}")]
    Refused(String),
    /// The target is gone, and cannot come back while this process runs.
    #[error("{0}")]
    Gone(String),
    /// What the target holds does not belong to this state, or is nothing to deliver to. An operator has to look.
    #[error("{0}")]
    Foreign(String),
}

impl DeliveryError {
    /// The target is down and did not say for how long.
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
