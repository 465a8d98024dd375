use super::terminal::style;
use super::{CommandError, Exit, print};
use crate::api::escaped;
use crate::check::catalogue::{CatalogueEntry, entries, find, find_group, guide, messages};
use crate::cli::ExplainOptions;

/// Explains a check, a group, the ids and phrases in a message, or how to write a service.
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
        .map(|message| message.explained(width))
        .collect();
    if checks.is_empty() && messages.is_empty() {
        return Err(CommandError::failed(format!(
            "nothing is known about {:?}; name an id that `check --list` shows, a message as it was logged, or guide",
            escaped(&topic)
        )));
    }
    let pages = messages
        .into_iter()
        .chain(checks.iter().map(|entry| entry.explained(width)));
    print(&pages.collect::<Vec<_>>().join("\n"));
    Ok(Exit::Done)
}

fn explained<'a>(entries: impl Iterator<Item = &'a CatalogueEntry>, width: usize) -> String {
    let pages: Vec<String> = entries.map(|entry| entry.explained(width)).collect();
    pages.join("\n")
}
