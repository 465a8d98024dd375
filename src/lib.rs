//! `generic-connector` stands between Formance Connectivity and an Integration Service that speaks the Generic
//! Connector API. It polls the service for accounts, their balances, transactions and beneficiaries, keeps an exact
//! copy, and delivers every new version of every record, complete, once and in order.
//!
//! Data flows in one direction, and each arrow is one function or channel:
//!
//! ```text
//!  service ──► psp ──► poll ──► store ──► publish ──► where the changes are wanted
//!     ▲                          ▲  │
//!     │                          │  └───► serve ───► Connectivity, which polls us, and operators
//!     └─── psp ◄─── serve ◄──────┴──────── payouts, transfers, "poll now"
//! ```
//!
//! | room | what it is |
//! |---|---|
//! | `api` | the Generic Connector API's vocabulary: pages, records, dates, amounts |
//! | `http` | the HTTP server under the listener and the sandbox; it knows nothing of what they serve |
//! | `formance` | what Formance can take: its Go client, its Payments API, its database |
//! | `transport` | one request and its whole answer: connections, deadlines, TLS; when to retry |
//! | `psp` | the client of the Integration Service: one request, one typed answer |
//! | `poll` | the main loop, the workers, the cursor walk, the publish step |
//! | `store` | the state, one SQLite file: the change log, the newest versions, the cursors, the journal |
//! | `publish` | publishers and their delivery threads |
//! | `serve` | the listener: the API over the store, payouts and transfers, health |
//! | `health` | the alarms: what an operator has to look at |
//! | `metrics` | what is counted in memory, and the text that Prometheus reads |
//! | `messages` | what messages mean, for `explain`, the status page and the manual |
//! | `check` | the conformance test of the Integration Service |
//! | `page` | the status page: what is in it, and how it looks |
//! | `status` | the state and its alarms, as the `status` command and the listener show them |
//! | `bundle` | an archive for whoever helps when something is wrong |
//! | `sandbox` | a sample Integration Service, for the demo and the tests |
//! | `config` | the configuration file, read and checked |
//! | `command` | the commands of the command line, one a file |
//! | `sockets` | sockets that systemd has opened |
//! | `notify` | what systemd gets to know: readiness, a status, signs of life |
//! | `exit` | the exit codes |
//! | `version` | the version of the program and of what it is built from |
//!
//! `api`, `http` and `health` are the ground floor. `formance`, `transport`, `metrics` and `store` stand on `api`, `psp` on
//! `transport` and `metrics`, `poll` on `psp` and `store`, `publish` on `formance`, `transport`, `metrics` and `store`,
//! `serve` on `formance`, `http`, `metrics`, `store`, `psp`, `poll` and `page`, `page` on `status`, `check` and `messages`,
//! `check` on `formance` and `psp`, `messages` on how `check` sets lines, `sandbox` on `http`, `command` on all.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod bundle;
mod check;
mod cli;
pub mod command;
mod config;
mod crash;
mod dump;
mod exit;
mod formance;
mod health;
mod http;
mod logging;
mod messages;
mod metrics;
mod notify;
mod ownership;
mod page;
mod poll;
mod psp;
mod publish;
pub mod sandbox;
mod secret;
mod serve;
mod signals;
mod sockets;
mod status;
mod stop;
mod store;
mod sync;
mod transport;
mod version;

// For the tests: the vocabulary in which their models of Formance and of services speak.
pub use api::{Amount, Asset, STATUSES, Stream, Timestamp};

// For the manual, which a test compares with them.
#[doc(hidden)]
pub use config::{ConfigKey, ENTRY_KEYS, FILE_KEYS};
#[doc(hidden)]
pub use messages::{MESSAGE_GROUPS, MessageEntry, MessageGroup, messages};

/// The command line, from which a test writes the completions of shells.
#[doc(hidden)]
pub fn command_line() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}

/// What the fuzz targets feed with bytes from outside.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::api::{
        Amount, Asset, ContentHash, ErrorBody, InitiationRequest, Invalid, Members, Page, Record,
        Second, Stream, Timestamp, Unusable, balances_record, read_record, same_balances,
        same_content,
    };
    pub use crate::config::{Config, TargetConfig};
    pub use crate::formance::read_initiated;
    pub use crate::transport::{Decision, FailureKind, Retry, retry_after};
}
