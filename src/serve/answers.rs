//! Small answers.

use serde_json::{Value, json};

use crate::http::Response;

/// An answer that holds a word.
pub(super) fn ok(status: &str) -> Response {
    json_of(&json!({ "status": status }))
}

/// An answer that people read, too.
pub(super) fn json_of(value: &Value) -> Response {
    json_with(200, value)
}

/// As [`json_of`], with another status.
pub(super) fn json_with(status: u16, value: &Value) -> Response {
    Response::json(status, format!("{value:#}\n").into_bytes())
}
