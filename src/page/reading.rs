use super::frame::{aside, notes, section, text};
use super::html::Element;
use super::table::Column::{Name, Numbers, Words};
use super::table::Table;
use super::words::{ago, count, counted};
use super::{Model, ReadList};
use crate::api::Second;
use crate::store::{ListingLine, Overview};

/// What Connectivity reads, and what it does not get.
pub(super) fn reading(model: &Model) -> Element {
    let Model { lists, now, .. } = model;
    let overview = &model.status.overview;
    let content = if model.is_listening {
        table(lists, *now)
    } else {
        aside("No listener is configured, so Connectivity cannot poll this connector.")
    };
    let remarks = adopted(overview)
        .chain(left_out(overview))
        .chain(waiting(overview));
    section(
        "connectivity",
        "Connectivity",
        [content].into_iter().chain(notes(remarks)),
    )
}

fn table(lists: &[ReadList], now: Second) -> Element {
    let columns = [
        Name("List"),
        Words("Last asked"),
        Words("From"),
        Numbers("Unread"),
        Words("Oldest unread"),
        Words("Next expected"),
    ];
    let mut table = Table::new(&columns);
    for list in lists {
        let moment = |moment: Option<Second>, otherwise| {
            moment.map_or(text(otherwise), |moment| ago(moment, now))
        };
        let from = match (list.asked_at, list.bound) {
            (None, _) => text("\u{2013}"),
            (Some(_), None) => text("the beginning"),
            (Some(_), Some(bound)) => text(bound),
        };
        table.row([
            text(list.stream),
            moment(list.asked_at, "not since the start"),
            from,
            text(count(list.unread)),
            moment(list.oldest_unread, "\u{2013}"),
            list.expected_at.map_or(text("not known"), text),
        ]);
    }
    table.captioned("What Formance has asked this connector for")
}

fn adopted(overview: &Overview) -> impl Iterator<Item = Element> {
    let note = |listing: &ListingLine| {
        let above = listing.adopted_above.as_ref()?;
        Some(text(format_args!(
            "{}: Connectivity came with a bound, so every version is dated after {above}",
            listing.stream
        )))
    };
    overview.lists.asked.iter().filter_map(note)
}

fn left_out(overview: &Overview) -> impl Iterator<Item = Element> {
    overview.lists.unlisted.iter().map(|line| {
        text(format_args!(
            "{}, {} left out, such as ",
            line.stream,
            count(line.count)
        ))
        .with(Element::new("code").text(&line.example))
        .text(format_args!(": {}", line.reason))
    })
}

fn waiting(overview: &Overview) -> Option<Element> {
    let relatives = &overview.lists.relatives;
    let id = relatives.waiting_for.as_deref()?;
    (relatives.waiting > 0).then(|| {
        let waiting = counted(relatives.waiting, "version waits", "versions wait");
        text(format_args!(
            "transactions: {waiting} for others that are not in the list yet, such as "
        ))
        .with(Element::new("code").text(id))
    })
}
