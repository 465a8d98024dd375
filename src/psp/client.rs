use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::Error;
use super::pace::Pace;
use super::resolver::CachingResolver;
use super::retry::{Decision, Failure, Retry, RetryBudget, retry_after};
use crate::api::{self, ErrorBody, Initiation, Page, Query, Record, Stream, Timestamp, Unusable};
use crate::secret::{Origin, Secret};
use crate::stop::Stop;

/// How long a connection attempt may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed before common servers and proxies do so (60 s and more).
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(50);
/// Bytes. The body of an error is for people.
const ERROR_BODY_LIMIT: u64 = 64 * 1024;

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base URL, without a trailing slash.
    pub endpoint: String,
    /// The bearer key.
    pub api_key: Secret,
    /// Where the key stands, to be read again when the service refuses it.
    pub api_key_origin: Origin,
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
    agent: Agent,
    resolver: CachingResolver,
    settings: Settings,
    /// The key that is sent now.
    key: Mutex<Secret>,
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
        let roots = match &settings.root_certificates {
            Some(certificates) => ureq::tls::RootCerts::new_with_certs(certificates),
            None => ureq::tls::RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .user_agent(concat!("generic-connector/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.request_timeout)))
            .timeout_global(Some(settings.request_timeout))
            // The key must not leave the endpoint's origin.
            .max_redirects(0)
            // A status is an answer: its body and its Retry-After are wanted.
            .http_status_as_error(false)
            .proxy(settings.proxy.clone())
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
            .max_idle_connections(settings.connections)
            .max_idle_connections_per_host(settings.connections)
            .max_idle_age(IDLE_CONNECTION_AGE)
            // The defaults, 128 KiB each, are most of a worker's memory. A header of 16 KiB must fit.
            .input_buffer_size(32 * 1024)
            .output_buffer_size(8 * 1024)
            .max_response_header_size(16 * 1024)
            .build();
        let resolver = CachingResolver::default();
        Client {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver.clone()),
            resolver,
            key: Mutex::new(settings.api_key.clone()),
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
        let mut key = self.key();
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
                && let Some(rotated) = self.rotated(&key)
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
        self.agent.clone().shutdown();
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
        let mut key = self.key();
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
                match self.rotated(&key) {
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

    fn key(&self) -> Secret {
        // A text is good whatever happened to the thread that wrote it.
        self.key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The key to try instead of a refused one, if another stands where it was read.
    fn rotated(&self, refused: &Secret) -> Option<Secret> {
        // Held while it is read, so that one request does it for all that were refused together.
        let mut current = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != *refused {
            return Some(current.clone());
        }
        // A key that cannot be read now is one that is being written: the next poll tries again.
        let read = self.settings.api_key_origin.read().ok()?;
        if read == *refused || read.problem().is_some() {
            return None;
        }
        log::info!(
            "the service refused the key, and another one stands in its place: that is sent from now on"
        );
        *current = read.clone();
        Some(read)
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
            if is_about_the_address(&error) {
                self.resolver.forget();
            }
            let cause = self.explain(&error);
            let error = Error::NoAnswer {
                request: request.to_owned(),
                cause,
                sent: !is_about_the_address(&error) && !is_about_the_name(&error),
                attempts,
            };
            Failed {
                failure: Failure::Transient,
                error,
            }
        };
        let authorization = format!("Bearer {}", key.expose());
        let answered = match sent {
            Sent::Get => self
                .agent
                .get(url)
                .header("Authorization", authorization)
                .call(),
            Sent::Post(json, timeout) => self
                .agent
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

    /// What happened and what to do about it, in words.
    fn explain(&self, error: &ureq::Error) -> String {
        let seconds = self.settings.request_timeout.as_secs_f64();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect) => {
                "no connection in time; is the host up, and does a firewall let this machine reach it?".to_owned()
            }
            ureq::Error::Timeout(ureq::Timeout::Resolve) | ureq::Error::HostNotFound => {
                "the host name cannot be looked up; check \"endpoint\" and this machine's DNS".to_owned()
            }
            ureq::Error::Timeout(_) => format!("no complete answer within {seconds} s (\"requestTimeout\")"),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused; is the service running, and is the port in \"endpoint\" right?".to_owned()
            }
            ureq::Error::Io(error) if error.to_string().contains("lookup address") => {
                format!("the host name cannot be looked up ({error}); check \"endpoint\" and this machine's DNS")
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => tls_hint(error),
            // What rustls finds wrong in what it reads.
            ureq::Error::Io(inner)
                if inner.kind() == io::ErrorKind::InvalidData && self.settings.endpoint.starts_with("https:") =>
            {
                tls_hint(error)
            }
            other => api::escaped(&other.to_string()),
        }
    }
}

fn tls_hint(error: &ureq::Error) -> String {
    let error = api::escaped(&error.to_string());
    format!(
        "TLS failed ({error}); if the service's certificate is of a private authority, set \"caFile\" to it"
    )
}

/// Whether the host's name could not be looked up.
fn is_about_the_name(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Resolve) | ureq::Error::HostNotFound => true,
        // The resolver of the system says so in words only.
        ureq::Error::Io(error) => error.to_string().contains("lookup address"),
        _ => false,
    }
}

/// Whether another address of the host might work.
fn is_about_the_address(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(timeout) => *timeout == ureq::Timeout::Connect,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        ),
        ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}
