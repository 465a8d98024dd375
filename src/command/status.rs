use std::time::Duration;

use super::table::Column::{Left, Right};
use super::table::Table;
use super::terminal::fitted;
use super::{CommandError, Exit, print};
use crate::api::{Stream, escaped, shell_word};
use crate::cli::StatusOptions;
use crate::config::Outline;
use crate::publish::LedgerFigures;
use crate::status::{self, Status};
use crate::store::{AskedLine, Overview, PollRow, PublisherLine};

/// Shows the state as tables or as JSON.
pub(super) fn run(options: &StatusOptions) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config.config)?;
    let status = Status::read(
        &outline.state_directory,
        outline.polling_period,
        outline.sweep_times,
        status::POLLS,
    )?;
    print(&if options.json {
        format!("{:#}\n", status.in_json())
    } else {
        fitted(&in_words(&status))
    });
    if options.check && !status.alarms.is_empty() {
        return Ok(Exit::Findings);
    }
    Ok(Exit::Done)
}

/// The state as tables.
pub(super) fn in_words(status: &Status) -> String {
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
    if let Some(restored_at) = overview.state.restored_at {
        text += &format!(
            "restored   noticed at {restored_at}: this state was put back from an older copy\n\n"
        );
    }
    if let Some(backed_up_at) = overview.state.backed_up_at {
        text += &format!("backup     made at {backed_up_at}\n\n");
    }
    for alarm in alarms {
        text += &format!("WARNING    {alarm}\n\n");
    }
    text += &streams(overview);
    text.push('\n');
    text += &sweep(overview);
    text += &records(overview);
    text += &listings(overview);
    text += &initiations(overview);
    text.push('\n');
    text += &publishers(overview.publishers.iter().zip(ledgers));
    text.push('\n');
    text += &polls(&overview.polls);
    text
}

fn streams(overview: &Overview) -> String {
    let columns = [
        Left("STREAM", 14),
        Right("RECORDS", 12),
        Right("VERSIONS", 12),
        Left("READ UNTIL", 0),
    ];
    let mut table = Table::new(&columns);
    for count in &overview.streams {
        let mut cursors = overview.cursors.iter();
        let cursor = cursors.find(|cursor| cursor.stream == count.stream);
        let position = cursor.and_then(|cursor| cursor.position.as_deref());
        let position = match (count.stream, position) {
            ("balances", _) => "(every account)",
            (_, Some(position)) => position,
            (_, None) => "-",
        };
        table.row([&count.stream, &count.records, &count.versions, &position]);
        for quirk in cursor.map_or(&[][..], |cursor| &cursor.quirks) {
            table.note(quirk);
        }
    }
    table.text()
}

fn sweep(overview: &Overview) -> String {
    let due = overview.sweeps.due;
    let next = due.map_or(String::new(), |due| {
        format!("; the next one is due at {due}")
    });
    let Some(sweep) = &overview.sweeps.newest else {
        return format!("sweep      none yet{next}\n");
    };
    let (state, of, next) = match sweep.ended_at {
        Some(ended_at) => (format!("complete at {ended_at}"), String::new(), next),
        None if sweep.has_begun() => (
            format!("running in {}, page {}", sweep.stream, sweep.place.page),
            format!(" of about {}", listed_records(overview)),
            String::new(),
        ),
        None => return format!("sweep      {} begins after the next poll\n", sweep.number),
    };
    format!(
        "sweep      {} of {}, {state}: {}{of} records seen, {} missed before, {} changed without a newer date{next}\n",
        sweep.number, sweep.started_at, sweep.seen, sweep.missed, sweep.changed
    )
}

/// The records of the streams that have a list.
fn listed_records(overview: &Overview) -> i64 {
    let listed = |name: &str| Stream::LISTED.iter().any(|stream| stream.name() == name);
    let counts = overview.streams.iter();
    counts
        .filter(|count| listed(count.stream))
        .map(|count| count.records)
        .sum()
}

/// Records that break the API, and values that it does not define.
fn records(overview: &Overview) -> String {
    let mut text = match overview.quarantined {
        0 => "quarantine empty\n".to_owned(),
        records => format!("quarantine {records} records; see quarantine list\n"),
    };
    for unknown in &overview.unknown_values {
        text += &format!(
            "unknown    {} {}: {} versions since {}, delivered unchanged\n",
            unknown.field, unknown.value, unknown.versions, unknown.first_seen
        );
    }
    text
}

fn listings(overview: &Overview) -> String {
    let mut text = String::new();
    for listing in &overview.lists.asked {
        text += &format!("listened   {}", listing.stream);
        match &listing.asked_at {
            Some(asked_at) => text += &format!(" first asked for at {asked_at}"),
            None => text += " not asked for yet",
        }
        if let Some(bound) = &listing.adopted_above {
            text += &format!(", with a bound: every version is now dated after {bound}");
        }
        text.push('\n');
    }
    for line in &overview.lists.read {
        text += &asked(line).unwrap_or_default();
    }
    for unlisted in &overview.lists.unlisted {
        text += &format!(
            "left out   {}, {} such as \"{}\": {}\n",
            unlisted.stream,
            unlisted.count,
            escaped(&unlisted.example),
            unlisted.reason
        );
    }
    let relatives = &overview.lists.relatives;
    if relatives.waiting > 0 {
        text += &format!(
            "waiting    transactions, {}: they relate to others that are not in the list yet, such as \"{}\"\n",
            relatives.waiting,
            escaped(relatives.waiting_for.as_deref().unwrap_or_default())
        );
    }
    text
}

