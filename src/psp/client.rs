use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::latency::Latencies;
use super::pace::Pace;
use super::{Error, echo};
use crate::api::{self, Initiation, Page, Query, Record, Second, Stream, Timestamp, Unusable};
use crate::metrics::{Counters, NO_STATUS};
use crate::secret::{Rotating, Secret};
use crate::stop::Stop;
use crate::transport::{
    self, Answer, Credential, Decision, LargeBody, NoAnswer, OutgoingRequest, Retry, RetryBudget,
    Transport, Unread,
};

/// Bytes. People read the body of an error.
const ERROR_BODY_LIMIT: u64 = 64 * 1024;

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base URL, without a trailing slash.
    pub endpoint: String,
    /// The bearer key, read again when the service refuses it.
    pub api_key: Rotating,
    /// The most bytes that the body of an answer may have, decompressed.
    pub max_body_bytes: u64,
    /// The most requests a second across all workers, if there is a limit.
    pub max_requests_per_second: Option<f64>,
    /// The connections, one for each worker.
    pub transport: transport::Settings,
}

/// One page of a list, and the service's clock.
#[derive(Debug)]
pub struct ListPage {
    /// The page.
    pub page: Page,
    /// The answer's `Date`, or our time if it has none.
    pub clock: Timestamp,
    /// Lets no other large answer into memory before this one is gone.
    pub large: Option<LargeBody>,
    /// Whether a redirect led to it.
    pub redirected: bool,
}

/// The client of the service. The workers share it by reference, and with it the connections, the pace and the counts.
#[derive(Debug)]
pub struct ServiceClient {
    transport: Transport,
    settings: Settings,
    pace: Pace,
    stop: Stop,
    requests: AtomicU64,
    retries: AtomicU64,
    latencies: Latencies,
    budget: RetryBudget,
    counters: Arc<Counters>,
}

/// No try of a request gave an answer that can be used.
#[derive(Debug)]
pub struct Unanswered {
    /// Why the last one failed.
    pub error: Error,
    /// Whether the service may have done what it was asked all the same: at least one try does not rule that out.
    pub may_be_made: bool,
}

/// How hard the service is asked to make a payout or transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Again and again for that time, while there is no answer.
    Retry(Duration),
    /// Once, for that time at most.
    OneTry(Duration),
}

/// A request to the service, sent once or several times.
struct ServiceRequest<'a> {
    /// How errors name it.
    name: String,
    /// What it is counted as.
    call: &'static str,
    method: Method,
    url: String,
    json: Option<&'a str>,
    /// The most bytes that the body of its answer may have, decompressed.
    body_limit: u64,
}

/// The body of an answer with the expected status.
struct ExpectedBody {
    bytes: Vec<u8>,
    /// The answer's `Date`, or our time if it has none.
    clock: Timestamp,
    /// Whether a secret in it was replaced.
    redacted: bool,
    /// Whether a redirect led to it.
    redirected: bool,
}

/// When to stop trying.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// As a request of a poll: it keeps the pool's pace and spends the poll's retries.
    Poll,
    /// As [`Patience::Poll`], but the first failure is reported.
    OneTry,
    /// At that time. Neither the pace nor a wish that polls wait holds the request up.
    Until(Instant),
    /// As [`Patience::Until`], but the first failure is reported.
    OneTryUntil(Instant),
}

impl Patience {
    fn is_polling(self) -> bool {
        matches!(self, Patience::Poll | Patience::OneTry)
    }
}

impl ServiceClient {
    /// Does not connect yet. Waiting of any kind ends when `stop` is requested.
    pub fn new(settings: Settings, stop: Stop, counters: Arc<Counters>) -> ServiceClient {
        ServiceClient {
            transport: Transport::new(&settings.transport, "endpoint"),
            pace: Pace::new(settings.max_requests_per_second),
            settings,
            stop,
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            latencies: Latencies::default(),
            budget: RetryBudget::default(),
            counters,
        }
    }

    /// What is counted in this process.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When the certificate of the service expires, if one was seen.
    pub fn certificate_expiry(&self) -> Option<Second> {
        let expiry = self.settings.transport.trust.expires_at();
        expiry.map(Timestamp::second)
    }

    /// Asks for one page of a list.
    pub fn list(&self, stream: Stream, query: &Query) -> Result<ListPage, Error> {
        self.get_page(stream, query, Patience::Poll)
    }

    /// As [`list`](ServiceClient::list), but without a retry, and other requests do not wait if the service asks for
    /// patience: for what can be done later just as well.
    pub fn list_in_passing(&self, stream: Stream, query: &Query) -> Result<ListPage, Error> {
        self.get_page(stream, query, Patience::OneTry)
    }

