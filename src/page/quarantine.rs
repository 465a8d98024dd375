use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frame::{aside, command, facts, page, section, text};
use super::html::Element;
use super::table::DataColumn::{Foreign, Name, Words};
use super::table::DataTable;
use super::words::{date, set_aside};
use crate::api::shell_word;
use crate::store::{QuarantineLine, QuarantineNumber, QuarantinePage, Quarantined, TargetRefusal};

/// Bytes of a record's text that are shown. `quarantine show` shows all of them.
const MOST_TEXT: usize = 256 << 10;

/// A part of what is in quarantine. `name`: the connector's.
pub fn list(name: &str, shown: &QuarantinePage) -> String {
    let summary = set_aside(shown.records, shown.refused);
    let summary = summary.map(|aside_words| aside(format_args!("{aside_words}.")));
    let content = if shown.lines.is_empty() {
        Element::new("p").text("There is nothing more.")
    } else {
        lines(&shown.lines)
    };
    let next = shown.lines.last().filter(|_| shown.has_more).map(|last| {
        let href = format!("quarantine?after={}", in_url(&last.number));
        let link = Element::new("a").attribute("href", href).text("Next");
        Element::class("p", "next").with(link)
    });
    let section = section(
        "quarantine",
        "Quarantine",
        summary.into_iter().chain([content]).chain(next),
    );
    page(
        &format!("Quarantine \u{b7} {name}"),
        "",
        header(name, "./"),
        [section],
        None,
    )
}

/// A record that was not accepted. `shows_text`: whether its text may be seen.
pub fn record(name: &str, record: &Quarantined, shows_text: bool) -> String {
    let number = QuarantineNumber::Record(record.number);
    let facts = facts([
        ("Stream", text(record.stream)),
        ("Id", id(&record.id)),
        ("First seen", date(record.first_seen)),
        ("Last seen", date(record.last_seen)),
    ]);
    let parts = [facts, reason("Why it was not accepted", &record.reason)];
    let parts = parts.into_iter().chain(retry(&number, record.retry));
    let shown = shown_text(&number, record.json.as_deref(), shows_text);
    one(name, &number, "../", parts.chain(shown))
}

/// A version that a target refuses. `shows_text`: whether its text may be seen.
pub fn refusal(name: &str, refusal: &TargetRefusal, shows_text: bool) -> String {
    let number = QuarantineNumber::Refused(refusal.publisher.clone(), refusal.seq);
    let facts = facts([
        ("Publisher", text(&refusal.publisher)),
        ("Stream", text(refusal.stream)),
        ("Id", id(&refusal.id)),
        ("Refused", date(refusal.refused_at)),
    ]);
    let parts = [facts, reason("What the target answered", &refusal.reason)];
    let parts = parts.into_iter().chain(retry(&number, refusal.retry));
    let shown = shown_text(&number, refusal.json.as_deref(), shows_text);
    one(name, &number, "../../", parts.chain(shown))
}

fn lines(lines: &[QuarantineLine]) -> Element {
    let columns = [
        Name("Number"),
        Words("Stream"),
        Foreign("Id and reason"),
        Words("First and last seen"),
        Foreign("To retry it"),
    ];
    let mut table = DataTable::new(&columns);
    for line in lines {
        let href = format!("quarantine/{}", in_url(&line.number));
        table.row([
            Element::new("a").attribute("href", href).text(&line.number),
            text(line.stream),
            Element::new("div")
                .with(id(&line.id))
                .with(Element::new("div").text(&line.reason)),
            seen(line),
            if line.retry {
                text("it is retried by the next poll")
            } else {
                Element::new("code").text(retrying(&line.number))
            },
        ]);
    }
    table.captioned("The oldest first; what targets refuse is at the end")
}

/// When it was first and last seen, below each other.
fn seen(line: &QuarantineLine) -> Element {
    let first = line.first_seen.filter(|first| *first != line.last_seen);
    let seen = first.into_iter().chain([line.last_seen]);
    let seen = seen.map(|seen| Element::new("div").with(date(seen)));
    Element::new("div").with_all(seen)
}

fn one(
    name: &str,
    number: &QuarantineNumber,
    root: &'static str,
    parts: impl IntoIterator<Item = Element>,
) -> String {
    let heading = format!("Number {number} in quarantine");
    page(
        &format!("{number} \u{b7} Quarantine \u{b7} {name}"),
        root,
        header(name, root),
        [section("record", &heading, parts)],
        None,
    )
}

fn header(name: &str, root: &'static str) -> Element {
    let link = |href: String, words| Element::new("a").attribute("href", href).text(words);
    let links = Element::new("nav")
        .attribute("aria-label", "Pages")
        .with(link(root.to_owned(), "Overview"))
        .text(" \u{b7} ")
        .with(link(format!("{root}quarantine"), "Quarantine"));
    Element::new("header")
        .with(Element::new("h1").text(name))
        .with(links)
}

fn id(id: &str) -> Element {
    match id {
        "" => text("none that can be used"),
        id => Element::new("code").text(id),
    }
}

fn reason(title: &'static str, reason: &str) -> Element {
    Element::class("div", "reason")
        .with(Element::new("h3").text(title))
        .with(Element::new("p").text(reason))
}

fn retry(number: &QuarantineNumber, is_retried: bool) -> [Element; 2] {
    let heading = Element::new("h3").text("To retry it");
    if is_retried {
        return [heading, Element::new("p").text("The next poll retries it.")];
    }
    [heading, command(&retrying(number))]
}

fn shown_text(number: &QuarantineNumber, json: Option<&str>, shows_text: bool) -> [Element; 2] {
    let heading = Element::new("h3").text("As the service sent it");
    let content = match json {
        _ if !shows_text => aside("Not shown: \"observeRecords\" is false."),
        None => aside("Not shown: it is damaged in the state."),
        Some(json) => {
            let shown = beginning(json);
            let record = Element::class("pre", "record").text(shown);
            let rest = (shown.len() < json.len()).then(|| {
                let number = shell_word(&number.to_string());
                let show = format!("generic-connector quarantine show {number}");
                aside(format_args!(
                    "{} more bytes. To see all of it:",
                    json.len() - shown.len()
                ))
                .with(command(&show))
            });
            Element::new("div").with(record).with_all(rest)
        }
    };
    [heading, content]
}

fn beginning(json: &str) -> &str {
    let mut end = json.len().min(MOST_TEXT);
    while !json.is_char_boundary(end) {
        end -= 1;
    }
    &json[..end]
}

fn retrying(number: &QuarantineNumber) -> String {
    let number = shell_word(&number.to_string());
    format!("generic-connector quarantine retry {number}")
}

/// A number as a part of a path or of a query.
fn in_url(number: &QuarantineNumber) -> String {
    match number {
        QuarantineNumber::Record(number) => number.to_string(),
        QuarantineNumber::Refused(publisher, seq) => {
            format!("{}/{seq}", utf8_percent_encode(publisher, NON_ALPHANUMERIC))
        }
    }
}
