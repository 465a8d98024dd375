use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::PATIENCE;
use super::api::Api;
use super::keys::{Keys, Opener};
use super::observe::Operators;
use super::routes::{ApiRoute, NOTHING, Route};
use super::wrong_keys::WrongKeys;
use crate::api::escaped;
use crate::http::{Admission, Handler, Request, RequestHead, Responder, Response, TurnedAway};
use crate::metrics::Counters;

/// For "poll now", if the client wants to wait for the end: a first import may take hours.
const POLL_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The answer to a wrong key comes this much later, so that guessing takes its time.
const WRONG_KEY_DELAY: Duration = Duration::from_secs(1);

/// An address, with what is answered there.
#[derive(Debug)]
pub(super) struct Door {
    pub open_to: OpenTo,
    pub keys: Arc<Keys>,
    pub wrong_keys: Arc<WrongKeys>,
    /// None at the operators' own address.
    pub api: Option<Api>,
    pub operators: Arc<Operators>,
    pub counters: Arc<Counters>,
}

/// Who is answered at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenTo {
    /// Connectivity. The reason is why operators are not.
    Connectivity(&'static str),
    /// Connectivity and operators.
    Both,
    /// Operators.
    Operators,
}

impl OpenTo {
    /// The key that opens a route there, if it needs one. An error is the answer instead.
    fn opener(self, route: Option<&Route>) -> Result<Option<Opener>, Response> {
        match (self, route) {
            (_, Some(Route::Health | Route::Readiness)) => Ok(None),
            // Without a key: nobody need look for one that would open nothing.
            (OpenTo::Connectivity(reason), Some(Route::Observe(_))) => {
                Err(Response::error(404, "Not Found", reason))
            }
            (OpenTo::Operators, _) => Ok(Some(Opener::Observe)),
            (OpenTo::Connectivity(_), _) | (OpenTo::Both, Some(Route::Api(_))) => {
                Ok(Some(Opener::Listen))
            }
            // A browser asks for icons that nobody has. Its key is not wrong.
            (OpenTo::Both, Some(Route::Observe(_) | Route::Status) | None) => {
                Ok(Some(Opener::Either))
            }
        }
    }
}

impl Handler for Door {
    fn admit(&self, head: &RequestHead, peer: IpAddr) -> Result<Admission, Response> {
        let route = Route::of(&head.path, &head.query);
        let label = route.as_ref().map_or(NOTHING, Route::label);
        self.decide(head, peer, route)
            .inspect_err(|answer| self.answered(label, answer.status()))
    }

    fn handle(&self, Request { head, body }: Request, responder: Responder) {
        match (Route::of(&head.path, &head.query), &self.api) {
            (Some(Route::Health), _) => self.operators.health(responder),
            (Some(Route::Readiness), _) => responder.answer(self.operators.readiness(&head.query)),
            (Some(Route::Status), _) => responder.answer(self.operators.status()),
            (Some(Route::Observe(route)), _) => {
                responder.answer(self.operators.answer(&route, &head));
            }
            (Some(Route::Api(route)), Some(api)) => {
                api.answer(route, &head.query, &body, responder);
            }
            // Never taken: such a request is not admitted. Dropping the responder answers 500.
            (Some(Route::Api(_)), None) | (None, _) => drop(responder),
        }
    }

    fn answered(&self, label: &'static str, status: u16) {
        self.counters.answers.add((label, status), 1);
    }

    fn turned_away(&self, reason: TurnedAway) {
        let reason = match reason {
            TurnedAway::Limit => "limit",
            TurnedAway::Malformed => "malformed",
        };
        self.counters.turned_away.add(reason, 1);
    }

    fn has_connections(&self, open: usize) {
        let door = usize::from(self.api.is_none());
        self.counters.connections[door].store(open as u64, Relaxed);
    }
}

impl Door {
    /// Decides about a request. An error is the answer.
    fn decide(
        &self,
        head: &RequestHead,
        peer: IpAddr,
        route: Option<Route>,
    ) -> Result<Admission, Response> {
        let opener = self.open_to.opener(route.as_ref())?;
        if let Some(opener) = opener {
            let is_for_browsers =
                matches!(&route, Some(Route::Observe(route)) if route.is_for_browsers());
            self.authorise(head, peer, opener, is_for_browsers)
                .map_err(|answer| challenge(answer, is_for_browsers))?;
        }
        let shown = escaped(&head.path);
        let is_here = |route: &Route| self.api.is_some() || !matches!(route, Route::Api(_));
        let Some(route) = route.filter(is_here) else {
            return Err(Response::error(
                404,
                "Not Found",
                &format!("There is no {shown} here."),
            ));
        };
        let method = route.method();
        if head.method != method && !(head.method == "HEAD" && method == "GET") {
            let detail = format!("{shown} accepts {method} only.");
            return Err(
                Response::error(405, "Method Not Allowed", &detail).with_header("Allow", method)
            );
        }
        let patience = match route {
            Route::Api(ApiRoute::Poll { wait: true, .. }) => POLL_PATIENCE,
            _ => PATIENCE,
        };
        Ok(Admission {
            patience,
            proven: opener.is_some(),
            label: route.label(),
        })
    }

    /// The error is the answer, which needs a challenge.
    fn authorise(
        &self,
        head: &RequestHead,
        peer: IpAddr,
        opener: Opener,
        is_for_browsers: bool,
    ) -> Result<(), Response> {
        let name = opener.name();
        let in_browser = format!(
            "Reload the page and give the key that \"{name}\" sets as the password; the user may be anything."
        );
        match &head.authorization {
            Some(authorization) if self.keys.accept(authorization, opener) => Ok(()),
            Some(_) => {
                self.wrong_keys.count(peer, opener);
                self.counters.turned_away.add("key", 1);
                let detail = if is_for_browsers {
                    format!("That is not the key. {in_browser}")
                } else {
                    format!(
                        "The Authorization header does not have the key that \"{name}\" sets. Send it as a Bearer token."
                    )
                };
                Err(unauthorised(&detail).after(WRONG_KEY_DELAY))
            }
            None => {
                let detail = if is_for_browsers {
                    in_browser
                } else {
                    format!(
                        "The request has no Authorization header. Send \"Authorization: Bearer <{name}>\"."
                    )
                };
                Err(unauthorised(&detail))
            }
        }
    }
}

fn unauthorised(detail: &str) -> Response {
    Response::error(401, "Unauthorized", detail)
}

/// Says how a key can be sent.
fn challenge(answer: Response, is_for_browsers: bool) -> Response {
    // No Basic elsewhere: a browser would keep the key, and send it along when a foreign page makes it POST a payout.
    let challenge = if is_for_browsers {
        "Basic realm=\"generic-connector\", charset=\"UTF-8\""
    } else {
        "Bearer"
    };
    answer.with_header("WWW-Authenticate", challenge)
}
