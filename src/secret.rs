//! Texts that must not be shown, and how they are replaced while the program runs. Where a secret is kept is the
//! business of `config`.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

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

    /// What keeps the text from being sent in an HTTP header, if anything does.
    pub fn problem(&self) -> Option<&'static str> {
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        match self.0.as_str() {
            "" => Some("is empty: put the key into it"),
            text if text.starts_with('\u{feff}') => {
                Some("begins with a byte order mark: save it as UTF-8 without one")
            }
            text if !text.bytes().all(printable) => {
                Some("has characters that an HTTP header cannot carry: use printable ASCII")
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret that may be replaced while the program runs. Clones share it.
#[derive(Clone)]
pub struct Rotating(Arc<Shared>);

struct Shared {
    current: Mutex<Secret>,
    read: Box<ReadAgain>,
}

/// Reads a secret again where it was read first. None if it cannot be read now.
type ReadAgain = dyn Fn() -> Option<Secret> + Send + Sync;

impl Rotating {
    /// A secret, and how to read it again.
    pub fn new(
        secret: Secret,
        read: impl Fn() -> Option<Secret> + Send + Sync + 'static,
    ) -> Rotating {
        Rotating(Arc::new(Shared {
            current: Mutex::new(secret),
            read: Box::new(read),
        }))
    }

    /// The secret that is in use now.
    pub fn current(&self) -> Secret {
        lock(&self.0.current).clone()
    }

    /// The secret to send after `who` has refused one, if it was replaced since.
    pub fn rotated(&self, refused: &Secret, who: &str) -> Option<Secret> {
        self.replaced(refused, || {
            log::info!("{who} refused the key; using the new key from its file");
        })
    }

    /// The secret that has replaced `old`, if one has. `announce` is called once for each replacement.
    pub fn replaced(&self, old: &Secret, announce: impl FnOnce()) -> Option<Secret> {
        // Locked while reading: of several requests with the same old secret, one reads for all.
        let mut current = lock(&self.0.current);
        if *current != *old {
            return Some(current.clone());
        }
        // A secret that cannot be read now is being written. The next request tries again.
        let read = (self.0.read)()?;
        if read == *old || read.problem().is_some() {
            return None;
        }
        announce();
        *current = read.clone();
        Some(read)
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}
