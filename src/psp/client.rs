use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::Error;
use super::pace::Pace;
use super::retry::{Decision, Failure, Retry, RetryBudget};
use crate::api::{self, ErrorBody, Initiation, Page, Query, Record, Stream, Timestamp, Unusable};
use crate::secret::{Rotating, Secret};
use crate::stop::Stop;
use crate::transport::{self, NoAnswer, Transport, header, retry_after};

/// Bytes. The body of an error is for people.
const ERROR_BODY_LIMIT: u64 = 64 * 1024;

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base URL, without a trailing slash.
    pub endpoint: String,
    /// The bearer key, read again when the service refuses it.
    pub api_key: Rotating,
    /// The deadline of one try of a request, from looking up the host to the body's last byte.
    pub request_timeout: Duration,
    /// The most bytes that an answer's body may have once decompressed.
    pub max_body_bytes: u64,
    /// Requests a second across all workers, if they are limited.
    pub max_requests_per_second: Option<f64>,
    /// How many connections are kept open between requests: one for each worker.
    pub connections: usize,
    /// The certificates to trust instead of the Mozilla roots.
    pub root_certificates: Option<Vec<ureq::tls::Certificate<'static>>>,
    /// The proxy, if one is configured. The environment is not asked.
    pub proxy: Option<ureq::Proxy>,
}

/// One page of a list, and the service's clock.
#[derive(Debug)]
pub struct Listed {
    /// The page.
    pub page: Page,
    /// The answer's `Date`, or our time if it has none.
    pub clock: Timestamp,
}

/// The client. Shared by reference: its connections, its pace and its counters are those of the whole pool.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    settings: Settings,
    /// The key that is sent now.
    key: Rotating,
    pace: Pace,
    stop: Stop,
    requests: AtomicU64,
    retries: AtomicU64,
    budget: RetryBudget,
}

/// A complete answer with status 200.
struct Answer {
    body: Vec<u8>,
    date: Option<Timestamp>,
}

impl Answer {
    fn page(&self, stream: Stream) -> Result<Listed, api::Invalid> {
        let clock = self.date.unwrap_or_else(Timestamp::now);
        Page::read(stream, &self.body).map(|page| Listed { page, clock })
    }
}

/// Why the service has not made what it was asked to initiate, as far as is known.
#[derive(Debug)]
pub struct NotInitiated {
    /// Why the last try failed.
    pub error: Error,
    /// Whether the service may have made it all the same: at least one try had no answer that says it did not.
    pub may_be_made: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
enum Sent<'a> {
    Get,
    /// With a body of JSON, and within that time.
    Post(&'a str, Duration),
}

/// What is done about a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It is tried again, and waits as it is asked to.
    Whole,
    /// It is reported.
    None,
}

/// A try that did not give an answer to use.
struct Failed {
    failure: Failure,
    error: Error,
}

impl Client {
    /// A client for that service. Waiting of any kind ends when `stop` is requested.
    pub fn new(settings: Settings, stop: Stop) -> Client {
        let transport = Transport::new(transport::Settings {
            timeout: settings.request_timeout,
            connections: settings.connections,
            root_certificates: settings.root_certificates.clone(),
            proxy: settings.proxy.clone(),
            is_secure: settings.endpoint.starts_with("https:"),
            address_key: "endpoint",
        });
        Client {
            transport,
            key: settings.api_key.clone(),
            pace: Pace::new(settings.max_requests_per_second),
            settings,
            stop,
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            budget: RetryBudget::default(),
        }
    }

    /// Asks for one page of a list.
    pub fn list(&self, stream: Stream, query: &Query) -> Result<Listed, Error> {
        self.get(&query.path(stream), Patience::Whole, |answer| {
            answer.page(stream)
        })
    }

    /// As [`list`](Client::list), but without a retry, and without letting other requests wait if the service asks for
    /// patience: for what can as well be done later.
    pub fn list_in_passing(&self, stream: Stream, query: &Query) -> Result<Listed, Error> {
        self.get(&query.path(stream), Patience::None, |answer| {
            answer.page(stream)
        })
    }

