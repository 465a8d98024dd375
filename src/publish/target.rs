use std::time::Duration;

use ureq::http::{Method, Request};

use super::DeliveryError;
use crate::api::{ErrorBody, Timestamp, escaped};
use crate::secret::Secret;
use crate::transport::{self, Transport, header, retry_after};

/// Bytes. What is read of an answer: the longest is a list of connectors with their configurations.
const ANSWER_LIMIT: u64 = 4 << 20;
/// Characters of a text that is no error object of a known form, as an error shows it.
const SHOWN: usize = 200;

/// How to reach a target.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL, without a trailing slash.
    pub url: String,
    /// The deadline of one request.
    pub request_timeout: Duration,
    /// The certificates to trust instead of the Mozilla roots.
    pub root_certificates: Option<Vec<ureq::tls::Certificate<'static>>>,
    /// The proxy, if one is configured. The environment is not asked.
    pub proxy: Option<ureq::Proxy>,
}

/// Something that `check` has looked at.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was found, or what is wrong and how to mend it.
    pub result: Result<String, String>,
}

impl Finding {
    pub(super) fn new(what: &str, result: Result<String, String>) -> Finding {
        Finding {
            what: what.to_owned(),
            result,
        }
    }
}

/// The connections to a target.
#[derive(Debug)]
pub(super) struct Target(Transport);

/// What is asked of a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub method: &'a Method,
    pub url: &'a str,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: &'a [u8],
    /// What the request carries that no error may show, should the target's answer repeat it.
    pub secret: Option<&'a Secret>,
}

/// A complete answer of any status.
#[derive(Debug)]
pub(super) struct Answer {
    /// Method and URL.
    request: String,
    pub status: u16,
    pub body: Vec<u8>,
    /// The target's clock.
    pub date: Option<Timestamp>,
    wait: Option<Duration>,
    location: String,
}

impl Target {
    /// Connects to nothing yet. So many connections are kept open.
    pub fn new(settings: &Settings, connections: usize) -> Target {
        Target(Transport::new(transport::Settings {
            timeout: settings.request_timeout,
            connections,
            root_certificates: settings.root_certificates.clone(),
            proxy: settings.proxy.clone(),
            is_secure: settings.url.starts_with("https:"),
            address_key: "url",
        }))
    }

    /// Makes one request. An error if there is no complete answer.
    pub fn ask(&self, ask: Ask) -> Result<Answer, DeliveryError> {
        // A query is long, and may hold a key.
        let address = ask.url.split('?').next().unwrap_or_default();
        let request = format!("{} {}", ask.method, escaped(address));
        let down = |error: &ureq::Error| {
            let cause = self.0.explain(error).cause;
            DeliveryError::down(format!("{request}: {cause}"))
        };
        let mut builder = Request::builder().method(ask.method).uri(ask.url);
        for (name, value) in ask.headers {
            builder = builder.header(*name, *value);
        }
        let sent = match *ask.method {
            Method::GET | Method::HEAD => builder
                .body(())
                .map_err(ureq::Error::Http)
                .and_then(|request| self.0.agent().run(request)),
            _ => builder
                .body(ask.body)
                .map_err(ureq::Error::Http)
                .and_then(|request| self.0.agent().run(request)),
        };
        let mut response = sent.map_err(|error| down(&error))?;
        let date = header(&response, "date").and_then(Timestamp::parse_http);
        let wait = header(&response, "retry-after")
            .and_then(|value| retry_after(value, date.unwrap_or_else(Timestamp::now)));
        let location = escaped(header(&response, "location").unwrap_or_default());
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT)
            .read_to_vec();
        let body = match body {
            Ok(body) if status < 300 => body,
            Ok(body) => without(body, ask.secret),
            // The status says what became of the request.
            Err(ureq::Error::BodyExceedsLimit(_)) => Vec::new(),
            Err(error) => return Err(down(&error)),
        };
        Ok(Answer {
            request,
            status,
            body,
            date,
            wait,
            location,
        })
    }
}

/// A body without a secret.
fn without(body: Vec<u8>, secret: Option<&Secret>) -> Vec<u8> {
    match secret
        .map(Secret::expose)
        .filter(|secret| !secret.is_empty())
    {
        Some(secret) => String::from_utf8_lossy(&body)
            .replace(secret, "[redacted]")
            .into_bytes(),
        None => body,
    }
}

impl Answer {
    /// The request and what was answered, in words.
    pub fn told(&self) -> String {
        format!("{} answered {}{}", self.request, self.status, self.said())
    }

    /// What the body says.
    fn said(&self) -> String {
        let said = match (FormanceError::read(&self.body), ErrorBody::read(&self.body)) {
            (Some(error), _) => error.to_string(),
            (None, Some(body)) => body.to_string(),
            (None, None) => {
                let text = String::from_utf8_lossy(&self.body);
                escaped(&text.trim().chars().take(SHOWN).collect::<String>())
            }
        };
        match said.is_empty() {
            true => said,
            false => format!(" ({said})"),
        }
    }

    /// The target as down, because of this answer. `fix` says what to do about a refused key.
    pub fn down(&self, fix: &str) -> DeliveryError {
        let told = self.told();
        let reason = match self.status {
            300..=399 => format!(
                "{told}, a redirect to \"{}\", which is not followed because it would take the key along; set \"url\" to where \
                 the target really is",
                self.location
            ),
            401 | 403 => format!("{told}: {fix}"),
            404 | 405 => format!("{told}: is \"url\" right?"),
            _ => told,
        };
        DeliveryError::Down {
            reason,
            wait: self.wait,
        }
    }
}

/// What the Payments API says in the body of an error.
#[derive(Debug, serde::Deserialize)]
pub(super) struct FormanceError {
    #[serde(rename = "errorCode")]
    pub code: String,
    #[serde(rename = "errorMessage", default)]
    pub message: String,
}

impl FormanceError {
    /// Reads the body; none if it is no such object.
    pub fn read(body: &[u8]) -> Option<FormanceError> {
        serde_json::from_slice(body).ok()
    }
}

impl std::fmt::Display for FormanceError {
    /// On one line, safe to log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", escaped(&self.code), escaped(&self.message))
    }
}
