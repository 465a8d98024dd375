use super::{CatalogueEntry, CheckGroup, Level, Scope};
use crate::check::errors;

pub(super) const GROUP: CheckGroup = CheckGroup {
    letter: 'E',
    name: "Errors",
    entries: &[
        CatalogueEntry {
            id: "E1",
            name: "errors say what is wrong",
            level: Level::Should,
            scope: Scope::Service,
            needs: &["A3", "E2"],
            asked: "every answer of 400 or more so far",
            right: "a JSON object with Title and Detail, both texts",
            cost: "nobody can see why a request failed",
            fix: "answer {\"Title\":\"…\",\"Detail\":\"…\"} with every error",
            example: "{\"Title\":\"Not Found\",\"Detail\":\"There is no account \\\"x\\\".\"}",
            test: errors::have_a_body,
        },
        CatalogueEntry {
            id: "E2",
            name: "errors show nothing internal",
            level: Level::Should,
            scope: Scope::Service,
            needs: &["A3"],
            asked: "every answer of 400 or more so far",
            right: "no HTML and no stack trace",
            cost: "attackers learn how the service is built",
            fix: "log the cause, and answer a short JSON object",
            example: "{\"Title\":\"Internal Server Error\",\"Detail\":\"See the log, request 4711.\"}",
            test: errors::are_no_traces,
        },
        CatalogueEntry {
            id: "E3",
            name: "a busy service says how long to wait",
            level: Level::Should,
            scope: Scope::Service,
            needs: &["A3"],
            asked: "every answer 429 and 503 so far",
            right: "Retry-After",
            cost: "clients ask again at once while the service is down",
            fix: "send Retry-After with 429 and 503",
            example: "HTTP/1.1 503 Service Unavailable\nRetry-After: 5",
            test: errors::say_how_long,
        },
    ],
};
