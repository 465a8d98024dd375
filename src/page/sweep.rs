use super::frame::{aside, facts, section, text};
use super::html::Element;
use super::words::{ago, count, date, span};
use crate::api::Second;
use crate::store::{Overview, SweepRow};

/// The newest sweep, and when the next one is due.
pub(super) fn sweep(overview: &Overview, now: Second) -> Element {
    let next = overview.sweeps.due.map_or(text("not known yet"), date);
    let content = match &overview.sweeps.newest {
        Some(sweep) => figures(sweep, next, now),
        None => facts([("Newest", text("none yet")), ("Next one due", next)]),
    };
    let purpose = "A sweep reads every list from its beginning, and finds what no poll could.";
    section("sweep", "Sweep", [aside(purpose), content])
}

fn figures(sweep: &SweepRow, next: Element, now: Second) -> Element {
    let state = match sweep.ended_at {
        Some(ended_at) => text("complete ").with(ago(ended_at, now)),
        None if sweep.has_begun() => text(format_args!(
            "reads {}, page {}",
            sweep.stream, sweep.place.page
        )),
        None => text("begins after the next poll"),
    };
    let next = sweep.ended_at.map_or(text("after this one"), |_| next);
    let lateness = u64::try_from(sweep.lateness).unwrap_or(0);
    let lateness = match sweep.missed {
        0 => text("\u{2013}"),
        _ => text(span(lateness)),
    };
    facts([
        (
            "Newest",
            text(format_args!("number {}, ", sweep.number)).with(state),
        ),
        ("Records read", text(count(sweep.seen))),
        ("Missed by polls", text(count(sweep.missed))),
        ("Latest of them, behind the cursor", lateness),
        ("Changed without a newer date", text(count(sweep.changed))),
        ("Next one due", next),
    ])
}
