use std::time::{Duration, Instant};

use ureq::http::Method;

use super::Settings;
use super::pace::Pace;
use crate::api;
use crate::secret::Secret;
use crate::stop::Stop;
use crate::transport::{Answer, Credential, NoAnswer, OutgoingRequest, Transport};

/// Bytes. An error is judged as a whole.
const ERROR_BODY_LIMIT: u64 = 64 * 1024;

/// A client that sends single requests and returns every answer as it is. It has the connections, the limits and the pace
/// of [`ServiceClient`](super::ServiceClient), but never tries again.
#[derive(Debug)]
pub struct Probe {
    transport: Transport,
    settings: Settings,
    pace: Pace,
    stop: Stop,
}

/// A request of a [`Probe`].
#[derive(Debug, Clone)]
pub struct ProbeRequest<'a> {
    /// The path and the query, behind the endpoint.
    pub path: &'a str,
    /// What it authenticates with.
    pub key: ProbeKey,
    /// The codings that the answer may have.
    pub accept_encoding: &'a str,
    /// The JSON that makes it a POST.
    pub json: Option<&'a str>,
}

/// What a request of a [`Probe`] authenticates with.
#[derive(Debug, Clone)]
pub enum ProbeKey {
    /// The configured key.
    Own,
    /// No key.
    None,
    /// Another key.
    Other(Secret),
}

impl Probe {
    /// Does not connect yet. Waiting ends when `stop` is requested.
    pub fn new(settings: Settings, stop: Stop) -> Probe {
        Probe {
            transport: Transport::new(&settings.transport, "endpoint"),
            pace: Pace::new(settings.max_requests_per_second),
            settings,
            stop,
        }
    }

    /// Sends a request when its turn has come. Returns the answer of any status, and how long it took. None if stopping is
    /// requested.
    pub fn send(&self, request: &ProbeRequest) -> Option<(Result<Answer, NoAnswer>, Duration)> {
        if !self.pace.wait_for_turn(&self.stop) {
            return None;
        }
        let own = self.settings.api_key.current();
        let url = format!("{}{}", self.settings.endpoint, request.path);
        let headers = headers(request);
        let since = Instant::now();
        let answer = self
            .transport
            .exchange(self.outgoing(request, &url, &own, &headers));
        Some((answer, since.elapsed()))
    }

    /// Sends a request when its turn has come, and cuts the connection before the answer. Returns how long that took. None if
    /// stopping is requested.
    pub fn cut(&self, request: &ProbeRequest) -> Option<Duration> {
        if !self.pace.wait_for_turn(&self.stop) {
            return None;
        }
        let own = self.settings.api_key.current();
        let url = format!("{}{}", self.settings.endpoint, request.path);
        let headers = headers(request);
        let since = Instant::now();
        self.transport
            .send_and_cut(&self.outgoing(request, &url, &own, &headers));
        Some(since.elapsed())
    }

    fn outgoing<'a>(
        &self,
        request: &'a ProbeRequest<'a>,
        url: &'a str,
        own: &'a Secret,
        headers: &'a [(&'static str, &'a str)],
    ) -> OutgoingRequest<'a> {
        let method = match request.json {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        OutgoingRequest {
            name: format!("{method} {}", api::escaped(url)),
            method,
            url,
            credential: match &request.key {
                ProbeKey::Own => Credential::Bearer(own),
                ProbeKey::None => Credential::None,
                ProbeKey::Other(key) => Credential::Bearer(key),
            },
            headers,
            body: request.json.map(str::as_bytes),
            timeout: None,
            body_limit: self.settings.max_body_bytes,
            error_body_limit: ERROR_BODY_LIMIT,
        }
    }

    /// Makes every request wait that long from now, as the service asked.
    pub fn hold(&self, wait: Duration) {
        self.pace.hold(wait);
    }

    /// The request to stop that ends its waits.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Waits. False if stopping is requested first.
    pub fn wait(&self, time: Duration) -> bool {
        !self.stop.wait(time)
    }

    /// When the certificate of the service expires, if one was seen.
    pub fn certificate_expiry(&self) -> Option<api::Timestamp> {
        self.settings.transport.trust.expires_at()
    }

    /// How many connections to the service were made so far.
    pub fn connections_made(&self) -> u64 {
        self.transport.connections_made()
    }

    /// The configured key.
    pub fn key(&self) -> Secret {
        self.settings.api_key.current()
    }

    /// The base URL of the service, without a trailing slash.
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// How many requests a poll sends at once.
    pub fn workers(&self) -> usize {
        self.settings.transport.connections
    }
}

fn headers<'a>(request: &ProbeRequest<'a>) -> Vec<(&'static str, &'a str)> {
    let mut headers = vec![("Accept-Encoding", request.accept_encoding)];
    headers.extend(request.json.map(|_| ("Content-Type", "application/json")));
    headers
}
