use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::json;

use crate::api::{Initiated, Initiation, InitiationRequest, escaped, same_content};
use crate::crash;
use crate::formance::{initiated_as, read_initiated};
use crate::health::Alarm;
use crate::http::{Responder, Response};
use crate::psp::{self, Effort, ServiceClient, Unanswered};
use crate::store::{Entry, InitiationOutcome, Initiations, Journal};
use crate::sync::lock;

/// A new request is repeated for this long while the service gives no answer.
const NEW: Effort = Effort::Retry(Duration::from_secs(50));

/// One whose outcome is unknown is repeated by Connectivity, which waits this long for an answer, until there is one.
const UNKNOWN: Effort = Effort::OneTry(Duration::from_secs(10));

/// Initiations under way at once. Each has a thread of its own.
const LIMIT: usize = 32;

/// How many of them may be under way when one is taken whose outcome is unknown. The others are for new ones: a service
/// that does not answer must not keep them out.
const LIMIT_FOR_UNKNOWN: usize = 24;

/// The writing half of the API: payouts and transfers.
///
/// A request is journalled before the service is asked, and its outcome before Connectivity is answered. While an
/// initiation is under way, further requests for it wait for the same answer.
#[derive(Debug)]
pub(super) struct Forwarder {
    client: Arc<ServiceClient>,
    state_directory: PathBuf,
    journal: Mutex<Journal>,
    under_way: Mutex<HashMap<String, UnderWay>>,
    /// Each thread has a clone. `None` once no more are taken.
    working: Mutex<Option<Sender<()>>>,
    /// Disconnected when no thread has a clone of `working` any more.
    finished: Receiver<()>,
}

#[derive(Debug)]
struct UnderWay {
    kind: Initiation,
    json: String,
    waiting: Vec<Responder>,
}

impl Forwarder {
    /// Forwards to the service of that client. The directory is that of the journal.
    pub fn new(
        journal: Journal,
        client: Arc<ServiceClient>,
        state_directory: PathBuf,
    ) -> Forwarder {
        let (working, finished) = bounded(0);
        Forwarder {
            client,
            state_directory,
            journal: Mutex::new(journal),
            under_way: Mutex::default(),
            working: Mutex::new(Some(working)),
            finished,
        }
    }

    /// Takes a request, and answers it when its outcome is known.
    pub fn take(self: &Arc<Forwarder>, kind: Initiation, body: &[u8], responder: Responder) {
        let request = match InitiationRequest::read(body) {
            Ok(request) => request,
            Err(invalid) => {
                let detail = format!("{invalid}.");
                return responder.answer(Response::error(400, "Bad Request", &detail));
            }
        };
        let mut under_way = lock(&self.under_way);
        let number = under_way.len();
        match under_way.get_mut(&request.idempotency_key) {
            Some(known) if known.kind != kind || !same_content(&known.json, &request.json) => {
                return responder.answer(different(&request));
            }
            Some(known) => return known.waiting.push(responder),
            None if number >= LIMIT
                || number >= LIMIT_FOR_UNKNOWN && self.is_unknown(&request.idempotency_key) =>
            {
                let detail = format!("{number} payouts and transfers are in progress; try again.");
                return responder.answer(unavailable("Too Many Initiations", &detail));
            }
            None => {}
        }
        let Some(working) = lock(&self.working).clone() else {
            return responder.answer(unavailable(
                "Shutting Down",
                "Try again when it is running.",
            ));
        };
        let entry = UnderWay {
            kind,
            json: request.json.clone(),
            waiting: vec![responder],
        };
        under_way.insert(request.idempotency_key.clone(), entry);
        drop(under_way);
        self.start(kind, request, working);
    }

    /// Waits until no initiation is under way, or until `end`. No more are taken.
    pub fn wait_until(&self, end: Instant) {
        lock(&self.working).take();
        let _ = self.finished.recv_deadline(end);
    }

    /// Whether the outcome of an initiation that is not under way is unknown. Reading this waits for nobody.
    fn is_unknown(&self, key: &str) -> bool {
        Initiations::open(&self.state_directory)
            .and_then(|initiations| initiations.is_unknown(key))
            .unwrap_or(false)
    }

    /// Settles an initiation on a thread of its own. `working` lives as long as the thread.
    fn start(
        self: &Arc<Forwarder>,
        kind: Initiation,
        request: InitiationRequest,
        working: Sender<()>,
    ) {
        let forwarder = self.clone();
        let key = request.idempotency_key.clone();
        let started = thread::Builder::new()
            .name("initiation".to_owned())
            .spawn(move || {
                let mut settling = Settling {
                    forwarder: &forwarder,
                    key: &request.idempotency_key,
                    response: None,
                };
                settling.response = Some(forwarder.settle(kind, &request));
                drop(settling);
                drop(working);
            });
        if let Err(error) = started {
            log::error!("cannot start a thread for a payout or transfer: {error}");
            lock(&self.under_way).remove(&key);
        }
    }

