use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::http::StatusCode;

/// Bytes. A shorter body fits into one packet anyway.
const LEAST_COMPRESSED: usize = 1_024;

/// An answer.
///
/// The server adds `Date`, unless it is there, `Content-Length` and `Connection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub(super) status: u16,
    pub(super) delay: Duration,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The bytes that a handler wants sent.
#[derive(Debug)]
pub(super) enum Reply {
    Response(Response),
    /// Written as they are. The connection ends after them.
    Raw(Vec<u8>),
}

/// The form of an answer, as the request and the server's state require it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The request is a `HEAD`: everything but the body is sent.
    pub without_body: bool,
    /// Whether the connection stays open afterwards.
    pub keep_open: bool,
    /// The client speaks HTTP/1.0, so an open connection has to be announced.
    pub old: bool,
}

/// Asks the client for the body of an admitted request.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Response {
    /// An answer with a body of this content type.
    pub fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
        Response {
            status,
            delay: Duration::ZERO,
            headers: vec![("Content-Type", content_type.to_owned())],
            body,
        }
    }

    /// An answer with a JSON body.
    pub fn json(status: u16, body: Vec<u8>) -> Response {
        Response::new(status, "application/json", body)
    }

    /// An error as the Generic Connector API writes it: a short title, and exactly what was wrong.
    pub fn error(status: u16, title: &str, detail: &str) -> Response {
        let body = serde_json::json!({ "Title": title, "Detail": detail });
        Response::json(status, body.to_string().into_bytes())
    }

    /// The answer if the handler is too slow or too busy.
    pub(super) fn unavailable() -> Response {
        Response::error(
            503,
            "Service Unavailable",
            "The answer took too long; try again.",
        )
        .with_header("Retry-After", "1")
    }

    /// The answer if the handler gave none.
    pub(super) fn failed() -> Response {
        Response::error(
            500,
            "Internal Server Error",
            "The request failed; see the log of generic-connector.",
        )
    }

    /// Adds a header. Control characters in the value become spaces, so that the value cannot begin another header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        let value = value.into().replace(|c: char| c.is_control(), " ");
        self.headers.push((name, value));
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body, which is not compressed yet.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same with that `Date`, instead of the server's clock.
    pub fn dated(self, date: jiff::Timestamp) -> Response {
        let date = http_date(&date);
        self.with_header("Date", date.unwrap_or_default())
    }

    /// The whole answer, which says that the connection ends behind it.
    pub fn closing_bytes(self) -> Vec<u8> {
        let terms = Terms {
            without_body: false,
            keep_open: false,
            old: false,
        };
        let (head, body) = self.into_bytes(terms, jiff::Timestamp::now());
        [head, body].concat()
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| *known == name)
    }

    /// The same with a compressed body, if that is shorter and the handler has not chosen a coding.
    pub fn compressed(self) -> Response {
        if self.body.len() < LEAST_COMPRESSED || self.has_header("Content-Encoding") {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder
            .write_all(&self.body)
            .and_then(|()| encoder.finish());
        match written {
            Ok(body) if body.len() < self.body.len() => {
                let answer = Response { body, ..self };
                answer
                    .with_header("Content-Encoding", "gzip")
                    .with_header("Vary", "Accept-Encoding")
            }
            _ => self,
        }
    }

    /// Sends it that much later, if it is the answer to a request that is not admitted. No thread waits, and the connection
    /// is among the first to be closed if there are too many.
    pub fn after(self, delay: Duration) -> Response {
        Response { delay, ..self }
    }

    /// The bytes of the head and of the body.
    pub(super) fn into_bytes(self, terms: Terms, date: jiff::Timestamp) -> (Vec<u8>, Vec<u8>) {
        let status = self.status;
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
        let mut header = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        };
        for (name, value) in &self.headers {
            header(name, value);
        }
        if !self.has_header("Date")
            && let Some(date) = http_date(&date)
        {
            header("Date", &date);
        }
        // RFC 9110: these two never have a body.
        let bodiless = matches!(status, 204 | 304);
        if !bodiless {
            header("Content-Length", &self.body.len().to_string());
        }
        match terms {
            Terms {
                keep_open: false, ..
            } => header("Connection", "close"),
            Terms { old: true, .. } => header("Connection", "keep-alive"),
            _ => {}
        }
        head.push_str("\r\n");
        let body = if bodiless || terms.without_body {
            Vec::new()
        } else {
            self.body
        };
        (head.into_bytes(), body)
    }
}

/// None for a negative year; the answer then goes without a date.
fn http_date(date: &jiff::Timestamp) -> Option<String> {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    printer.timestamp_to_rfc9110_string(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        without_body: false,
        keep_open: true,
        old: false,
    };

    fn sent(response: Response, terms: Terms) -> String {
        let date = "1994-11-06T08:49:37Z".parse().unwrap();
        let (head, body) = response.into_bytes(terms, date);
        String::from_utf8([head, body].concat()).unwrap()
    }

    #[test]
    fn an_answer_has_all_its_headers() {
        assert_eq!(
            sent(Response::json(200, b"{}".to_vec()), TERMS),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Length: 2\r\n\r\n{}"
        );
        let error = sent(Response::error(404, "a \"b\"", "c\nd"), TERMS);
        assert!(
            error.ends_with("\r\n\r\n{\"Detail\":\"c\\nd\",\"Title\":\"a \\\"b\\\"\"}"),
            "{error}"
        );
    }

    #[test]
    fn its_form_is_what_the_request_asks_for() {
        let with = |terms| sent(Response::json(200, b"{}".to_vec()), terms);
        let close = Terms {
            keep_open: false,
            ..TERMS
        };
        assert!(with(close).contains("\r\nConnection: close\r\n"));
        assert!(with(Terms { old: true, ..close }).contains("\r\nConnection: close\r\n"));
        assert!(with(Terms { old: true, ..TERMS }).contains("\r\nConnection: keep-alive\r\n"));
        let headers = with(Terms {
            without_body: true,
            ..TERMS
        });
        assert!(
            headers.ends_with("\r\nContent-Length: 2\r\n\r\n"),
            "{headers}"
        );
        let nothing = sent(Response::json(204, b"{}".to_vec()), TERMS);
        assert!(nothing.ends_with("GMT\r\n\r\n"), "{nothing}");
    }

    #[test]
    fn a_value_cannot_begin_a_header() {
        let response = Response::json(200, Vec::new()).with_header("X", "a\r\nSet-Cookie: b\0");
        assert!(sent(response, TERMS).contains("\r\nX: a  Set-Cookie: b \r\n"));
    }
}
