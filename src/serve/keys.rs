use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::AcceptedKeys;
use crate::sync::lock;

/// The listener looks for a change of its key file no more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The keys of which requests to the listener must carry one.
#[derive(Debug)]
pub(super) struct ListenKeys(Mutex<WatchedKeys>);

#[derive(Debug)]
struct WatchedKeys {
    accepted: AcceptedKeys,
    looked_at: Instant,
}

impl ListenKeys {
    /// Keys that were just read.
    pub fn new(accepted: AcceptedKeys) -> ListenKeys {
        ListenKeys(Mutex::new(WatchedKeys {
            accepted,
            looked_at: Instant::now(),
        }))
    }

    /// Whether the value of an `Authorization` header carries a key as a bearer token. The comparison takes the same time
    /// wherever the difference lies.
    pub fn accept(&self, authorization: &str) -> bool {
        let Some(token) = bearer_token(authorization) else {
            return false;
        };
        let mut watched = lock(&self.0);
        watched.look();
        let keys = watched.accepted.keys().iter();
        let is_right = keys
            .map(|key| key.expose().as_bytes().ct_eq(token.as_bytes()))
            .fold(Choice::from(0), |one, other| one | other);
        is_right.into()
    }

    /// What `GET /status` says of the keys.
    pub fn in_json(&self) -> Value {
        let accepted = &lock(&self.0).accepted;
        let read = if accepted.can_change() {
            "when their file changes"
        } else {
            "at the start"
        };
        json!({ "valid": accepted.keys().len(), "read": read })
    }
}

impl WatchedKeys {
    fn look(&mut self) {
        if self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        match self.accepted.refresh() {
            Ok(false) => {}
            Ok(true) => log::info!(
                "listenKey has changed; valid keys now: {}",
                self.accepted.keys().len()
            ),
            Err(problem) => log::warn!(
                "listenKey has changed and cannot be used, so the keys before it stay valid: {problem}"
            ),
        }
    }
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn one_of_the_keys_is_the_bearer_token() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let read = move || Ok(vec![secret("a:key"), secret("next")]);
        let keys = ListenKeys::new(AcceptedKeys::load(None, read).unwrap());
        for right in ["Bearer a:key", "bEARER   a:key ", "Bearer next"] {
            assert!(keys.accept(right), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a:ke",
            "Bearer a:keyy",
            "Bearer a:key next",
            "a:key",
            "Digest a:key",
            // "user:a:key"
            "Basic dXNlcjphOmtleQ==",
        ] {
            assert!(!keys.accept(wrong), "{wrong}");
        }
    }
}
