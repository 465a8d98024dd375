use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::database::{execute, optional};
use super::identity::{put_state_value, state_value};
use super::stamping::last_place;
use super::{Error, Listing, Stamp, Store};
use crate::api::{PerStream, Second, Stream};

/// Seconds. Connectivity reads a long list in many requests, which follow each other sooner than this.
const PAUSE: u64 = 60;

/// How many of the last pauses count. One that was long, because Connectivity was down, says nothing about the next.
const PAUSES: usize = 2;

/// The key in the table `state` of where Connectivity can ask.
const LISTENING: &str = "listening";

/// When Connectivity has asked for something, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedRow {
    /// When it last asked.
    pub at: Second,
    /// When the requests began that this one follows without a pause.
    pub began_at: Second,
    /// The second from which it last asked for a list; none if that was from the beginning.
    pub from: Option<Second>,
    /// The greatest stamp that it was given, as [`Stamp::nanoseconds`], as far as it has not come back to ask again.
    pub until: Option<i64>,
    /// From the beginning of some requests to that of the next ones, the newest last. Seconds.
    pub pauses: Vec<u64>,
}

/// How far Connectivity has read a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedLine {
    /// The stream.
    pub stream: Stream,
    /// When it has asked, if it ever has.
    pub asked: Option<AskedRow>,
    /// Versions that are in the list and that it was not given. Those that have left the list since may count.
    pub unread: i64,
    /// When the first of them was read from the service.
    pub unread_since: Option<Second>,
}

/// Where Connectivity can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListeningRow {
    /// Since when it can.
    pub since: Second,
    /// Whether nothing is delivered but what it asks for.
    pub is_only_way: bool,
}

/// Whether Connectivity asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectivityAsks {
    /// Where it can, if it can.
    pub listening: Option<ListeningRow>,
    /// When it has asked for each stream, if it ever has.
    pub asked: PerStream<Option<AskedRow>>,
}

impl Store {
    /// Notes that Connectivity can ask from now on, or that it cannot.
    pub fn note_listening(&self, row: Option<ListeningRow>) -> Result<(), Error> {
        self.database
            .write("note since when there is a listener", |connection| {
                let value = serde_json::json!(row).to_string();
                put_state_value(connection, LISTENING, &value)
            })
    }

    /// Whether Connectivity asks.
    pub fn connectivity(&self) -> Result<ConnectivityAsks, Error> {
        self.database
            .run("read when Connectivity has asked", |connection| {
                Ok(ConnectivityAsks {
                    listening: listening(connection)?,
                    asked: PerStream::try_from_fn(|stream| asked(connection, stream))?,
                })
            })
    }
}

impl AskedRow {
    /// It asks for the first time.
    pub fn first(now: Second, from: Option<Second>) -> AskedRow {
        AskedRow {
            at: now,
            began_at: now,
            from,
            until: None,
            pauses: Vec::new(),
        }
    }

    /// It asks again.
    pub fn again(&mut self, now: Second, from: Option<Second>) {
        if now.since(self.at) >= PAUSE {
            self.pauses.push(now.since(self.began_at));
            let older = self.pauses.len().saturating_sub(PAUSES);
            self.pauses.drain(..older);
            self.began_at = now;
            // A page that it was given and could not take is asked for again. What it has taken lies before the bound.
            let taken = from.map(|from| from.end().nanoseconds());
            self.until = self.until.min(taken);
        }
        self.at = now;
        // The clock was set back.
        self.began_at = self.began_at.min(now);
        self.from = from;
    }

    /// It gets a page that ends with that stamp.
    pub fn given(&mut self, last: Option<Stamp>) {
        self.until = self.until.max(last.map(Stamp::nanoseconds));
    }

    /// How often it asks, as its requests have shown. Seconds; none while that is unknown.
    pub fn period(&self) -> Option<u64> {
        self.pauses.iter().min().copied()
    }

    /// When it is expected to ask next; none while that is unknown.
    pub fn expected_at(&self) -> Option<Second> {
        self.period().map(|period| self.began_at.later(period))
    }
}

impl Listing {
    /// When Connectivity has asked for a stream; none if it never has.
    pub fn asked(&self, stream: Stream) -> Result<Option<AskedRow>, Error> {
        self.0.run("read when a list was asked for", |connection| {
            asked(connection, stream)
        })
    }

