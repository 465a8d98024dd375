use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::json;

use crate::api::{Initiated, Initiation, InitiationRequest, escaped, same_content};
use crate::crash;
use crate::formance::read_initiated;
use crate::http::{Responder, Response};
use crate::psp::{self, NotInitiated, ServiceClient};
use crate::store::{Entry, Journal, Outcome};

/// For so long the service is asked again while it gives no answer.
const PATIENCE: Duration = Duration::from_secs(50);

/// So many are under way at most: each has a thread of its own.
const MOST: usize = 32;

/// The writing half of the API: payouts and transfers.
///
/// Each is written down before the service is asked, and its outcome before Connectivity is answered. While one is under
/// way, whoever asks for it again waits for the same answer.
#[derive(Debug)]
pub(super) struct Desk {
    client: Arc<ServiceClient>,
    journal: Mutex<Journal>,
    under_way: Mutex<HashMap<String, UnderWay>>,
    /// Cloned into each thread; the other end is disconnected when this one and they are gone.
    working: Mutex<Option<Sender<()>>>,
    worked: Receiver<()>,
}

#[derive(Debug)]
struct UnderWay {
    kind: Initiation,
    json: String,
    waiting: Vec<Responder>,
}

impl Desk {
    /// A desk that forwards to that service.
    pub fn new(journal: Journal, client: Arc<ServiceClient>) -> Desk {
        let (working, worked) = bounded(0);
        Desk {
            client,
            journal: Mutex::new(journal),
            under_way: Mutex::default(),
            working: Mutex::new(Some(working)),
            worked,
        }
    }

    /// Takes a request, which is answered when its outcome is known.
    pub fn take(self: &Arc<Desk>, kind: Initiation, body: &[u8], responder: Responder) {
        let request = match InitiationRequest::read(body) {
            Ok(request) => request,
            Err(invalid) => {
                return responder.answer(Response::error(
                    400,
                    "Bad Request",
                    &format!("{invalid}."),
                ));
            }
        };
        let mut under_way = self.under_way();
        let is_full = under_way.len() >= MOST;
        match under_way.get_mut(&request.idempotency_key) {
            Some(known) if known.kind != kind || !same_content(&known.json, &request.json) => {
                return responder.answer(different(&request));
            }
            Some(known) => return known.waiting.push(responder),
            None if is_full => {
                let detail = format!("{MOST} payouts and transfers are under way; ask again.");
                return responder.answer(unavailable("Too Many At Once", &detail));
            }
            None => {}
        }
        let Some(working) = lock(&self.working).clone() else {
            return responder.answer(unavailable("Shutting Down", "Ask again when it is up."));
        };
        let entry = UnderWay {
            kind,
            json: request.json.clone(),
            waiting: vec![responder],
        };
        under_way.insert(request.idempotency_key.clone(), entry);
        drop(under_way);
        let desk = self.clone();
        let key = request.idempotency_key.clone();
        let started = thread::Builder::new()
            .name("initiation".to_owned())
            .spawn(move || {
                let mut settled = Settled {
                    desk: &desk,
                    key: &request.idempotency_key,
                    response: None,
                };
                settled.response = Some(desk.settle(kind, &request));
                drop(settled);
                drop(working);
            });
        if let Err(error) = started {
            log::error!("cannot start a thread for a payout or transfer: {error}");
            self.under_way().remove(&key);
        }
    }

    /// Waits for those under way, until then at most. No further ones are taken.
    pub fn wait_until(&self, end: Instant) {
        lock(&self.working).take();
        let _ = self.worked.recv_deadline(end);
    }

