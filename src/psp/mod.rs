//! The client of the Integration Service: one request in, one typed answer or one error out.
//!
//! [`ServiceClient`] adds to [`transport`](crate::transport) what the service needs: the bearer key, the size limit,
//! the retries with their backoff, the pace of the whole pool. Callers see only the final outcome. The workers share
//! one client, and with it the connections, the address cache and the pace.
//!
//! [`Probe`] sends one request and returns the whole answer, for `check`, which judges it.
//!
//! A try gives a value or an [`Error`]. The error says what it means for another try
//! ([`FailureKind`](crate::transport::FailureKind)), and the client waits, by itself or with the whole pool (`pace`).

mod client;
mod echo;
mod error;
mod latency;
mod pace;
mod probe;

pub use client::{Effort, ListPage, ServiceClient, Settings, Unanswered};
pub use error::Error;
pub use probe::{Probe, ProbeKey, ProbeRequest};
