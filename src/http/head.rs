use super::body::BodyFraming;
use super::response::Terms;
use super::{Limits, Response};

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, `HEAD`, `POST` or any other token. Methods are case-sensitive.
    pub method: String,
    /// The path as sent, still escaped, without the query. Begins with `/`.
    pub path: String,
    /// The query as sent, without the `?`; empty if there is none.
    pub query: String,
    /// The value of the `Authorization` header.
    pub authorization: Option<String>,
    /// Whether the answer may be compressed with gzip.
    pub accepts_gzip: bool,
    /// The value of the `If-None-Match` header: the entity tags of what the client has.
    pub if_none_match: Option<String>,
}

/// Facts about a request that matter to its connection but not to its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Bytes of the head.
    pub head_length: usize,
    /// The body that follows.
    pub body: BodyFraming,
    /// The client sends the body only after a `100 Continue`.
    pub expects_continue: bool,
    /// The form of the answer. The connection may stay open if the client wants that.
    pub terms: Terms,
}

/// Headers that a request may have. Browsers send about 20.
const MOST_HEADERS: usize = 64;

impl RequestHead {
    /// Reads the head at the beginning of `bytes`; none if more bytes are needed.
    ///
    /// An error is the answer to a bad request. The connection has to be closed after it, because the start of the next
    /// request is unknown.
    pub(super) fn parse(
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<(RequestHead, Framing)>, Response> {
        let within = &bytes[..bytes.len().min(limits.head_bytes)];
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let head_length = match request.parse(within) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < limits.head_bytes => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(too_large(limits)),
            Err(httparse::Error::TooManyHeaders) => return Err(too_large(limits)),
            Err(httparse::Error::Version) => {
                return Err(Response::error(
                    505,
                    "HTTP Version Not Supported",
                    "This server supports HTTP/1.1 and HTTP/1.0 only.",
                ));
            }
            Err(error) => return Err(malformed(&format!("The head is malformed: {error}."))),
        };
        // httparse accepts a lone line feed as the end of a line. A proxy in front of us may not (request smuggling).
        if lone_line_feed(&within[..head_length]) {
            return Err(malformed("A line of the head does not end with CR LF."));
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(malformed("The request line is incomplete."));
        };
        let target = path_of(target)
            .ok_or_else(|| malformed("The request's target must be a path or a URL."))?;
        let old = version == 0;
        let fields = HeaderFields::read(request.headers)?;
        if fields.hosts > 1 || (fields.hosts == 0 && !old) {
            return Err(malformed("There must be exactly one Host header."));
        }
        let body = fields.body(old, limits)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let head = RequestHead {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: fields.authorization,
            accepts_gzip: fields.accepts_gzip,
            if_none_match: fields.if_none_match,
        };
        let framing = Framing {
            head_length,
            body,
            expects_continue: fields.expects_continue && !old,
            terms: Terms {
                without_body: method == "HEAD",
                keep_open: !fields.close && (!old || fields.keep_alive),
                old,
            },
        };
        Ok(Some((head, framing)))
    }
}

#[derive(Default)]
struct HeaderFields<'a> {
    hosts: usize,
    lengths: Vec<&'a [u8]>,
    codings: Vec<&'a [u8]>,
    authorization: Option<String>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    accepts_gzip: bool,
    if_none_match: Option<String>,
}

impl<'a> HeaderFields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<HeaderFields<'a>, Response> {
        let mut fields = HeaderFields::default();
        for header in headers {
            let value = header.value.trim_ascii();
            match header.name.to_ascii_lowercase().as_str() {
                "host" => fields.hosts += 1,
                "content-length" => fields.lengths.push(value),
                "transfer-encoding" => fields.codings.push(value),
                "accept-encoding" => fields.accepts_gzip |= accepts_gzip(value),
                "if-none-match" => {
                    fields.if_none_match = String::from_utf8(value.to_vec()).ok();
                }
                "authorization" => {
                    let value = String::from_utf8(value.to_vec())
                        .map_err(|_| malformed("The Authorization header is not text."))?;
                    if fields.authorization.replace(value).is_some() {
                        return Err(malformed("There is more than one Authorization header."));
                    }
                }
                "connection" => {
                    for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                "expect" if value.eq_ignore_ascii_case(b"100-continue") => {
                    fields.expects_continue = true;
                }
                "expect" => {
                    return Err(Response::error(
                        417,
                        "Expectation Failed",
                        "Only the expectation 100-continue is supported.",
                    ));
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// Where the body ends. An error if the headers allow more than one reading. `old`: the client speaks HTTP/1.0, which
    /// has no chunks.
    fn body(&self, old: bool, limits: &Limits) -> Result<BodyFraming, Response> {
        match (&self.lengths[..], &self.codings[..]) {
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !old => {
                Ok(BodyFraming::Chunked)
            }
            ([], []) => Ok(BodyFraming::Length(0)),
            ([], _) => Err(Response::error(
                501,
                "Not Implemented",
                "The only Transfer-Encoding that is supported is chunked, with HTTP/1.1.",
            )),
            (_, [_, ..]) => Err(malformed(
                "The request has both a Transfer-Encoding and a Content-Length.",
            )),
            ([digits], []) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                // A number that does not fit into usize is too large as well.
                let length = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|d| d.parse().ok());
                let length = length.filter(|&length| length <= limits.body_bytes);
                Ok(length.map_or(BodyFraming::TooLarge, BodyFraming::Length))
            }
            ([_], []) => Err(malformed("The Content-Length is not a number.")),
            _ => Err(malformed("There is more than one Content-Length.")),
        }
    }
}

/// The path and query of a target, which may be a whole URL, as proxies send it.
fn path_of(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let path = rest.find(['/', '?']).map_or("/", |start| &rest[start..]);
    (is_web && path.starts_with('/')).then_some(path)
}

/// Whether a value of `Accept-Encoding` allows gzip.
fn accepts_gzip(value: &[u8]) -> bool {
    let mut codings = value.split(|byte| *byte == b',');
    codings.any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let is_gzip = name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
        let refused = |part: &[u8]| {
            part.starts_with(b"q=0") && part[3..].iter().all(|byte| b".0".contains(byte))
        };
        is_gzip && !parts.any(refused)
    })
}

