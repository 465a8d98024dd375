use std::sync::Arc;

use super::contract::RecordFields;
use super::{ContentHash, SharedText, Stream, Timestamp};

/// One object of a stream: the text that the service sent, with its key and its date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: Stream,
    /// Its key: `id`, or the account's id for balances.
    pub id: SharedText,
    /// Its own date, by which its stream is sorted.
    pub timestamp: Timestamp,
    /// The hash of [`json`](Record::json).
    pub hash: ContentHash,
    /// The exact text that the service sent.
    pub json: SharedText,
    /// Each of the fields `type` and `status` whose value the API does not know. The value is safe for a log line.
    pub unknown_values: Vec<(&'static str, String)>,
}

impl Record {
    /// A record with that text.
    pub fn new(
        stream: Stream,
        id: impl Into<SharedText>,
        timestamp: Timestamp,
        json: impl Into<SharedText>,
    ) -> Record {
        let json = json.into();
        Record {
            stream,
            id: id.into(),
            timestamp,
            hash: ContentHash::of(&*json),
            json,
            unknown_values: Vec::new(),
        }
    }

    /// The same record, without the body of the answer that its texts are parts of.
    pub fn detached(&self) -> Record {
        Record {
            id: self.id.detached(),
            json: self.json.detached(),
            ..self.clone()
        }
    }

    /// Its field `createdAt`, if it has a valid one.
    pub fn created_at(&self) -> Option<Timestamp> {
        let fields: RecordFields = serde_json::from_str(&self.json).ok()?;
        fields.created_at()
    }
}

/// An element of a page, or a Balances object, that breaks a rule of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its key, if that could be read.
    pub id: Option<String>,
    /// The rule that it breaks, in words for a person.
    pub reason: String,
    /// The exact text that the service sent. It is a copy: the quarantine keeps it longer than the page lives.
    pub json: Arc<str>,
}

/// Reads the text of one JSON value as a record of the stream.
pub fn read_record(stream: Stream, json: impl Into<SharedText>) -> Result<Record, Unusable> {
    let json = json.into();
    let unusable = |id: Option<&str>, reason: String| Unusable {
        id: id.map(str::to_owned),
        reason,
        json: (*json).into(),
    };
    if !json.starts_with('{') {
        let shown = super::escaped(&json);
        return Err(unusable(None, format!("{shown:?} is not an object")));
    }
    let fields: RecordFields =
        serde_json::from_str(&json).map_err(|error| unusable(None, error.to_string()))?;
    let id = fields
        .key(stream)
        .map_err(|reason| unusable(None, reason))?;
    let read = fields
        .date(stream)
        .and_then(|timestamp| fields.check(stream).map(|()| timestamp));
    let timestamp = read.map_err(|reason| unusable(Some(&id), reason))?;
    Ok(Record {
        unknown_values: fields.unknown_values(stream),
        ..Record::new(stream, json.part(&id), timestamp, json.clone())
    })
}
