//! Small answers.

use serde_json::{Value, json};

use crate::http::Response;

/// An answer that holds a word.
pub(super) fn ok(status: &str) -> Response {
    json_of(&json!({ "status": status }))
}

/// An answer that people read, too.
pub(super) fn json_of(value: &Value) -> Response {
    Response::json(200, format!("{value:#}\n").into_bytes())
}