fn lone_line_feed(head: &[u8]) -> bool {
    let mut ends = head.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
    ends.any(|(at, _)| at == 0 || head[at - 1] != b'\r')
}

fn malformed(detail: &str) -> Response {
    Response::error(400, "Bad Request", detail)
}

fn too_large(limits: &Limits) -> Response {
    let detail = format!(
        "The head is limited to {} bytes and {MOST_HEADERS} headers.",
        limits.head_bytes
    );
    Response::error(431, "Request Header Fields Too Large", &detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<(RequestHead, Framing)>, u16> {
        RequestHead::parse(text.as_bytes(), &Limits::default()).map_err(|answer| answer.status)
    }

    fn framing(text: &str) -> Framing {
        parse(text).unwrap().unwrap().1
    }

    #[test]
    fn a_head_is_taken_apart() {
        let text = "POST /a%2Fb?c=d?e HTTP/1.1\r\nhOST: x\r\nAuthorization:  Bearer k \r\nContent-Length: 007\r\nIf-None-Match: \"x\"\r\n\r\n";
        let (head, framing) = parse(&format!("{text}the body")).unwrap().unwrap();
        let expected = RequestHead {
            method: "POST".to_owned(),
            path: "/a%2Fb".to_owned(),
            query: "c=d?e".to_owned(),
            authorization: Some("Bearer k".to_owned()),
            accepts_gzip: false,
            if_none_match: Some("\"x\"".to_owned()),
        };
        assert_eq!(head, expected);
        let expected = Framing {
            head_length: text.len(),
            body: BodyFraming::Length(7),
            expects_continue: false,
            terms: Terms {
                without_body: false,
                keep_open: true,
                old: false,
            },
        };
        assert_eq!(framing, expected);
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_its_headers_say() {
        for (version, headers, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, Close\r\n", false),
            (
                "1.1",
                "Connection: keep-alive\r\nConnection: close\r\n",
                false,
            ),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: x\r\n{headers}\r\n");
            assert_eq!(framing(&text).terms.keep_open, kept, "{text}");
        }
    }

    #[test]
    fn an_old_client_needs_no_host_and_cannot_expect_a_continue() {
        let framing = framing("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
        assert!(framing.terms.old && !framing.expects_continue);
    }

    #[test]
    fn a_head_may_be_as_long_as_its_limit_and_no_longer() {
        let of = |length: usize| {
            let frame = "GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n".len();
            let filler = "x".repeat(length - frame);
            parse(&format!("GET / HTTP/1.1\r\nHost: x\r\nX: {filler}\r\n\r\n"))
        };
        assert_eq!(of(8192).unwrap().unwrap().1.head_length, 8192);
        assert_eq!(of(8193), Err(431));
        assert_eq!(parse(&"G".repeat(8191)), Ok(None));
        assert_eq!(parse(&"G".repeat(8192)), Err(431));
    }

    #[test]
    fn a_target_may_be_a_url() {
        for (target, path) in [
            ("/a?b=http://x/", Some("/a?b=http://x/")),
            ("http://x/a?b", Some("/a?b")),
            ("HTTPS://x:1", Some("/")),
            ("http://x?a", None),
            ("ftp://x/a", None),
            ("x:1", None),
            ("*", None),
        ] {
            assert_eq!(path_of(target), path, "{target}");
        }
    }

    #[test]
    fn a_client_says_whether_it_reads_gzip() {
        for (value, accepts) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity, *", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(value.as_bytes()), accepts, "{value}");
        }
    }

    const WHOLE: &str =
        "PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n";

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RequestHead::parse(&bytes, &Limits::default());
        }

        #[test]
        fn a_changed_byte_breaks_no_limit(at in 0..WHOLE.len(), byte: u8) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            bytes[at] = byte;
            if let Ok(Some((_, framing))) = RequestHead::parse(&bytes, &Limits::default()) {
                prop_assert!(framing.head_length <= bytes.len());
                prop_assert!(framing.body.most_bytes(&Limits::default()) <= Limits::default().body_bytes);
            }
        }

        #[test]
        fn any_part_of_a_head_asks_for_more(length in 0..WHOLE.len()) {
            prop_assert_eq!(parse(&WHOLE[..length]), Ok(None));
        }

        #[test]
        fn a_length_is_read_or_rejected(text in "[0-9]{1,30}") {
            let read = parse(&format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {text}\r\n\r\n"));
            match text.parse::<u128>().unwrap() {
                length @ 0..=65_536 => {
                    prop_assert_eq!(read.unwrap().unwrap().1.body, BodyFraming::Length(length as usize));
                }
                _ => prop_assert_eq!(read.unwrap().unwrap().1.body, BodyFraming::TooLarge),
            }
        }
    }
}
