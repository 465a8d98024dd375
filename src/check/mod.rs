//! The conformance test of the Integration Service, as `check` runs it.
//!
//! It only reads, unless payouts are asked for: GETs with the key, and requests without one, which must be refused. It sends
//! them with the client that polls use and reads the answers with the same reader, so that what passes here is not put into
//! quarantine there.
//!
//! ```text
//!  catalogue ─► runner ─► group files (key, http, lists, …) ─► session ─► asker ─► psp::Probe
//!                 │                                    a verdict ◄──┘         └─► exchanges
//!                 └─► CheckRun ─► report (terminal, JSON, …)
//! ```
//!
//! Each check says what it needs. A check whose needs have failed says nothing, so that one cause is one failure.
//!
//! | file | contents |
//! |---|---|
//! | `catalogue` | every check with its texts |
//! | `runner` | the order, the needs, what is repeated |
//! | `session` | what was read so far: samples and pages |
//! | `account_balances` | one answer about balances |
//! | `observation` | what was seen of lists and balances over some time |
//! | `asker` | sends requests, within their limits |
//! | `exchange` | what was exchanged, without secrets |
//! | `report` | what is shown |
//! | the others | the checks of one group each |

mod account_balances;
mod asker;
mod balances;
pub mod catalogue;
mod changes;
mod errors;
mod exchange;
mod filter;
mod http;
mod key;
pub mod layout;
mod lists;
mod observation;
mod observed;
mod order;
mod pages;
mod payouts;
mod query;
mod records;
mod references;
pub mod report;
mod runner;
mod session;
mod verdict;

pub use exchange::ShownExchange;
pub use payouts::PayPlan;
pub use runner::{AskPerson, CheckFinding, CheckResult, CheckRun, Choice, Modes, Settings, run};
pub use verdict::Level;