    /// Has the service make the payout or transfer, unless it is made already, and returns the answer.
    fn settle(&self, kind: Initiation, request: &InitiationRequest) -> Response {
        let begun = lock(&self.journal).begin(kind, request);
        let (json, may_be_made) = match begun {
            Ok(Entry::Ask { json, may_be_made }) => (json, may_be_made),
            Ok(Entry::Answered(status, answer)) => {
                return Response::json(status, answer.into_bytes());
            }
            Ok(Entry::MadeAs(id)) => return made_as(request, &id),
            Ok(Entry::Different) => return different(request),
            Err(error) => {
                log::error!("a request for {kind} is not forwarded: {error}");
                return unavailable("Journal Unavailable", &error.to_string());
            }
        };
        let effort = if may_be_made { UNKNOWN } else { NEW };
        let asked = self
            .client
            .initiate(kind, &json, effort, |body| read_initiated(request, body));
        crash::point();
        let outcome = outcome(asked, may_be_made);
        let recorded = lock(&self.journal).end(kind, &request.idempotency_key, &outcome);
        log_outcome(kind, &request.idempotency_key, &outcome);
        match recorded {
            Ok(remark) => log_remark(kind, &request.idempotency_key, &outcome, remark),
            Err(error) => {
                let shown = escaped(&request.idempotency_key);
                log::error!("{kind}: the outcome of \"{shown}\" could not be recorded: {error}");
                let detail =
                    format!("The service answered, but the answer could not be recorded: {error}");
                return unavailable("Journal Unavailable", &detail);
            }
        }
        match outcome {
            InitiationOutcome::Made(initiated) => Response::json(201, initiated.json.into_bytes()),
            InitiationOutcome::Refused(status, answer) => {
                Response::json(status, answer.into_bytes())
            }
            InitiationOutcome::NotMade(error) => unavailable("Not Made", &error),
            InitiationOutcome::Unknown(error) => unavailable("Outcome Unknown", &error),
        }
    }
}

/// An initiation that a thread is settling. Dropping it, even in a panic, frees the key and answers everybody who waits.
struct Settling<'a> {
    forwarder: &'a Forwarder,
    key: &'a str,
    response: Option<Response>,
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        let under_way = lock(&self.forwarder.under_way).remove(self.key);
        for responder in under_way.into_iter().flat_map(|entry| entry.waiting) {
            // A responder that is dropped answers 500.
            if let Some(response) = &self.response {
                responder.answer(response.clone());
            }
        }
    }
}

/// Interprets the service's answer. `may_be_made_before` says whether an earlier request may have had an effect.
///
/// Then only success is an outcome: a refusal may be of the second request because the first one has succeeded.
fn outcome(asked: Result<Initiated, Unanswered>, may_be_made_before: bool) -> InitiationOutcome {
    let (error, may_be_made) = match asked {
        Ok(initiated) => return InitiationOutcome::Made(initiated),
        Err(Unanswered { error, may_be_made }) => (error, may_be_made || may_be_made_before),
    };
    match &error {
        _ if may_be_made && error.leaves_open() => InitiationOutcome::Unknown(error.to_string()),
        _ if may_be_made => InitiationOutcome::Unknown(format!(
            "{error}; an earlier request had no clear answer, and may have been successful"
        )),
        psp::Error::Refused { status, body, .. } if is_decision(*status) => {
            let (title, detail) = match body {
                Some(body) => (body.title.clone(), body.detail.clone()),
                None => (
                    "Refused".to_owned(),
                    format!("The service answered {status}."),
                ),
            };
            let answer = json!({ "Title": title, "Detail": detail }).to_string();
            InitiationOutcome::Refused(*status, answer)
        }
        _ => InitiationOutcome::NotMade(error.to_string()),
    }
}

/// Whether a refusal with that status is of the payout or transfer itself, so that the service will never make it.
fn is_decision(status: u16) -> bool {
    // Method not allowed: the service makes no payouts yet. A proxy wants a key of its own, the request has come to the
    // wrong server, or must use another protocol: the way to the service is wrong. Locked and too early pass.
    !matches!(status, 405 | 407 | 421 | 423 | 425 | 426)
}

fn log_outcome(kind: Initiation, key: &str, outcome: &InitiationOutcome) {
    let shown = escaped(key);
    match outcome {
        InitiationOutcome::Made(initiated) => {
            log::info!(
                "{kind}: \"{shown}\" was made as \"{}\"",
                escaped(&initiated.id)
            );
        }
        InitiationOutcome::Refused(_, answer) => log::warn!(
            "{kind}: \"{shown}\" was refused by the service: {}",
            escaped(answer)
        ),
        InitiationOutcome::NotMade(error) => {
            log::error!("{kind}: \"{shown}\" was not made: {error}");
        }
        InitiationOutcome::Unknown(error) => {
            let alarm = Alarm::OutcomeUnknown {
                kind: kind.name().to_owned(),
                key: key.to_owned(),
                reason: Some(error.clone()),
            };
            log::error!("{alarm}");
        }
    }
}

/// Logs what is odd about an initiation that is made, if something is.
fn log_remark(kind: Initiation, key: &str, outcome: &InitiationOutcome, remark: Option<String>) {
    if let InitiationOutcome::Made(made) = outcome
        && let Some(remark) = remark
    {
        let alarm = Alarm::MadeDifferently {
            kind: kind.name().to_owned(),
            key: key.to_owned(),
            id: made.id.clone(),
            remark,
        };
        log::warn!("{alarm}");
    }
}

fn different(request: &InitiationRequest) -> Response {
    let detail = format!(
        "Another request was made with the idempotencyKey \"{}\".",
        escaped(&request.idempotency_key)
    );
    Response::error(409, "Conflict", &detail)
}

/// The answer to a request that an operator has settled after it was damaged.
fn made_as(request: &InitiationRequest, id: &str) -> Response {
    match initiated_as(request, id) {
        Ok(initiated) => Response::json(201, initiated.json.into_bytes()),
        Err(invalid) => unavailable("Journal Unavailable", &invalid.to_string()),
    }
}

/// Formance repeats the request with the same key after a 503. Any 4xx would end it there.
fn unavailable(title: &str, detail: &str) -> Response {
    Response::error(503, title, detail).with_header("Retry-After", "10")
}
