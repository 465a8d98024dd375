//! The promises, tested from outside: through the binary, its files and HTTP. One module for each promise or command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "callers pass json! literals and tables"
)]
#![allow(clippy::too_many_lines, reason = "a test is one story, or one table")]

/// A table of tests: the function that they call, then a name and its arguments in each row.
macro_rules! cases {
    ($check:path; $($name:ident($($argument:expr),* $(,)?);)*) => {
        $(#[test] fn $name() { $check($($argument),*); })*
    };
}

mod support;

mod atomic;
mod backup;
mod bounded;
mod check;
mod check_agrees;
mod check_change;
mod check_faults;
mod check_junit;
mod check_pay;
mod check_service;
mod clock;
mod cmd;
mod complete;
mod configuration;
mod crash;
mod damage;
mod damaged_payouts;
mod demo;
mod exit;
mod figures;
mod formance;
mod healthcheck;
mod init;
mod isolated;
mod keep;
mod keys;
mod larger_pages;
mod list_ends;
mod listener;
mod manual;
mod messages;
mod metrics;
mod migrate;
mod monitoring;
mod ndjson;
mod observe;
mod once;
mod open_files;
mod operator;
mod packaging;
mod pages;
mod push_http;
mod quarantine;
mod quiet;
mod quirks;
mod read_ahead;
mod regressions;
mod restore_histories;
mod restored;
mod run;
mod secrets;
mod service_manager;
mod silence;
mod socket_unit;
mod state;
mod status;
mod support_bundle;
mod sweep;
mod tls;
mod torture;
mod transport;
mod units;
mod upgrade;
mod upgrade_slices;
mod upgrade_sweeps;
mod verify;
