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
//! | `modes` | what is done only if it is asked for |
//! | `session` | what was read so far: samples and pages |
//! | `seen` | those, as the service showed them |
//! | `account_balances` | one answer about balances |
//! | `observation` | looks at lists and balances over some time |
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
mod modes;
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
mod seen;
mod session;
mod verdict;

pub use exchange::ShownExchange;
pub use modes::{AskPerson, Modes};
pub use payouts::PayPlan;
pub use runner::{CheckFinding, CheckResult, CheckRun, Choice, Settings, run};
pub use verdict::Level;
