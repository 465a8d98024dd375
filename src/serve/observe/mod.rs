//! What operators look at: the status, metrics for Prometheus, and pages for a browser. Nothing here changes anything.
//!
//! The `observeKey` opens these routes and no other. They are at `listen`, or at an address of their own, so that the proxy
//! that Connectivity comes through does not have them.

mod metrics;
mod pages;

use std::sync::Arc;

use crossbeam_channel::Sender;
use serde_json::json;

use super::answers::{json_of, json_with, ok};
use super::keys::Keys;
use super::list_error::not_ready;
use super::lists::Lists;
use super::wrong_keys::WrongKeys;
use crate::health::Alarm;
use crate::http::{RequestHead, Responder, Response};
use crate::metrics::{CONTENT_TYPE, Counters};
use crate::poll::Ask;
use crate::status;
use crate::store::{self, PollOutcome};
use crate::sync::lock;

pub(super) use pages::Pages;

/// What operators look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ObserveRoute {
    Metrics,
    /// The status page.
    Page,
    /// The list of what is in quarantine.
    Quarantine,
    /// One thing that is in quarantine: its number, or a publisher and a seq.
    Quarantined(String),
    Stylesheet,
}

/// Answers operators.
#[derive(Debug)]
pub(super) struct Operators {
    pub keys: Arc<Keys>,
    pub wrong_keys: Arc<WrongKeys>,
    pub lists: Arc<Lists>,
    pub ask: Sender<Ask>,
    pub pages: Pages,
    pub counters: Arc<Counters>,
}

impl ObserveRoute {
    /// The route of a path without its first slash.
    pub fn of(name: &str) -> Option<ObserveRoute> {
        match name {
            "metrics" => Some(ObserveRoute::Metrics),
            "" => Some(ObserveRoute::Page),
            "quarantine" => Some(ObserveRoute::Quarantine),
            "style.css" => Some(ObserveRoute::Stylesheet),
            _ => name
                .strip_prefix("quarantine/")
                .map(|which| ObserveRoute::Quarantined(which.to_owned())),
        }
    }

    /// Whether a browser asks for it, which sends keys as passwords only.
    pub fn is_for_browsers(&self) -> bool {
        *self != ObserveRoute::Metrics
    }
}

impl Operators {
    /// Answers a request.
    pub fn answer(&self, route: &ObserveRoute, head: &RequestHead) -> Response {
        match route {
            ObserveRoute::Metrics => self.metrics(),
            ObserveRoute::Page => self.pages.overview(&head.query),
            ObserveRoute::Quarantine => self.pages.quarantine(&head.query),
            ObserveRoute::Quarantined(number) => self.pages.quarantined(number),
            ObserveRoute::Stylesheet => pages::stylesheet(head.if_none_match.as_deref()),
        }
    }

    /// The main loop answers itself, so that there is no answer if it hangs. If it has ended, the question is dropped, and
    /// the responder with it.
    pub fn health(&self, responder: Responder) {
        let answer = Box::new(|| responder.answer(ok("turning")));
        let _ = self.ask.send(Ask::Alive(answer));
    }

    /// Whether there is something to serve, and the state takes what is new. With `deep` in the query, whether all is well,
    /// too: the service counts then. Nobody needs a key for it, so that it says no more than how many warnings there are.
    pub fn readiness(&self, query: &str) -> Response {
        if let Some(abort) = lock(&self.counters.polls.abort).clone() {
            return not_ready(&Alarm::PollAborted(abort).to_string());
        }
        let ready = self.lists.readiness();
        if ready.status() != 200 || !query.split('&').any(|pair| pair == "deep") {
            return ready;
        }
        self.pages.status(status::POLLS).map_or_else(
            |error| unavailable(&error),
            |status| {
                let mut ended = status.overview.polls.iter().filter_map(|poll| poll.outcome);
                let last = ended.next().map(PollOutcome::name);
                let is_well = status.alarms.is_empty() && last != Some(PollOutcome::Failed.name());
                let said = json!({
                    "status": if is_well { "ready" } else { "degraded" },
                    "warnings": status.alarms.len(),
                    "lastPoll": last,
                });
                json_with(if is_well { 200 } else { 503 }, &said)
            },
        )
    }

    /// What the command `status` shows, and what it cannot know.
    pub fn status(&self) -> Response {
        let [listen, observe] = self.keys.in_json();
        let answered = self.pages.status(status::POLLS).map(|status| {
            let mut status = status.in_json();
            status["listener"] = json!({
                "keys": listen,
                "observeKeys": observe,
                "wrongKeys": self.wrong_keys.total(),
            });
            json_of(&status)
        });
        answered.unwrap_or_else(|error| unavailable(&error))
    }

    fn metrics(&self) -> Response {
        match self.pages.status(status::POLLS) {
            Ok(status) => {
                let text = metrics::text(self, &status);
                Response::new(200, CONTENT_TYPE, text.into_bytes())
            }
            Err(error) => unavailable(&error),
        }
    }
}

fn unavailable(error: &store::Error) -> Response {
    Response::error(503, "State Unavailable", &error.to_string())
}