    /// Asks for one account's balances. The inner error is an answer that cannot be kept as a record.
    pub fn balances(&self, account_id: &str) -> Result<Result<Record, Unusable>, Error> {
        self.get(&api::balances_path(account_id), Patience::Whole, |answer| {
            api::balances_record(account_id, &answer.body)
        })
    }

    /// Asks the service to make a payout or a transfer, and tries again for `patience` while there is no answer: the
    /// request has a key under which it is made once. `read` takes the answer's body.
    ///
    /// It does not queue behind a poll: neither the pace nor the service's wish that polls wait holds it up.
    pub fn initiate<T>(
        &self,
        kind: Initiation,
        json: &str,
        patience: Duration,
        read: impl Fn(&[u8]) -> Result<T, api::Invalid>,
    ) -> Result<T, NotInitiated> {
        let url = format!("{}/{kind}", self.settings.endpoint);
        let request = format!("POST {}", api::escaped(&url));
        let deadline = Instant::now() + patience;
        let mut retry = Retry::default();
        let mut may_be_made = false;
        let mut attempts = 0;
        let mut key = self.key.current();
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let sent = Sent::Post(json, self.settings.request_timeout.min(left));
            let tried = self.try_once(sent, &url, &request, attempts, &key, |answer| {
                read(&answer.body)
            });
            let Failed { failure, error } = match tried {
                Ok(initiated) => return Ok(initiated),
                Err(failed) => failed,
            };
            may_be_made |= error.leaves_open();
            if let Error::KeyRefused { .. } = error
                && let Some(rotated) = self.key.rotated(&key, "the service")
            {
                key = rotated;
                continue;
            }
            let wait = match retry.decide(failure, fastrand::f64) {
                Decision::GiveUp => return Err(NotInitiated { error, may_be_made }),
                Decision::Retry(wait) => wait,
                // Asked to wait for no time at all, it would be asked again and again.
                Decision::Hold(wait) => wait.max(Duration::from_secs(1)),
            };
            if Instant::now() + wait >= deadline {
                return Err(NotInitiated { error, may_be_made });
            }
            log::debug!("{error}; trying again in {} ms", wait.as_millis());
            if self.stop.wait(wait) {
                return Err(NotInitiated { error, may_be_made });
            }
        }
    }

    /// A poll begins, with retries of its own.
    pub fn begin_poll(&self) {
        self.budget.refill();
    }

    /// Requests made so far, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Requests made so far because an earlier try had failed.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Cuts every connection, so that requests in flight fail at once.
    pub fn abandon(&self) {
        self.transport.abandon();
    }

    /// Makes one request, with its retries.
    fn get<T>(
        &self,
        path: &str,
        patience: Patience,
        read: impl Fn(&Answer) -> Result<T, api::Invalid>,
    ) -> Result<T, Error> {
        let url = format!("{}{path}", self.settings.endpoint);
        let request = format!("GET {}", api::escaped(&url));
        let mut retry = Retry::default();
        let mut attempts = 0;
        let mut key = self.key.current();
        loop {
            if !self.pace.wait_for_turn(&self.stop) {
                return Err(Error::Stopped { request });
            }
            attempts += 1;
            self.requests.fetch_add(1, Relaxed);
            let Failed { failure, error } =
                match self.try_once(Sent::Get, &url, &request, attempts, &key, &read) {
                    Ok(value) => {
                        self.budget.succeeded();
                        return Ok(value);
                    }
                    Err(failed) => failed,
                };
            if let Error::KeyRefused { .. } = error {
                match self.key.rotated(&key, "the service") {
                    Some(rotated) => key = rotated,
                    None => return Err(error),
                }
                self.retries.fetch_add(1, Relaxed);
                continue;
            }
            let decision = retry.decide(failure, fastrand::f64);
            let wait = match decision {
                Decision::GiveUp => return Err(error),
                _ if patience == Patience::None => return Err(error),
                Decision::Hold(wait) => {
                    if self.pace.hold(wait) {
                        log::info!("{error}; all requests wait {} s, as asked", wait.as_secs());
                    }
                    Duration::ZERO
                }
                Decision::Retry(_) if !self.budget.take() => return Err(error),
                Decision::Retry(wait) => {
                    log::debug!("{error}; trying again in {} ms", wait.as_millis());
                    wait
                }
            };
            if self.stop.wait(wait) {
                return Err(Error::Stopped { request });
            }
            self.retries.fetch_add(1, Relaxed);
        }
    }

    fn try_once<T>(
        &self,
        sent: Sent,
        url: &str,
        request: &str,
        attempts: u32,
        key: &Secret,
        read: impl Fn(&Answer) -> Result<T, api::Invalid>,
    ) -> Result<T, Failed> {
        let no_answer = |error: ureq::Error| {
            let NoAnswer { cause, sent } = self.transport.explain(&error);
            Failed {
                failure: Failure::Transient,
                error: Error::NoAnswer {
                    request: request.to_owned(),
                    cause,
                    sent,
                    attempts,
                },
            }
        };
        let authorization = format!("Bearer {}", key.expose());
        let answered = match sent {
            Sent::Get => self
                .transport
                .agent()
                .get(url)
                .header("Authorization", authorization)
                .call(),
            Sent::Post(json, timeout) => self
                .transport
                .agent()
                .post(url)
                .config()
                .timeout_global(Some(timeout))
                .build()
                .header("Authorization", authorization)
                .header("Content-Type", "application/json")
                .send(json),
        };
        let mut response = answered.map_err(no_answer)?;
        let date = header(&response, "date").and_then(Timestamp::parse_http);
        let status = response.status();
        let expected = match sent {
            Sent::Get => status == StatusCode::OK,
            Sent::Post(..) => status.is_success(),
        };
        if !expected {
            return Err(self.refusal(request, attempts, status, date, &mut response));
        }
        let limit = self.settings.max_body_bytes;
        let body = match response.body_mut().with_config().limit(limit).read_to_vec() {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let error = Error::TooLarge {
                    request: request.to_owned(),
                    limit,
                };
                return Err(Failed {
                    failure: Failure::Final,
                    error,
                });
            }
            Err(error) => return Err(no_answer(error)),
        };
        read(&Answer { body, date }).map_err(|invalid| Failed {
            failure: Failure::Transient,
            error: Error::Unreadable {
                request: request.to_owned(),
                status: status.as_u16(),
                cause: invalid.to_string(),
                attempts,
            },
        })
    }

    /// An answer with another status than 200. Its body is read to the end, so that the connection can be used again.
    fn refusal(
        &self,
        request: &str,
        attempts: u32,
        status: StatusCode,
        date: Option<Timestamp>,
        response: &mut Response<Body>,
    ) -> Failed {
        let asked_to_wait = header(response, "retry-after")
            .and_then(|value| retry_after(value, date.unwrap_or_else(Timestamp::now)));
        let location = api::escaped(header(response, "location").unwrap_or(""));
        let body = response
            .body_mut()
            .with_config()
            .limit(ERROR_BODY_LIMIT)
            .read_to_vec()
            .unwrap_or_default();
        let body = ErrorBody::read(&body);
        let request = request.to_owned();
        let (failure, error) = match status.as_u16() {
            status @ (401 | 403) => (
                Failure::Final,
                Error::KeyRefused {
                    request,
                    status,
                    body,
                },
            ),
            404 => (Failure::Final, Error::NotFound { request, body }),
            status @ 300..=399 => (
                Failure::Final,
                Error::Redirected {
                    request,
                    status,
                    location,
                },
            ),
            status @ (408 | 429 | 500..=599) => {
                let failure = match (status, asked_to_wait) {
                    (429 | 503, Some(wait)) => Failure::AskedToWait(wait),
                    _ => Failure::Transient,
                };
                (
                    failure,
                    Error::Unavailable {
                        request,
                        status,
                        body,
                        attempts,
                    },
                )
            }
            status => (
                Failure::Final,
                Error::Refused {
                    request,
                    status,
                    body,
                },
            ),
        };
        Failed { failure, error }
    }
}
