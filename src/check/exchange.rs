use std::time::Duration;

use crate::api::{Stream, Timestamp, escaped};
use crate::psp::ProbeKey;
use crate::secret::redaction;

/// Bytes of a body that a report shows.
pub(super) const SHOWN: usize = 200;

/// A request and what came back, as the report shows it. It has no secret of this program.
#[derive(Debug, Clone)]
pub struct ShownExchange {
    /// The whole URL.
    pub url: String,
    /// What the request was authenticated with.
    pub key: ShownKey,
    /// `Accept-Encoding` of the request.
    pub accept_encoding: String,
    /// The body of the request, which is a POST if it has one, else a GET.
    pub json: Option<String>,
    /// What is asked for, if it is part of the API.
    pub call: Option<Stream>,
    /// When the request was sent.
    pub started: Timestamp,
    /// From the request to the last byte of the answer.
    pub elapsed: Duration,
    /// The answer; an error in words if there is none.
    pub answer: Result<ShownAnswer, String>,
}

/// The answer of an [`ShownExchange`].
#[derive(Debug, Clone)]
pub struct ShownAnswer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, decompressed.
    pub body: Vec<u8>,
    /// The bytes of the whole body, decompressed.
    pub length: usize,
    /// How many redirects led to it.
    pub redirects: u32,
    /// The bytes of the headers.
    pub header_bytes: usize,
    /// Whether the key of this program was found in it.
    pub has_key: bool,
}

/// What a request was authenticated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownKey {
    /// The configured key.
    Own,
    /// None.
    None,
    /// Another key.
    Other,
}

impl ShownKey {
    /// What stands for that key.
    pub fn of(key: &ProbeKey) -> ShownKey {
        match key {
            ProbeKey::Own => ShownKey::Own,
            ProbeKey::None => ShownKey::None,
            ProbeKey::Other(_) => ShownKey::Other,
        }
    }

    /// The value of `Authorization` in which `$KEY` stands for the key; none if there is none.
    pub fn header(self) -> Option<&'static str> {
        match self {
            ShownKey::Own => Some("Bearer $KEY"),
            ShownKey::Other => Some("Bearer a-wrong-key"),
            ShownKey::None => None,
        }
    }
}

impl ShownExchange {
    /// The status, if there is an answer.
    pub fn status(&self) -> Option<u16> {
        Some(self.answer.as_ref().ok()?.status)
    }

    /// A line for a shell that sends the same request.
    pub fn curl(&self) -> String {
        let mut line = "curl -i".to_owned();
        if let Some(header) = self.key.header() {
            line += &format!(" -H \"Authorization: {header}\"");
        }
        if self.accept_encoding != "gzip" {
            line += &format!(" -H 'Accept-Encoding: {}'", self.accept_encoding);
        }
        if let Some(json) = &self.json {
            let json = json.replace('\'', r"'\''");
            line += &format!(" -H 'Content-Type: application/json' -d '{json}'");
        }
        let url = with_quotes(&self.url).replace('\'', "%27");
        line + &format!(" '{url}'")
    }

    /// The answer in a line: the status and how the body begins.
    pub fn answered(&self) -> String {
        match &self.answer {
            Ok(answer) => {
                let body = shown(&answer.body);
                let more = if answer.length > SHOWN { "…" } else { "" };
                format!("{} {body}{more}", answer.status)
            }
            Err(error) => error.clone(),
        }
    }
}

/// The first 200 bytes of what a service sent, safe for a terminal and without a secret.
pub(super) fn shown(bytes: &[u8]) -> String {
    // A secret that the cut would split is replaced before.
    let whole = redaction::in_message(bytes);
    let bytes = whole.as_deref().unwrap_or(bytes);
    // What is cut off with the last character is replaced by nothing.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
    with_quotes(text.trim())
}

/// A short text of the service, such as an id, safe for a terminal and without a secret.
pub(super) fn text(text: &str) -> String {
    escaped(&redaction::message(text.to_owned()))
}

/// A text that is safe for a terminal. Quotes stay as they are: JSON is full of them.
fn with_quotes(text: &str) -> String {
    let safe = text.chars().flat_map(|character| {
        let plain = matches!(character, '"' | '\'' | '\\');
        let escaped = (!plain).then(|| character.escape_debug());
        escaped
            .into_iter()
            .flatten()
            .chain(plain.then_some(character))
    });
    safe.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::redaction::KnownText;

    #[test]
    fn no_part_of_a_secret_is_left_by_the_cut() {
        // Digits stay in records, where they may be an amount.
        let _known = KnownText::new("90817263544536".to_owned());
        let shown = shown(format!("{}90817263544536", "x".repeat(SHOWN - 5)).as_bytes());
        assert!(!shown.contains("9081"), "{shown}");
    }

    #[test]
    fn what_a_service_sends_is_cut_and_cannot_move_the_cursor() {
        assert_eq!(
            shown("{\"a\":\"\u{1b}[2J\n\"}".as_bytes()),
            "{\"a\":\"\\u{1b}[2J\\n\"}"
        );
        assert_eq!(shown("é".repeat(150).as_bytes()), "é".repeat(100));
        assert_eq!(shown(format!("a{}", "é".repeat(150)).as_bytes()).len(), 199);
    }
}
