//! The client of the Integration Service: one request in, one typed answer or one error out.
//!
//! Everything that a request needs is here: the bearer key, the deadlines, the size limit, the retries with their
//! backoff, the pace of the whole pool. Whoever asks sees only the final outcome. [`Client`] is shared by the workers,
//! so that they share its connections, its address cache and its pace.

mod client;
mod error;
mod pace;
pub mod retry;

pub use client::{Client, Listed, NotInitiated, Settings};
pub use error::Error;
