//! What Formance can take: its Go client, its Payments API and its PostgreSQL database.
//!
//! A record reaches Formance in one of two ways, and each has a gate of its own:
//!
//! ```text
//!  serve   ──► the `generic` connector's Go client ──┐
//!                                                    ├──► PostgreSQL
//!  publish ──► the Payments API                    ──┘
//! ```
//!
//! * The Go client (encoding/json into generated structures) fails a whole page for one value that it cannot read.
//! * The Payments API answers 400 to a request with one value that breaks its rules.
//! * The database cannot store U+0000, half a surrogate pair or a number with too many digits, and cannot index a long id.
//!
//! A decision that both ways have to make is made here, once, so that Formance shows the same for a record whichever way
//! it came. Where a rule is Formance's, it was read in formancehq/payments v3.4.0.
//!
//! | file | what it decides |
//! |---|---|
//! | `readable`, `plain` | the text of a version that the Go client can read |
//! | `initiated` | the text of a payout or transfer that the Go client can read |
//! | `members` | which members of an object the Go client would misread |
//! | `texts` | texts that are missing, are no strings, or contain what PostgreSQL cannot store |
//! | `dates` | dates that Go cannot read or that lie in the future |
//! | `values` | values of `type`, `status` and `scheme` that Formance does not know |
//! | `ids` | the ids of accounts and payments |
//! | `limits` | what is too short, too long or too large |
//! | `payment` | which adjustments of a payment a version makes |
//! | `shown` | how the lists show a transaction, so that the poller makes the same adjustments |
//! | `left_out` | what the lists leave out, and whose balances Formance cannot ask for |
//!
//! The room depends on `api` alone. `store`, `serve` and `publish` depend on it.

mod dates;
mod ids;
mod initiated;
mod left_out;
mod limits;
mod members;
pub mod payment;
mod plain;
mod readable;
pub mod shown;
mod texts;
mod values;

pub use dates::payment_date;
pub use ids::ConnectorId;
pub use initiated::{initiated_as, read_initiated};
pub use left_out::{LeftOut, can_be_payment};
pub use limits::{LONGEST_NAME, Unfit, check_amount, check_reference, payments_asset};
pub use payment::{Part, PaymentState};
pub use readable::{readable, relation};
pub use shown::ShownAs;
pub use texts::{non_empty_text, storable, storable_text};
pub use values::{scheme, status, transaction_type};
