use super::frame::{notes, section, text};
use super::html::Element;
use super::table::DataColumn::{Name, Numbers, Words};
use super::table::DataTable;
use super::words::{ago, count, counted, second};
use crate::api::{Second, Stream};
use crate::store::{CursorLine, Overview, Quirk, StreamCount, UnknownValue};

/// How many unknown values are named.
const UNKNOWN_VALUES: usize = 10;

/// What is stored of each stream, how far it is complete, and how the service departs from the API.
pub(super) fn streams(overview: &Overview, now: Second) -> Element {
    let columns = [
        Name("Stream"),
        Numbers("Records"),
        Numbers("Versions"),
        Words("Complete up to"),
        Words("Read to its end"),
    ];
    let mut table = DataTable::new(&columns);
    for line in &overview.streams {
        let cursor = cursor(overview, line.stream);
        table.row([
            text(line.stream),
            text(count(line.records)),
            text(count(line.versions)),
            complete_up_to(line, cursor),
            read_to_end(line, cursor, now),
        ]);
    }
    let quirks = quirks(overview);
    let quirks = quirks
        .iter()
        .map(|(quirk, streams)| quirk_note(&streams.join(", "), quirk));
    let unknown = overview.unknown_values.iter().take(UNKNOWN_VALUES);
    let more = overview.unknown_values.len().saturating_sub(UNKNOWN_VALUES);
    let more = (more > 0).then(|| {
        text(format_args!(
            "{more} more unknown values of type and status: see "
        ))
        .with(Element::new("code").text("generic-connector status"))
    });
    let remarks = quirks.chain(unknown.map(unknown_note)).chain(more);
    section(
        "streams",
        "Streams",
        [table.captioned("What is stored of each stream")]
            .into_iter()
            .chain(notes(remarks)),
    )
}

fn cursor<'a>(overview: &'a Overview, stream: &str) -> Option<&'a CursorLine> {
    let mut cursors = overview.cursors.iter();
    cursors.find(|cursor| cursor.stream == stream)
}

fn is_balances(line: &StreamCount) -> bool {
    line.stream == Stream::Balances.name()
}

fn complete_up_to(line: &StreamCount, cursor: Option<&CursorLine>) -> Element {
    if is_balances(line) {
        return text("every account");
    }
    let position = cursor.and_then(|cursor| cursor.position.as_deref());
    text(position.unwrap_or("the beginning"))
}

fn read_to_end(line: &StreamCount, cursor: Option<&CursorLine>, now: Second) -> Element {
    if is_balances(line) {
        return text("\u{2013}");
    }
    let ended_at = cursor.and_then(|cursor| cursor.ended_at.as_deref());
    match ended_at.and_then(second) {
        Some(ended_at) => ago(ended_at, now),
        None => text("not yet"),
    }
}

/// Each quirk once, with its streams.
fn quirks(overview: &Overview) -> Vec<(&Quirk, Vec<&str>)> {
    let mut quirks: Vec<(&Quirk, Vec<&str>)> = Vec::new();
    for cursor in &overview.cursors {
        for quirk in &cursor.quirks {
            match quirks.iter_mut().find(|(known, _)| *known == quirk) {
                Some((_, streams)) => streams.push(&cursor.stream),
                None => quirks.push((quirk, vec![&cursor.stream])),
            }
        }
    }
    quirks
}

fn quirk_note(streams: &str, quirk: &Quirk) -> Element {
    text(format_args!("{streams}: the service "))
        .with(Element::new("strong").text(quirk.name))
        .text(format_args!(": {} ", quirk.detail))
        .with(Element::new("code").text(format_args!("generic-connector explain {}", quirk.id)))
}

fn unknown_note(unknown: &UnknownValue) -> Element {
    text(format_args!("Unknown {} ", unknown.field))
        .with(Element::new("code").text(&unknown.value))
        .text(format_args!(
            ": {}, delivered unchanged",
            counted(unknown.versions, "version", "versions")
        ))
}
