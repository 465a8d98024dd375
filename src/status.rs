//! What an operator is told of a connector: by the `status` command, and by the listener.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Second, Timestamp};
use crate::poll::{LITTLE_ROOM, SILENT_PERIODS, STANDING_POLLS};
use crate::publish::LedgerFigures;
use crate::store::{
    self, InitiationState, Overview, PollOutcome, PollState, PublisherLine, Snapshot,
};

/// How many of the last polls are shown.
const POLLS: usize = 5;

/// A connector that polls seldom polls once a day. Seconds.
const A_DAY: u64 = 86_400 + 3_600;

/// The state, and what should be looked at in it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub overview: Overview,
    /// What each of its publishers remembers of its target, in the same order.
    pub ledgers: Vec<LedgerFigures>,
    /// What should be looked at, as the log has said it or will.
    pub warnings: Vec<String>,
}

/// A publisher's line and its ledger's figures as one object.
#[derive(Serialize)]
struct PublisherJson<'a> {
    #[serde(flatten)]
    line: &'a PublisherLine,
    #[serde(flatten)]
    ledger: &'a LedgerFigures,
}

impl Status {
    /// Reads the state in that directory, of a connector that polls so often.
    pub fn read(directory: &Path, period: Duration) -> Result<Status, store::Error> {
        let snapshot = Snapshot::open(directory)?;
        let overview = snapshot.overview(POLLS)?;
        let ledgers = overview.publishers.iter();
        let ledgers = ledgers
            .map(|publisher| LedgerFigures::read(&snapshot.memory(&publisher.name)))
            .collect::<Result<_, _>>()?;
        let warnings = warnings(&overview, period, Timestamp::now().second());
        Ok(Status {
            overview,
            ledgers,
            warnings,
        })
    }

    /// For programs.
    pub fn in_json(&self) -> Value {
        let Status {
            overview,
            ledgers,
            warnings,
        } = self;
        let publishers: Vec<_> = overview
            .publishers
            .iter()
            .zip(ledgers)
            .map(|(line, ledger)| PublisherJson { line, ledger })
            .collect();
        let polls: Vec<_> = overview
            .polls
            .iter()
            .map(|poll| {
                json!({
                    "number": poll.number,
                    "startedAt": poll.started_at.to_string(),
                    "endedAt": poll.ended_at.map(|second| second.to_string()),
                    "outcome": poll.state.name(),
                    "newVersions": poll.versions,
                    "requests": poll.requests,
                    "retries": poll.retries,
                    "quarantined": poll.quarantined,
                    "error": poll.error,
                })
            })
            .collect();
        let initiations: serde_json::Map<_, _> = overview
            .initiations
            .iter()
            .map(|(state, count)| (state.name().to_owned(), (*count).into()))
            .collect();
        json!({
            "name": overview.state.identity.name,
            "endpoint": overview.state.identity.endpoint,
            "stateId": overview.state.id,
            "lastSeq": overview.state.last_seq,
            "streams": overview.streams,
            "cursors": overview.cursors,
            "publishers": publishers,
            "quarantined": overview.quarantined,
            "unknownValues": overview.unknown_values,
            "sweep": overview.sweep.as_ref().map(|sweep| json!({
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
            })),
            "listings": overview.listings,
            "initiations": initiations,
            "unsettledInitiations": overview.unsettled,
            "warnings": warnings,
            "polls": polls,
        })
    }
}

/// What an operator should look at, as the log has said it or will.
fn warnings(overview: &Overview, period: Duration, now: Second) -> Vec<String> {
    let mut warnings = Vec::new();
    let silence = (period * SILENT_PERIODS).as_secs();
    let last_good: Option<Second> = overview
        .last_good_poll
        .clone()
        .and_then(|text| text.try_into().ok());
    // Who polls by cron does so when it suits them.
    let failing = overview.polls.first().is_some_and(|poll| {
        matches!(
            poll.state,
            PollState::Running | PollState::Ended(PollOutcome::Failed)
        )
    });
    let silence = if failing { silence } else { silence.max(A_DAY) };
    match last_good {
        Some(last_good) if now.since(last_good) > silence => warnings.push(format!(
            "no poll has succeeded since {last_good}, {} s ago: nothing new is being delivered",
            now.since(last_good)
        )),
        None if !overview.polls.is_empty() => {
            warnings.push("no poll has ever succeeded".to_owned());
        }
        _ => {}
    }
    for cursor in &overview.cursors {
        if cursor.standing >= STANDING_POLLS {
            warnings.push(format!(
                "{}: the cursor has not moved for {} polls, although there are newer records: are they dated in the \
                 future, or is the service's clock behind?",
                cursor.stream, cursor.standing
            ));
        }
    }
    if overview
        .state
        .free_bytes
        .is_some_and(|free| free < LITTLE_ROOM)
    {
        warnings.push("the disk of the state is nearly full".to_owned());
    }
    for publisher in &overview.publishers {
        if let Some(error) = &publisher.error {
            warnings.push(format!(
                "publisher \"{}\" is not delivering and has {} versions to deliver: {error}",
                publisher.name, publisher.lag
            ));
        }
    }
    let unknown = overview
        .unsettled
        .iter()
        .filter(|unsettled| unsettled.state == InitiationState::Unknown)
        .count();
    if unknown > 0 {
        warnings.push(format!(
            "the outcome of {unknown} payouts or transfers is unknown: look them up at the PSP, or repeat them with \
            the same idempotencyKey"
        ));
    }
    warnings
}
