use super::terminal::style;
use super::{CommandError, Exit, print};
use crate::api::escaped;
use crate::check::catalogue::{CatalogueEntry, entries, find, find_group, guide};
use crate::check::layout::wrapped;
use crate::cli::ExplainOptions;
use crate::config::{ENTRY_KEYS, FILE_KEYS};
use crate::messages::messages;

/// Explains a check, a group, a key of the configuration, the ids and phrases in a message, or how to write a service.
pub(super) fn run(options: &ExplainOptions) -> Result<Exit, CommandError> {
    let topic = options.topic.join(" ");
    let width = style().width;
    if topic.eq_ignore_ascii_case("guide") {
        print(&guide(width));
        return Ok(Exit::Done);
    }
    if let Some(group) = find_group(&topic) {
        print(&explained(group.entries.iter(), width));
        return Ok(Exit::Done);
    }
    let words: Vec<&str> = topic
        .split(|character: char| !character.is_ascii_alphanumeric())
        .collect();
    // A message has ids as they are written; a person may also write f1.
    let named = entries().filter(|entry| words.contains(&entry.id));
    let mut checks: Vec<&CatalogueEntry> = named.collect();
    if checks.is_empty() {
        checks.extend(find(topic.trim()));
    }
    let messages: Vec<String> = messages(&topic)
        .iter()
        .map(|message| message.explained(&topic, width))
        .collect();
    let keys: Vec<String> = keys(topic.trim().trim_matches('"'), width).collect();
    if checks.is_empty() && messages.is_empty() && keys.is_empty() {
        return Err(CommandError::failed(format!(
            "nothing is known about \"{}\"; name an id that `check --list` shows, a key of the configuration, an error or a \
             warning as it was logged, or guide",
            escaped(&topic)
        )));
    }
    let pages = keys
        .into_iter()
        .chain(messages)
        .chain(checks.iter().map(|entry| entry.explained(width)));
    print(&pages.collect::<Vec<_>>().join("\n"));
    Ok(Exit::Done)
}

/// What the manual says of the keys of the configuration that have this name.
fn keys(name: &str, width: usize) -> impl Iterator<Item = String> {
    let of_file = FILE_KEYS.iter().map(|key| (key, ""));
    let of_target = ENTRY_KEYS
        .iter()
        .map(|key| (key, ", of a target in \"publish\""));
    let of_name = of_file
        .chain(of_target)
        .filter(move |(key, _)| key.name.eq_ignore_ascii_case(name));
    of_name.map(move |(key, of)| {
        let mut text = format!("{}{of}\n", key.name);
        for (title, paragraph) in [("means", key.about), ("value", &key.facts())] {
            let lines = wrapped(paragraph, width.saturating_sub(9)).join("\n         ");
            text += &format!("\n{title:<9}{lines}\n");
        }
        text
    })
}

fn explained<'a>(entries: impl Iterator<Item = &'a CatalogueEntry>, width: usize) -> String {
    let pages: Vec<String> = entries.map(|entry| entry.explained(width)).collect();
    pages.join("\n")
}