/// How far Connectivity has read a list, if it has ever asked for it.
fn asked(line: &AskedLine) -> Option<String> {
    let asked = line.asked.as_ref()?;
    let stream = line.stream;
    let expected = match (asked.expected_at(), asked.period()) {
        (Some(at), Some(seconds)) => {
            format!("expected next at {at}: it asks every {seconds} s")
        }
        _ => "how often it asks is not known yet".to_owned(),
    };
    if stream == Stream::Balances {
        return Some(format!("asked      {stream} at {}\n", asked.at));
    }
    let from = asked.from.map_or("the beginning".to_owned(), String::from);
    let unread = match line.unread_since {
        Some(since) => format!("{} versions unread, the first since {since}", line.unread),
        None => "everything read".to_owned(),
    };
    Some(format!(
        "asked      {stream} at {} from {from}, {unread}; {expected}\n",
        asked.at
    ))
}

fn initiations(overview: &Overview) -> String {
    let mut text = String::new();
    if !overview.initiations.counts.is_empty() {
        let counts = overview.initiations.by_state().into_iter();
        let counts = counts.map(|(state, count)| format!("{count} {}", state.name()));
        let counts = counts.collect::<Vec<_>>().join(", ");
        text += &format!("initiated  payouts and transfers: {counts}\n");
    }
    for unsettled in &overview.initiations.unsettled {
        text += &format!(
            "  {} {}, asked for at {}, is {}",
            unsettled.kind,
            escaped(&unsettled.key),
            unsettled.asked_at,
            unsettled.state.name()
        );
        if let Some(reason) = unsettled.error.as_ref().or(unsettled.remark.as_ref()) {
            text += &format!(": {reason}");
        }
        text.push('\n');
    }
    text
}

fn publishers<'a>(lines: impl Iterator<Item = (&'a PublisherLine, &'a LedgerFigures)>) -> String {
    let columns = [
        Left("PUBLISHER", 14),
        Right("OFFSET", 12),
        Right("LAG", 12),
        Left("DELIVERED", 0),
    ];
    let mut table = Table::new(&columns);
    for (publisher, ledger) in lines {
        let delivered = publisher.delivered_at.as_deref().unwrap_or("-");
        table.row([
            &publisher.name,
            &publisher.offset,
            &publisher.lag,
            &delivered,
        ]);
        if !publisher.in_use {
            table.note(&format_args!(
                "not in the configuration any more; forget it with: publisher remove {}",
                shell_word(&publisher.name)
            ));
        }
        if let Some(error) = &publisher.error {
            table.note(&format_args!("delivery fails: {error}"));
        }
        if publisher.refused > 0 {
            table.note(&format_args!(
                "{} versions refused by the target; see quarantine list",
                publisher.refused
            ));
        }
        if ledger.waiting > 0 {
            table.note(&format_args!(
                "{} versions wait for a related transaction, such as \"{}\", which has not been delivered",
                ledger.waiting,
                escaped(ledger.waiting_for.as_deref().unwrap_or_default())
            ));
        }
        for skipped in &ledger.skipped {
            table.note(&format_args!(
                "skipped, {} versions: {}",
                skipped.versions, skipped.reason
            ));
        }
    }
    table.text()
}

fn polls(polls: &[PollRow]) -> String {
    let columns = [
        Left("POLL", 8),
        Left("STARTED", 22),
        Left("OUTCOME", 13),
        Right("NEW", 10),
        Right("REQUESTS", 10),
        Right("RETRIES", 9),
        Right("REFUSED", 9),
        Right("SECONDS", 9),
        Right("P50 MS", 8),
        Right("P95 MS", 8),
    ];
    let mut table = Table::new(&columns);
    for poll in polls {
        // An older version of this program has timed nothing.
        let seconds = poll.took.map(|took| format!("{:.1}", took.as_secs_f64()));
        let seconds = seconds.or_else(|| Some(poll.ended_at?.since(poll.started_at).to_string()));
        let milliseconds = |time: Option<Duration>| {
            time.map_or("-".to_owned(), |time| {
                format!("{:.1}", time.as_secs_f64() * 1e3)
            })
        };
        table.row([
            &poll.number,
            &poll.started_at,
            &poll.state(),
            &poll.versions.values().sum::<i64>(),
            &poll.requests,
            &poll.retries,
            &poll.quarantined,
            &seconds.as_deref().unwrap_or("-"),
            &milliseconds(poll.latency.map(|latency| latency.p50)),
            &milliseconds(poll.latency.map(|latency| latency.p95)),
        ]);
        if let Some(error) = &poll.error {
            table.note(error);
        }
    }
    table.text()
}
