//! Every message that a person can meet has an entry in the catalogue of messages. They are collected from the source, not
//! from a list: see `collected`.

mod collected;
mod source;

use std::collections::BTreeMap;

use generic_connector::{MESSAGE_GROUPS, MessageEntry, messages};

use self::collected::collected;
use self::source::Source;

/// Letters and digits that belong together.
fn words(text: &str) -> usize {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| word.contains(char::is_alphabetic))
        .count()
}

fn entries() -> impl Iterator<Item = &'static MessageEntry> {
    MESSAGE_GROUPS.iter().flat_map(|group| group.entries)
}

#[test]
fn each_message_has_an_entry() {
    let sources = Source::all();
    let collected = collected(&sources);
    let mut kinds = BTreeMap::<&str, usize>::new();
    let mut without = String::new();
    for message in &collected {
        *kinds.entry(message.kind).or_default() += 1;
        if messages(&message.text).is_empty() {
            without += &format!("{}: {}: {}\n", message.place, message.kind, message.text);
        }
    }
    assert!(without.is_empty(), "messages without an entry:\n{without}");
    // A collector that has gone blind finds nothing to complain about.
    assert_eq!(kinds.len(), collected::KINDS, "{kinds:?}");
    assert!(collected.len() > 300, "{kinds:?}");
}

#[test]
fn each_phrase_is_one_of_the_program() {
    let sources = Source::all();
    let texts: Vec<String> = sources
        .iter()
        .flat_map(|source| source.literals.iter().map(|literal| literal.plain()))
        .collect();
    let (_, messages) = MESSAGE_GROUPS.split_last().unwrap();
    for phrase in messages
        .iter()
        .flat_map(|group| group.entries)
        .flat_map(|entry| entry.phrases)
    {
        let is_known = |part: &str| texts.iter().any(|text| text.contains(part));
        let title = phrase.strip_prefix("Title: ");
        let parts = title.unwrap_or(phrase).split('…').map(str::trim);
        for part in parts.filter(|part| title.is_some() || words(part) >= 3) {
            assert!(is_known(part), "nothing says {part:?} any more: {phrase:?}");
        }
    }
}

#[test]
fn each_entry_says_what_it_means_and_what_to_do() {
    let mut seen = Vec::new();
    for entry in entries() {
        for phrase in entry.phrases {
            assert!(!phrase.contains(['"', '`']), "{phrase:?}");
            assert!(!phrase.trim_matches('…').is_empty(), "{phrase:?}");
            assert!(!seen.contains(phrase), "{phrase:?} is there twice");
            seen.push(phrase);
        }
        let phrase = entry.phrases[0];
        assert!(words(entry.means) >= 4, "{phrase:?}");
        for text in [entry.means, entry.fix] {
            assert!(text.ends_with(['.', '?']), "{text:?}");
            assert!(!text.contains("  "), "{text:?}");
            assert_eq!(text.matches('`').count() % 2, 0, "{text:?}");
        }
    }
}
