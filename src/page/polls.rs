use std::time::Duration;

use super::frame::{aside, notes, section, text};
use super::html::Element;
use super::plot::{Marks, Scale, Series, bars, marks};
use super::words::{ago, count, short};
use crate::api::{Second, Stream};
use crate::store::{PollOutcome, PollRow};

/// How many reasons of failed polls are shown, the newest ones.
const ERRORS: usize = 3;

/// The last polls, newest first, as plots and as a table.
/// `is_kept`: whether the state takes them.
pub(super) fn polls(polls: &[PollRow], is_kept: bool, now: Second) -> Element {
    if polls.is_empty() {
        let none = if is_kept {
            "None yet."
        } else {
            "None could be stored."
        };
        return section("polls", "Polls", [aside(none)]);
    }
    let oldest_first: Vec<&PollRow> = polls.iter().rev().collect();
    let scope = "The newest poll is at the right. A narrow screen shows only the newest ones.";
    let errors = polls.iter().filter_map(|poll| {
        let error = poll.error.as_ref()?;
        Some(
            text(format_args!("Poll {}, ", poll.number))
                .with(ago(poll.started_at, now))
                .text(format_args!(": {error}")),
        )
    });
    let plots = [
        outcomes(&oldest_first),
        new_versions(&oldest_first),
        plot(&oldest_first, &TOOK),
        plot(&oldest_first, &LATENCY),
        plot(&oldest_first, &LAG),
    ];
    section(
        "polls",
        &format!("The last {}", number_of(polls)),
        [aside(scope)]
            .into_iter()
            .chain(plots)
            .chain(notes(errors.take(ERRORS)))
            .chain([table(polls)]),
    )
}

fn number_of(polls: &[PollRow]) -> String {
    match polls.len() {
        1 => "poll".to_owned(),
        number => format!("{number} polls"),
    }
}

/// A figure of each poll.
struct Figure {
    id: &'static str,
    title: &'static str,
    of: fn(&PollRow) -> Option<f64>,
    in_words: fn(f64) -> String,
}

const TOOK: Figure = Figure {
    id: "took",
    title: "Duration of the poll",
    of: |poll| poll.took.map(|took| took.as_secs_f64()),
    in_words: |seconds| short(Duration::from_secs_f64(seconds)),
};

const LATENCY: Figure = Figure {
    id: "latency",
    title: "Latency of the service, 95th percentile",
    of: |poll| poll.latency.map(|latency| latency.p95.as_secs_f64()),
    in_words: |seconds| short(Duration::from_secs_f64(seconds)),
};

const LAG: Figure = Figure {
    id: "lag",
    title: "Versions to deliver when the poll ended",
    of: |poll| poll.lag.map(|lag| lag as f64),
    in_words: whole,
};

const NEW: Figure = Figure {
    id: "new",
    title: "New versions",
    of: |poll| Some(poll.versions.values().sum::<i64>() as f64),
    in_words: whole,
};

#[allow(clippy::cast_possible_truncation)]
fn whole(number: f64) -> String {
    count(number as i64)
}

impl Figure {
    /// The newest value and the greatest one.
    fn summary(&self, polls: &[&PollRow], scale: &Scale) -> String {
        let mut values = polls.iter().rev().filter_map(|poll| (self.of)(poll));
        let Some(newest) = values.next() else {
            return "not known".to_owned();
        };
        let cut = if scale.cuts() {
            "; bars with a gap are cut"
        } else {
            ""
        };
        let (newest, most) = ((self.in_words)(newest), (self.in_words)(scale.most));
        format!("newest {newest}, most {most}{cut}")
    }

    fn captioned(&self, polls: &[&PollRow], legend: Option<Element>, series: &[Series]) -> Element {
        let scale = Scale::of(series);
        let summary = self.summary(polls, &scale);
        let description = format!("{}: {summary}", range(polls));
        figure(
            self.title,
            &summary,
            legend,
            bars(self.id, self.title, &description, series, &scale),
        )
    }
}

/// Which polls a plot shows.
fn range(polls: &[&PollRow]) -> String {
    match (polls.first(), polls.last()) {
        (Some(first), Some(last)) => format!("polls {} to {}", first.number, last.number),
        _ => "no polls".to_owned(),
    }
}

fn figure(title: &str, summary: &str, legend: Option<Element>, plot: Element) -> Element {
    let caption = Element::new("figcaption")
        .with(Element::new("h3").text(title))
        .with(Element::new("p").text(summary))
        .with_all(legend);
    Element::new("figure").with(caption).with(plot)
}

