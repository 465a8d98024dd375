use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::exchange::{ShownAnswer, ShownExchange, ShownKey};
use super::query::ListQuery;
use super::verdict::{NotPassed, needs, wrong};
use crate::api::{PerStream, Stream, Timestamp, balances_path};
use crate::psp::{Probe, ProbeKey, ProbeRequest};
use crate::secret::redaction;
use crate::sync::lock;
use crate::transport::{Answer, AnswerHeaders, Unread};

/// How often a request is sent at most, if the service asks to wait or does not answer.
const MOST_TRIES: usize = 3;
/// How many requests may stay without an answer. Each can take as long as "requestTimeout".
const MOST_SILENCES: usize = 4;
/// The longest wait that a service is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The wait before the next try, if the service says nothing about it.
const USUAL_WAIT: Duration = Duration::from_millis(200);

/// What a check of a bound needs that lies above all that a list has shown.
const LISTENER: &str =
    "another service: generic-connector itself refuses bounds that it has not shown";

/// Bytes. A shorter key is in answers by chance.
pub(super) const SHORTEST_KEY: usize = 6;

/// Sends the requests of the checks, counts them, and keeps what was exchanged.
pub(super) struct Asker {
    probe: Probe,
    exchanges: Mutex<Vec<ShownExchange>>,
    /// How many more requests each stream may cost.
    left: PerStream<AtomicUsize>,
    /// How many requests stayed without an answer.
    silences: AtomicUsize,
    /// Bytes of the body of a success that are kept.
    kept: usize,
}

/// An answer with its body.
#[derive(Debug)]
pub(super) struct Asked {
    /// The number of its exchange.
    pub exchange: usize,
    /// The status code.
    pub status: u16,
    /// The service's clock.
    pub date: Option<Timestamp>,
    /// The headers.
    pub headers: AnswerHeaders,
    /// The whole body, decompressed; empty if it is too large.
    pub body: Vec<u8>,
    /// The body has more bytes than "maxBodyBytes" allows.
    pub is_too_large: bool,
}

/// A request whose parts are usual unless they are named.
pub(super) struct CheckRequest<'a> {
    /// The path and the query, behind the endpoint.
    pub path: &'a str,
    /// What it authenticates with.
    pub key: ProbeKey,
    /// The codings that the answer may have.
    pub accept_encoding: &'a str,
    /// The JSON that makes it a POST.
    pub json: Option<&'a str>,
    /// What is asked for, if it is part of the API.
    pub call: Option<Stream>,
}

impl<'a> CheckRequest<'a> {
    /// A GET with the configured key, outside the API.
    pub fn path(path: &'a str) -> CheckRequest<'a> {
        CheckRequest {
            path,
            key: ProbeKey::Own,
            accept_encoding: "gzip",
            json: None,
            call: None,
        }
    }

    fn of_probe(&self) -> ProbeRequest<'a> {
        ProbeRequest {
            path: self.path,
            key: self.key.clone(),
            accept_encoding: self.accept_encoding,
            json: self.json,
        }
    }
}

impl Asker {
    /// `most` says how many requests each stream may cost, `kept` how many bytes of a
    /// success are kept.
    pub fn new(probe: Probe, most: PerStream<usize>, kept: usize) -> Asker {
        Asker {
            probe,
            exchanges: Mutex::default(),
            left: PerStream::from_fn(|stream| AtomicUsize::new(most[stream])),
            silences: AtomicUsize::new(0),
            kept,
        }
    }

