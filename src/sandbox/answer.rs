use std::net::IpAddr;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

use super::fault::Fault;
use super::initiation::InitiationRefusal;
use super::latency::Latency;
use super::state::{SandboxState, SharedState};
use crate::api::{Initiation, ListRequest, Stream, escaped};
use crate::http::{Admission, Handler, Request, RequestHead, Responder, Response};

/// Answers the requests to a sandbox.
pub(super) struct Answers {
    pub state: SharedState,
    pub api_key: String,
    /// None if answers are sent at once.
    pub latency: Option<Latency>,
    pub fault: Option<Fault>,
}

impl Handler for Answers {
    fn admit(&self, head: &RequestHead, _peer: IpAddr) -> Result<Admission, Response> {
        // A wrong key is answered below, so that this answer is held back like all others.
        Ok(Admission {
            patience: Duration::MAX,
            proven: self.is_authorised(head),
        })
    }

    fn handle(&self, request: Request, responder: Responder) {
        let since = Instant::now();
        let response = if self.is_authorised(&request.head) {
            answer(&request, &self.state, self.fault)
        } else {
            unauthorised(request.head.authorization.is_some())
        };
        match &self.latency {
            Some(latency) => latency.answer(since, responder, response),
            None => responder.answer(response),
        }
    }
}

impl Answers {
    fn is_authorised(&self, head: &RequestHead) -> bool {
        let credentials = head.authorization.as_deref();
        credentials
            .and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, key)| {
                scheme.eq_ignore_ascii_case("bearer") && key.trim() == self.api_key
            })
    }
}

enum SandboxRoute {
    List(Stream),
    /// The balances of the account with this id.
    Balances(String),
    Initiate(Initiation),
}

impl SandboxRoute {
    fn of(path: &str) -> Option<SandboxRoute> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments[..] {
            [name] => Stream::LISTED
                .into_iter()
                .find(|stream| stream.name() == name)
                .map(SandboxRoute::List)
                .or_else(|| Initiation::from_name(name).map(SandboxRoute::Initiate)),
            ["accounts", id, "balances"] => {
                let id = percent_decode_str(id).decode_utf8().ok()?;
                Some(SandboxRoute::Balances(id.into_owned()))
            }
            _ => None,
        }
    }
}

fn answer(request: &Request, state: &SharedState, fault: Option<Fault>) -> Response {
    if let Some(redirect) = fault.and_then(|fault| fault.redirect(request)) {
        return redirect;
    }
    let Request { head, body } = request;
    let path = match fault {
        Some(Fault::Redirect) => head.path.trim_end_matches('/'),
        _ => &head.path,
    };
    let shown = escaped(path);
    let Some(route) = SandboxRoute::of(path) else {
        return Response::error(404, "Not Found", &format!("There is no {shown} here."));
    };
    let (allowed, detail) = match route {
        SandboxRoute::Initiate(_) => (
            "POST",
            "accepts POST only; /transactions lists the results.",
        ),
        _ => ("GET", "accepts GET only."),
    };
    if head.method != allowed {
        return Response::error(405, "Method Not Allowed", &format!("{shown} {detail}"))
            .with_header("Allow", allowed);
    }
    match route {
        SandboxRoute::List(stream) => match ListRequest::read(stream, &head.query) {
            Ok(asked) => {
                let page = state.read().data.list(stream).page(&asked);
                let spoiled = fault.filter(|_| page == "[]");
                let spoiled = spoiled.and_then(|fault| fault.empty_page(asked.page));
                spoiled.unwrap_or_else(|| json(200, page))
            }
            Err(invalid) => Response::error(400, "Bad Request", &invalid.to_string()),
        },
        SandboxRoute::Balances(account_id) => match state.read().data.balances(&account_id) {
            Some(balances) => json(200, balances),
            None => {
                let detail = format!("There is no account {:?}.", escaped(&account_id));
                Response::error(404, "Not Found", &detail)
            }
        },
        SandboxRoute::Initiate(kind) => {
            let SandboxState { data, initiations } = &mut *state.write();
            match initiations.initiate(data, kind, body) {
                Ok(object) => json(201, object),
                Err(InitiationRefusal::Invalid(detail)) => {
                    Response::error(400, "Bad Request", &detail)
                }
                Err(InitiationRefusal::Conflict(detail)) => {
                    Response::error(409, "Conflict", &detail)
                }
            }
        }
    }
}

/// The answer to a request with the wrong key or with none.
fn unauthorised(has_key: bool) -> Response {
    let detail = if has_key {
        "The Authorization header does not have the API key of this service as \"Bearer <apiKey>\"."
    } else {
        "The request has no Authorization header. Send \"Authorization: Bearer <apiKey>\"."
    };
    Response::error(401, "Unauthorized", detail).with_header("WWW-Authenticate", "Bearer")
}

fn json(status: u16, body: String) -> Response {
    Response::json(status, body.into_bytes())
}
