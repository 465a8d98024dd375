use std::io::Write;

use super::{CommandError, Exit};
use crate::api::{Second, escaped};
use crate::cli;
use crate::config::Outline;
use crate::status::Status;
use crate::store::{PollRow, SweepRow};

/// Shows the state as a table or as JSON.
pub(super) fn run(options: &cli::Status) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config.config)?;
    let status = Status::read(&outline.state_directory, outline.polling_period)?;
    let text = match options.json {
        true => format!("{:#}\n", status.in_json()),
        false => in_words(&status),
    };
    // A reader that has gone, as `head` does, has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

fn in_words(status: &Status) -> String {
    let Status {
        overview,
        ledgers,
        alarms,
    } = status;
    let mut text = format!(
        "connector  {} at {}\nstate      {}, last seq {}\n\n",
        overview.state.identity.name,
        overview.state.identity.endpoint,
        overview.state.id,
        overview.state.last_seq
    );
    for alarm in alarms {
        text += &format!("WARNING    {alarm}\n\n");
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
            ("balances", _) => "(every account, in every poll)",
            (_, Some(position)) => position,
            (_, None) => "-",
        };
        text += &format!("{:<14}{:>12}  {position}\n", count.stream, count.records);
        for found in cursor.map_or(&[][..], |cursor| &cursor.quirks) {
            text += &format!("  {found}\n");
        }
    }
    text += &format!("\n{}", sweep_in_words(overview.sweep.as_ref()));
    text += &format!(
        "quarantine {}\n",
        match overview.quarantined {
            0 => "empty".to_owned(),
            records => format!("{records} records; see quarantine list"),
        }
    );
    for unknown in &overview.unknown_values {
        text += &format!(
            "unknown    {} {}: {} versions since {}, delivered unchanged\n",
            unknown.field, unknown.value, unknown.versions, unknown.first_seen
        );
    }
    for listing in &overview.listings {
        text += &format!(
            "listened   {} first asked for at {}",
            listing.stream, listing.asked_at
        );
        text += &match &listing.adopted_above {
            Some(bound) => format!(", with a bound: every version is now dated after {bound}\n"),
            None => "\n".to_owned(),
        };
    }
    if !overview.initiations.is_empty() {
        let counts: Vec<String> = overview
            .initiations
            .iter()
            .map(|(state, count)| format!("{count} {}", state.name()))
            .collect();
        text += &format!("initiated  payouts and transfers: {}\n", counts.join(", "));
    }
    for unsettled in &overview.unsettled {
        text += &format!(
            "  {} {}, asked for at {}, is {}{}\n",
            unsettled.kind,
            escaped(&unsettled.key),
            unsettled.asked_at,
            unsettled.state.name(),
            unsettled
                .error
                .as_ref()
                .map_or(String::new(), |error| format!(": {error}"))
        );
    }
    text += &format!(
        "\n{:<14}{:>12}{:>12}  {}\n",
        "PUBLISHER", "OFFSET", "LAG", "DELIVERED"
    );
    for (publisher, ledger) in overview.publishers.iter().zip(ledgers) {
        let delivered = publisher.delivered_at.as_deref().unwrap_or("-");
        text += &format!(
            "{:<14}{:>12}{:>12}  {delivered}\n",
            publisher.name, publisher.offset, publisher.lag
        );
        if let Some(error) = &publisher.error {
            text += &format!("  delivery fails: {error}\n");
        }
        if publisher.refused > 0 {
            text += &format!(
                "  {} versions refused by the target; see quarantine list\n",
                publisher.refused
            );
        }
        if ledger.waiting > 0 {
            text += &format!(
                "  {} versions wait for a related transaction, such as \"{}\", which has not been delivered\n",
                ledger.waiting,
                escaped(ledger.waiting_for.as_deref().unwrap_or_default())
            );
        }
        for skipped in &ledger.skipped {
            text += &format!(
                "  skipped, {} versions: {}\n",
                skipped.versions, skipped.reason
            );
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
        None => format!("running in {}, page {}", sweep.stream, sweep.place.page),
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
        poll.state.name(),
        poll.versions.values().sum::<i64>(),
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
