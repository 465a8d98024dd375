use ureq::http::HeaderMap;

use crate::secret::redaction;

/// The headers of an answer. No secret of this program comes out of them.
#[derive(Debug, Default)]
pub struct AnswerHeaders(pub(super) HeaderMap);

impl AnswerHeaders {
    /// The first value of a header; none if the answer does not have it, or if it is not text.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?.to_str().ok()?;
        Some(redaction::message(value.to_owned()))
    }

    /// Every header with its value.
    pub fn all(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), redaction::message(value))
        })
    }

    /// The bytes of all names and values.
    pub fn bytes(&self) -> usize {
        let lines = self.0.iter();
        lines
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum()
    }
}