fn plot(polls: &[&PollRow], figure: &Figure) -> Element {
    let values = polls.iter().map(|poll| (figure.of)(poll)).collect();
    let series = [Series {
        class: "plain",
        values,
    }];
    figure.captioned(polls, None, &series)
}

fn new_versions(polls: &[&PollRow]) -> Element {
    // Transactions are the most, and have the base for their own.
    let streams = Stream::ALL.into_iter().rev();
    let series: Vec<Series> = streams
        .map(|stream| Series {
            class: stream.name(),
            values: polls
                .iter()
                .map(|poll| Some(poll.versions[stream] as f64))
                .collect(),
        })
        .collect();
    let legend = Stream::ALL
        .into_iter()
        .map(|stream| Element::new("li").with(Element::class("span", stream.name()).text(stream)));
    let legend = Element::class("ul", "legend").with_all(legend);
    NEW.captioned(polls, Some(legend), &series)
}

fn outcomes(polls: &[&PollRow]) -> Element {
    let of = |outcome: Option<PollOutcome>, shape, letter| {
        let places = polls.iter().enumerate();
        let places = places.filter(|(_, poll)| poll.outcome == outcome);
        Marks {
            class: outcome.map_or("running", PollOutcome::name),
            shape,
            letter,
            places: places.map(|(place, _)| place).collect(),
        }
    };
    let kinds = [
        of(Some(PollOutcome::Complete), "m1 3h4v4h-4z", 'C'),
        of(Some(PollOutcome::Partial), "m0 7l3-6 3 6z", 'P'),
        of(Some(PollOutcome::Failed), "m0 1h6v8h-6z", 'F'),
        of(Some(PollOutcome::Interrupted), "m0 4h6v2h-6z", 'I'),
        of(None, "m2 1h2v8h-2z", 'R'),
    ];
    let names = ["complete", "partial", "failed", "interrupted", "running"];
    let counts = kinds.iter().zip(names);
    let counts = counts.filter(|(kind, _)| !kind.places.is_empty());
    let counts = counts.map(|(kind, name)| format!("{} {} {name}", kind.letter, kind.places.len()));
    let summary = counts.collect::<Vec<_>>().join(", ");
    let description = format!("{}: {summary}", range(polls));
    let plot = marks("outcomes", "Outcomes", &description, polls.len(), &kinds);
    figure("Outcomes", &summary, None, plot)
}

/// The figures of the plots, without the roles of other tables: a hundred rows of them would be half the page. It scrolls
/// sideways by itself.
fn table(polls: &[PollRow]) -> Element {
    const TITLES: [&str; 12] = [
        "Poll",
        "Began",
        "Outcome",
        "Took",
        "Accounts",
        "Balances",
        "Beneficiaries",
        "Transactions",
        "Requests",
        "p50",
        "p95",
        "To deliver",
    ];
    let titles = TITLES.map(|title| Element::new("th").attribute("scope", "col").text(title));
    let rows = polls.iter().map(row);
    let table = Element::class("table", "figures")
        .with(Element::new("caption").text("The last polls, the newest first"))
        .with(Element::new("thead").with(Element::new("tr").with_all(titles)))
        .with(Element::new("tbody").with_all(rows));
    let scrolling = Element::class("div", "wide")
        .attribute("role", "region")
        .attribute("aria-label", "Figures of the last polls")
        .attribute("tabindex", "0")
        .with(table);
    Element::new("details")
        .with(Element::new("summary").text("The same in figures"))
        .with(scrolling)
}

fn row(poll: &PollRow) -> Element {
    let time = |time: Option<Duration>| time.map_or(unknown(), short);
    let new = Stream::ALL.map(|stream| count(poll.versions[stream]));
    let figures = [
        poll.number.to_string(),
        poll.started_at.to_string(),
        poll.state().to_owned(),
        time(poll.took),
    ]
    .into_iter()
    .chain(new)
    .chain([
        count(poll.requests),
        time(poll.latency.map(|latency| latency.p50)),
        time(poll.latency.map(|latency| latency.p95)),
        poll.lag.map_or(unknown(), count),
    ]);
    let cells = figures.map(|figure| Element::new("td").text(figure));
    Element::new("tr").with_all(cells)
}

fn unknown() -> String {
    "\u{2013}".to_owned()
}
