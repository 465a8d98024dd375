use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use serde::Serialize;

use super::{
    Error, Identity, PollRow, Quirk, Quirks, Stamp, SweepRow, Unsettled, initiation, sweep,
};
use crate::api::{PerStream, Stream};

/// How many payouts and transfers that are not settled are shown.
const UNSETTLED: usize = 20;

/// What `status` shows, read without disturbing the process that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// A random id, made with the state.
    pub state_id: String,
    /// Whose state it is.
    pub identity: Identity,
    /// The seq of the newest version.
    pub last_seq: i64,
    /// Each stream's counts, in the order of [`Stream::ALL`].
    pub streams: Vec<StreamCount>,
    /// The cursor of each listed stream that has one.
    pub cursors: Vec<CursorLine>,
    /// The publishers.
    pub publishers: Vec<PublisherLine>,
    /// The lists that Connectivity has asked for.
    pub listings: Vec<ListingLine>,
    /// How many payouts and transfers there are of each state.
    pub initiations: Vec<(String, i64)>,
    /// Those that are not settled, the newest ones first, and at most 20.
    pub unsettled: Vec<Unsettled>,
    /// The last polls, newest first.
    pub polls: Vec<PollRow>,
    /// The newest sweep, under way or ended.
    pub sweep: Option<SweepRow>,
    /// Records in quarantine.
    pub quarantined: i64,
    /// Unknown values of type and status, the most frequent ones first.
    pub unknown_values: Vec<UnknownValue>,
    /// Bytes that the file system has left, if it says so.
    pub free_bytes: Option<u64>,
    /// When the newest poll began of those that were not in vain, RFC 3339.
    pub last_good_poll: Option<String>,
}

/// A value of `type` or `status` that the API does not know. Its records are delivered as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownValue {
    /// `type` or `status`.
    pub field: String,
    /// The value.
    pub value: String,
    /// How many versions had it.
    pub versions: i64,
    /// When it was first seen, RFC 3339.
    #[serde(rename = "firstSeen")]
    pub first_seen: String,
}

/// How much of a stream is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamCount {
    /// The stream's name.
    pub stream: &'static str,
    /// Records, each once.
    pub records: i64,
}

/// How far a stream has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CursorLine {
    /// The stream's name.
    pub stream: String,
    /// The second before which every record has been read; none before the first.
    pub position: Option<String>,
    /// When the list was last read to its end.
    #[serde(rename = "endedAt")]
    pub ended_at: Option<String>,
    /// How many polls in a row have left the position where it was although they read newer records.
    pub standing: i64,
    /// How the service departs from what one would hope for.
    pub quirks: Vec<Quirk>,
}

/// A list that Connectivity has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingLine {
    /// The stream's name.
    pub stream: String,
    /// When it was asked for first, RFC 3339.
    #[serde(rename = "askedAt")]
    pub asked_at: String,
    /// If that was with a bound: what every version is listed above, RFC 3339.
    #[serde(rename = "adoptedAbove")]
    pub adopted_above: Option<String>,
}

/// How far a publisher has delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublisherLine {
    /// Its name in the configuration.
    pub name: String,
    /// What it delivers to.
    #[serde(rename = "type")]
    pub kind: String,
    /// The last seq that it has delivered.
    pub offset: i64,
    /// Versions that it has not delivered yet.
    pub lag: i64,
    /// When it last delivered, RFC 3339.
    #[serde(rename = "deliveredAt")]
    pub delivered_at: Option<String>,
    /// Why it does not deliver, while it does not.
    pub error: Option<String>,
    /// Versions that the target refuses for their content. They are in quarantine.
    pub refused: i64,
    /// Versions that wait for the transaction that theirs relates to.
    pub waiting: i64,
    /// One of the transactions that they wait for.
    #[serde(rename = "waitingFor")]
    pub waiting_for: Option<String>,
    /// What the target has no place for, or not for all of it.
    #[serde(rename = "leftOut")]
    pub left_out: Vec<LeftOut>,
}

/// What a target has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What, and why.
    pub reason: String,
    /// How many versions.
    pub versions: i64,
    /// The last of them.
    #[serde(rename = "lastSeq")]
    pub last_seq: i64,
}

