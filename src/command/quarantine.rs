use std::io::Write;

use serde_json::json;

use super::{CommandError, Exit};
use crate::api::escaped;
use crate::cli::{self, Number};
use crate::config::Outline;
use crate::store::{Publishers, Quarantine, Quarantined, TargetRefusal};

/// Shows or changes what is in quarantine, beside a connector that may be running.
pub(super) fn run(action: &cli::Quarantine) -> Result<Exit, CommandError> {
    let (cli::Quarantine::List { config, .. }
    | cli::Quarantine::Show { config, .. }
    | cli::Quarantine::Retry { config, .. }
    | cli::Quarantine::Drop { config, .. }) = action;
    let directory = Outline::read(&config.config)?.state_directory;
    let quarantine = Quarantine::open(&directory)?;
    let publishers = Publishers::open(&directory)?;
    match action {
        cli::Quarantine::List { json, .. } => {
            let listed = quarantine.list()?;
            let refused = publishers.refusals()?;
            say(&match json {
                true => in_json(&listed, &refused),
                false => in_words(&listed) + &refused_in_words(&refused),
            });
        }
        cli::Quarantine::Show { number, .. } => say(&match number {
            Number::Record(number) => details(&quarantine.get(*number)?),
            Number::Refusal(publisher, seq) => {
                refused_details(&publishers.refusal(publisher, *seq)?)
            }
        }),
        cli::Quarantine::Retry { numbers, .. } => {
            for number in numbers {
                match number {
                    Number::Record(number) => {
                        quarantine.retry(*number)?;
                        say(&format!("the next poll retries number {number}\n"));
                    }
                    Number::Refusal(publisher, seq) => {
                        publishers.retry(publisher, *seq)?;
                        say(&format!(
                            "{publisher} will deliver seq {seq} again at the next poll\n"
                        ));
                    }
                }
            }
        }
        cli::Quarantine::Drop { numbers, .. } => {
            for number in numbers {
                match number {
                    Number::Record(number) => {
                        quarantine.drop(*number)?;
                        say(&format!(
                            "number {number} is dropped; it returns if the service still lists it\n"
                        ));
                    }
                    Number::Refusal(publisher, seq) => {
                        publishers.drop(publisher, *seq)?;
                        say(&format!(
                            "{publisher}/{seq} is dropped and will not be delivered there\n"
                        ));
                    }
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// A reader that has gone, as `head` does, has seen enough.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn in_json(listed: &[Quarantined], refused: &[TargetRefusal]) -> String {
    let refused = refused.iter().map(|refusal| {
        json!({
            "number": format!("{}/{}", refusal.publisher, refusal.seq),
            "stream": refusal.stream.name(),
            "id": refusal.id,
            "kind": "refused",
            "reason": refusal.reason,
            "refusedAt": refusal.refused_at,
            "retry": refusal.retry,
            "text": refusal.json,
        })
    });
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
        .chain(refused)
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

/// What targets refuse, if they refuse anything.
fn refused_in_words(refused: &[TargetRefusal]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{:<23}{:<15}{:<22}{}\n",
        "REFUSED BY A TARGET", "STREAM", "REFUSED AT", "ID AND ANSWER"
    );
    for refusal in refused {
        text += &format!(
            "{:<23}{:<15}{:<22}{}\n",
            format!("{}/{}", refusal.publisher, refusal.seq),
            refusal.stream.name(),
            refusal.refused_at.to_string(),
            answer(refusal)
        );
    }
    text
}

fn answer(refusal: &TargetRefusal) -> String {
    let retry = match refusal.retry {
        true => " (will be delivered again at the next poll)",
        false => "",
    };
    format!("\"{}\": {}{retry}", escaped(&refusal.id), refusal.reason)
}

fn refused_details(refusal: &TargetRefusal) -> String {
    format!(
        "number      {}/{}\nstream      {}\nrefused at  {}\nanswer      {}\n\n{}\n",
        refusal.publisher,
        refusal.seq,
        refusal.stream.name(),
        refusal.refused_at,
        answer(refusal),
        visible(&refusal.json)
    )
}

fn reason(record: &Quarantined) -> String {
    let id = match record.id.as_str() {
        "" => "without a usable id".to_owned(),
        id => format!("\"{}\"", escaped(id)),
    };
    let retry = if record.retry {
        " (the next poll retries it)"
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
