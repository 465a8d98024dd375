//! The state of a connector and its alarms, for the `status` command and `GET /status`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Second, Stream, Timestamp};
use crate::health::Alarm;
use crate::publish::LedgerFigures;
use crate::store::{
    self, AskedLine, DamagedInitiation, InitiationState, Overview, PollOutcome, PollRow,
    PublisherLine, Snapshot, SweepRow, SweepTimes, Unsettled,
};

/// How many polls `status` shows, the newest ones.
pub const POLLS: usize = 5;

/// A day and an hour: the longest time between two polls that cron starts. Seconds.
const A_DAY: u64 = 86_400 + 3_600;

/// Seconds for which a request counts that asks a list for more than it was shown.
const AN_HOUR: u64 = 3_600;

/// The state and its alarms.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub overview: Overview,
    /// What each publisher of the overview remembers of its target, in the same order.
    pub ledgers: Vec<LedgerFigures>,
    /// Its alarms.
    pub alarms: Vec<Alarm>,
}

impl Status {
    /// Reads the state in that directory, with at most `polls` of the last polls. `period`: how often its connector polls.
    pub fn read(
        directory: &Path,
        period: Duration,
        times: SweepTimes,
        polls: usize,
    ) -> Result<Status, store::Error> {
        let snapshot = Snapshot::open(directory)?;
        let overview = snapshot.overview(polls, times)?;
        let ledgers = overview.publishers.iter();
        let ledgers = ledgers
            .map(|publisher| LedgerFigures::read(&snapshot.memory(&publisher.name)))
            .collect::<Result<_, _>>()?;
        let alarms = alarms(&overview, period, times, Timestamp::now().second());
        Ok(Status {
            overview,
            ledgers,
            alarms,
        })
    }

    /// The state and its alarms as JSON.
    pub fn in_json(&self) -> Value {
        let Status {
            overview,
            ledgers,
            alarms,
        } = self;
        let publishers = overview.publishers.iter().zip(ledgers);
        let publishers = publishers.map(|(line, ledger)| PublisherJson { line, ledger });
        let initiations = overview.initiations.by_state().into_iter();
        let initiations: serde_json::Map<_, _> = initiations
            .map(|(state, count)| (state.name().to_owned(), count.into()))
            .collect();
        json!({
            "name": overview.state.identity.name,
            "endpoint": overview.state.identity.endpoint,
            "stateId": overview.state.id,
            "restoredAt": overview.state.restored_at,
            "backedUpAt": overview.state.backed_up_at,
            "lastSeq": overview.state.last_seq,
            "streams": overview.streams,
            "cursors": overview.cursors,
            "publishers": publishers.collect::<Vec<_>>(),
            "quarantined": overview.quarantined,
            "unknownValues": overview.unknown_values,
            "sweep": overview.sweeps.newest.as_ref().map(sweep_in_json),
            "sweepDueAt": overview.sweeps.due,
            "listings": overview.lists.asked,
            "connectivity": overview.lists.read.iter().filter_map(asked_in_json).collect::<Vec<_>>(),
            "leftOut": overview.lists.unlisted,
            "relatives": overview.lists.relatives,
            "initiations": initiations,
            "unsettledInitiations": overview.initiations.unsettled,
            "warnings": alarms.iter().map(Alarm::to_string).collect::<Vec<_>>(),
            "polls": overview.polls.iter().map(poll_in_json).collect::<Vec<_>>(),
        })
    }
}

/// A publisher's line and its ledger's figures as one object.
#[derive(Serialize)]
struct PublisherJson<'a> {
    #[serde(flatten)]
    line: &'a PublisherLine,
    #[serde(flatten)]
    ledger: &'a LedgerFigures,
}

/// How far Connectivity has read a stream, if it has ever asked for it.
fn asked_in_json(line: &AskedLine) -> Option<Value> {
    let asked = line.asked.as_ref()?;
    Some(json!({
        "stream": line.stream.name(),
        "askedAt": asked.at,
        "askedFrom": asked.from,
        "expectedAt": asked.expected_at(),
        "periodSeconds": asked.period(),
        "unread": line.unread,
        "unreadSince": line.unread_since,
    }))
}

fn sweep_in_json(sweep: &SweepRow) -> Value {
    json!({
        "number": sweep.number,
        "startedAt": sweep.started_at,
        "endedAt": sweep.ended_at,
        "stream": sweep.stream.name(),
        "page": sweep.place.page,
        "seen": sweep.seen,
        "missed": sweep.missed,
        "changed": sweep.changed,
        "alwaysChanging": sweep.always_changing,
        "lateness": sweep.lateness,
    })
}

