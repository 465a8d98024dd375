//! Texts that must not be shown, and how they are replaced while the program runs. Where a secret is kept is the
//! business of `config`.
//!
//! | file | what it is |
//! |---|---|
//! | `redaction` | the secrets that the process holds, replaced in what others send |
//! | `rotating` | a key that is sent, read again when it is refused |
//! | `accepted` | keys that others send, read again when their file changes |
//! | `url` | a URL with a key in its query |

mod accepted;
pub mod redaction;
mod rotating;
mod url;

use std::fmt;
use std::sync::Arc;

use redaction::{KnownText, MARK};

pub use accepted::AcceptedKeys;
pub use rotating::Rotating;
pub use url::SecretUrl;

/// A secret. Its `Debug` is redacted and it has no `Display`, so that it gets into no log, error or state by accident. Should
/// others repeat it, it is replaced in what they send. Clones share the text, which is overwritten with zeros at the end.
#[derive(Clone)]
pub struct Secret(Arc<KnownText>);

impl Secret {
    /// Keeps that text.
    pub fn new(text: String) -> Secret {
        Secret(KnownText::new(text))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// What keeps the text from being sent in an HTTP header, if anything does.
    pub fn problem(&self) -> Option<&'static str> {
        /// Bytes. What is longer does not fit into the buffer of a connection.
        const LONGEST: usize = 16_000;
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        match self.expose() {
            "" => Some("is empty: put the key into it"),
            text if text.starts_with('\u{feff}') => {
                Some("begins with a byte order mark: save it as UTF-8 without one")
            }
            text if text.len() > LONGEST => Some(
                "is longer than 16000 bytes, more than a request can carry: put a shorter key into it",
            ),
            text if text.contains(['\n', '\r']) => {
                Some("has more than one line: leave only the key that is to be sent")
            }
            text if !text.bytes().all(printable) => {
                Some("has characters that an HTTP header cannot carry: use printable ASCII")
            }
            _ => None,
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}
