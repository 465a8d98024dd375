use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::secret::{Rotating, Secret};
use crate::sync::lock;

/// A wrong key makes the listener read its own key again, but not more often than this.
const REREAD_AFTER: Duration = Duration::from_secs(1);

/// The key that requests to the listener must carry.
#[derive(Debug)]
pub(super) struct ListenKey {
    secret: Rotating,
    /// The last time that it was read.
    read_at: Mutex<Instant>,
}

impl ListenKey {
    /// A key that was just read.
    pub fn new(secret: Rotating) -> ListenKey {
        ListenKey {
            secret,
            read_at: Mutex::new(Instant::now()),
        }
    }

    /// Whether the value of an `Authorization` header carries the key: as a bearer token, or as the password of Basic with
    /// any user. The comparison takes the same time wherever the difference lies.
    pub fn is_in(&self, authorization: &str) -> bool {
        let Some(presented) = presented(authorization) else {
            return false;
        };
        let matches = |key: &Secret| bool::from(key.expose().as_bytes().ct_eq(&presented));
        // Locked while the key is read again, so that requests which bring the new key at the same time wait for it.
        let mut read_at = lock(&self.read_at);
        let current = self.secret.current();
        if matches(&current) {
            return true;
        }
        if read_at.elapsed() < REREAD_AFTER {
            return false;
        }
        *read_at = Instant::now();
        let announce = || log::info!("listenKey has changed; using the new key");
        self.secret
            .replaced(&current, announce)
            .is_some_and(|key| matches(&key))
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
        let key = ListenKey::new(Rotating::new(Secret::new("a:key".to_owned()), || None));
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
