use std::fmt;

use serde::Deserialize;

/// The body of an answer whose status is 400 or more.
///
/// The specification has `Title` and `Detail`, real services send `title` and `detail`: both are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ErrorBody {
    /// The error in a few words.
    #[serde(alias = "Title", default)]
    pub title: String,
    /// The explanation.
    #[serde(alias = "Detail", default)]
    pub detail: String,
}

impl ErrorBody {
    /// Reads the body; `None` if it is no such object, or an empty one.
    pub fn read(body: &[u8]) -> Option<ErrorBody> {
        let read: ErrorBody = serde_json::from_slice(body).ok()?;
        (!read.title.is_empty() || !read.detail.is_empty()).then_some(read)
    }
}

impl fmt::Display for ErrorBody {
    /// One line that is safe to log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, detail) = (super::escaped(&self.title), super::escaped(&self.detail));
        match (title.as_str(), detail.as_str()) {
            (only, "") | ("", only) => f.write_str(only),
            (title, detail) => write!(f, "{title}: {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_in_either_casing_and_cannot_forge_a_log_line() {
        let shown = |body: &str| ErrorBody::read(body.as_bytes()).map(|body| body.to_string());
        assert_eq!(
            shown(r#"{"Title":"Unauthorized","Detail":"no key"}"#).unwrap(),
            "Unauthorized: no key"
        );
        assert_eq!(shown(r#"{"title":"Gone","extra":1}"#).unwrap(), "Gone");
        assert_eq!(shown(r#"{"detail":"a\nERROR b"}"#).unwrap(), "a\\nERROR b");
        for body in ["", "{}", "[]", "<html>", r#"{"title":5}"#] {
            assert_eq!(shown(body), None, "{body}");
        }
    }
}
