use super::frame::{aside, command, facts, page, prose, section, text};
use super::html::Element;
use super::verdict::{PageVerdict, refused, verdict};
use super::words::{ago, count, date, set_aside, span};
use super::{Model, payouts, polls, publishers, reading, streams, sweep};
use crate::health::Alarm;
use crate::messages::messages;

/// How many alarms are shown.
const ALARMS: usize = 20;

/// The page of the connector.
pub fn overview(model: &Model) -> String {
    let overview = &model.status.overview;
    let name = &overview.state.identity.name;
    let verdict = verdict(model);
    let title = format!("{} \u{b7} {name}", verdict.headline);
    let mut alarms = model.status.alarms.iter();
    let is_kept = !alarms.any(|alarm| matches!(alarm, Alarm::PollAborted(_)));
    let sections = [
        Some(sentence(&verdict)),
        warnings(&model.status.alarms),
        Some(streams::streams(overview, model.now)),
        Some(quarantine(model)),
        Some(reading::reading(model)),
        Some(publishers::publishers(&model.status, model.now)),
        payouts::payouts(overview, model.now),
        Some(sweep::sweep(overview, model.now)),
        Some(polls::polls(&overview.polls, is_kept, model.now)),
    ];
    page(
        &title,
        "",
        header(model),
        sections.into_iter().flatten(),
        Some(footer(model)),
    )
}

fn header(model: &Model) -> Element {
    let identity = &model.status.overview.state.identity;
    Element::new("header")
        .with(Element::new("h1").text(&identity.name))
        .with(
            Element::new("p")
                .text("polls ")
                .with(Element::class("span", "address").text(&identity.endpoint))
                .text(format_args!(
                    " every {}",
                    span(model.polling_period.as_secs())
                )),
        )
}

fn sentence(verdict: &PageVerdict) -> Element {
    let mark = Element::class("span", "mark")
        .attribute("aria-hidden", "true")
        .text(verdict.tone.mark());
    let detail = match verdict.detail.as_str() {
        "" => text("."),
        detail => text(format_args!(": {detail}.")),
    };
    Element::class("p", verdict.tone.class())
        .attribute("role", "status")
        .with(mark)
        .with(
            Element::new("span")
                .with(Element::new("strong").text(&verdict.headline))
                .with(detail),
        )
}

/// Each alarm, in the words of `status`, and what helps; none if there is none.
fn warnings(alarms: &[Alarm]) -> Option<Element> {
    if alarms.is_empty() {
        return None;
    }
    let more = alarms.len().saturating_sub(ALARMS);
    let more = (more > 0)
        .then(|| aside(format_args!("{more} more:")).with(command("generic-connector status")));
    let warnings = alarms.iter().take(ALARMS).map(warning);
    Some(section(
        "warnings",
        "To look at",
        [Element::class("ol", "warnings").with_all(warnings)]
            .into_iter()
            .chain(more),
    ))
}

fn warning(alarm: &Alarm) -> Element {
    let words = alarm.to_string();
    let help = messages(&words);
    let help = help
        .first()
        .map(|entry| Element::class("p", "help").with(prose(entry.fix)));
    Element::new("li")
        .with(Element::new("p").text(&words))
        .with_all(help)
        .with_all(alarm.command().as_deref().map(command))
}

fn quarantine(model: &Model) -> Element {
    let overview = &model.status.overview;
    let content = match set_aside(overview.quarantined, refused(overview)) {
        None => Element::new("p").text("Empty."),
        Some(aside) => {
            let link = Element::new("a").attribute("href", "quarantine");
            Element::new("p")
                .text(format_args!("{aside}. "))
                .with(link.text("Look at them"))
                .text(".")
        }
    };
    section("quarantine", "Quarantine", [content])
}

fn footer(model: &Model) -> Element {
    let state = &model.status.overview.state;
    let restored = state.restored_at.map_or(text("never"), date);
    let free = state.room.free.map_or(text("not known"), |bytes| {
        text(format_args!(
            "{} MB",
            count((bytes / 1_000_000).try_into().unwrap_or(i64::MAX))
        ))
    });
    let facts = facts([
        (
            "Version",
            text(concat!("generic-connector ", env!("CARGO_PKG_VERSION"))),
        ),
        ("Started", ago(model.started_at, model.now)),
        ("State", text(&state.id)),
        (
            "Newest version",
            text(format_args!("seq {}", count(state.last_seq))),
        ),
        (
            "Last backup",
            state
                .backed_up_at
                .map_or(text("none yet"), |at| ago(at, model.now)),
        ),
        ("Put back from a copy", restored),
        ("Free on its disk", free),
    ]);
    Element::new("footer").with(facts).with(refreshing(model))
}

/// When the page was made, and how to keep it fresh.
fn refreshing(model: &Model) -> Element {
    let (href, words) = match model.refresh {
        Some(_) => ("?", "Stop refreshing"),
        None => ("?refresh=30", "Refresh every 30 s"),
    };
    Element::new("p")
        .text("As of ")
        .with(date(model.now))
        .text(". ")
        .with(Element::new("a").attribute("href", href).text(words))
        .text(".")
}
