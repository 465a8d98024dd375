use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::database::execute;
use super::identity::{put_state_value, state_value};
use super::{Error, Store};
use crate::api::{PerStream, Second, Stream};

/// A stream that polls in a row have not read completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailingStream {
    /// When the first of them began.
    pub since: Second,
    /// When its list was last read to its end; none before the first time, and none of balances.
    pub ended_at: Option<Second>,
    /// How many polls.
    pub polls: i64,
    /// Requests that failed for good in the last one.
    pub failed: usize,
    /// What went wrong first in the last one.
    pub reason: String,
}

impl Store {
    /// The streams that the last polls have not read completely.
    pub fn failing(&self) -> Result<PerStream<Option<FailingStream>>, Error> {
        self.database.run("read which streams fail", |connection| {
            PerStream::try_from_fn(|stream| get(connection, stream))
        })
    }
}

/// What is known of the polls that have not read that stream completely; none if the last one has.
pub(super) fn get(
    connection: &Connection,
    stream: Stream,
) -> rusqlite::Result<Option<FailingStream>> {
    let value = state_value(connection, &key(stream))?;
    // What cannot be read is written again by the next poll that fails.
    Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
}

/// Notes that a poll has not read that stream completely, or that it has.
pub(super) fn put(
    connection: &Connection,
    stream: Stream,
    failing: Option<&FailingStream>,
) -> rusqlite::Result<()> {
    const FORGET: &str = "DELETE FROM state WHERE key = ?1";
    match failing {
        Some(failing) => {
            let value = serde_json::json!(failing).to_string();
            put_state_value(connection, &key(stream), &value)
        }
        None => execute(connection, FORGET, [key(stream)]),
    }
}

/// Its key in the table `state`.
fn key(stream: Stream) -> String {
    format!("failing:{stream}")
}