    /// The client.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// What was exchanged so far.
    pub fn exchanges(&self) -> std::sync::MutexGuard<'_, Vec<ShownExchange>> {
        lock(&self.exchanges)
    }

    /// How many requests were sent so far.
    pub fn count(&self) -> usize {
        lock(&self.exchanges).len()
    }

    /// Asks for a page of a list.
    pub fn list(&self, query: &ListQuery) -> Result<Asked, NotPassed> {
        let path = query.path();
        self.ask(&CheckRequest {
            call: Some(query.stream()),
            ..CheckRequest::path(&path)
        })
    }

    /// Asks for an account's balances.
    pub fn balances(&self, account_id: &str) -> Result<Asked, NotPassed> {
        self.balances_at(&balances_path(account_id))
    }

    /// Asks for balances at that path.
    pub fn balances_at(&self, path: &str) -> Result<Asked, NotPassed> {
        self.ask(&CheckRequest {
            call: Some(Stream::Balances),
            ..CheckRequest::path(path)
        })
    }

    /// Sends a request, again if the service asks to wait or does not answer.
    pub fn ask(&self, ask: &CheckRequest) -> Result<Asked, NotPassed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let is_last = tries == MOST_TRIES;
            match self.ask_once(ask)? {
                Ok(asked) if asked.is_of_a_listener() => return Err(needs(LISTENER)),
                Ok(asked) if matches!(asked.status, 429 | 503) && !is_last => {
                    let wait = self.retry_after(&asked).unwrap_or(USUAL_WAIT);
                    self.probe.hold(wait.min(LONGEST_WAIT));
                }
                Ok(asked) => return Ok(asked),
                Err((exchange, error)) if is_last || self.is_silent() => {
                    return Err(wrong(error, &[exchange]));
                }
                Err(_) => {
                    if !self.probe.wait(USUAL_WAIT) {
                        return Err(stopped());
                    }
                }
            }
        }
    }

    /// Sends a request and cuts the connection before the answer.
    pub fn cut(&self, ask: &CheckRequest) -> Result<(), NotPassed> {
        let started = Timestamp::now();
        let elapsed = self.probe.cut(&ask.of_probe()).ok_or_else(stopped)?;
        let answer = Err("the connection was cut on purpose".to_owned());
        self.remember(ask, started, elapsed, answer);
        Ok(())
    }

    /// Whether the service has left too many requests without an answer.
    fn is_silent(&self) -> bool {
        self.silences.load(Relaxed) >= MOST_SILENCES
    }

    /// Sends a request once. The inner error is why there is no answer, with the number of the exchange.
    pub fn ask_once(
        &self,
        ask: &CheckRequest,
    ) -> Result<Result<Asked, (usize, String)>, NotPassed> {
        if let Some(stream) = ask.call {
            let taken =
                self.left[stream].fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            if taken.is_err() {
                return Err(needs("more requests than one check run may send"));
            }
        }
        if self.is_silent() {
            return Err(needs("a service that answers"));
        }
        let started = Timestamp::now();
        let (answer, elapsed) = self.probe.send(&ask.of_probe()).ok_or_else(stopped)?;
        let (read, answer) = match answer {
            Ok(answer) => {
                let has_key = self.has_key(&answer);
                let asked = Asked {
                    exchange: 0,
                    status: answer.status,
                    date: answer.date,
                    headers: answer.headers,
                    body: Vec::new(),
                    is_too_large: matches!(answer.body, Err(Unread::TooLarge)),
                };
                self.read(asked, answer.body, answer.redirects, has_key)
            }
            Err(error) => {
                self.silences.fetch_add(1, Relaxed);
                (Err(error.cause.clone()), Err(error.cause))
            }
        };
        let number = self.remember(ask, started, elapsed, answer);
        Ok(match read {
            Ok(asked) => Ok(Asked {
                exchange: number,
                ..asked
            }),
            Err(error) => Err((number, error)),
        })
    }

    /// Keeps an exchange for the report, and returns its number.
    fn remember(
        &self,
        ask: &CheckRequest,
        started: Timestamp,
        elapsed: Duration,
        answer: Result<ShownAnswer, String>,
    ) -> usize {
        let mut exchanges = lock(&self.exchanges);
        exchanges.push(ShownExchange {
            url: format!("{}{}", self.probe.endpoint(), ask.path),
            key: ShownKey::of(&ask.key),
            accept_encoding: ask.accept_encoding.to_owned(),
            json: ask.json.map(str::to_owned),
            call: ask.call,
            started,
            elapsed,
            answer,
        });
        exchanges.len() - 1
    }

    fn read(
        &self,
        asked: Asked,
        body: Result<Vec<u8>, Unread>,
        redirects: u32,
        has_key: bool,
    ) -> (Result<Asked, String>, Result<ShownAnswer, String>) {
        let body = match body {
            Ok(body) => body,
            Err(Unread::TooLarge) => Vec::new(),
            Err(Unread::Cut(cut)) => return (Err(cut.cause.clone()), Err(cut.cause)),
        };
        // What errors say is judged in the end.
        let kept = if asked.status >= 400 {
            usize::MAX
        } else {
            self.kept
        };
        let redacted = redaction::in_message(&body);
        let shown = redacted.as_deref().unwrap_or(&body);
        let answer = ShownAnswer {
            status: asked.status,
            headers: asked.headers.all().collect(),
            body: shown[..shown.len().min(kept)].to_vec(),
            length: body.len(),
            redirects,
            header_bytes: asked.headers.bytes(),
            has_key,
        };
        (Ok(Asked { body, ..asked }), Ok(answer))
    }

    /// Whether the answer repeats the key. What was replaced on the way here is marked.
    fn has_key(&self, answer: &Answer) -> bool {
        let key = self.probe.key();
        if key.expose().len() < SHORTEST_KEY {
            return false;
        }
        let is_in = |text: &str| text.contains(redaction::MARK) || text.contains(key.expose());
        let body = String::from_utf8_lossy(answer.body_or_empty());
        answer.redacted || is_in(&body) || answer.headers.all().any(|(_, value)| is_in(&value))
    }

    fn retry_after(&self, asked: &Asked) -> Option<Duration> {
        let value = asked.headers.get("retry-after")?;
        crate::transport::retry_after(&value, asked.date.unwrap_or_else(Timestamp::now))
    }
}

impl Asked {
    /// Whether it is how this program's listener refuses a bound above all that it has shown.
    fn is_of_a_listener(&self) -> bool {
        let is_refusal = self.status == 503;
        is_refusal && String::from_utf8_lossy(&self.body).contains("asks with the bound")
    }

    /// The answer in a few words, for a verdict.
    pub fn in_words(&self) -> String {
        let body = super::exchange::shown(&self.body);
        if self.is_too_large {
            format!(
                "{} with more bytes than \"maxBodyBytes\" allows",
                self.status
            )
        } else if body.is_empty() {
            format!("{} without a body", self.status)
        } else {
            format!("{} {body}", self.status)
        }
    }
}

fn stopped() -> NotPassed {
    needs("a run that is not stopped")
}
