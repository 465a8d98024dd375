//! The catalogue of messages: for each one that a person can meet, what it means and what to do. `explain`, the status page
//! and the manual's DIAGNOSTICS read it. A test collects the messages from the source, and fails for one without an entry.

mod commands;
mod configuration;
mod keys;
mod listener;
mod machine;
mod payouts;
mod polls;
mod push;
mod records;
mod service;
mod state;
mod symptoms;
mod targets;

use crate::check::layout::wrapped;

/// Stands in a phrase for what differs from message to message.
const ANYTHING: char = '…';

/// How the body of an error that the listener answers begins. A phrase that begins so is a title.
const TITLE: &str = "Title: ";

/// A phrase with fewer words counts only in a message that has no other one.
const WORDS_OF_ITS_OWN: usize = 3;

/// Messages of the same meaning, explained.
#[derive(Debug)]
pub struct MessageEntry {
    /// What each of them has, without double quotes and backticks. `…` stands for anything.
    pub phrases: &'static [&'static str],
    /// What they mean.
    pub means: &'static str,
    /// What to do. Commands and keys of the configuration are between backticks.
    pub fix: &'static str,
}

/// Messages about one thing.
#[derive(Debug)]
pub struct MessageGroup {
    /// The thing, as a heading.
    pub name: &'static str,
    /// Its messages.
    pub entries: &'static [MessageEntry],
}

const fn group(name: &'static str, entries: &'static [MessageEntry]) -> MessageGroup {
    MessageGroup { name, entries }
}

/// Every message, in the order of the manual.
pub const MESSAGE_GROUPS: [MessageGroup; 13] = [
    group("The service", service::ENTRIES),
    group("Polls, sweeps and clocks", polls::ENTRIES),
    group("Records and the quarantine", records::ENTRIES),
    group("The listener and Formance", listener::ENTRIES),
    group("Payouts and transfers", payouts::ENTRIES),
    group("Publishers and their targets", targets::ENTRIES),
    group("Push to Formance", push::ENTRIES),
    group("The state and its disk", state::ENTRIES),
    group("The configuration", configuration::ENTRIES),
    group("Keys", keys::ENTRIES),
    group("The machine and the program", machine::ENTRIES),
    group("Commands", commands::ENTRIES),
    group("Symptoms without a message", symptoms::ENTRIES),
];

/// The explanations of a message: a line of the log, an error, an alarm, or an answer of the listener or its title. Its
/// double quotes and backticks do not matter, since a shell may have taken them.
pub fn messages(text: &str) -> Vec<&'static MessageEntry> {
    let text = plain(text);
    let found = |is_enough: fn(&str) -> bool| -> Vec<&'static MessageEntry> {
        let entries = MESSAGE_GROUPS.iter().flat_map(|group| group.entries);
        let explains = |entry: &&MessageEntry| {
            let mut phrases = entry.phrases.iter().filter(|phrase| is_enough(phrase));
            phrases.any(|phrase| is_in(phrase, &text))
        };
        entries.filter(explains).collect()
    };
    let found_well = found(|phrase| words(phrase) >= WORDS_OF_ITS_OWN);
    if found_well.is_empty() {
        return found(|_| true);
    }
    found_well
}

/// A text as phrases are written: in one line, without quotes and what JSON puts before them.
fn plain(text: &str) -> String {
    let text = text
        .replace("\":\"", "\": \"")
        .replace("\\\"", "")
        .replace(['"', '`'], "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text has a phrase, or is a title.
fn is_in(phrase: &str, text: &str) -> bool {
    let mut rest = text;
    let has_parts = phrase.split(ANYTHING).all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |place| &rest[place + part.len()..]);
        found.is_some()
    });
    has_parts || phrase.strip_prefix(TITLE) == Some(text)
}

fn words(phrase: &str) -> usize {
    let words = phrase.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).count()
}