impl Overview {
    /// Reads the state in that directory, with at most `polls` of the last polls.
    pub fn read(directory: &Path, polls: usize) -> Result<Overview, Error> {
        let (connection, file) = super::open_existing(directory, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let fail = Error::on(&file, "read the state");
        // One transaction, so that the figures belong together.
        let transaction = connection.unchecked_transaction().map_err(&fail)?;
        let overview = read(&transaction, polls).map_err(&fail)?;
        overview
            .map(|overview| Overview {
                free_bytes: super::free_bytes(&file),
                ..overview
            })
            .ok_or(Error::Missing(file))
    }
}

fn read(connection: &Connection, polls: usize) -> rusqlite::Result<Option<Overview>> {
    let identity = all(connection, "SELECT key, value FROM state", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let known = |key: &str| {
        identity
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.clone())
    };
    let (Some(state_id), Some(name), Some(endpoint)) =
        (known("state_id"), known("name"), known("endpoint"))
    else {
        return Ok(None);
    };
    let counted = all(
        connection,
        "SELECT stream, count(*) FROM record GROUP BY stream",
        |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
    )?;
    let count = |stream: Stream| {
        counted
            .iter()
            .find(|(name, _)| name == stream.name())
            .map_or(0, |(_, count)| *count)
    };
    let last_seq = super::log::last_seq(connection)?;
    let sql = format!(
        "SELECT number, started_at, ended_at, outcome, requests, retries, accounts, balances, beneficiaries,
         transactions, quarantined, error FROM poll ORDER BY number DESC LIMIT {polls}"
    );
    Ok(Some(Overview {
        state_id,
        identity: Identity { name, endpoint },
        last_seq,
        streams: Stream::ALL
            .into_iter()
            .map(|stream| StreamCount {
                stream: stream.name(),
                records: count(stream),
            })
            .collect(),
        cursors: all(
            connection,
            "SELECT stream, position, ended_at, standing, traits FROM cursor ORDER BY stream",
            |row| {
                let quirks: Quirks = super::from_json(row, 4)?;
                Ok(CursorLine {
                    stream: row.get(0)?,
                    position: row.get(1)?,
                    ended_at: row.get(2)?,
                    standing: row.get(3)?,
                    quirks: quirks.describe(),
                })
            },
        )?,
        publishers: all(
            connection,
            "SELECT name, type, offset, delivered_at, error,
                    (SELECT count(*) FROM refusal WHERE publisher = name),
                    (SELECT count(*) FROM waiting WHERE publisher = name),
                    (SELECT min(parent) FROM waiting WHERE publisher = name)
             FROM publisher ORDER BY name",
            |row| {
                let offset = row.get(2)?;
                let name: String = row.get(0)?;
                Ok(PublisherLine {
                    refused: row.get(5)?,
                    waiting: row.get(6)?,
                    waiting_for: row.get(7)?,
                    left_out: left_out(connection, &name)?,
                    name,
                    kind: row.get(1)?,
                    offset,
                    lag: last_seq - offset,
                    delivered_at: row.get(3)?,
                    error: row.get(4)?,
                })
            },
        )?,
        listings: all(
            connection,
            "SELECT stream, asked_at, above FROM listing ORDER BY stream",
            |row| {
                let above: Option<i64> = row.get(2)?;
                Ok(ListingLine {
                    stream: row.get(0)?,
                    asked_at: row.get(1)?,
                    adopted_above: above
                        .map(|above| Stamp::from_nanoseconds(above).timestamp().to_string()),
                })
            },
        )?,
        initiations: initiation::counts(connection)?,
        unsettled: initiation::unsettled(connection, UNSETTLED)?,
        polls: all(connection, &sql, poll_row)?,
        sweep: sweep::newest(connection)?,
        free_bytes: None,
        quarantined: connection
            .query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0))?,
        unknown_values: all(
            connection,
            "SELECT field, value, versions, first_seen FROM unknown_value ORDER BY versions DESC, field, value",
            |row| {
                Ok(UnknownValue {
                    field: row.get(0)?,
                    value: row.get(1)?,
                    versions: row.get(2)?,
                    first_seen: row.get(3)?,
                })
            },
        )?,
        last_good_poll: connection.query_row(
            "SELECT max(started_at) FROM poll WHERE outcome IN ('complete', 'partial')",
            [],
            |row| row.get(0),
        )?,
    }))
}

fn left_out(connection: &Connection, publisher: &str) -> rusqlite::Result<Vec<LeftOut>> {
    connection
        .prepare(
            "SELECT reason, versions, seq FROM left_out WHERE publisher = ?1 ORDER BY versions DESC, reason",
        )?
        .query_map([publisher], |row| {
            Ok(LeftOut {
                reason: row.get(0)?,
                versions: row.get(1)?,
                last_seq: row.get(2)?,
            })
        })?
        .collect()
}

fn poll_row(row: &Row) -> rusqlite::Result<PollRow> {
    Ok(PollRow {
        number: row.get(0)?,
        started_at: super::second(row, 1)?,
        ended_at: super::optional_second(row, 2)?,
        outcome: row.get(3)?,
        requests: row.get(4)?,
        retries: row.get(5)?,
        versions: PerStream::try_from_fn(|stream| row.get(stream.name()))?,
        quarantined: row.get(10)?,
        error: row.get(11)?,
    })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}
