//! Formance, modelled: what it reads from us, and what we push into it.
//!
//! The models follow formancehq/payments v3.4.0 and go-libs v5.6.1, faults included. A test then says what would be in
//! Formance, without a stack.
//!
//! | model | of | source in formancehq/payments |
//! |---|---|---|
//! | [`Poller`] | the `generic` connector, which polls us, and the storage behind it | `ce/plugins/generic`, `internal/storage` |
//! | `go`, [`Date`] | the decoder of its client: Go's `encoding/json`, `time` and `net/url` | `genericclient`, Go's standard library |
//! | `limits` | the indices and numbers of its database, the ids of its schedules | `internal/storage/migrations`, `internal/connectors/engine/workflow` |
//! | [`Connectivity`], `storage`, `stored` | the API into which we push | `internal/api/v3`, `internal/api/validation`, `internal/storage` |
//! | [`History`] | a service that changes while it is read | ours |
//!
//! Not modelled: balances through the API, which has no endpoint for them; the workflow engine, its schedules and its
//! retries without end; pools, reconciliation, and the other connectors; other limits of
//! PostgreSQL than those on dates, NUL, indices and numbers. The list of currencies and schemes is a part of the real one.

mod connectivity;
mod date;
mod folded;
mod go;
mod history;
mod limits;
mod poller;
mod storage;
mod stored;

mod adoption;
mod decoding;
mod initiations;
mod listed;
mod lives;
mod outcomes;
pub mod push;
mod reading;
mod restores;
mod spellings;
mod unlisted;

use std::path::PathBuf;
use std::time::Duration;

use generic_connector::sandbox::{Sandbox, Settings};
use serde_json::{Value, json};

pub use connectivity::{CLIENT_SECRET, CONNECTOR_SECRET, Connectivity};
pub use date::Date;
pub use go::{Fields, GoType, escaped_target};
pub use history::{BEGINNING, Event, Habits, History, Lost, appears, directly, numbered};
pub use poller::Poller;
pub use storage::StackPayment;

use crate::support::{KEY, LISTEN_KEY, Listening};

/// Formance's poller on a listener.
pub fn poller_on(listening: &Listening) -> Poller {
    Poller::new(&listening.url, LISTEN_KEY)
}

pub fn sandbox(data: Option<PathBuf>) -> Sandbox {
    Sandbox::start(Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        api_key: KEY.to_owned(),
        data,
        live: false,
        latency: Duration::ZERO,
        fault: None,
    })
    .unwrap()
}

pub fn payout(key: &str, amount: &str) -> Value {
    json!({
        "idempotencyKey": key, "amount": amount, "currency": "EUR/2", "sourceAccountId": "acc-1",
        "destinationAccountId": "ben-1", "description": "rent", "metadata": { "a": "b" },
    })
}
