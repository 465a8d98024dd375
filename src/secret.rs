//! Texts that must not be shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

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
    /// A key of the entry of that name in the list `publish` of a JSON file.
    EntryKey(PathBuf, String, &'static str),
}

impl Origin {
    /// What stands there now, without the white space around it. The error names the file and never shows the text.
    pub fn read(&self) -> Result<Secret, String> {
        let (Origin::File(file) | Origin::Key(file, _) | Origin::EntryKey(file, ..)) = self;
        let shown = || escaped(&file.to_string_lossy());
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", shown()))?;
        let in_json = |find: &dyn Fn(&Value) -> Option<String>, key: &str| {
            serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|object| find(&object))
                .ok_or_else(|| format!("\"{key}\" of {} is no text", shown()))
        };
        let text_of = |object: &Value, key: &str| Some(object.get(key)?.as_str()?.to_owned());
        let secret = match self {
            Origin::File(_) => text,
            Origin::Key(_, key) => in_json(&|object| text_of(object, key), key)?,
            Origin::EntryKey(_, name, key) => in_json(
                &|object| {
                    let entries = object.get("publish")?.as_array()?;
                    let named = |entry: &&Value| {
                        let is = |key: &str| entry.get(key).and_then(Value::as_str) == Some(name);
                        // An entry without a name has its type's.
                        is("name") || (entry.get("name").is_none_or(Value::is_null) && is("type"))
                    };
                    text_of(entries.iter().find(named)?, key)
                },
                key,
            )?,
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

/// A secret that may be replaced while the program runs.
#[derive(Debug)]
pub struct Rotating {
    current: Mutex<Secret>,
    origin: Origin,
}

impl Rotating {
    /// A secret that was read there.
    pub fn new(secret: Secret, origin: Origin) -> Rotating {
        Rotating {
            current: Mutex::new(secret),
            origin,
        }
    }

    /// What is sent now.
    pub fn current(&self) -> Secret {
        // A text is good whatever happened to the thread that wrote it.
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What to send instead of a secret that `who` has refused, if another one stands where it was read.
    pub fn rotated(&self, refused: &Secret, who: &str) -> Option<Secret> {
        // Held while it is read, so that one request does it for all that were refused together.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != *refused {
            return Some(current.clone());
        }
        // A secret that cannot be read now is one that is being written: it is looked for again the next time.
        let read = self.origin.read().ok()?;
        if read == *refused || read.problem().is_some() {
            return None;
        }
        log::info!(
            "{who} refused the key, and another one stands in its place: that is sent from now on"
        );
        *current = read.clone();
        Some(read)
    }
}
