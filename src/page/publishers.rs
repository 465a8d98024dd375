use super::frame::{aside, notes, section, text};
use super::html::Element;
use super::table::DataColumn::{Name, Numbers, Words};
use super::table::DataTable;
use super::words::{ago, count, counted, second};
use crate::api::Second;
use crate::publish::LedgerFigures;
use crate::status::Status;
use crate::store::PublisherLine;

/// How far each publisher has delivered, and what its target does not take.
pub(super) fn publishers(status: &Status, now: Second) -> Element {
    let lines = &status.overview.publishers;
    if lines.is_empty() {
        let none = aside("No publisher is configured. Connectivity polls this connector.");
        return section("publishers", "Publishers", [none]);
    }
    let columns = [
        Name("Publisher"),
        Words("Type"),
        Numbers("Delivered up to"),
        Numbers("To deliver"),
        Numbers("Refused"),
        Words("Last delivery"),
    ];
    let mut table = DataTable::new(&columns);
    for line in lines {
        let delivered_at = line.delivered_at.as_deref().and_then(second);
        table.row([
            text(&line.name),
            text(&line.kind),
            text(count(line.offset)),
            text(count(line.lag)),
            text(count(line.refused)),
            delivered_at.map_or(text("none yet"), |delivered| ago(delivered, now)),
        ]);
    }
    let remarks = lines
        .iter()
        .zip(&status.ledgers)
        .flat_map(|(line, ledger)| failure(line).into_iter().chain(kept_back(line, ledger)));
    section(
        "publishers",
        "Publishers",
        [table.captioned("How far each publisher has delivered")]
            .into_iter()
            .chain(notes(remarks)),
    )
}

fn failure(line: &PublisherLine) -> Option<Element> {
    let error = line.error.as_ref()?;
    Some(text(format_args!("{}: delivery fails: {error}", line.name)))
}

/// What a publisher has not delivered although it came to it.
fn kept_back(line: &PublisherLine, ledger: &LedgerFigures) -> Vec<Element> {
    let name = &line.name;
    let waiting = ledger.waiting_for.as_ref().map(|id| {
        let waiting = counted(ledger.waiting, "version waits", "versions wait");
        text(format_args!(
            "{name}: {waiting} for a related transaction, such as "
        ))
        .with(Element::new("code").text(id))
    });
    let skipped = ledger.skipped.iter().map(|skipped| {
        let versions = counted(skipped.versions, "version", "versions");
        text(format_args!(
            "{name}: {versions} skipped: {}",
            skipped.reason
        ))
    });
    waiting.into_iter().chain(skipped).collect()
}
