use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ureq::http::Method;

use super::target::{Ask, Finding, Settings as TargetSettings, Target};
use super::{DeliveryError, Publisher, change_line};
use crate::secret::Rotating;
use crate::store::{Change, ChangeLog, Delivered};

/// What a header's value cannot carry, and `%`, which stands for it.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

const FIX_OF_KEY: &str = "the target refuses the key; put the right one into \"apiKey\" or its file, which is read again then";

/// Where to POST to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL and how to reach it.
    pub target: TargetSettings,
    /// The bearer key, if there is one.
    pub key: Option<Rotating>,
}

/// POSTs change lines to a URL, in gzip.
///
/// Each batch has an `Idempotency-Key`, `<connector>/<state id>/<first seq>-<last seq>`. Where a batch ends is stored
/// before it is sent for the first time, so a batch that is sent again, after a crash or a lost answer, has the same
/// key and the same content.
#[derive(Debug)]
pub struct HttpPublisher {
    name: String,
    url: String,
    target: Target,
    key: Option<Rotating>,
    /// None until delivery begins.
    state_id: Option<String>,
}

impl HttpPublisher {
    /// A publisher to that URL.
    pub fn new(name: &str, settings: Settings) -> HttpPublisher {
        HttpPublisher {
            name: name.to_owned(),
            target: Target::new(&settings.target, 1),
            url: settings.target.url,
            key: settings.key,
            state_id: None,
        }
    }

    /// Looks at the target without delivering anything: whether it answers, and whether it takes the key.
    pub fn check(&self) -> Vec<Finding> {
        let key = self.key.as_ref().map(Rotating::current);
        let authorization = key.as_ref().map(|key| format!("Bearer {}", key.expose()));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("Authorization", value.as_str()))
            .collect();
        let answered = self.target.ask(Ask {
            method: &Method::HEAD,
            url: &self.url,
            headers: &headers,
            body: b"",
            secret: key.as_ref(),
        });
        let result = match answered {
            Err(error) => Err(error.to_string()),
            Ok(answer) => match answer.status {
                300..=399 | 401 | 403 => Err(answer.down(FIX_OF_KEY).to_string()),
                500..=599 => Err(answer.told()),
                _ => Ok(format!(
                    "{}; whether it takes a POST shows when the first changes are delivered",
                    answer.told()
                )),
            },
        };
        vec![Finding::new("url", result)]
    }

    /// Sends a batch, once more if the key was rotated.
    fn send(&self, idempotency_key: &str, body: &[u8]) -> Result<(), DeliveryError> {
        let mut key = self.key.as_ref().map(Rotating::current);
        loop {
            let authorization = key.as_ref().map(|key| format!("Bearer {}", key.expose()));
            let mut headers = vec![
                ("Content-Type", "application/x-ndjson"),
                ("Content-Encoding", "gzip"),
                ("Idempotency-Key", idempotency_key),
            ];
            if let Some(authorization) = &authorization {
                headers.push(("Authorization", authorization));
            }
            let answer = self.target.ask(Ask {
                method: &Method::POST,
                url: &self.url,
                headers: &headers,
                body,
                secret: key.as_ref(),
            })?;
            match answer.status {
                200..=299 => return Ok(()),
                400 | 413 | 422 => return Err(DeliveryError::Refused(answer.told())),
                401 | 403 => {
                    let rotated = key
                        .as_ref()
                        .zip(self.key.as_ref())
                        .and_then(|(refused, key)| key.rotated(refused, "the target"));
                    match rotated {
                        Some(rotated) => key = Some(rotated),
                        None => return Err(answer.down(FIX_OF_KEY)),
                    }
                }
                _ => return Err(answer.down(FIX_OF_KEY)),
            }
        }
    }
}

impl Publisher for HttpPublisher {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "http"
    }

    fn keeps_batches(&self) -> bool {
        true
    }

    fn resume(&mut self, log: &ChangeLog, stored: i64) -> Result<i64, DeliveryError> {
        self.state_id = Some(log.state_id()?);
        Ok(stored)
    }

    fn deliver(&mut self, log: &ChangeLog, changes: &[Change]) -> Result<Delivered, DeliveryError> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return Ok(Delivered::default());
        };
        let connector = utf8_percent_encode(log.connector(), NOT_IN_HEADERS);
        let state_id = self.state_id.as_deref().unwrap_or_default();
        let idempotency_key = format!("{connector}/{state_id}/{}-{}", first.seq, last.seq);
        let mut lines = Vec::new();
        for change in changes {
            change_line::write(&mut lines, log.connector(), change);
        }
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        let body = body
            .write_all(&lines)
            .and_then(|()| body.finish())
            .map_err(|error| DeliveryError::down(format!("cannot compress a batch: {error}")))?;
        self.send(&idempotency_key, &body)?;
        Ok(Delivered::default())
    }
}
