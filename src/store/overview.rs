use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::asked::{self, AskedLine, ListeningRow};
use super::columns::AsJson;
use super::database::{Database, Room, all, optional};
use super::identity::state_id;
use super::initiation::{self, InitiationCount, InitiationState};
use super::relatives::{RelativesLine, relatives};
use super::seq::last_seq;
use super::sweep_due::SweepTimes;
use super::unknown_values::{self, UnknownValue};
use super::unlisted::{self, UnlistedLine};
use super::unsettled::{Unsettled, unsettled, unsettled_since};
use super::{
    DamagedVersion, Error, FailingStream, Identity, Memory, PollRow, Quirk, Quirks, Stamp,
    SweepRow, backup, counts, damage, failing, open, poll, publisher, quarantine, restored, sweep,
    sweep_due,
};
use crate::api::{Second, Stream, Timestamp};

/// How many payouts and transfers are shown that an operator has to look at.
const UNSETTLED: usize = 20;

/// How many damaged versions are shown.
const DAMAGED: usize = 20;

/// The state at one moment, read without disturbing the process that writes.
#[derive(Debug)]
pub struct Snapshot(Database);

/// What `status` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The state as a whole.
    pub state: StateLine,
    /// Each stream's counts, in the order of [`Stream::ALL`].
    pub streams: Vec<StreamCount>,
    /// The cursor of each listed stream that has one.
    pub cursors: Vec<CursorLine>,
    /// The publishers.
    pub publishers: Vec<PublisherLine>,
    /// The lists as Connectivity sees them.
    pub lists: ListsLine,
    /// The payouts and transfers.
    pub initiations: InitiationsLine,
    /// The last polls, newest first.
    pub polls: Vec<PollRow>,
    /// When the last poll ended that was complete or partial, RFC 3339.
    pub last_good_poll: Option<String>,
    /// The sweeps.
    pub sweeps: SweepsLine,
    /// Records in quarantine.
    pub quarantined: i64,
    /// Versions whose text is damaged, at most 20.
    pub damaged: Vec<DamagedVersion>,
    /// Unknown values of type and status, the most frequent ones first.
    pub unknown_values: Vec<UnknownValue>,
}

/// The state as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLine {
    /// A random id, made with the state.
    pub id: String,
    /// Whose state it is.
    pub identity: Identity,
    /// The seq of the newest version.
    pub last_seq: i64,
    /// When that was read from the service.
    pub last_read_at: Option<Second>,
    /// Whether polls come by the period, and not only when somebody runs one.
    pub polls_by_period: bool,
    /// When it was found to have been put back from an older copy.
    pub restored_at: Option<Second>,
    /// How often that was found.
    pub restores: i64,
    /// When `backup` last copied it.
    pub backed_up_at: Option<Second>,
    /// The room that it takes.
    pub room: Room,
}

/// How much of a stream is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamCount {
    /// The stream's name.
    pub stream: &'static str,
    /// Records, each once.
    pub records: i64,
    /// Versions of them.
    pub versions: i64,
    /// Versions that were dropped, because they were kept long enough.
    pub dropped: i64,
    /// Records in quarantine.
    pub quarantined: i64,
    /// The polls in a row that have not read it completely, if the last one has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailingStream>,
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
    /// How many polls in a row have read newer records and yet left the position where it was.
    pub standing: i64,
    /// How the service departs from the API.
    pub quirks: Vec<Quirk>,
}

/// The lists as Connectivity sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListsLine {
    /// Where it can ask for them, if it can.
    pub listening: Option<ListeningRow>,
    /// Those that it has asked for.
    pub asked: Vec<ListingLine>,
    /// How far it has read each stream, in the order of [`Stream::ALL`].
    pub read: Vec<AskedLine>,
    /// What they leave out, because Formance cannot take it.
    pub unlisted: Vec<UnlistedLine>,
    /// Transactions that relate to one that is not in the list.
    pub relatives: RelativesLine,
}

