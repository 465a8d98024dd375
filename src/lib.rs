//! generic-connector
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
pub mod api;
pub mod poll;
pub mod psp;
pub mod secret;
pub mod stop;
pub mod store;
