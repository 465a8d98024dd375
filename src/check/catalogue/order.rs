use super::{CatalogueEntry, CheckGroup, Level, Scope};
use crate::check::order;

pub(super) const GROUP: CheckGroup = CheckGroup {
    letter: 'O',
    name: "Order",
    entries: &[
        CatalogueEntry {
            id: "O1",
            name: "oldest first",
            level: Level::Must,
            scope: Scope::EachList,
            needs: &["L1", "O4"],
            asked: "the first pages, with sort=createdAt:asc (transactions: updatedAt:asc)",
            right: "ascending dates, also from one page to the next",
            cost: "Formance, polling the service directly, drops all records after a newer one. Through generic-connector nothing is \
                lost, but every poll reads everything",
            fix: "sort by the date that \"sort\" names, ascending, then by id",
            example: "ORDER BY updated_at, id",
            test: order::ascends,
        },
        CatalogueEntry {
            id: "O2",
            name: "ties are paged without loss",
            level: Level::Must,
            scope: Scope::EachList,
            needs: &[
                "L1", "P8", "P2", "O1", "O3", "P4", "P7", "F1", "F2", "F4", "F10",
            ],
            asked: "the second with the most records, from its beginning, in pages smaller than it",
            right: "each record once",
            cost: "a record that falls between two pages is lost to every reader that pages",
            fix: "sort by the date and then by id, and page by that order",
            example: "ORDER BY updated_at, id LIMIT 100 OFFSET 100",
            test: order::keeps_ties,
        },
        CatalogueEntry {
            id: "O3",
            name: "the same request, the same page",
            level: Level::Must,
            scope: Scope::EachList,
            needs: &["L1", "O1"],
            asked: "one page again, twice",
            right: "the same records in the same order",
            cost: "records move between pages while they are read, and are lost at random",
            fix: "sort by the date and then by id",
            example: "ORDER BY updated_at, id",
            test: order::is_stable,
        },
        CatalogueEntry {
            id: "O4",
            name: "updatedAt decides the order",
            level: Level::Must,
            scope: Scope::Transactions,
            needs: &["L1"],
            asked: "the first pages",
            right: "ascending by updatedAt, not by createdAt",
            cost: "a change of an old transaction is never seen",
            fix: "sort transactions by updatedAt",
            example: "ORDER BY updated_at, id",
            test: order::by_update,
        },
    ],
};
