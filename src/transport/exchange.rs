use std::mem;
use std::time::Duration;

use ureq::http::{self, Method, Request, Response};
use ureq::{AsSendBody, Body};
use zeroize::Zeroizing;

use super::no_answer::TooLong;
use super::redirect::{MOST_REDIRECTS, redirected};
use super::wire::is_stale;
use super::{AnswerHeaders, LargeBody, NoAnswer, REQUEST_BUFFER, Transport, retry_after};
use crate::api::{Timestamp, escaped};
use crate::secret::Secret;
use crate::secret::redaction;

/// One request.
#[derive(Debug, Clone)]
pub struct OutgoingRequest<'a> {
    /// How errors name it: the method and the URL, without anything that must not be shown.
    pub name: String,
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: &'a str,
    /// What it authenticates with.
    pub credential: Credential<'a>,
    /// Headers beside the credential.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body; none for a method without one.
    pub body: Option<&'a [u8]>,
    /// A deadline that replaces the transport's own.
    pub timeout: Option<Duration>,
    /// The most bytes to read of a successful answer's body, decompressed.
    pub body_limit: u64,
    /// The most bytes to read of another answer's body, decompressed.
    pub error_body_limit: u64,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, Default)]
struct SendingManner {
    /// On a new connection. The idle ones are closed: they are as old as one that has failed.
    afresh: bool,
    /// How long to wait for the answer when the request is sent, if not until its deadline. The connection is closed then.
    answer_within: Option<Duration>,
}

/// What a request authenticates with.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// Nothing.
    None,
    /// `Authorization: Bearer …`
    Bearer(&'a Secret),
    /// A secret in the body. The answer to it is another one, so the body of a success is left as it is.
    ForAnother,
}

/// An answer of any status.
#[derive(Debug)]
pub struct Answer {
    /// The request, as errors name it.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// The server's clock.
    pub date: Option<Timestamp>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// How many redirects led to it.
    pub redirects: u32,
    /// Where a redirect points that was not followed, safe to log; empty if nowhere.
    pub location: String,
    /// The headers.
    pub headers: AnswerHeaders,
    /// The whole body, decompressed, without secrets of this program.
    pub body: Result<Vec<u8>, Unread>,
    /// Whether the body is that of a success and had a secret.
    pub redacted: bool,
    /// To be kept as long as a large body, or what was made of it, is in memory.
    pub large: Option<LargeBody>,
}

/// Why the body of an answer is missing.
#[derive(Debug)]
pub enum Unread {
    /// It is longer than the limit.
    TooLarge,
    /// The connection was cut or the deadline passed while it was read.
    Cut(NoAnswer),
}

impl Transport {
    /// Sends one request and reads its answer, whatever the status. A redirect within the origin is followed for a GET.
    ///
    /// The body is always read, so that the connection can be used again.
    pub fn exchange(&self, request: OutgoingRequest) -> Result<Answer, NoAnswer> {
        let mut url = request.url.to_owned();
        let mut redirects = 0;
        loop {
            let mut response = match self.send(&request, &url) {
                Ok(response) => response,
                Err(error) => return Err(self.no_answer(request.name, &error)),
            };
            let location = header(&response, "location").unwrap_or_default();
            match redirected(&url, response.status().as_u16(), location) {
                Some(target) if request.method == Method::GET && redirects < MOST_REDIRECTS => {
                    url = target;
                    redirects += 1;
                    // What cannot be read costs the connection and nothing else.
                    let limit = request.error_body_limit;
                    let _ = response.body_mut().with_config().limit(limit).read_to_vec();
                }
                _ => return Ok(self.read(request, redirects, response)),
            }
        }
    }

    /// Sends a request on a connection of its own and cuts that when all of the request is sent. What becomes of the request is
    /// not known.
    pub fn send_and_cut(&self, request: &OutgoingRequest) {
        /// Too short for an answer.
        const PATIENCE: Duration = Duration::from_millis(1);
        let manner = SendingManner {
            afresh: true,
            answer_within: Some(PATIENCE),
        };
        if let Err(error) = self.send_once(request, request.url, manner) {
            log::debug!("{}: cut on purpose: {error}", request.name);
        }
    }

    /// Sends a request. If its pooled connection turns out to have been closed by the server, which servers may do at any
    /// time, it goes out on a new one; not so a request that must not be made twice.
    fn send(&self, request: &OutgoingRequest, url: &str) -> Result<Response<Body>, ureq::Error> {
        if let Some(problem) = too_long(request, url) {
            return Err(ureq::Error::Other(Box::new(problem)));
        }
        match self.send_once(request, url, SendingManner::default()) {
            Err(error) if is_stale(&error) && may_be_repeated(request) => {
                log::debug!("{}: {error}; sent again on a new one", request.name);
                let manner = SendingManner {
                    afresh: true,
                    ..SendingManner::default()
                };
                self.send_once(request, url, manner)
            }
            sent => sent,
        }
    }