    /// Notes when Connectivity has asked for a stream.
    pub fn note_asked(&self, stream: Stream, row: &AskedRow) -> Result<(), Error> {
        const NOTE: &str = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
        let value = serde_json::json!(row).to_string();
        self.0
            .write("note when a list was asked for", |connection| {
                execute(connection, NOTE, (key(stream), &value))
            })
    }
}

/// Where Connectivity can ask, if it can.
pub(super) fn listening(connection: &Connection) -> rusqlite::Result<Option<ListeningRow>> {
    let value = state_value(connection, LISTENING)?;
    Ok(value.and_then(|value| serde_json::from_str(&value).unwrap_or_default()))
}

/// How far Connectivity has read each stream.
pub(super) fn lines(connection: &Connection) -> rusqlite::Result<Vec<AskedLine>> {
    Stream::ALL
        .into_iter()
        .map(|stream| line(connection, stream))
        .collect()
}

fn line(connection: &Connection, stream: Stream) -> rusqlite::Result<AskedLine> {
    const READ: &str =
        "SELECT place FROM listed WHERE stream = ?1 AND stamp <= ?2 ORDER BY stamp DESC LIMIT 1";
    const FIRST_UNREAD: &str = "
        SELECT version.observed_at FROM listed JOIN version ON version.seq = listed.seq
        WHERE listed.stream = ?1 AND listed.place > ?2 ORDER BY listed.place LIMIT 1";
    let asked = asked(connection, stream)?;
    let until = asked.as_ref().and_then(|asked| asked.until);
    let read = match until {
        Some(until) => optional(connection, READ, (stream, until), |row| row.get(0))?,
        None => None,
    };
    let read: i64 = read.unwrap_or(0);
    Ok(AskedLine {
        stream,
        asked,
        unread: last_place(connection, stream)? - read,
        unread_since: optional(connection, FIRST_UNREAD, (stream, read), |row| row.get(0))?,
    })
}

fn asked(connection: &Connection, stream: Stream) -> rusqlite::Result<Option<AskedRow>> {
    let value = state_value(connection, &key(stream))?;
    // It only says how fresh things are. What cannot be read is written again by the next request.
    Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
}

/// Its key in the table `state`.
fn key(stream: Stream) -> String {
    format!("asked:{stream}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    #[test]
    fn a_page_that_is_asked_for_again_and_again_is_not_read() {
        let begin = Timestamp::parse("2024-05-01T12:00:00Z").unwrap().second();
        let stamp = |seconds| {
            Some(Stamp::from_nanoseconds(
                begin.later(seconds).end().nanoseconds(),
            ))
        };
        let mut asked = AskedRow::first(begin, Some(begin));
        asked.given(stamp(500));
        asked.again(begin.later(1), Some(begin));
        assert_eq!(
            asked.until,
            stamp(500).map(Stamp::nanoseconds),
            "the next page"
        );
        asked.again(begin.later(1_800), Some(begin));
        assert_eq!(asked.until, stamp(0).map(Stamp::nanoseconds));
        asked.given(stamp(500));
        asked.again(begin.later(3_600), Some(begin.later(500)));
        assert_eq!(asked.until, stamp(500).map(Stamp::nanoseconds));
        asked.again(begin.later(5_400), None);
        assert_eq!(asked.until, None);
    }

    #[test]
    fn how_often_it_asks_is_learned_from_its_requests() {
        let begin = Timestamp::parse("2024-05-01T12:00:00Z").unwrap().second();
        let mut asked = AskedRow::first(begin, None);
        assert_eq!(asked.expected_at(), None);
        // The pages of one reading.
        for second in [1, 30, 89] {
            asked.again(begin.later(second), Some(begin));
        }
        assert_eq!((asked.began_at, asked.period()), (begin, None));
        asked.again(begin.later(1_200), Some(begin));
        assert_eq!(asked.expected_at(), Some(begin.later(2_400)));
        // It was down for a while.
        asked.again(begin.later(9_000), None);
        assert_eq!(asked.expected_at(), Some(begin.later(10_200)));
        // Its period was changed.
        for second in [12_600, 16_200] {
            asked.again(begin.later(second), None);
        }
        assert_eq!(asked.period(), Some(3_600));
        // A clock that is set back is no pause.
        asked.again(begin, None);
        assert_eq!((asked.at, asked.period()), (begin, Some(3_600)));
        asked.again(begin.later(3_600), None);
        assert_eq!(asked.expected_at(), Some(begin.later(7_200)));
    }
}