    /// Has it made, if it is not yet, and gives the answer.
    fn settle(&self, kind: Initiation, request: &InitiationRequest) -> Response {
        let begun = lock(&self.journal).begin(kind, request);
        let (json, may_be_made) = match begun {
            Ok(Entry::Ask { json, may_be_made }) => (json, may_be_made),
            Ok(Entry::Answered(status, answer)) => {
                return Response::json(status, answer.into_bytes());
            }
            Ok(Entry::Different) => return different(request),
            Err(error) => {
                log::error!("a request for {kind} is not forwarded: {error}");
                return unavailable("Not Written Down", &error.to_string());
            }
        };
        let key = &request.idempotency_key;
        let asked = self
            .client
            .initiate(kind, &json, PATIENCE, |body| read_initiated(request, body));
        crash::point();
        let outcome = outcome(asked, may_be_made);
        let shown = escaped(key);
        match &outcome {
            Outcome::Made(initiated) => log::info!(
                "{kind}: \"{shown}\" is made, as \"{}\"",
                escaped(&initiated.id)
            ),
            Outcome::Refused(_, answer) => log::warn!(
                "{kind}: \"{shown}\" is refused by the service: {}",
                escaped(answer)
            ),
            Outcome::NotMade(error) => log::error!("{kind}: \"{shown}\" is not made: {error}"),
            Outcome::Unknown(error) => log::error!(
                "{kind}: whether \"{shown}\" is made is unknown: {error}; the service is asked again when Connectivity asks \
                 again under the same idempotencyKey"
            ),
        }
        if let Err(error) = lock(&self.journal).end(key, &outcome) {
            log::error!("{kind}: the outcome of \"{shown}\" is not written down: {error}");
            let detail =
                format!("The service has answered, but its answer cannot be written down: {error}");
            return unavailable("Not Written Down", &detail);
        }
        match outcome {
            Outcome::Made(initiated) => Response::json(201, initiated.json.into_bytes()),
            Outcome::Refused(status, answer) => Response::json(status, answer.into_bytes()),
            Outcome::NotMade(error) => unavailable("Not Made", &error),
            Outcome::Unknown(error) => unavailable("Outcome Unknown", &error),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        lock(&self.under_way)
    }
}

/// An initiation that is being settled. When it is dropped, whatever has happened, its key is free again and nobody waits.
struct Settled<'a> {
    desk: &'a Desk,
    key: &'a str,
    response: Option<Response>,
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        let under_way = self.desk.under_way().remove(self.key);
        let waiting = under_way
            .into_iter()
            .flat_map(|under_way| under_way.waiting);
        // Without a response, the responders answer that something failed.
        for responder in waiting {
            match &self.response {
                Some(response) => responder.answer(response.clone()),
                None => drop(responder),
            }
        }
    }
}

/// What the service's answer means, if it may have been made before this was asked.
fn outcome(asked: Result<Initiated, NotInitiated>, may_be_made_before: bool) -> Outcome {
    let (error, may_be_made) = match asked {
        Ok(initiated) => return Outcome::Made(initiated),
        Err(NotInitiated { error, may_be_made }) => (error, may_be_made || may_be_made_before),
    };
    match &error {
        // A conflict may be with what an earlier try has made: a service should answer with that, and not all do. A
        // method that is not allowed is a service without payouts; locked and too early are for later.
        psp::Error::Refused { status, body, .. }
            if match status {
                405 | 423 | 425 => false,
                409 => !may_be_made,
                _ => true,
            } =>
        {
            let (title, detail) = match body {
                Some(body) => (body.title.clone(), body.detail.clone()),
                None => (
                    "Refused".to_owned(),
                    format!("The service answered {status}."),
                ),
            };
            Outcome::Refused(
                *status,
                json!({ "Title": title, "Detail": detail }).to_string(),
            )
        }
        _ if may_be_made => Outcome::Unknown(error.to_string()),
        _ => Outcome::NotMade(error.to_string()),
    }
}

fn different(request: &InitiationRequest) -> Response {
    let detail = format!(
        "Another request has been made with the idempotencyKey \"{}\".",
        escaped(&request.idempotency_key)
    );
    Response::error(409, "Conflict", &detail)
}

/// Formance asks again when it is told so, with the same key. Any 4xx would be the end of it there.
fn unavailable(title: &str, detail: &str) -> Response {
    Response::error(503, title, detail).with_header("Retry-After", "10")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
