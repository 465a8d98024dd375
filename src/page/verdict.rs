use super::Model;
use super::words::{counted, second, set_aside, span};
use crate::api::Second;
use crate::store::{Overview, PollOutcome};

/// What a glance at the page has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageVerdict {
    /// How it looks.
    pub tone: Tone,
    /// The first words of the sentence.
    pub headline: String,
    /// The rest of it.
    pub detail: String,
}

/// How a connector looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing is to be done.
    Good,
    /// It may be that nothing is to be done.
    Unsettled,
    /// An operator has to look.
    Bad,
}

impl Tone {
    /// Its class in the stylesheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "verdict good",
            Tone::Unsettled => "verdict unsettled",
            Tone::Bad => "verdict bad",
        }
    }

    /// A mark that tells it without its colour.
    pub fn mark(self) -> &'static str {
        match self {
            Tone::Good => "\u{2713}",
            Tone::Unsettled => "\u{2022}",
            Tone::Bad => "!",
        }
    }
}

/// The sentence at the top.
pub(super) fn verdict(model: &Model) -> PageVerdict {
    let overview = &model.status.overview;
    let last = overview.polls.iter().find(|poll| poll.ended_at.is_some());
    let (tone, headline) = match model.status.alarms.len() {
        0 => match last.and_then(|poll| poll.outcome) {
            None => (Tone::Unsettled, "Waiting for the first poll".to_owned()),
            Some(PollOutcome::Failed) => (Tone::Unsettled, "The last poll failed".to_owned()),
            Some(PollOutcome::Partial) => {
                let headline = "The last poll could not read everything".to_owned();
                (Tone::Unsettled, headline)
            }
            Some(_) => match reservation(model) {
                Some(reservation) => (Tone::Unsettled, reservation),
                None => (Tone::Good, "All well".to_owned()),
            },
        },
        1 => (Tone::Bad, "One thing to look at".to_owned()),
        number => (Tone::Bad, format!("{number} things to look at")),
    };
    let detail = [
        poll(overview, model.now),
        connectivity(model),
        delivery(overview),
    ];
    PageVerdict {
        tone,
        headline,
        detail: detail.into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

/// What keeps a connector without an alarm from being well.
fn reservation(model: &Model) -> Option<String> {
    let overview = &model.status.overview;
    let aside = set_aside(overview.quarantined, refused(overview));
    aside.map(|aside| format!("Well, but for {aside}"))
}

/// How many versions targets refuse.
pub(super) fn refused(overview: &Overview) -> i64 {
    overview.publishers.iter().map(|line| line.refused).sum()
}

/// When a poll last succeeded.
fn poll(overview: &Overview, now: Second) -> Option<String> {
    overview.polls.first()?;
    let last = overview.polls.iter().find(|poll| poll.outcome.is_some());
    let is_good = |outcome| matches!(outcome, PollOutcome::Complete | PollOutcome::Partial);
    let is_good = last.and_then(|last| last.outcome).is_some_and(is_good);
    let good = overview.last_good_poll.as_deref().and_then(second);
    Some(match good {
        Some(good) if is_good => format!("last poll {} ago", span(now.since(good))),
        Some(good) => format!("last good poll {} ago", span(now.since(good))),
        None => "no poll has succeeded yet".to_owned(),
    })
}

/// When Connectivity last asked; none if it cannot, because there is no listener.
fn connectivity(model: &Model) -> Option<String> {
    let asked = model.status.overview.lists.read.iter();
    let asked = asked.filter_map(|list| Some(list.asked.as_ref()?.at)).max();
    model.is_listening.then(|| match asked {
        Some(asked) => format!("Formance asked {} ago", span(model.now.since(asked))),
        None => "Formance has never asked".to_owned(),
    })
}

/// How much the publishers have not delivered; none if there are none.
fn delivery(overview: &Overview) -> Option<String> {
    let lag = overview.publishers.iter().map(|line| line.lag).max()?;
    Some(match lag {
        0 => "everything delivered".to_owned(),
        lag => counted(lag, "version to deliver", "versions to deliver"),
    })
}
