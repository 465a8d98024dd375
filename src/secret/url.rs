use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::redaction::KnownText;

/// A URL whose query may hold a key.
#[derive(Clone)]
pub struct SecretUrl {
    url: Zeroizing<String>,
    /// The query and its values, so that they are replaced if others repeat them.
    _query: Arc<[Arc<KnownText>]>,
}

impl SecretUrl {
    /// Characters. A shorter value of a query is no key.
    const SHORTEST_VALUE: usize = 4;

    /// Keeps that URL.
    pub fn new(url: String) -> SecretUrl {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let values = query.split('&').filter_map(|pair| pair.split_once('='));
        let values = values
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
            .filter(|value| value.len() >= SecretUrl::SHORTEST_VALUE)
            // It may be as common as a date: signed URLs have their last day in the query.
            .map(KnownText::in_messages);
        let whole = (!query.is_empty()).then(|| KnownText::new(query.to_owned()));
        SecretUrl {
            _query: whole.into_iter().chain(values).collect(),
            url: Zeroizing::new(url),
        }
    }

    /// The whole URL, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for SecretUrl {
    /// Without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expose().split('?').next().unwrap_or_default())
    }
}