/// A list that Connectivity has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingLine {
    /// The stream's name.
    pub stream: String,
    /// When it was asked for first, RFC 3339.
    #[serde(rename = "askedAt")]
    pub asked_at: Option<String>,
    /// If that was with a bound: what every version is listed above, RFC 3339.
    #[serde(rename = "adoptedAbove")]
    pub adopted_above: Option<String>,
    /// The second from which it was last asked for, if that is above everything that was shown.
    pub ahead: Option<Second>,
    /// When that was.
    #[serde(rename = "aheadAt")]
    pub ahead_at: Option<Second>,
}

/// The payouts and transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiationsLine {
    /// How many there are of each kind in each state.
    pub counts: Vec<InitiationCount>,
    /// Those that an operator has to look at, the most urgent ones first, at most 20.
    pub unsettled: Vec<Unsettled>,
    /// When the service was asked for the first of them.
    pub unsettled_since: Option<Second>,
}

/// The sweeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepsLine {
    /// The newest one, under way or ended.
    pub newest: Option<SweepRow>,
    /// The newest one that has ended.
    pub ended: Option<SweepRow>,
    /// When the next one is due; none while nothing is stored.
    pub due: Option<Second>,
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
    /// When the first of them was read from the service.
    #[serde(rename = "lagSince")]
    pub lag_since: Option<Second>,
    /// When it last delivered, RFC 3339.
    #[serde(rename = "deliveredAt")]
    pub delivered_at: Option<String>,
    /// Why it does not deliver, while it does not.
    pub error: Option<String>,
    /// Versions that the target refuses for their content.
    pub refused: i64,
    /// Whether the connector delivered to it when it was started last.
    #[serde(rename = "inUse")]
    pub in_use: bool,
}

impl InitiationsLine {
    /// How many there are in each state that has any, in the order of the states' names.
    pub fn by_state(&self) -> Vec<(InitiationState, i64)> {
        let mut states: BTreeMap<&str, (InitiationState, i64)> = BTreeMap::new();
        for InitiationCount { state, count, .. } in &self.counts {
            states.entry(state.name()).or_insert((*state, 0)).1 += count;
        }
        states.into_values().collect()
    }
}

impl Snapshot {
    /// The state in that directory as it is now.
    pub fn open(directory: &Path) -> Result<Snapshot, Error> {
        let database = Database::beside_read_only(directory)?;
        // One transaction, so that the figures belong together. It ends with the connection.
        database.run(READ, |connection| connection.execute_batch("BEGIN"))?;
        Ok(Snapshot(database))
    }

    /// An overview, with at most `polls` of the last polls.
    pub fn overview(&self, polls: usize, times: SweepTimes) -> Result<Overview, Error> {
        let Some(state) = self.state()? else {
            return Err(Error::Missing(self.0.file().to_owned()));
        };
        self.0.run(READ, |connection| {
            Ok(Overview {
                streams: streams(connection)?,
                cursors: cursors(connection)?,
                publishers: publishers(connection, state.last_seq)?,
                lists: ListsLine {
                    listening: asked::listening(connection)?,
                    asked: listings(connection)?,
                    read: asked::lines(connection)?,
                    unlisted: unlisted::list(connection)?,
                    relatives: relatives(connection)?,
                },
                initiations: InitiationsLine {
                    counts: initiation::counts(connection)?,
                    unsettled: unsettled(connection, UNSETTLED)?,
                    unsettled_since: unsettled_since(connection)?,
                },
                polls: poll::last(connection, polls)?,
                last_good_poll: poll::last_good(connection)?,
                sweeps: SweepsLine {
                    newest: sweep::newest(connection)?,
                    ended: sweep::newest_ended(connection)?,
                    due: sweep_due::due(connection, times, Timestamp::now().second())?,
                },
                quarantined: quarantine::count(connection)?,
                damaged: damage::list(connection, DAMAGED)?,
                unknown_values: unknown_values::list(connection)?,
                state,
            })
        })
    }

    /// What a publisher remembers of its target.
    pub fn memory<'a>(&'a self, publisher: &'a str) -> Memory<'a> {
        Memory {
            database: &self.0,
            publisher,
        }
    }

