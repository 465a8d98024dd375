use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::secret::{Origin, Secret};

/// A wrong key lets the right one be read again, but not more often than this.
const REREAD_AFTER: Duration = Duration::from_secs(1);

/// The key that requests to the listener must carry.
#[derive(Debug)]
pub(super) struct Key {
    origin: Origin,
    /// What it is now, and when it was read.
    current: Mutex<(Secret, Instant)>,
}

impl Key {
    /// The key as it was read from there.
    pub fn new(key: Secret, origin: Origin) -> Key {
        Key {
            origin,
            current: Mutex::new((key, Instant::now())),
        }
    }

    /// Whether the value of an `Authorization` header carries the key: as a bearer token, or as the password of Basic,
    /// whatever the user. The comparison takes the same time wherever the difference lies.
    pub fn is_in(&self, authorization: &str) -> bool {
        let Some(presented) = presented(authorization) else {
            return false;
        };
        let matches = |key: &Secret| bool::from(key.expose().as_bytes().ct_eq(&presented));
        // A text and an instant are good whatever happened to the thread that wrote them.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if matches(&current.0) {
            return true;
        }
        if current.1.elapsed() < REREAD_AFTER {
            return false;
        }
        current.1 = Instant::now();
        match self.origin.read() {
            Ok(key) if key != current.0 && key.problem().is_none() => {
                log::info!(
                    "another key than before stands where \"listenKey\" was read: it counts from now on"
                );
                current.0 = key;
                matches(&current.0)
            }
            // One that cannot be read now is being written.
            _ => false,
        }
    }
}

fn presented(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut user_and_password = STANDARD.decode(credentials).ok()?;
    let colon = user_and_password.iter().position(|byte| *byte == b':')?;
    Some(user_and_password.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_a_bearer_token_or_the_password_of_basic() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = Key::new(
            Secret::new("a:key".to_owned()),
            Origin::File(file.path().to_owned()),
        );
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for right in [
            "Bearer a:key".to_owned(),
            "bEARER   a:key ".to_owned(),
            basic("user:a:key"),
            basic(":a:key"),
        ] {
            assert!(key.is_in(&right), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a:ke",
            "Bearer a:keyy",
            "a:key",
            "Digest a:key",
            "Basic !",
            "Basic ",
        ] {
            assert!(!key.is_in(wrong), "{wrong}");
        }
        assert!(
            !key.is_in(&basic("a")) && !key.is_in(&basic("user:")) && !key.is_in(&basic("a:key:"))
        );
    }
}
