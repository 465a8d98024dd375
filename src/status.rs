//! What an operator is told of a connector: by the `status` command, and by the listener.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Second, Timestamp};
use crate::poll::{LITTLE_ROOM, SILENT_PERIODS, STANDING_POLLS};
use crate::store::{self, Overview};

/// How many of the last polls are shown.
const POLLS: usize = 5;

/// A connector that polls seldom polls once a day. Seconds.
const A_DAY: u64 = 86_400 + 3_600;

/// The state, and what should be looked at in it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub overview: Overview,
    /// What should be looked at, as the log has said it or will.
    pub warnings: Vec<String>,
}

impl Status {
    /// Reads the state in that directory, of a connector that polls so often.
    pub fn read(directory: &Path, period: Duration) -> Result<Status, store::Error> {
        let overview = Overview::read(directory, POLLS)?;
        let warnings = warnings(&overview, period, Timestamp::now().second());
        Ok(Status { overview, warnings })
    }

    /// For programs.
    pub fn in_json(&self) -> Value {
        let Status { overview, warnings } = self;
        let polls: Vec<_> = overview
            .polls
            .iter()
            .map(|poll| {
                json!({
                    "number": poll.number,
                    "startedAt": poll.started_at.to_string(),
                    "endedAt": poll.ended_at.map(|second| second.to_string()),
                    "outcome": poll.outcome,
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
            .map(|(state, count)| (state.clone(), (*count).into()))
            .collect();
        json!({
            "name": overview.identity.name,
            "endpoint": overview.identity.endpoint,
            "stateId": overview.state_id,
            "lastSeq": overview.last_seq,
            "streams": overview.streams,
            "cursors": overview.cursors,
            "publishers": overview.publishers,
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
    let failing = overview
        .polls
        .first()
        .is_some_and(|poll| poll.outcome == "failed" || poll.outcome == "running");
    let silence = if failing { silence } else { silence.max(A_DAY) };
    match last_good {
        Some(last_good) if now.since(last_good) > silence => warnings.push(format!(
            "no poll has succeeded since {last_good}, {} s ago: what is delivered stands still",
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
                "{}: the cursor has stood still for {} polls, although there are newer records: are they dated in the \
                 future, or is the service's clock behind?",
                cursor.stream, cursor.standing
            ));
        }
    }
    if overview.free_bytes.is_some_and(|free| free < LITTLE_ROOM) {
        warnings.push("the disk of the state is nearly full".to_owned());
    }
    for publisher in &overview.publishers {
        if let Some(error) = &publisher.error {
            warnings.push(format!(
                "publisher \"{}\" does not deliver, and has {} versions to deliver: {error}",
                publisher.name, publisher.lag
            ));
        }
    }
    let unknown = overview
        .unsettled
        .iter()
        .filter(|unsettled| unsettled.state == "unknown")
        .count();
    if unknown > 0 {
        warnings.push(format!(
            "the outcome of {unknown} payouts or transfers is unknown: look them up at the PSP, or ask for them again under \
             the same idempotencyKey"
        ));
    }
    warnings
}
