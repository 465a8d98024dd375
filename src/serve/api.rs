use std::sync::Arc;

use crossbeam_channel::Sender;

use super::answers::{json_of, ok};
use super::initiations::Forwarder;
use super::lists::Lists;
use super::routes::ApiRoute;
use crate::http::{Responder, Response};
use crate::poll::{self, Ask};

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
            ApiRoute::Poll { wait } => self.poll(wait, responder),
            ApiRoute::Sweep => {
                self.ask(Ask::Sweep);
                responder.answer(ok("ok"));
            }
        }
    }

    fn poll(&self, wait: bool, responder: Responder) {
        if !wait {
            self.ask(Ask::Poll(None));
            return responder.answer(ok("ok"));
        }
        self.ask(Ask::Poll(Some(Box::new(|ended| {
            responder.answer(match ended {
                Ok(report) => json_of(&report.in_json()),
                Err(error) => {
                    let title = match error {
                        poll::Error::TooManyWaiters(_) => "Too Many Waiting",
                        _ => "Poll Aborted",
                    };
                    Response::error(503, title, &error.to_string()).with_header("Retry-After", "10")
                }
            });
        }))));
    }

    /// If the main loop has ended, the question is dropped, and the responder with it.
    fn ask(&self, ask: Ask) {
        let _ = self.ask.send(ask);
    }
}
