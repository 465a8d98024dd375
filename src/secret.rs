//! Texts that must not be shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::api::escaped;

/// A secret. Its `Debug` is redacted and it has no `Display`, so that it gets into no log, error or state by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps that text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a secret stands, so that it can be read again after it was rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file that holds nothing else.
    File(PathBuf),
    /// A key of a JSON file.
    Key(PathBuf, &'static str),
}

impl Origin {
    /// What stands there now, without the white space around it. The error names the file and never shows the text.
    pub fn read(&self) -> Result<Secret, String> {
        let (Origin::File(file) | Origin::Key(file, _)) = self;
        let shown = || escaped(&file.to_string_lossy());
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", shown()))?;
        let secret = match self {
            Origin::File(_) => text,
            Origin::Key(_, key) => serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|object| object.get(key)?.as_str().map(str::to_owned))
                .ok_or_else(|| format!("\"{key}\" of {} is no text", shown()))?,
        };
        Ok(Secret::new(secret.trim().to_owned()))
    }
}

impl Secret {
    /// What keeps the text from being sent in an HTTP header, if anything does.
    pub fn problem(&self) -> Option<&'static str> {
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        match self.0.as_str() {
            "" => Some("is empty: put the key there"),
            text if !text.bytes().all(printable) => {
                Some("has characters that an HTTP header cannot carry: use printable ASCII")
            }
            _ => None,
        }
    }
}
