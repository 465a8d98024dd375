//! What publishers that push over HTTP share: the requests to the target, and an answer in words.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::DeliveryError;
use super::flapping::Seldom;
use crate::api::{ErrorBody, escaped};
use crate::sync::lock;
use crate::transport::{
    self, Answer, Backoff, Credential, Decision, FailureKind, NoAnswer, OutgoingRequest, Retry,
    RetryBudget, Transport, Unread,
};

/// Bytes. The longest answer is a list of connectors with their configurations.
const BODY_LIMIT: u64 = 4 << 20;
/// Characters. How much of a body an error shows if the body is not an error object of a known form.
const SHOWN: usize = 200;
/// The longest wait before a request is sent for the third time; the second time is at once. Each further wait may be
/// twice as long. Not longer, because the whole batch waits as well.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between two tries. A stop waits for it, too.
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// A request that has failed for this long is not sent again: after time-outs, an operator is to know at once.
const LONGEST_TRYING: Duration = Duration::from_secs(5);

/// Something that `check` has looked at.
#[derive(Debug)]
pub struct TargetFinding {
    /// What was looked at.
    pub what: String,
    /// What was found, or what is wrong and how to fix it.
    pub result: Result<String, String>,
}

impl TargetFinding {
    /// What was found there.
    pub fn new(what: &str, result: Result<String, String>) -> TargetFinding {
        TargetFinding {
            what: what.to_owned(),
            result,
        }
    }
}

/// A request without credential, headers and body.
pub(super) fn request(method: Method, url: &str) -> OutgoingRequest<'_> {
    // A query is long, and may contain a key.
    let address = url.split('?').next().unwrap_or_default();
    OutgoingRequest {
        name: format!("{method} {}", escaped(address)),
        method,
        url,
        credential: Credential::None,
        headers: &[],
        body: None,
        timeout: None,
        body_limit: BODY_LIMIT,
        error_body_limit: BODY_LIMIT,
    }
}

/// The connections to a target.
///
/// A request that fails for a passing reason is sent again, so that its batch does not fail. That is safe: a target keeps
/// what arrives twice once. Retries have to be earned by answers, so a target that is down is not asked more often.
#[derive(Debug)]
pub(super) struct Target {
    transport: Transport,
    budget: RetryBudget,
    repeated: Mutex<RepeatedRequests>,
}

/// The requests that got an answer at a later try, and were not reported yet.
#[derive(Debug, Default)]
struct RepeatedRequests {
    reports: Seldom,
    /// How many there are, and why the last one failed before.
    since: Option<(u64, String)>,
}

impl Target {
    /// Does not connect yet.
    pub fn new(settings: &transport::Settings) -> Target {
        Target {
            transport: Transport::new(settings, "url"),
            budget: RetryBudget::unearned(),
            repeated: Mutex::default(),
        }
    }

    /// Sends a request, several times if it fails for a passing reason. The answer to the last try; an error if there is
    /// none, or none that is complete.
    pub fn exchange(&self, request: &OutgoingRequest) -> Result<Answer, DeliveryError> {
        let began = Instant::now();
        let mut retry = Retry::new(Backoff::new(FIRST_WAIT, LONGEST_WAIT));
        let mut before: Option<String> = None;
        loop {
            let tried = self.try_once(request.clone());
            let Some(failure) = failure(&tried) else {
                self.budget.succeeded();
                if let Some(reason) = before {
                    lock(&self.repeated).add(reason);
                }
                return Ok(tried?);
            };
            let jitter = || before.as_ref().map_or(0.0, |_| fastrand::f64());
            match retry.decide(failure, jitter) {
                Decision::Retry(wait) if began.elapsed() < LONGEST_TRYING && self.budget.take() => {
                    let reason = match tried {
                        Err(no_answer) => no_answer.to_string(),
                        // The body may repeat what was sent, such as the secret of a client.
                        Ok(answer) => answered(&answer),
                    };
                    log::debug!("{reason}; trying again in {} ms", wait.as_millis());
                    before = Some(reason);
                    thread::sleep(wait);
                }
                // If the target asks for patience, the whole publisher waits.
                Decision::GiveUp | Decision::Hold(_) | Decision::Retry(_) => {
                    self.budget.forfeit();
                    return Ok(tried?);
                }
            }
        }
    }

