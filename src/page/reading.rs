use super::Model;
use super::frame::{aside, notes, section, text};
use super::html::Element;
use super::table::DataColumn::{Name, Numbers, Words};
use super::table::DataTable;
use super::words::{ago, count, counted, date, expected};
use crate::api::{Second, Stream};
use crate::store::{AskedLine, ListingLine, Overview};

/// What Connectivity reads, and what it does not get.
pub(super) fn reading(model: &Model) -> Element {
    let overview = &model.status.overview;
    let content = if model.is_listening {
        table(&overview.lists.read, model.now)
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

fn table(lists: &[AskedLine], now: Second) -> Element {
    let columns = [
        Name("List"),
        Words("Last asked"),
        Words("From"),
        Numbers("Unread"),
        Words("Oldest unread"),
        Words("Next expected"),
    ];
    let mut table = DataTable::new(&columns);
    for list in lists {
        let (is_balances, asked) = (list.stream == Stream::Balances, list.asked.as_ref());
        let none = || text("\u{2013}");
        let from = match asked.map(|asked| asked.from) {
            _ if is_balances => none(),
            None => none(),
            Some(None) => text("the beginning"),
            Some(Some(from)) => date(from),
        };
        let unread = if is_balances {
            none()
        } else {
            text(count(list.unread))
        };
        let next = asked.map(|asked| asked.expected_at());
        table.row([
            text(list.stream),
            asked.map_or(text("never"), |asked| ago(asked.at, now)),
            from,
            unread,
            list.unread_since.map_or_else(none, |since| ago(since, now)),
            match next {
                None => none(),
                Some(None) => text("not known yet"),
                Some(Some(next)) => expected(next, now),
            },
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
