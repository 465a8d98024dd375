use std::io::Write;

use serde_json::json;

use super::{Exit, Failure};
use crate::api::{Second, Stream};
use crate::cli;
use crate::config;
use crate::store::{Overview, PollRow};

/// How many of the last polls are shown.
const POLLS: usize = 5;

/// Shows the state as a table or as JSON.
pub(super) fn run(options: &cli::Status) -> Result<Exit, Failure> {
    let directory = config::state_directory(&options.config.config)?;
    let overview = Overview::read(&directory, POLLS).map_err(Failure::other)?;
    let text = if options.json {
        in_json(&overview)
    } else {
        in_words(&overview)
    };
    // A reader that has gone, as `head` does, has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

fn in_json(overview: &Overview) -> String {
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
                "skipped": poll.skipped,
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
        "polls": polls,
    });
    format!("{status:#}\n")
}

fn in_words(overview: &Overview) -> String {
    let mut text = format!(
        "connector  {} at {}\nstate      {}, last seq {}\n\n",
        overview.identity.name, overview.identity.endpoint, overview.state_id, overview.last_seq
    );
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
        "POLL", "STARTED", "OUTCOME", "NEW", "REQUESTS", "RETRIES", "SKIPPED", "SECONDS"
    );
    for poll in &overview.polls {
        text += &line(poll);
    }
    text
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
        poll.skipped,
        poll.ended_at.map_or("-".to_owned(), seconds)
    );
    if let Some(error) = &poll.error {
        line += &format!("  {error}\n");
    }
    line
}