impl MessageEntry {
    /// Its page for a message that it explains, in lines of that many characters.
    pub fn explained(&self, message: &str, width: usize) -> String {
        let message = plain(message);
        let found = self.phrases.iter().find(|phrase| is_in(phrase, &message));
        let mut text = format!("{}\n", found.unwrap_or(&self.phrases[0]));
        for (title, paragraph) in [("means", self.means), ("fix", self.fix)] {
            let lines = wrapped(paragraph, width.saturating_sub(9)).join("\n         ");
            text += &format!("\n{title:<9}{lines}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Stream, Timestamp};
    use crate::health::Alarm;
    use crate::metrics::Abort;
    use crate::psp::Error;
    use crate::store::{DamagedInitiation, FailingStream};

    /// The place of an alarm in the list below. It does not build without one of them.
    fn number(alarm: &Alarm) -> usize {
        match alarm {
            Alarm::NeverPolled => 0,
            Alarm::Silence { .. } => 1,
            Alarm::PollAborted(_) => 2,
            Alarm::StreamFails { .. } => 3,
            Alarm::ConnectivitySilent { .. } => 4,
            Alarm::NeverAsked { .. } => 5,
            Alarm::StandingCursor { .. } => 6,
            Alarm::LittleRoom { .. } => 7,
            Alarm::CertificateExpires { .. } => 8,
            Alarm::DeliveryFails { .. } => 9,
            Alarm::ListAhead { .. } => 10,
            Alarm::RelativesAlone { .. } => 11,
            Alarm::RelativesWaiting { .. } => 12,
            Alarm::DamagedInitiation(_) => 13,
            Alarm::OutcomeUnknown { .. } => 14,
            Alarm::MadeDifferently { .. } => 15,
            // Only the state can make one; its text is below.
            Alarm::Damaged(_) => 16,
        }
    }

    fn failing() -> FailingStream {
        FailingStream {
            since: Timestamp::EPOCH.second(),
            ended_at: None,
            polls: 3,
            failed: 1,
            reason: "text".to_owned(),
        }
    }

    /// Every alarm.
    fn alarms() -> Vec<Alarm> {
        let text = || "text".to_owned();
        let since = Timestamp::EPOCH.second();
        let alarms = vec![
            Alarm::NeverPolled,
            Alarm::Silence { since, seconds: 1 },
            Alarm::PollAborted(Abort {
                since,
                reason: text(),
            }),
            Alarm::StreamFails {
                stream: Stream::Accounts,
                failing: failing(),
            },
            Alarm::ConnectivitySilent {
                lists: vec![
                    (Stream::Accounts, Some(since)),
                    (Stream::Transactions, None),
                ],
            },
            Alarm::NeverAsked { since },
            Alarm::StandingCursor {
                stream: text(),
                position: None,
                polls: 3,
            },
            Alarm::LittleRoom { free: 1 },
            Alarm::CertificateExpires { at: since },
            Alarm::DeliveryFails {
                publisher: text(),
                reason: text(),
            },
            Alarm::ListAhead {
                stream: text(),
                bound: since,
            },
            Alarm::RelativesAlone {
                missing: 1,
                id: text(),
            },
            Alarm::RelativesWaiting {
                waiting: 1,
                id: text(),
                since,
            },
            Alarm::DamagedInitiation(DamagedInitiation(text())),
            Alarm::OutcomeUnknown {
                kind: text(),
                key: text(),
                reason: None,
            },
            Alarm::MadeDifferently {
                kind: text(),
                key: text(),
                id: text(),
                remark: text(),
            },
        ];
        assert!(alarms.iter().map(number).eq(0..alarms.len()));
        alarms
    }

    fn errors() -> Vec<Error> {
        let request = || "GET https://a/accounts".to_owned();
        vec![
            Error::Unreadable {
                request: request(),
                status: 200,
                cause: "why".to_owned(),
                attempts: 1,
            },
            Error::Unavailable {
                request: request(),
                status: 503,
                body: None,
                wait: None,
                attempts: 5,
            },
            Error::Unavailable {
                request: request(),
                status: 429,
                body: None,
                wait: None,
                attempts: 5,
            },
            Error::KeyRefused {
                request: request(),
                status: 401,
                body: None,
            },
            Error::NotFound {
                request: request(),
                body: None,
            },
            Error::Redirected {
                request: request(),
                status: 307,
                location: request(),
                redirects: 0,
            },
            Error::TooLarge {
                request: request(),
                limit: 1,
            },
        ]
    }

    #[test]
    fn each_alarm_and_error_has_one_explanation() {
        let alarms = alarms().into_iter().map(|alarm| alarm.to_string());
        let errors = errors().into_iter().map(|error| error.to_string());
        let damaged = "transactions: the version of seq 1, of record \"a\", is damaged in the state, so it is neither shown";
        for text in alarms.chain(errors).chain([damaged.to_owned()]) {
            assert_eq!(messages(&text).len(), 1, "{text}");
        }
    }
}
