use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ureq::http::Method;

use super::target::{self, Target, TargetFinding};
use super::{DeliveryError, Publisher, change_line};
use crate::api::ContentHash;
use crate::secret::{Rotating, SecretUrl};
use crate::store::{Change, Delivered, PublisherState};
use crate::transport::{self, Credential, OutgoingRequest};

/// The bytes that the value of a header cannot carry, and `%`, which escapes them.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

const FIX_OF_KEY: &str = "the target refuses the key; put the right one into \"apiKey\" or its file, which is then \
    read again";

/// Where to POST to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL.
    pub url: SecretUrl,
    /// The bearer key, if there is one.
    pub key: Option<Rotating>,
    /// How to reach the URL.
    pub transport: transport::Settings,
}

/// POSTs change lines to a URL, in gzip.
///
/// Each batch has an `Idempotency-Key`, `<connector>/<state id>/<first seq>-<last seq>-<hash of its lines>`. The end of a
/// batch is stored before the batch is first sent. So a batch that is sent again, after a crash or a lost answer, has the
/// same key and the same content. A state that was put back cannot use a key again for other content.
#[derive(Debug)]
pub struct HttpPublisher {
    url: SecretUrl,
    target: Target,
    key: Option<Rotating>,
    /// None until delivery begins.
    state_id: Option<String>,
}

impl HttpPublisher {
    /// A publisher to that URL.
    pub fn new(settings: Settings) -> HttpPublisher {
        HttpPublisher {
            url: settings.url,
            target: Target::new(&settings.transport),
            key: settings.key,
            state_id: None,
        }
    }

    /// Looks at the target without delivering anything: whether it answers, and whether it accepts the key.
    pub fn check(&self) -> Vec<TargetFinding> {
        let key = self.key.as_ref().map(Rotating::current);
        let request = OutgoingRequest {
            credential: key.as_ref().map_or(Credential::None, Credential::Bearer),
            ..target::request(Method::HEAD, self.url.expose())
        };
        let result = match self.target.exchange(&request) {
            Err(error) => Err(error.to_string()),
            Ok(answer) => match answer.status {
                300..=399 | 401 | 403 => Err(target::down(&answer, FIX_OF_KEY).to_string()),
                500..=599 => Err(target::in_words(&answer)),
                _ => Ok(format!(
                    "{}; whether it accepts a POST is known at the first delivery",
                    target::in_words(&answer)
                )),
            },
        };
        vec![TargetFinding::new("url", result)]
    }

    /// Sends a batch, once more if the key was rotated.
    fn send(&self, idempotency_key: &str, body: &[u8]) -> Result<(), DeliveryError> {
        let mut key = self.key.as_ref().map(Rotating::current);
        loop {
            let request = OutgoingRequest {
                credential: key.as_ref().map_or(Credential::None, Credential::Bearer),
                headers: &[
                    ("Content-Type", "application/x-ndjson"),
                    ("Content-Encoding", "gzip"),
                    ("Idempotency-Key", idempotency_key),
                ],
                body: Some(body),
                ..target::request(Method::POST, self.url.expose())
            };
            let answer = self.target.exchange(&request)?;
            match answer.status {
                200..=299 => return Ok(()),
                400 | 413 | 422 => return Err(DeliveryError::Refused(target::in_words(&answer))),
                401 | 403 => {
                    let rotated = key
                        .as_ref()
                        .zip(self.key.as_ref())
                        .and_then(|(refused, key)| key.rotated(refused, "the target"));
                    match rotated {
                        Some(rotated) => key = Some(rotated),
                        None => return Err(target::down(&answer, FIX_OF_KEY)),
                    }
                }
                _ => return Err(target::down(&answer, FIX_OF_KEY)),
            }
        }
    }
}

impl Publisher for HttpPublisher {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn keeps_batches(&self) -> bool {
        true
    }

    fn resume(&mut self, state: &PublisherState, stored: i64) -> Result<i64, DeliveryError> {
        self.state_id = Some(state.log.state_id()?);
        Ok(stored)
    }

    fn deliver(
        &mut self,
        state: &PublisherState,
        changes: &[Change],
    ) -> Result<Delivered, DeliveryError> {
        let log = &state.log;
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return Ok(Delivered::default());
        };
        let connector = utf8_percent_encode(&log.connector, NOT_IN_HEADERS);
        let state_id = self.state_id.as_deref().unwrap_or_default();
        let mut lines = Vec::new();
        for change in changes {
            change_line::write(&mut lines, &log.connector, change);
        }
        let hash = ContentHash::of(&lines).short();
        let idempotency_key = format!("{connector}/{state_id}/{}-{}-{hash}", first.seq, last.seq);
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        let body = body
            .write_all(&lines)
            .and_then(|()| body.finish())
            .map_err(|error| DeliveryError::down(format!("cannot compress a batch: {error}")))?;
        self.send(&idempotency_key, &body)?;
        self.target.report_repeated(&state.name);
        Ok(Delivered::default())
    }
}
