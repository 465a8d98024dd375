use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::{Exit, Failure};
use crate::api::{Second, Stream, Timestamp};
use crate::cli;
use crate::config;
use crate::poll::{LITTLE_ROOM, SILENT_PERIODS, STANDING_POLLS};
use crate::store::{Overview, PollRow, SweepRow};

/// How many of the last polls are shown.
const POLLS: usize = 5;

/// A connector that polls seldom polls once a day. Seconds.
const A_DAY: u64 = 86_400 + 3_600;

/// Shows the state as a table or as JSON.
pub(super) fn run(options: &cli::Status) -> Result<Exit, Failure> {
    let directory = config::state_directory(&options.config.config)?;
    let period = config::polling_period(&options.config.config)?;
    let overview = Overview::read(&directory, POLLS).map_err(Failure::other)?;
    let warnings = warnings(&overview, period, Timestamp::now().second());
    let text = if options.json {
        in_json(&overview, &warnings)
    } else {
        in_words(&overview, &warnings)
    };
    // A reader that has gone, as `head` does, has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
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
    warnings
}

fn in_json(overview: &Overview, warnings: &[String]) -> String {
    let polls: Vec<_> = overview
        .polls
        .iter()
        .map(|poll| {
            let new: serde_json::Map<_, _> = Stream::ALL
                .into_iter()
                .zip(poll.versions)
                .map(|(stream, new)| (stream.name().to_owned(), new.into()))
                .collect();
            json!({
                "number": poll.number,
                "startedAt": poll.started_at.to_string(),
                "endedAt": poll.ended_at.map(|second| second.to_string()),
                "outcome": poll.outcome,
                "newVersions": new,
                "requests": poll.requests,
                "retries": poll.retries,
                "quarantined": poll.quarantined,
                "error": poll.error,
            })
        })
        .collect();
    let status = json!({
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
        "warnings": warnings,
        "polls": polls,
    });
    format!("{status:#}\n")
}

fn in_words(overview: &Overview, warnings: &[String]) -> String {
    let mut text = format!(
        "connector  {} at {}\nstate      {}, last seq {}\n\n",
        overview.identity.name, overview.identity.endpoint, overview.state_id, overview.last_seq
    );
    for warning in warnings {
        text += &format!("WARNING    {warning}\n\n");
    }
    text += &format!("{:<14}{:>12}  {}\n", "STREAM", "RECORDS", "READ UNTIL");
    for count in &overview.streams {
        let cursor = overview
            .cursors
            .iter()
            .find(|cursor| cursor.stream == count.stream);
        let position = match (
            count.stream,
            cursor.and_then(|cursor| cursor.position.as_deref()),
        ) {
            ("balances", _) => "(every account in every poll)",
            (_, Some(position)) => position,
            (_, None) => "-",
        };
        text += &format!("{:<14}{:>12}  {position}\n", count.stream, count.records);
        for found in cursor.map_or(&[][..], |cursor| &cursor.traits) {
            text += &format!("  {found}\n");
        }
    }
    text += &format!("\n{}", sweep_in_words(overview.sweep.as_ref()));
    text += &format!(
        "quarantine {}\n",
        match overview.quarantined {
            0 => "empty".to_owned(),
            records => format!("{records} records: see quarantine list"),
        }
    );
    for unknown in &overview.unknown_values {
        text += &format!(
            "unknown    {} {}: {} versions since {}, delivered as they are\n",
            unknown.field, unknown.value, unknown.versions, unknown.first_seen
        );
    }
    text += &format!(
        "\n{:<14}{:>12}{:>12}  {}\n",
        "PUBLISHER", "OFFSET", "LAG", "DELIVERED"
    );
    for publisher in &overview.publishers {
        let delivered = publisher.delivered_at.as_deref().unwrap_or("-");
        text += &format!(
            "{:<14}{:>12}{:>12}  {delivered}\n",
            publisher.name, publisher.offset, publisher.lag
        );
        if let Some(error) = &publisher.error {
            text += &format!("  does not deliver: {error}\n");
        }
    }
    text += &format!(
        "\n{:<8}{:<22}{:<13}{:>10}{:>10}{:>9}{:>9}  {}\n",
        "POLL", "STARTED", "OUTCOME", "NEW", "REQUESTS", "RETRIES", "REFUSED", "SECONDS"
    );
    for poll in &overview.polls {
        text += &line(poll);
    }
    text
}

fn sweep_in_words(sweep: Option<&SweepRow>) -> String {
    let Some(sweep) = sweep else {
        return "sweep      none yet\n".to_owned();
    };
    let state = match sweep.ended_at {
        Some(ended_at) => format!("complete at {ended_at}"),
        None => format!("under way in {}, page {}", sweep.stream, sweep.place.page),
    };
    format!(
        "sweep      {} of {}, {state}: {} records seen, {} missed before, {} changed without a newer date\n",
        sweep.number, sweep.started_at, sweep.seen, sweep.missed, sweep.changed
    )
}

fn line(poll: &PollRow) -> String {
    let seconds = |ended: Second| ended.since(poll.started_at).to_string();
    let mut line = format!(
        "{:<8}{:<22}{:<13}{:>10}{:>10}{:>9}{:>9}  {}\n",
        poll.number,
        poll.started_at.to_string(),
        poll.outcome,
        poll.versions.iter().sum::<i64>(),
        poll.requests,
        poll.retries,
        poll.quarantined,
        poll.ended_at.map_or("-".to_owned(), seconds)
    );
    if let Some(error) = &poll.error {
        line += &format!("  {error}\n");
    }
    line
}