    /// Asks for one account's balances. The inner error is an answer that cannot be kept as a record.
    pub fn balances(&self, account_id: &str) -> Result<Result<Record, Unusable>, Error> {
        // Every worker may hold such an answer at the same time.
        let share = self.settings.max_body_bytes / self.settings.transport.connections as u64;
        let request = self.get(Stream::Balances, &api::balances_path(account_id), share);
        let read = |body: ExpectedBody| {
            let record = api::balances_record(account_id, &body.bytes)?;
            Ok(if body.redacted {
                echo::record(record)
            } else {
                record
            })
        };
        match self.answer(&request, Patience::Poll, read) {
            Ok((record, _)) => Ok(record),
            Err(unanswered) => Err(unanswered.error),
        }
    }

    /// Asks the service to make a payout or a transfer. The request has a key under which the service makes it once.
    /// `read` takes the body of the answer.
    ///
    /// It does not queue behind a poll.
    pub fn initiate<T>(
        &self,
        kind: Initiation,
        json: &str,
        effort: Effort,
        read: impl Fn(&[u8]) -> Result<T, api::Invalid>,
    ) -> Result<T, Unanswered> {
        let limit = self.settings.max_body_bytes;
        let path = format!("/{kind}");
        let request = self.request(kind.name(), Method::POST, &path, Some(json), limit);
        let patience = match effort {
            Effort::Retry(time) => Patience::Until(Instant::now() + time),
            Effort::OneTry(time) => Patience::OneTryUntil(Instant::now() + time),
        };
        self.answer(&request, patience, |body| read(&body.bytes))
            .map(|(answer, _)| answer)
    }

    /// A poll begins: it has retries of its own, and its answers are timed.
    pub fn begin_poll(&self) {
        self.budget.refill();
        self.latencies.clear();
    }

    /// The time within which that part of the answers has come since the poll began, in percent; none if there was none.
    /// It does not count how long a request waited for its turn.
    pub fn latency(&self, percent: u64) -> Option<Duration> {
        self.latencies.percentile(percent)
    }

    /// The requests of polls so far, including retries.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// The requests of polls so far that repeated a failed one.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Closes every connection, so that requests in flight fail at once.
    pub fn abandon(&self) {
        self.transport.abandon();
    }

    fn get_page(
        &self,
        stream: Stream,
        query: &Query,
        patience: Patience,
    ) -> Result<ListPage, Error> {
        let request = self.get(stream, &query.path(stream), self.settings.max_body_bytes);
        let read = |body: ExpectedBody| {
            let page = Page::read(stream, body.bytes)?;
            let page = if body.redacted {
                echo::page(page)
            } else {
                page
            };
            Ok((page, body.clock, body.redirected))
        };
        match self.answer(&request, patience, read) {
            Ok(((page, clock, redirected), large)) => Ok(ListPage {
                page,
                clock,
                large,
                redirected,
            }),
            Err(unanswered) => Err(unanswered.error),
        }
    }

