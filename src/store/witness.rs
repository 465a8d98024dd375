//! What the state was, in a file beside it: it tells a state that was put back from an older copy.
//!
//! The file is replaced after each commit, and never before. So the state is as new as its witness or newer, whatever ends
//! the process, unless an older state was put in its place. A witness that is missing or torn says nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::database::value;
use super::identity::{state_id, state_value};
use super::owner_only::owner_only;
use super::seq::last_used_seq;
use super::{Error, Stamp};
use crate::api::Stream;
use crate::ownership;

/// Its name within `stateDir`.
pub(super) const FILE: &str = "witness";

/// What it is written to before it gets that name.
const NEW: &str = "witness.new";

/// How far a state had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Witness {
    state_id: String,
    /// How often it was opened.
    generation: i64,
    /// The greatest seq that was ever used.
    pub last_seq: i64,
    /// The number of the newest poll.
    poll: i64,
    /// The greatest stamp of each stream, by the stream's name. Nanoseconds since 1970-01-01T00:00:00Z.
    stamps: BTreeMap<String, i64>,
}

impl Witness {
    /// What the state is now. `balances`: the greatest stamp that balances have, which no list has.
    pub fn of(connection: &Connection, balances: Option<Stamp>) -> rusqlite::Result<Witness> {
        const POLL: &str = "SELECT coalesce(max(number), 0) FROM poll";
        const STAMP: &str = "SELECT max(stamp) FROM listed WHERE stream = ?1";
        let mut stamps = BTreeMap::new();
        for stream in Stream::LISTED {
            let stamp: Option<i64> = value(connection, STAMP, [stream])?;
            stamps.extend(stamp.map(|stamp| (stream.name().to_owned(), stamp)));
        }
        let balances = balances.map(Stamp::nanoseconds);
        stamps.extend(balances.map(|stamp| (Stream::Balances.name().to_owned(), stamp)));
        Ok(Witness {
            state_id: state_id(connection)?,
            generation: generation(connection)?,
            last_seq: last_used_seq(connection)?,
            poll: value(connection, POLL, [])?,
            stamps,
        })
    }

    /// The one in that directory; none if it is missing or torn.
    pub fn read(directory: &Path) -> Option<Witness> {
        serde_json::from_slice(&fs::read(directory.join(FILE)).ok()?).ok()
    }

    /// Puts it into that directory. It need not be on the disk at once: an older one says nothing wrong.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let new = directory.join(NEW);
        let error = |error| Error::io("write the witness of the state", &new)(error);
        let json = serde_json::to_vec(self).map_err(|source| error(source.into()))?;
        let mut file = ownership::open(owner_only().truncate(true), &new).map_err(error)?;
        file.write_all(&json).map_err(error)?;
        fs::rename(&new, directory.join(FILE)).map_err(error)
    }

    /// Whether a state that is `now` so was put in the place of this one.
    pub fn contradicts(&self, now: &Witness) -> bool {
        self.state_id != now.state_id
            || self.generation > now.generation
            || self.last_seq > now.last_seq
            || self.poll > now.poll
            || Stream::LISTED
                .into_iter()
                .any(|stream| self.stamp(stream) > now.stamp(stream))
    }

    /// The greatest stamp of a stream.
    pub fn stamp(&self, stream: Stream) -> Option<Stamp> {
        let stamp = self.stamps.get(stream.name());
        stamp.copied().map(Stamp::from_nanoseconds)
    }
}

/// How often the state was opened.
pub(super) fn generation(connection: &Connection) -> rusqlite::Result<i64> {
    let generation: Option<String> = state_value(connection, "generation")?;
    Ok(generation.and_then(|text| text.parse().ok()).unwrap_or(0))
}
