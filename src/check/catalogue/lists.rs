use super::{CatalogueEntry, CheckGroup, Level, Scope};
use crate::check::lists;

pub(super) const GROUP: CheckGroup = CheckGroup {
    letter: 'L',
    name: "Lists",
    entries: &[
        CatalogueEntry {
            id: "L1",
            name: "a list is a JSON array",
            level: Level::Must,
            scope: Scope::EachList,
            needs: &["A3", "A6"],
            asked: "page 1",
            right: "200 and a bare array, [] if it is empty; null for an empty one is a warning",
            cost: "the list cannot be read; Formance, polling the service directly, asks again, forever",
            fix: "answer 200 with [ {…}, {…} ], without an object around it; is \"endpoint\" right?",
            example: "[{\"id\":\"acc-1\",\"accountName\":\"Main\",\"createdAt\":\"2026-11-26T08:00:00Z\"}]",
            test: lists::is_an_array,
        },
        CatalogueEntry {
            id: "L2",
            name: "parameters have their defaults",
            level: Level::Should,
            scope: Scope::EachList,
            needs: &["L1", "P8", "P1", "P2", "O1", "O3"],
            asked: "the list without parameters",
            right: "the same as page=1&pageSize=100",
            cost: "people who try the service by hand see something else than its clients",
            fix: "default to page 1, pageSize 100, oldest first",
            example: "GET /accounts is GET /accounts?page=1&pageSize=100&sort=createdAt:asc",
            test: lists::defaults,
        },
    ],
};