    fn get(&self, stream: Stream, path: &str, body_limit: u64) -> ServiceRequest<'static> {
        self.request(stream.name(), Method::GET, path, None, body_limit)
    }

    fn request<'a>(
        &self,
        call: &'static str,
        method: Method,
        path: &str,
        json: Option<&'a str>,
        body_limit: u64,
    ) -> ServiceRequest<'a> {
        let url = format!("{}{path}", self.settings.endpoint);
        ServiceRequest {
            name: format!("{method} {}", api::escaped(&url)),
            call,
            method,
            url,
            json,
            body_limit,
        }
    }

    /// Sends a request until `read` accepts an answer or the patience ends. What `read` makes of a large body comes with
    /// the permit to keep it in memory.
    fn answer<T>(
        &self,
        request: &ServiceRequest,
        patience: Patience,
        read: impl Fn(ExpectedBody) -> Result<T, api::Invalid>,
    ) -> Result<(T, Option<LargeBody>), Unanswered> {
        let is_polling = patience.is_polling();
        let stopped = || Error::Stopped {
            request: request.name.clone(),
        };
        let mut retry = Retry::default();
        let mut key = self.settings.api_key.current();
        let mut attempts = 0;
        let mut may_be_made = false;
        loop {
            if is_polling {
                if !self.pace.wait_for_turn(&self.stop) {
                    let error = stopped();
                    return Err(Unanswered { error, may_be_made });
                }
                self.requests.fetch_add(1, Relaxed);
            }
            attempts += 1;
            let error = match self.try_once(request, patience, attempts, &key, &read) {
                Ok(answer) => {
                    if is_polling {
                        self.budget.succeeded();
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            may_be_made |= error.leaves_open();
            let is_key_refused = matches!(error, Error::KeyRefused { .. });
            if is_key_refused
                && let Some(rotated) = self.settings.api_key.rotated(&key, "the service")
            {
                key = rotated;
            } else {
                let decision = retry.decide(error.failure(), fastrand::f64);
                let Some(wait) = self.wait_before_retry(decision, patience, &error) else {
                    return Err(Unanswered { error, may_be_made });
                };
                if self.stop.wait(wait) {
                    let error = if is_polling { stopped() } else { error };
                    return Err(Unanswered { error, may_be_made });
                }
            }
            if is_polling {
                self.retries.fetch_add(1, Relaxed);
            }
            self.counters.service.retries.add(request.call, 1);
        }
    }

    /// How long to wait before the next try; none if there is to be no other one.
    fn wait_before_retry(
        &self,
        decision: Decision,
        patience: Patience,
        error: &Error,
    ) -> Option<Duration> {
        let wait = match (patience, decision) {
            (_, Decision::GiveUp) | (Patience::OneTry | Patience::OneTryUntil(_), _) => {
                return None;
            }
            (Patience::Poll, Decision::Hold(wait)) => {
                if self.pace.hold(wait) {
                    log::info!(
                        "{error}; all requests wait {} s, as the service asked",
                        wait.as_secs()
                    );
                }
                // The pace does the waiting.
                return Some(Duration::ZERO);
            }
            (Patience::Poll, Decision::Retry(wait)) => self.budget.take().then_some(wait)?,
            (Patience::Until(_), Decision::Retry(wait) | Decision::Hold(wait)) => wait,
        };
        if let Patience::Until(deadline) = patience
            && Instant::now() + wait >= deadline
        {
            return None;
        }
        log::debug!("{error}; trying again in {} ms", wait.as_millis());
        Some(wait)
    }

    fn count(&self, call: &'static str, answer: &Result<Answer, NoAnswer>, took: Duration) {
        let service = &self.counters.service;
        let Ok(answer) = answer else {
            return service.answered(call, NO_STATUS, took);
        };
        service.answered(call, answer.status, took);
        let length = answer.body_or_empty().len();
        service.received.fetch_add(length as u64, Relaxed);
        if let Some(clock) = answer.date {
            service.clock_said(clock);
        }
        if let Some(expiry) = self.certificate_expiry() {
            service.certificate_expires(expiry);
        }
    }

    fn try_once<T>(
        &self,
        request: &ServiceRequest,
        patience: Patience,
        attempts: u32,
        key: &Secret,
        read: impl Fn(ExpectedBody) -> Result<T, api::Invalid>,
    ) -> Result<(T, Option<LargeBody>), Error> {
        let no_answer = |failure| Error::NoAnswer { failure, attempts };
        let limit = request.body_limit;
        let mut timeout = None;
        if let Patience::Until(deadline) | Patience::OneTryUntil(deadline) = patience {
            let left = deadline.saturating_duration_since(Instant::now());
            timeout = Some(self.settings.transport.request_timeout.min(left));
        }
        let headers: &[_] = match request.json {
            Some(_) => &[("Content-Type", "application/json")],
            None => &[],
        };
        let sent = Instant::now();
        let answer = self.transport.exchange(OutgoingRequest {
            name: request.name.clone(),
            method: request.method.clone(),
            url: &request.url,
            credential: Credential::Bearer(key),
            headers,
            body: request.json.map(str::as_bytes),
            timeout,
            body_limit: limit,
            error_body_limit: ERROR_BODY_LIMIT,
        });
        self.count(request.call, &answer, sent.elapsed());
        let answer = answer.map_err(no_answer)?;
        if patience.is_polling() {
            self.latencies.count(sent.elapsed());
        }
        let status = answer.status;
        let is_expected = match request.method {
            Method::GET => status == 200,
            _ => (200..300).contains(&status),
        };
        if !is_expected {
            return Err(Error::of_status(answer, attempts));
        }
        let body = match answer.body {
            Ok(body) => body,
            Err(Unread::TooLarge) => {
                let request = answer.request;
                return Err(Error::TooLarge { request, limit });
            }
            Err(Unread::Cut(cut)) => return Err(no_answer(cut)),
        };
        let body = ExpectedBody {
            bytes: body,
            clock: answer.date.unwrap_or_else(Timestamp::now),
            redacted: answer.redacted,
            redirected: answer.redirects > 0,
        };
        match read(body) {
            Ok(value) => Ok((value, answer.large)),
            Err(invalid) => Err(Error::Unreadable {
                request: answer.request,
                status,
                cause: invalid.to_string(),
                attempts,
            }),
        }
    }
}