fn poll_in_json(poll: &PollRow) -> Value {
    json!({
        "number": poll.number,
        "startedAt": poll.started_at,
        "endedAt": poll.ended_at,
        "outcome": poll.state(),
        "newVersions": poll.versions,
        "requests": poll.requests,
        "retries": poll.retries,
        "quarantined": poll.quarantined,
        "error": poll.error,
        "seconds": poll.took.map(|took| took.as_secs_f64()),
        "latencySeconds": poll.latency.map(|latency| json!({
            "p50": latency.p50.as_secs_f64(),
            "p95": latency.p95.as_secs_f64(),
        })),
        "lag": poll.lag,
    })
}

/// The alarms of a state.
fn alarms(overview: &Overview, period: Duration, times: SweepTimes, now: Second) -> Vec<Alarm> {
    let position = |text: &String| text.clone().try_into().ok();
    let cursors = overview.cursors.iter().filter_map(|cursor| {
        let position = cursor.position.as_ref().and_then(position);
        Alarm::of_cursor(&cursor.stream, position, cursor.standing)
    });
    let publishers = overview.publishers.iter().filter_map(|publisher| {
        Some(Alarm::DeliveryFails {
            publisher: publisher.name.clone(),
            reason: publisher.error.clone()?,
        })
    });
    let ahead = overview.lists.asked.iter().filter_map(|listing| {
        // A look by hand is not repeated.
        listing.ahead_at.filter(|at| now.since(*at) <= AN_HOUR)?;
        Some(Alarm::ListAhead {
            stream: listing.stream.clone(),
            bound: listing.ahead?,
        })
    });
    let initiations = overview
        .initiations
        .unsettled
        .iter()
        .filter_map(of_initiation);
    let damaged = overview.damaged.iter().cloned().map(Alarm::Damaged);
    let relatives = &overview.lists.relatives;
    let missing = Alarm::of_missing(relatives.missing, relatives.missing_id.as_deref());
    let waiting = relatives_waiting(overview, times, now);
    let room = overview.state.room.free.and_then(Alarm::of_room);
    let failing = overview.streams.iter().zip(Stream::ALL);
    let failing = failing.filter_map(|(line, stream)| {
        Alarm::of_failing(stream, line.failing.as_ref()?, period, now)
    });
    let asked = overview.lists.read.iter();
    let asked = asked.map(|line| (line.stream, line.asked.as_ref()));
    let unasked = Alarm::of_connectivity(overview.lists.listening, asked, now);
    silence(overview, period, now)
        .into_iter()
        .chain(failing)
        .chain(cursors)
        .chain(room)
        .chain(publishers)
        .chain(unasked)
        .chain(ahead)
        .chain(initiations)
        .chain(damaged)
        .chain(missing)
        .chain(waiting)
        .collect()
}

/// The alarm of transactions that wait although several sweeps could have decided about them.
fn relatives_waiting(overview: &Overview, times: SweepTimes, now: Second) -> Option<Alarm> {
    let line = &overview.lists.relatives;
    let longest = times.lookback.saturating_add(2 * times.period);
    let since = line
        .waiting_since
        .filter(|since| now.since(*since) > longest)?;
    Some(Alarm::RelativesWaiting {
        waiting: line.waiting,
        id: line.waiting_for.clone()?,
        since,
    })
}

/// The alarm of a payout or transfer, if it is one.
fn of_initiation(unsettled: &Unsettled) -> Option<Alarm> {
    let (kind, key) = (unsettled.kind.clone(), unsettled.key.clone());
    match unsettled.state {
        InitiationState::Unknown => Some(Alarm::OutcomeUnknown {
            kind,
            key,
            reason: unsettled.error.clone(),
        }),
        InitiationState::Made => Some(Alarm::MadeDifferently {
            kind,
            key,
            id: unsettled.id.clone()?,
            remark: unsettled.remark.clone()?,
        }),
        InitiationState::Damaged => Some(Alarm::DamagedInitiation(DamagedInitiation(key))),
        InitiationState::Open | InitiationState::NotMade | InitiationState::Refused => None,
    }
}

fn silence(overview: &Overview, period: Duration, now: Second) -> Option<Alarm> {
    let last = overview.polls.first()?;
    let since = overview.last_good_poll.clone();
    let Some(since) = since.and_then(|text| Second::try_from(text).ok()) else {
        // A first import takes as long as it takes.
        let has_ended = overview.polls.iter().any(|poll| poll.ended_at.is_some());
        return has_ended.then_some(Alarm::NeverPolled);
    };
    let is_failing = matches!(last.outcome, None | Some(PollOutcome::Failed));
    let longest = Alarm::longest_silence(period).as_secs();
    // cron may start a connector less often than its period says.
    let longest = if is_failing || overview.state.polls_by_period {
        longest
    } else {
        longest.max(A_DAY)
    };
    // A poll that runs long and reads on is none that fails.
    let read_at = overview
        .state
        .last_read_at
        .filter(|_| last.outcome.is_none());
    let since = since.max(read_at.unwrap_or(since));
    let seconds = now.since(since);
    (seconds > longest).then_some(Alarm::Silence { since, seconds })
}
