use super::{ContentHash, Stream, Timestamp};

/// One object of a stream as the service sent it, beside its key and its date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: Stream,
    /// Its key: `id`, or the account's id for balances.
    pub id: String,
    /// Its own date, the one its stream is sorted by.
    pub timestamp: Timestamp,
    /// The hash of [`json`](Record::json).
    pub hash: ContentHash,
    /// The exact text that the service sent.
    pub json: Box<str>,
    /// The values of `type` and `status` that the API does not know, safe for a log line.
    pub unknown_values: Vec<(&'static str, String)>,
}

impl Record {
    /// A record of that text.
    pub fn new(stream: Stream, id: String, timestamp: Timestamp, json: &str) -> Record {
        Record {
            stream,
            id,
            timestamp,
            hash: ContentHash::of(json),
            json: json.into(),
            unknown_values: Vec::new(),
        }
    }
}
