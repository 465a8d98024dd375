use std::net::IpAddr;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

use super::fault::{Fault, FaultMemory};
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
    pub memory: FaultMemory,
}

impl Handler for Answers {
    fn admit(&self, head: &RequestHead, _peer: IpAddr) -> Result<Admission, Response> {
        // A wrong key is answered below, so that this answer is held back like all others.
        Ok(Admission {
            patience: Duration::MAX,
            proven: self.is_authorised(head),
            label: "",
        })
    }

    fn handle(&self, request: Request, responder: Responder) {
        let since = Instant::now();
        if self.fault.is_some_and(|fault| fault.cuts(&request.body)) {
            return responder.answer_raw(Vec::new());
        }
        let response = if self.is_authorised(&request.head) {
            self.answer(&request)
        } else {
            unauthorised(request.head.authorization.is_some())
        };
        let response = match self.fault {
            Some(fault) => fault.spoiled(&self.memory, &request.head, response),
            None => response,
        };
        let raw = self
            .fault
            .and_then(|fault| fault.raw(&request.head, &response));
        if let Some(bytes) = raw {
            return responder.answer_raw(bytes);
        }
        match &self.latency {
            Some(latency) => latency.answer(since, responder, response),
            None => responder.answer(response),
        }
    }
}

impl Answers {
    fn is_authorised(&self, head: &RequestHead) -> bool {
        let credentials = head.authorization.as_deref();
        let credentials = credentials.and_then(|value| value.split_once(' '));
        let bearer = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let key = bearer.map(|(_, key)| key.trim());
        match self.fault {
            Some(fault) => fault.accepts(key.unwrap_or_default(), &self.api_key),
            None => key == Some(&self.api_key),
        }
    }
}

enum SandboxRoute {
    List(Stream),
    /// The balances of the account with this id.
    Balances(String),
    Initiate(Initiation),
}

impl SandboxRoute {
    fn of(path: &str, fault: Option<Fault>) -> Option<SandboxRoute> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments[..] {
            [name] => Stream::LISTED
                .into_iter()
                .find(|stream| stream.name() == name)
                .map(SandboxRoute::List)
                .or_else(|| Initiation::from_name(name).map(SandboxRoute::Initiate)),
            ["accounts", id, "balances"] if fault == Some(Fault::NoDecode) => {
                Some(SandboxRoute::Balances(id.to_owned()))
            }
            ["accounts", id, "balances"] => {
                let id = percent_decode_str(id).decode_utf8().ok()?.into_owned();
                let id = fault.map_or(id.clone(), |fault| fault.account(id));
                Some(SandboxRoute::Balances(id))
            }
            _ => None,
        }
    }
}

impl Answers {
    fn answer(&self, request: &Request) -> Response {
        if let Some(redirect) = self.fault.and_then(|fault| fault.redirect(request)) {
            return redirect;
        }
        let Request { head, body } = request;
        let path = match self.fault {
            Some(Fault::Redirect) => head.path.trim_end_matches('/'),
            _ => &head.path,
        };
        let shown = escaped(path);
        let Some(route) = SandboxRoute::of(path, self.fault) else {
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
            SandboxRoute::List(stream) => self.list(stream, &head.query),
            SandboxRoute::Balances(account) => self.balances(&account),
            SandboxRoute::Initiate(kind) => self.initiate(kind, body),
        }
    }

    fn list(&self, stream: Stream, query: &str) -> Response {
        let sent = query;
        let query = self
            .fault
            .map_or(sent.into(), |fault| fault.query(stream, sent));
        match ListRequest::read(stream, &query) {
            Ok(asked) => {
                let state = self.state.read();
                let list = state.data.list(stream);
                let page = list.page(&asked);
                let spoiled = self.fault.and_then(|fault| {
                    fault.page(&self.memory, list, (stream, sent), &asked, &page)
                });
                spoiled.unwrap_or_else(|| json(200, page))
            }
            Err(invalid) => Response::error(400, "Bad Request", &invalid.to_string()),
        }
    }

    fn balances(&self, account: &str) -> Response {
        let balances = self.state.read().data.balances(account);
        let spoiled = self
            .fault
            .and_then(|fault| fault.balances(&self.memory, account, balances.as_deref()));
        match (spoiled, balances) {
            (Some(spoiled), _) => spoiled,
            (None, Some(balances)) => json(200, balances),
            (None, None) => {
                let detail = format!("There is no account {:?}.", escaped(account));
                Response::error(404, "Not Found", &detail)
            }
        }
    }

    fn initiate(&self, kind: Initiation, body: &[u8]) -> Response {
        if let Some(refusal) = self.fault.and_then(Fault::no_initiation) {
            return refusal;
        }
        let body = self.fault.map_or(body.into(), |fault| fault.body(body));
        let knows_key = || self.state.read().initiations.knows(kind, &body);
        let makes_again = self.fault.is_some_and(|fault| fault.makes_again(knows_key));
        let SandboxState { data, initiations } = &mut *self.state.write();
        match initiations.initiate(data, kind, &body, self.fault, makes_again) {
            Ok(object) => json(201, object),
            Err(InitiationRefusal::Invalid(detail)) => Response::error(400, "Bad Request", &detail),
            Err(InitiationRefusal::Conflict(detail)) => Response::error(409, "Conflict", &detail),
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