    /// The connector's name.
    pub fn name(&self) -> Result<String, Error> {
        let state = self.state()?;
        let state = state.ok_or_else(|| Error::Missing(self.0.file().to_owned()))?;
        Ok(state.identity.name)
    }

    pub(super) fn database(&self) -> &Database {
        &self.0
    }

    fn state(&self) -> Result<Option<StateLine>, Error> {
        self.0.run(READ, |connection| {
            let Some(identity) = open::identity(connection)? else {
                return Ok(None);
            };
            Ok(Some(StateLine {
                id: state_id(connection)?,
                identity,
                last_seq: last_seq(connection)?,
                last_read_at: optional(connection, LAST_READ, [], |row| row.get(0))?,
                polls_by_period: open::polls_by_period(connection)?,
                restored_at: restored::last(connection)?.map(|restored| restored.noticed_at),
                restores: restored::count(connection)?,
                backed_up_at: backup::backed_up_at(connection)?,
                room: self.0.room(),
            }))
        })
    }
}

const READ: &str = "read the state";

const LAST_READ: &str = "SELECT observed_at FROM version ORDER BY seq DESC LIMIT 1";

fn streams(connection: &Connection) -> rusqlite::Result<Vec<StreamCount>> {
    let count = |stream: Stream| {
        Ok(StreamCount {
            stream: stream.name(),
            records: counts::get(connection, &counts::RECORDS, stream)?,
            versions: counts::get(connection, &counts::VERSIONS, stream)?,
            dropped: counts::get(connection, &counts::DROPPED, stream)?,
            quarantined: counts::get(connection, &counts::QUARANTINED, stream)?,
            failing: failing::get(connection, stream)?,
        })
    };
    Stream::ALL.into_iter().map(count).collect()
}

fn cursors(connection: &Connection) -> rusqlite::Result<Vec<CursorLine>> {
    const CURSORS: &str =
        "SELECT stream, position, ended_at, standing, quirks FROM cursor ORDER BY stream";
    all(connection, CURSORS, [], |row| {
        let AsJson::<Quirks>(quirks) = row.get(4)?;
        Ok(CursorLine {
            stream: row.get(0)?,
            position: row.get(1)?,
            ended_at: row.get(2)?,
            standing: row.get(3)?,
            quirks: quirks.describe(),
        })
    })
}

fn publishers(connection: &Connection, last_seq: i64) -> rusqlite::Result<Vec<PublisherLine>> {
    const PUBLISHERS: &str = "
        SELECT name, type, offset, delivered_at, error FROM publisher ORDER BY name";
    const NEXT: &str = "SELECT observed_at FROM version WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let used = publisher::used(connection)?;
    all(connection, PUBLISHERS, [], |row| {
        let (name, offset): (String, i64) = (row.get(0)?, row.get(2)?);
        let lag = publisher::lag(connection, offset, last_seq)?;
        let lag_since = match lag {
            0 => None,
            _ => optional(connection, NEXT, [offset], |row| row.get(0))?,
        };
        let in_use = used.as_ref().is_none_or(|used| used.contains(&name));
        Ok(PublisherLine {
            in_use,
            refused: counts::get(connection, &counts::REFUSALS, &name)?,
            name,
            kind: row.get(1)?,
            offset,
            lag,
            lag_since,
            delivered_at: row.get(3)?,
            // Nobody tries any more.
            error: row.get::<_, Option<String>>(4)?.filter(|_| in_use),
        })
    })
}

fn listings(connection: &Connection) -> rusqlite::Result<Vec<ListingLine>> {
    const LISTINGS: &str =
        "SELECT stream, asked_at, above, bound, last FROM listing ORDER BY stream";
    all(connection, LISTINGS, [], |row| {
        let above: Option<Stamp> = row.get(2)?;
        Ok(ListingLine {
            stream: row.get(0)?,
            asked_at: row.get(1)?,
            adopted_above: above.map(|above| above.timestamp().to_string()),
            ahead: row.get(3)?,
            ahead_at: row.get(4)?,
        })
    })
}
