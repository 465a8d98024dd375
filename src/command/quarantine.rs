use serde_json::json;

use super::table::Column::Left;
use super::table::Table;
use super::{CommandError, Exit, print};
use crate::api::escaped;
use crate::cli::{QuarantineCommand, QuarantineOptions};
use crate::config::Outline;
use crate::store::{Publishers, Quarantine, QuarantineNumber, Quarantined, TargetRefusal};

/// Shows or changes what is in quarantine. The connector may be running.
pub(super) fn run(options: &QuarantineOptions) -> Result<Exit, CommandError> {
    let directory = Outline::read(&options.config.config)?.state_directory;
    let quarantine = Quarantine::open(&directory)?;
    let publishers = Publishers::open(&directory)?;
    match &options.command {
        QuarantineCommand::List { json } => {
            let listed = quarantine.list()?;
            let refused = publishers.refusals()?;
            print(&if *json {
                in_json(&listed, &refused)
            } else {
                in_words(&listed) + &refused_in_words(&refused)
            });
        }
        QuarantineCommand::Show { number } => print(&match number {
            QuarantineNumber::Record(number) => details(&quarantine.get(*number)?),
            QuarantineNumber::Refused(publisher, seq) => {
                refused_details(&publishers.refusal(publisher, *seq)?)
            }
        }),
        QuarantineCommand::Retry { numbers } => {
            for number in numbers {
                print(&match number {
                    QuarantineNumber::Record(number) => {
                        quarantine.retry(*number)?;
                        format!("the next poll retries number {number}\n")
                    }
                    QuarantineNumber::Refused(publisher, seq) => {
                        publishers.retry(publisher, *seq)?;
                        format!("{publisher} will deliver seq {seq} again at the next poll\n")
                    }
                });
            }
        }
        QuarantineCommand::Drop { numbers } => {
            for number in numbers {
                print(&match number {
                    QuarantineNumber::Record(number) => {
                        quarantine.drop(*number)?;
                        format!(
                            "number {number} is dropped; it returns if the service still lists it\n"
                        )
                    }
                    QuarantineNumber::Refused(publisher, seq) => {
                        publishers.drop(publisher, *seq)?;
                        format!("{publisher}/{seq} is dropped and will not be delivered there\n")
                    }
                });
            }
        }
    }
    Ok(Exit::Done)
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
    let columns = [
        Left("NUMBER", 8),
        Left("STREAM", 15),
        Left("FIRST SEEN", 22),
        Left("LAST SEEN", 22),
        Left("ID AND REASON", 0),
    ];
    let mut table = Table::new(&columns);
    for record in listed {
        let Quarantined {
            number,
            stream,
            first_seen,
            last_seen,
            ..
        } = record;
        table.row([number, stream, first_seen, last_seen, &reason(record)]);
    }
    table.text()
}

/// The versions that targets refuse; empty if there are none.
fn refused_in_words(refused: &[TargetRefusal]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let columns = [
        Left("REFUSED BY A TARGET", 23),
        Left("STREAM", 15),
        Left("REFUSED AT", 22),
        Left("ID AND ANSWER", 0),
    ];
    let mut table = Table::new(&columns);
    for refusal in refused {
        let number = format!("{}/{}", refusal.publisher, refusal.seq);
        table.row([
            &number,
            &refusal.stream,
            &refusal.refused_at,
            &answer(refusal),
        ]);
    }
    format!("\n{}", table.text())
}

fn answer(refusal: &TargetRefusal) -> String {
    let retry = if refusal.retry {
        " (will be delivered again at the next poll)"
    } else {
        ""
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
        text(refusal.json.as_deref())
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

fn details(record: &Quarantined) -> String {
    format!(
        "number      {}\nstream      {}\nfirst seen  {}\nlast seen   {}\nreason      {}\n\n{}\n",
        record.number,
        record.stream.name(),
        record.first_seen,
        record.last_seen,
        reason(record),
        text(record.json.as_deref())
    )
}

/// A text as it is shown. What is damaged in the state is not.
fn text(json: Option<&str>) -> String {
    json.map_or_else(
        || "(its text is damaged in the state, and not shown)".to_owned(),
        visible,
    )
}

/// Escapes what would move the terminal's cursor or reverse the direction of writing, as JSON does.
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