    fn send_once(
        &self,
        request: &OutgoingRequest,
        url: &str,
        manner: SendingManner,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut builder = Request::builder().method(&request.method).uri(url);
        if let Credential::Bearer(key) = request.credential {
            let bearer = Zeroizing::new(format!("Bearer {}", key.expose()));
            builder = builder.header("Authorization", bearer.as_str());
        }
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        match request.body {
            Some(body) => self.run(builder.body(body), request.timeout, manner),
            None => self.run(builder.body(()), request.timeout, manner),
        }
    }

    fn run<B: AsSendBody>(
        &self,
        request: http::Result<Request<B>>,
        timeout: Option<Duration>,
        manner: SendingManner,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = request?;
        if timeout.is_none() && !manner.afresh {
            return self.agent.run(request);
        }
        let mut request = self.agent.configure_request(request);
        if timeout.is_some() {
            request = request.timeout_global(timeout);
        }
        if manner.afresh {
            request = request.max_idle_age(Duration::ZERO);
        }
        if manner.answer_within.is_some() {
            request = request.timeout_recv_response(manner.answer_within);
        }
        self.agent.run(request.build())
    }

    /// The one place through which everything passes that a server sends. Every secret in it is replaced here.
    fn read(
        &self,
        request: OutgoingRequest,
        redirects: u32,
        mut response: Response<Body>,
    ) -> Answer {
        let OutgoingRequest {
            name, credential, ..
        } = request;
        let status = response.status();
        let date = header(&response, "date").and_then(Timestamp::parse_http);
        let retry_after = header(&response, "retry-after")
            .and_then(|value| retry_after(value, date.unwrap_or_else(Timestamp::now)));
        let location = header(&response, "location").unwrap_or_default();
        let location = escaped(&redaction::message(location.to_owned()));
        let limit = if status.is_success() {
            request.body_limit
        } else {
            request.error_body_limit
        };
        let patience = request.timeout.unwrap_or(self.request_timeout);
        let coding = header(&response, "content-encoding").unwrap_or_default();
        let coding = coding.to_owned();
        let bodies = &self.large_bodies;
        let read = bodies.read(response.body_mut(), &coding, limit, patience);
        let (read, large) = match read {
            Ok((body, large)) => (Ok(body), large),
            Err(error) => (Err(error), None),
        };
        let mut redacted = false;
        let body = match read {
            Ok(body) if !status.is_success() => Ok(without_secrets(&body)),
            Ok(body) if matches!(credential, Credential::ForAnother) => Ok(body),
            Ok(body) => {
                let without = redaction::in_records(&body);
                redacted = without.is_some();
                Ok(without.unwrap_or(body))
            }
            Err(ureq::Error::BodyExceedsLimit(_)) => Err(Unread::TooLarge),
            Err(error) => {
                let mut cut = self.no_answer(name.clone(), &error);
                // There is an answer, whatever the error says about the address.
                cut.sent = true;
                Err(Unread::Cut(cut))
            }
        };
        Answer {
            request: name,
            status: status.as_u16(),
            date,
            retry_after,
            redirects,
            location,
            headers: AnswerHeaders(mem::take(response.headers_mut())),
            body,
            redacted,
            large,
        }
    }
}

impl Answer {
    /// The body, empty if it could not be read.
    pub fn body_or_empty(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }
}

/// Whether a request may be sent a second time without knowing what became of the first.
fn may_be_repeated(request: &OutgoingRequest) -> bool {
    let is_keyed = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("Idempotency-Key");
    request.method == Method::GET || request.headers.iter().any(is_keyed)
}

/// What keeps a request from being sent, although it follows the rules. Its first line and each header have to fit into the
/// buffer of the connection.
fn too_long(request: &OutgoingRequest, url: &str) -> Option<TooLong> {
    /// Bytes around the URL or the value.
    const FRAME: usize = 64;
    const MOST: usize = REQUEST_BUFFER - FRAME;
    let key = match request.credential {
        Credential::Bearer(key) => key.expose().len(),
        Credential::None | Credential::ForAnother => 0,
    };
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| (*name, value.len()));
    let parts = [("URL", url.len()), ("key", key)]
        .into_iter()
        .chain(headers);
    let mut too_long = parts.filter(|(_, length)| *length > MOST);
    too_long.next().map(|(part, length)| TooLong {
        part: part.to_owned(),
        length,
        most: MOST,
    })
}

/// The body of an error, which people read.
fn without_secrets(body: &[u8]) -> Vec<u8> {
    redaction::message(String::from_utf8_lossy(body).into_owned()).into_bytes()
}

/// The value of a header, if the answer has it and it is text.
fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
