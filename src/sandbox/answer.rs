use std::io::Read;
use std::sync::{PoisonError, RwLock};

use percent_encoding::percent_decode_str;

use super::data::Data;
use super::initiation::{Refusal, initiate};
use crate::api::{Initiation, ListRequest, Stream, escaped};

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
            Route::List(stream) => match ListRequest::read(stream, query) {
                Ok(asked) => Answer::json(200, held().list(stream).page(&asked)),
                Err(invalid) => Answer::error(400, "Bad Request", &invalid.to_string()),
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

    fn to_initiation(kind: Initiation, body: &[u8], data: &RwLock<Data>) -> Answer {
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
    Initiate(Initiation),
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
                .or_else(|| Initiation::from_name(name).map(Route::Initiate)),
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
