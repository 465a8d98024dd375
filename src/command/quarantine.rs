use std::io::Write;

use serde_json::json;

use super::{Exit, Failure};
use crate::api::escaped;
use crate::cli;
use crate::config;
use crate::store::{Quarantine, Quarantined};

/// Shows or changes what is in quarantine, beside a connector that may be running.
pub(super) fn run(action: &cli::Quarantine) -> Result<Exit, Failure> {
    let (cli::Quarantine::List { config, .. }
    | cli::Quarantine::Show { config, .. }
    | cli::Quarantine::Retry { config, .. }
    | cli::Quarantine::Drop { config, .. }) = action;
    let directory = config::state_directory(&config.config)?;
    let quarantine = Quarantine::open(&directory).map_err(Failure::other)?;
    match action {
        cli::Quarantine::List { json, .. } => {
            let listed = quarantine.list().map_err(Failure::other)?;
            say(&match json {
                true => in_json(&listed),
                false => in_words(&listed),
            });
        }
        cli::Quarantine::Show { number, .. } => {
            let shown = quarantine.get(*number).map_err(Failure::other)?;
            say(&details(&shown));
        }
        cli::Quarantine::Retry { numbers, .. } => {
            for number in numbers {
                quarantine.retry(*number).map_err(Failure::other)?;
                say(&format!("the next poll takes number {number} again\n"));
            }
        }
        cli::Quarantine::Drop { numbers, .. } => {
            for number in numbers {
                quarantine.drop(*number).map_err(Failure::other)?;
                say(&format!(
                    "number {number} is dropped; it comes again if the service still lists it\n"
                ));
            }
        }
    }
    Ok(Exit::Done)
}

/// A reader that has gone, as `head` does, has seen enough.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn in_json(listed: &[Quarantined]) -> String {
    let listed: Vec<_> = listed
        .iter()
        .map(|record| {
            json!({
                "number": record.number,
                "stream": record.stream.name(),
                "id": record.id,
                "kind": record.kind.name(),
                "reason": record.reason,
                "firstSeen": record.first_seen,
                "lastSeen": record.last_seen,
                "retry": record.retry,
                "text": record.json,
            })
        })
        .collect();
    format!("{:#}\n", json!(listed))
}

fn in_words(listed: &[Quarantined]) -> String {
    let mut text = format!(
        "{:<8}{:<15}{:<22}{:<22}{}\n",
        "NUMBER", "STREAM", "FIRST SEEN", "LAST SEEN", "ID AND REASON"
    );
    for record in listed {
        text += &format!(
            "{:<8}{:<15}{:<22}{:<22}{}\n",
            record.number,
            record.stream.name(),
            record.first_seen.to_string(),
            record.last_seen.to_string(),
            reason(record)
        );
    }
    text
}

fn reason(record: &Quarantined) -> String {
    let id = match record.id.as_str() {
        "" => "without a usable id".to_owned(),
        id => format!("\"{}\"", escaped(id)),
    };
    let retry = if record.retry {
        " (the next poll takes it again)"
    } else {
        ""
    };
    format!("{id}: {}{retry}", record.reason)
}

/// All about one record, its text as the service sent it at the end.
fn details(record: &Quarantined) -> String {
    format!(
        "number      {}\nstream      {}\nfirst seen  {}\nlast seen   {}\nreason      {}\n\n{}\n",
        record.number,
        record.stream.name(),
        record.first_seen,
        record.last_seen,
        reason(record),
        visible(&record.json)
    )
}

/// The text with what would move a terminal's cursor or turn its writing round written as JSON writes it.
fn visible(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => text += &format!("\\u{:04x}", u32::from(character)),
            _ => text.push(character),
        }
    }
    text
}
