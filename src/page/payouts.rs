use super::frame::{section, text};
use super::html::Element;
use super::table::DataColumn::{Foreign, Name, Words};
use super::table::DataTable;
use super::words::{ago, count, second};
use crate::api::Second;
use crate::store::{Overview, Unsettled};

/// The payouts and transfers that are not settled; none if there never was one.
pub(super) fn payouts(overview: &Overview, now: Second) -> Option<Element> {
    let counts = overview.initiations.by_state().into_iter();
    let counts = counts.map(|(state, number)| format!("{} {}", count(number), state.name()));
    let counts = counts.collect::<Vec<_>>().join(", ");
    if counts.is_empty() {
        return None;
    }
    let unsettled = &overview.initiations.unsettled;
    let sentence = match unsettled.len() {
        0 => format!("All are settled: {counts}."),
        _ => format!("In all: {counts}."),
    };
    let table = (!unsettled.is_empty()).then(|| table(unsettled, now));
    Some(section(
        "payouts",
        "Payouts and transfers",
        [Element::new("p").text(sentence)].into_iter().chain(table),
    ))
}

fn table(unsettled: &[Unsettled], now: Second) -> Element {
    let columns = [
        Name("idempotencyKey"),
        Words("Kind"),
        Words("State"),
        Words("Asked"),
        Foreign("Why"),
    ];
    let mut table = DataTable::new(&columns);
    for one in unsettled {
        let why = one.error.as_deref().or(one.remark.as_deref());
        table.row([
            text(&one.key),
            text(&one.kind),
            text(one.state.name()),
            second(&one.asked_at).map_or(text(&one.asked_at), |asked| ago(asked, now)),
            text(why.unwrap_or("\u{2013}")),
        ]);
    }
    table.captioned("Not settled, the most urgent first, 20 at most")
}
