use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::PATIENCE;
use super::initiations::Forwarder;
use super::keys::ListenKeys;
use super::lists::Lists;
use super::wrong_keys::WrongKeys;
use crate::api::{Initiation, Stream, escaped};
use crate::http::{Admission, Handler, Request, RequestHead, Responder, Response};
use crate::poll::{self, Ask};
use crate::status::Status;
use crate::store::SweepTimes;

/// For "poll now", if the client wants to wait for the end: a first import may take hours.
const POLL_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The answer to a wrong key comes this much later, so that guessing takes its time.
const WRONG_KEY_DELAY: Duration = Duration::from_secs(1);

/// Everything that the listener answers.
pub(super) struct Routes {
    pub keys: ListenKeys,
    pub wrong_keys: WrongKeys,
    pub lists: Lists,
    pub forwarder: Arc<Forwarder>,
    pub ask: Sender<Ask>,
    pub state_directory: PathBuf,
    pub polling_period: Duration,
    pub sweep_times: SweepTimes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    List(Stream),
    /// The balances of the first account that has one of these ids.
    Balances(Vec<String>),
    Initiate(Initiation),
    Poll {
        wait: bool,
    },
    Sweep,
    Health,
    Readiness,
    Status,
}

impl Route {
    fn of(path: &str, query: &str) -> Option<Route> {
        // Formance sends two slashes if the endpoint that it was given ends with one.
        let name = path.strip_prefix('/')?.trim_start_matches('/');
        if let Some(stream) = Stream::LISTED
            .into_iter()
            .find(|stream| stream.name() == name)
        {
            return Some(Route::List(stream));
        }
        if let Some(initiation) = Initiation::from_name(name) {
            return Some(Route::Initiate(initiation));
        }
        match name {
            "poll" => Some(Route::Poll {
                wait: query.split('&').any(|pair| pair == "wait=true"),
            }),
            "sweep" => Some(Route::Sweep),
            "healthz" => Some(Route::Health),
            "readyz" => Some(Route::Readiness),
            "status" => Some(Route::Status),
            _ => account_ids(name, query).map(Route::Balances),
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Route::Initiate(_) | Route::Poll { .. } | Route::Sweep => "POST",
            _ => "GET",
        }
    }

    fn needs_key(&self) -> bool {
        !matches!(self, Route::Health | Route::Readiness)
    }
}

/// The ids that a request for an account's balances may mean.
///
/// Formance does not escape the id: a slash stays a slash, and the part after a question mark arrives as the query. So
/// the id is everything between the first and the last segment, escaped or not.
fn account_ids(name: &str, query: &str) -> Option<Vec<String>> {
    let between = |text: &str| {
        let id = text.strip_prefix("accounts/")?.strip_suffix("/balances")?;
        (!id.is_empty()).then(|| id.to_owned())
    };
    let mut ids = Vec::new();
    let with_query = (!query.is_empty()).then(|| format!("{name}?{query}"));
    for text in [Some(name), with_query.as_deref()].into_iter().flatten() {
        let Some(id) = between(text) else {
            continue;
        };
        if let Ok(decoded) = percent_decode_str(&id).decode_utf8() {
            ids.push(decoded.into_owned());
        }
        ids.push(id);
    }
    ids.dedup();
    (!ids.is_empty()).then_some(ids)
}

impl Handler for Routes {
    fn admit(&self, head: &RequestHead, peer: IpAddr) -> Result<Admission, Response> {
        let route = Route::of(&head.path, &head.query);
        let needs_key = route.as_ref().is_none_or(Route::needs_key);
        if needs_key {
            self.authorise(head, peer)?;
        }
        let shown = escaped(&head.path);
        let Some(route) = route else {
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
            Route::Poll { wait: true } => POLL_PATIENCE,
            _ => PATIENCE,
        };
        Ok(Admission {
            patience,
            proven: needs_key,
        })
    }

    fn handle(&self, Request { head, body }: Request, responder: Responder) {
        match Route::of(&head.path, &head.query) {
            Some(Route::List(stream)) => responder.answer(self.lists.page(stream, &head.query)),
            Some(Route::Balances(ids)) => responder.answer(self.lists.balances(&ids)),
            Some(Route::Initiate(kind)) => self.forwarder.take(kind, &body, responder),
            Some(Route::Poll { wait }) => self.poll(wait, responder),
            Some(Route::Sweep) => {
                self.ask(Ask::Sweep);
                responder.answer(ok("ok"));
            }
            // The main loop answers itself, so that there is no answer if it hangs.
            Some(Route::Health) => {
                self.ask(Ask::Alive(Box::new(|| responder.answer(ok("turning")))));
            }
            Some(Route::Readiness) => responder.answer(self.lists.readiness()),
            Some(Route::Status) => responder.answer(self.status()),
            // Never taken: a request without a route is not admitted. Dropping the responder answers 500.
            None => drop(responder),
        }
    }
}

impl Routes {
    fn authorise(&self, head: &RequestHead, peer: IpAddr) -> Result<(), Response> {
        match &head.authorization {
            Some(authorization) if self.keys.accept(authorization) => Ok(()),
            Some(_) => {
                self.wrong_keys.count(peer);
                let detail = "The Authorization header does not have the key that \"listenKey\" sets. Send it as a Bearer token.";
                Err(unauthorised(detail).after(WRONG_KEY_DELAY))
            }
            None => Err(unauthorised(
                "The request has no Authorization header. Send \"Authorization: Bearer <listenKey>\".",
            )),
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

    fn status(&self) -> Response {
        match Status::read(&self.state_directory, self.polling_period, self.sweep_times) {
            Ok(status) => {
                let mut status = status.in_json();
                status["listener"] = json!({
                    "keys": self.keys.in_json(),
                    "wrongKeys": self.wrong_keys.total(),
                });
                json_of(&status)
            }
            Err(error) => Response::error(503, "State Unavailable", &error.to_string()),
        }
    }
}

fn ok(status: &str) -> Response {
    json_of(&json!({ "status": status }))
}

fn json_of(value: &serde_json::Value) -> Response {
    Response::json(200, format!("{value:#}\n").into_bytes())
}

fn unauthorised(detail: &str) -> Response {
    // No Basic: a browser would keep the key, and send it along when a foreign page makes it POST a payout.
    Response::error(401, "Unauthorized", detail).with_header("WWW-Authenticate", "Bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_id_escaped_or_not() {
        let ids = |path: &str, query: &str| match Route::of(path, query) {
            Some(Route::Balances(ids)) => ids,
            _ => Vec::new(),
        };
        assert_eq!(ids("/accounts/a/balances", ""), ["a"]);
        assert_eq!(
            ids("/accounts/a%2Fb%3Fc/balances", ""),
            ["a/b?c", "a%2Fb%3Fc"]
        );
        assert_eq!(ids("/accounts/a/b/balances", ""), ["a/b"]);
        assert_eq!(ids("/accounts/a/balances/balances", ""), ["a/balances"]);
        assert_eq!(ids("/accounts/a", "b=c/balances"), ["a?b=c"]);
        assert_eq!(ids("/accounts/a%20b/balances", ""), ["a b", "a%20b"]);
        assert_eq!(ids("/accounts/%ff/balances", ""), ["%ff"]);
        assert_eq!(ids("//accounts/a/balances", ""), ["a"]);
        for none in [
            "/accounts//balances",
            "/accounts/balances",
            "/accounts/a",
            "/accounts/a/",
            "accounts/a/balances",
        ] {
            assert!(ids(none, "").is_empty(), "{none}");
        }
    }
}
