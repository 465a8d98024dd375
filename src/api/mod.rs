//! The vocabulary of the Generic Connector API: what both ends of a wire mean by a page, a record, a date, an amount.
//!
//! The ground floor of the house: nothing here knows of HTTP, of threads or of the disk. A record keeps the exact text
//! that the service sent ([`Record::json`]), so that fields which this program does not know survive; the few typed
//! values that code needs stand beside it. The objects of the API ([`object`]) are read from that text where a reader
//! wants more than the key and the date.

mod amount;
mod asset;
mod content;
mod contract;
mod error_body;
mod initiation;
mod list_request;
mod members;
pub mod object;
mod page;
mod query;
mod record;
mod stream;
mod timestamp;

pub use amount::Amount;
pub use asset::Asset;
pub use content::{ContentHash, same_balances, same_content};
pub use contract::{STATUSES, TYPES};
pub use error_body::ErrorBody;
pub use initiation::{Initiated, Initiation, InitiationRequest};
pub use list_request::ListRequest;
pub use members::{Members, without_nul};
pub use page::{Page, Unusable, balances_record, read_record};
pub use query::{Query, balances_path};
pub use record::Record;
pub use stream::{PerStream, Stream};
pub use timestamp::{Second, Timestamp};

/// Why a text is not the value of the API that it should be. Says what the value was and what the rule is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

/// Text from outside, made safe for a log line or an error message: control characters are escaped, so that it cannot
/// forge a line or move a terminal's cursor, and it is cut at 200 characters.
pub fn escaped(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut safe: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        safe.push('…');
    }
    safe
}
