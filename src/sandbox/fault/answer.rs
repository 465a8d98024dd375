use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::{Fault, FaultMemory};
use crate::http::{Request, RequestHead, Response};

/// Every so many requests, a busy service refuses one.
const BUSY: u64 = 15;
/// Which request a slow service answers late, and how late: when Formance has given up.
const SLOW: (u64, Duration) = (20, Duration::from_millis(10_050));

impl Fault {
    /// Whether a key is accepted. A good service accepts the right one.
    pub(in crate::sandbox) fn accepts(self, given: &str, right: &str) -> bool {
        match self {
            Fault::NoKey => true,
            Fault::Denies => false,
            Fault::LaxKey => given.starts_with(right),
            _ => given == right,
        }
    }

    /// The redirect, if this is the fault and the path has no slash at its end.
    pub(in crate::sandbox) fn redirect(self, Request { head, .. }: &Request) -> Option<Response> {
        if self != Fault::Redirect || head.path.ends_with('/') {
            return None;
        }
        let location = format!("{}/?{}", head.path, head.query);
        let redirect = Response::error(307, "Temporary Redirect", "Ask there.");
        Some(redirect.with_header("Location", location))
    }

    /// The answer as this service sends it.
    pub(in crate::sandbox) fn spoiled(
        self,
        memory: &FaultMemory,
        head: &RequestHead,
        answer: Response,
    ) -> Response {
        let is_error = answer.status() >= 400;
        match self {
            Fault::Echo => {
                let key = head.authorization.clone().unwrap_or_default();
                answer.with_header("X-Request-Authorization", key)
            }
            Fault::Plain => Response::new(answer.status(), "text/plain", answer.body().to_vec()),
            Fault::NoGzip => answer.with_header("Content-Encoding", "identity"),
            Fault::Clock => {
                let ahead = jiff::SignedDuration::from_hours(1);
                answer.dated(
                    jiff::Timestamp::now()
                        .saturating_add(ahead)
                        .unwrap_or_default(),
                )
            }
            Fault::LargeHeader => answer.with_header("X-Padding", "x".repeat(9 * 1024)),
            Fault::ErrorBody if is_error => {
                let body = b"{\"error\":\"something is wrong\"}".to_vec();
                Response::json(answer.status(), body)
            }
            Fault::Trace if is_error => {
                let trace = "Exception in thread \"main\" java.lang.NullPointerException";
                Response::error(answer.status(), "Error", trace)
            }
            Fault::Nowhere500 if answer.status() == 404 && !head.path.starts_with("/accounts/") => {
                Response::error(500, "Internal Server Error", "There is no such path.")
            }
            Fault::Slow => {
                if memory.requests.fetch_add(1, Relaxed) == SLOW.0 {
                    thread::sleep(SLOW.1);
                }
                answer
            }
            Fault::Busy if memory.requests.fetch_add(1, Relaxed) % BUSY == BUSY - 1 => {
                Response::error(429, "Too Many Requests", "Ask later.")
            }
            _ => answer,
        }
    }

    /// The bytes of an answer after which the connection ends, if this service writes them itself.
    pub(in crate::sandbox) fn raw(self, head: &RequestHead, answer: &Response) -> Option<Vec<u8>> {
        if !matches!(self, Fault::Close | Fault::CloseDelimited) {
            return None;
        }
        let mut answer = answer.clone();
        if head.accepts_gzip {
            answer = answer.compressed();
        }
        let bytes = answer.clone().closing_bytes();
        match self {
            Fault::CloseDelimited => {
                let length = format!("Content-Length: {}\r\n", answer.body().len());
                let place = bytes
                    .windows(length.len())
                    .position(|part| part == length.as_bytes())?;
                Some([&bytes[..place], &bytes[place + length.len()..]].concat())
            }
            _ => Some(bytes),
        }
    }
}