    /// Reports the requests that were sent again, but not often.
    pub fn report_repeated(&self, publisher: &str) {
        let mut repeated = lock(&self.repeated);
        if repeated.since.is_none() || !repeated.reports.is_due(Instant::now()) {
            return;
        }
        if let Some((requests, reason)) = repeated.since.take() {
            log::warn!(
                "publisher \"{publisher}\": the target fails now and then; requests that succeeded when they were sent \
                again: {requests}, the last one after: {reason}"
            );
        }
    }

    fn try_once(&self, request: OutgoingRequest) -> Result<Answer, NoAnswer> {
        let answer = self.transport.exchange(request)?;
        match answer.body {
            Err(Unread::Cut(cut)) => Err(cut),
            // A body that is too large does not matter: the status says what happened to the request.
            _ => Ok(answer),
        }
    }
}

impl RepeatedRequests {
    fn add(&mut self, reason: String) {
        let before = self.since.take().map_or(0, |(requests, _)| requests);
        self.since = Some((before + 1, reason));
    }
}

/// What a try means for the next one; none if the target has dealt with the request.
fn failure(tried: &Result<Answer, NoAnswer>) -> Option<FailureKind> {
    match tried {
        Err(no_answer) if no_answer.is_final => Some(FailureKind::Final),
        Err(_) => Some(FailureKind::Transient),
        Ok(answer) => match (answer.status, answer.retry_after) {
            (408 | 429 | 500.., Some(wait)) => Some(FailureKind::AskedToWait(wait)),
            (408 | 429 | 500.., None) => Some(FailureKind::Transient),
            _ => None,
        },
    }
}

impl From<NoAnswer> for DeliveryError {
    fn from(no_answer: NoAnswer) -> DeliveryError {
        DeliveryError::down(no_answer.to_string())
    }
}

/// The request and the status of its answer, in words.
fn answered(answer: &Answer) -> String {
    format!("{} answered {}", answer.request, answer.status)
}

/// The request and its answer, in words.
pub(super) fn in_words(answer: &Answer) -> String {
    let body = answer.body_or_empty();
    let said = match (FormanceError::read(body), ErrorBody::read(body)) {
        (Some(error), _) => error.to_string(),
        (None, Some(error)) => error.to_string(),
        (None, None) => {
            let text = String::from_utf8_lossy(body);
            escaped(&text.trim().chars().take(SHOWN).collect::<String>())
        }
    };
    let told = answered(answer);
    if said.is_empty() {
        told
    } else {
        format!("{told} ({said})")
    }
}

/// The target as down, because of this answer. `fix` says what to do about a refused key.
pub(super) fn down(answer: &Answer, fix: &str) -> DeliveryError {
    let told = in_words(answer);
    let reason = match answer.status {
        300..=399 => format!(
            "{told}, a redirect to \"{}\", which is not followed because the key must not go there; set \"url\" to \
            the target's real address",
            answer.location
        ),
        401 | 403 => format!("{told}: {fix}"),
        404 | 405 => format!("{told}: is \"url\" right?"),
        _ => told,
    };
    DeliveryError::Down {
        reason,
        wait: answer.retry_after,
    }
}

/// The body of an error of the Payments API.
#[derive(Debug, serde::Deserialize, thiserror::Error)]
#[error("{}: {}", escaped(code), escaped(message))]
pub(super) struct FormanceError {
    #[serde(rename = "errorCode")]
    pub code: String,
    #[serde(rename = "errorMessage", default)]
    pub message: String,
}

impl FormanceError {
    /// Reads the body; none if it is not such an object.
    pub fn read(body: &[u8]) -> Option<FormanceError> {
        serde_json::from_slice(body).ok()
    }
}
