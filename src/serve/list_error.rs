use crate::http::Response;
use crate::store;

/// Why a request does not get what it asks for.
pub(super) enum ListError {
    /// The answer that it gets instead.
    Answer(Response),
    /// The state cannot be read.
    State(store::Error),
}

impl From<store::Error> for ListError {
    fn from(error: store::Error) -> ListError {
        ListError::State(error)
    }
}

/// Formance asks again after a 503. After a 404 or a refused connection it waits for its whole period.
pub(super) fn not_ready(detail: &str) -> Response {
    Response::error(503, "Not Ready", detail).with_header("Retry-After", "5")
}

pub(super) fn bad_request(detail: &str) -> Response {
    Response::error(400, "Bad Request", detail)
}
