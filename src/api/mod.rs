//! The vocabulary of the Generic Connector API: pages, records, dates, amounts, as both ends of the wire mean them.
//!
//! This is the ground floor: nothing here knows of HTTP, threads, the disk, or of any program that speaks the API. A
//! record keeps the exact text that the service sent ([`Record::json`]), so that fields which this program does not know
//! survive, next to the few typed values that code needs. A reader that wants more than the key and the date reads the
//! API's objects ([`object`]) from that text, or edits the text member by member ([`Members`]).

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
mod second;
mod shared_text;
mod span;
mod stream;
mod text;
mod timestamp;
mod utf8_text;

pub use amount::Amount;
pub use asset::Asset;
pub use content::{ContentHash, same_balances, same_content};
pub use contract::{STATUSES, TYPES, check_id, check_metadata};
pub use error_body::ErrorBody;
pub use initiation::{Initiated, Initiation, InitiationRequest};
pub use list_request::ListRequest;
pub use members::{Members, is_other_spelling};
pub use page::{Page, balances_record};
pub use query::{Query, balances_path};
pub use record::{Record, Unusable, read_record};
pub use second::Second;
pub use shared_text::SharedText;
pub use span::span;
pub use stream::{PerStream, Stream};
pub use text::{replace_escapes, without_half_pairs};
pub use timestamp::Timestamp;

/// Why a text is not the value that the API wants. It names the value and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

/// A text as one word of a shell: whoever copies a command runs nothing that the text says.
pub fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Makes text from outside safe for a log line or an error message: escapes control characters, so that it cannot forge
/// a line or move a terminal's cursor, and cuts it at 200 characters.
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
