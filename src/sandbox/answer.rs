use std::io::Read;
use std::sync::{PoisonError, RwLock};

use percent_encoding::percent_decode_str;

use super::data::{Data, Selection};
use super::initiation::{Kind, Refusal, initiate};
use crate::api::{Stream, Timestamp, escaped};

/// Bytes. No initiation needs as many.
const BODY_LIMIT: u64 = 64 * 1024;

/// What the service says to one request.
pub(super) struct Answer {
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// The header that goes with the status, where one does.
    pub header: Option<(&'static str, &'static str)>,
}

/// Whether the value of the `Authorization` header carries the key.
pub(super) fn is_authorised(header: Option<&str>, api_key: &str) -> bool {
    header
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.trim() == api_key)
}

impl Answer {
    /// The answer to an authorised request. `target` is the path and query as they were sent; the body is read where one
    /// is wanted.
    pub fn to(method: &str, target: &str, body: &mut dyn Read, data: &RwLock<Data>) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let shown = escaped(path);
        let Some(route) = Route::of(path) else {
            return Answer::error(404, "Not Found", &format!("There is no {shown} here."));
        };
        let (allowed, detail) = match route {
            Route::Initiate(_) => (
                "POST",
                "is asked for with POST; /transactions lists what was.",
            ),
            _ => ("GET", "is read with GET; it cannot be asked for otherwise."),
        };
        if method != allowed {
            return Answer {
                header: Some(("Allow", allowed)),
                ..Answer::error(405, "Method Not Allowed", &format!("{shown} {detail}"))
            };
        }
        let held = || data.read().unwrap_or_else(PoisonError::into_inner);
        match route {
            Route::List(stream) => match selection(stream, query) {
                Ok(selection) => Answer::json(200, held().list(stream).page(&selection)),
                Err(detail) => Answer::error(400, "Bad Request", &detail),
            },
            Route::Balances(account_id) => match held().balances(&account_id) {
                Some(balances) => Answer::json(200, balances),
                None => {
                    let detail = format!("There is no account {:?}.", escaped(&account_id));
                    Answer::error(404, "Not Found", &detail)
                }
            },
            Route::Initiate(kind) => match whole_body(body) {
                Ok(body) => Answer::to_initiation(kind, &body, data),
                Err(answer) => answer,
            },
        }
    }

    fn to_initiation(kind: Kind, body: &[u8], data: &RwLock<Data>) -> Answer {
        // It is dated under the lock, so that no reader can pass its date before it is there.
        let mut data = data.write().unwrap_or_else(PoisonError::into_inner);
        match initiate(&mut data, kind, body) {
            Ok(object) => Answer::json(201, object),
            Err(Refusal::Invalid(detail)) => Answer::error(400, "Bad Request", &detail),
            Err(Refusal::Conflict(detail)) => Answer::error(409, "Conflict", &detail),
        }
    }

    /// The answer to a request with the wrong key, or with none.
    pub fn unauthorised(has_key: bool) -> Answer {
        let detail = if has_key {
            "The Authorization header does not carry the API key of this service as \"Bearer <apiKey>\"."
        } else {
            "The request has no Authorization header. Send \"Authorization: Bearer <apiKey>\"."
        };
        Answer {
            header: Some(("WWW-Authenticate", "Bearer")),
            ..Answer::error(401, "Unauthorized", detail)
        }
    }

    fn json(status: u16, body: String) -> Answer {
        Answer {
            status,
            body: body.into_bytes(),
            header: None,
        }
    }

    fn error(status: u16, title: &str, detail: &str) -> Answer {
        let body = serde_json::json!({ "Title": title, "Detail": detail });
        Answer {
            status,
            body: body.to_string().into_bytes(),
            header: None,
        }
    }
}

/// What a path asks for.
enum Route {
    List(Stream),
    /// The balances of the account with that id.
    Balances(String),
    Initiate(Kind),
}

impl Route {
    fn of(path: &str) -> Option<Route> {
        let mut segments = path.strip_prefix('/')?.split('/');
        match (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) {
            (Some(name), None, None, None) => Stream::LISTED
                .into_iter()
                .find(|stream| stream.name() == name)
                .map(Route::List)
                .or_else(|| Kind::of_path(name).map(Route::Initiate)),
            (Some("accounts"), Some(id), Some("balances"), None) => {
                let id = percent_decode_str(id).decode_utf8().ok()?;
                Some(Route::Balances(id.into_owned()))
            }
            _ => None,
        }
    }
}

/// The error is the answer to a body that is too long or breaks off.
fn whole_body(body: &mut dyn Read) -> Result<Vec<u8>, Answer> {
    let mut bytes = Vec::new();
    if let Err(error) = body.take(BODY_LIMIT + 1).read_to_end(&mut bytes) {
        let detail = format!("The body cannot be read: {error}.");
        return Err(Answer::error(400, "Bad Request", &detail));
    }
    if bytes.len() as u64 > BODY_LIMIT {
        let detail = format!("The body is longer than {BODY_LIMIT} bytes.");
        return Err(Answer::error(413, "Content Too Large", &detail));
    }
    Ok(bytes)
}

/// Reads the query of a list request. Of a key that is given twice the first counts; unknown keys are passed over. The
/// error is what to tell the client.
fn selection(stream: Stream, query: &str) -> Result<Selection, String> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A plus stays a plus: offsets of dates are often sent unescaped.
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(String::from).map_err(|_| {
                format!(
                    "{:?} in the query is not UTF-8 when decoded.",
                    escaped(text)
                )
            })
        };
        parameters.push((decoded(key)?, decoded(value)?));
    }
    let value = |key: &str| {
        let found = parameters.iter().find(|(given, _)| given == key);
        found.map(|(_, value)| value.as_str())
    };
    let date = stream.date_field();
    let filter = format!("{date}From");
    let from = value(&filter).map(|text| {
        Timestamp::parse(text).map_err(|invalid| format!("The parameter {filter}: {invalid}."))
    });
    let (by_creation, newest_first) = sort(stream, value("sort"))?;
    Ok(Selection {
        page: whole("page", value("page"), 1)?,
        page_size: whole("pageSize", value("pageSize"), 100)?,
        from: from.transpose()?,
        by_creation,
        newest_first,
    })
}

/// Whether the list is sorted by `createdAt` though it is dated by another field, and whether newest first.
fn sort(stream: Stream, value: Option<&str>) -> Result<(bool, bool), String> {
    let Some(value) = value else {
        return Ok((false, false));
    };
    let date = stream.date_field();
    match value.split_once(':') {
        Some((field, order @ ("asc" | "desc"))) if field == date || field == "createdAt" => {
            Ok((field != date, order == "desc"))
        }
        _ => Err(format!(
            "The parameter sort is {:?}; {stream} are sorted by {date}:asc or {date}:desc{}.",
            escaped(value),
            match date {
                "createdAt" => "",
                _ => ", or by createdAt in the same way",
            }
        )),
    }
}

fn whole(key: &str, value: Option<&str>, default: u64) -> Result<u64, String> {
    let Some(text) = value else {
        return Ok(default);
    };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond 64 bits is still a page that exists nowhere.
    let number = is_digits.then(|| text.parse().unwrap_or(u64::MAX));
    number.filter(|number| *number > 0).ok_or_else(|| {
        format!(
            "The parameter {key} is {:?}; it must be a whole number from 1.",
            escaped(text)
        )
    })
}
