use std::sync::Arc;

use crossbeam_channel::Sender;

use super::answers::{json_with, ok};
use super::initiations::Forwarder;
use super::list_error::bad_request;
use super::lists::Lists;
use super::routes::ApiRoute;
use crate::api::Stream;
use crate::http::{Responder, Response};
use crate::poll::{self, Ask, PollOutcome, Waiter};

/// What Connectivity asks for: the lists over the store, payouts and transfers; and "poll now".
#[derive(Debug)]
pub(super) struct Api {
    pub lists: Arc<Lists>,
    pub forwarder: Arc<Forwarder>,
    pub ask: Sender<Ask>,
}

impl Api {
    /// Answers a request.
    pub fn answer(&self, route: ApiRoute, query: &str, body: &[u8], responder: Responder) {
        match route {
            ApiRoute::List(stream) => responder.answer(self.lists.page(stream, query)),
            ApiRoute::Balances(ids) => responder.answer(self.lists.balances(&ids)),
            ApiRoute::Initiate(kind) => self.forwarder.take(kind, body, responder),
            ApiRoute::Poll { wait, list } => match list {
                Ok(list) => self.poll(list, wait, responder),
                Err(detail) => responder.answer(bad_request(&detail)),
            },
            ApiRoute::Sweep => {
                self.ask(Ask::Sweep);
                responder.answer(ok("ok"));
            }
        }
    }

    /// Polls everything, or one list alone.
    fn poll(&self, list: Option<Stream>, wait: bool, responder: Responder) {
        if !wait {
            self.ask(Ask::Poll(list, None));
            return responder.answer(ok("ok"));
        }
        let waiter: Waiter = Box::new(|ended| {
            responder.answer(match ended {
                Ok(report) => {
                    let has_failed = report.outcome == PollOutcome::Failed;
                    json_with(if has_failed { 502 } else { 200 }, &report.in_json())
                }
                Err(error) => {
                    let title = match error {
                        poll::Error::TooManyWaiters(_) => "Too Many Waiting",
                        _ => "Poll Aborted",
                    };
                    Response::error(503, title, &error.to_string()).with_header("Retry-After", "10")
                }
            });
        });
        self.ask(Ask::Poll(list, Some(waiter)));
    }

    /// If the main loop has ended, the question is dropped, and the responder with it.
    fn ask(&self, ask: Ask) {
        let _ = self.ask.send(ask);
    }
}
