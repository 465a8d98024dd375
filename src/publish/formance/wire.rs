//! What the objects that are pushed share.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::api::{Members, Timestamp};
use crate::store::Change;

/// The metadata of an account or a transaction.
pub(super) type Metadata = BTreeMap<String, String>;

/// Reads the metadata of a record; empty if it has none.
pub(super) fn metadata(record: &Members) -> Metadata {
    let read = |json| serde_json::from_str::<BTreeMap<String, Option<String>>>(json).ok();
    let metadata = record.get("metadata").and_then(read).unwrap_or_default();
    // As Formance's client reads it.
    let text = |(key, value): (String, Option<String>)| (key, value.unwrap_or_default());
    metadata.into_iter().map(text).collect()
}

/// The instant at which a version was read.
pub(super) fn observed_at(change: &Change) -> Timestamp {
    // This program wrote the text, so the fallback is never taken.
    Timestamp::parse(&change.observed_at).unwrap_or(Timestamp::EPOCH)
}

/// Writes texts, numbers and maps of texts, none of which can fail, as JSON.
pub(super) fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// For serde: a date as the API reads it.
pub(super) fn date_as_text<S: Serializer>(
    date: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}
