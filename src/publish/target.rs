//! What publishers that push over HTTP share: one request to the target, and its answer in words.

use ureq::http::Method;

use super::DeliveryError;
use crate::api::{ErrorBody, escaped};
use crate::transport::{Answer, Credential, NoAnswer, OutgoingRequest, Transport, Unread};

/// Bytes. The longest answer is a list of connectors with their configurations.
const BODY_LIMIT: u64 = 4 << 20;
/// Characters. How much of a body an error shows if the body is not an error object of a known form.
const SHOWN: usize = 200;

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

/// Sends a request. An error if there is no complete answer.
pub(super) fn exchange(
    transport: &Transport,
    request: OutgoingRequest,
) -> Result<Answer, DeliveryError> {
    let answer = transport.exchange(request)?;
    match answer.body {
        Err(Unread::Cut(cut)) => Err(cut.into()),
        // A body that is too large does not matter: the status says what happened to the request.
        _ => Ok(answer),
    }
}

impl From<NoAnswer> for DeliveryError {
    fn from(no_answer: NoAnswer) -> DeliveryError {
        DeliveryError::down(no_answer.to_string())
    }
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
    let told = format!("{} answered {}", answer.request, answer.status);
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
