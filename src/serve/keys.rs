use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::{AcceptedKeys, Secret};
use crate::sync::lock;

/// The listener looks for a change of its key files no more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Which key opens a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// `listenKey`.
    Listen,
    /// `observeKey`.
    Observe,
    /// Either of them.
    Either,
}

/// The keys of which requests must carry one.
#[derive(Debug)]
pub(super) struct Keys(Mutex<WatchedKeys>);

#[derive(Debug)]
struct WatchedKeys {
    listen: Option<AcceptedKeys>,
    observe: Option<AcceptedKeys>,
    looked_at: Instant,
}

/// What an `Authorization` header carries.
enum Carried {
    /// A bearer token.
    Token(String),
    /// The password of Basic authentication, with which browsers send keys. Any user will do.
    Password(Secret),
}

impl Opener {
    /// The key that whoever asks should have.
    pub fn name(self) -> &'static str {
        match self {
            Opener::Listen => "listenKey",
            Opener::Observe | Opener::Either => "observeKey",
        }
    }
}

impl Keys {
    /// Keys that were just read.
    pub fn new(listen: Option<AcceptedKeys>, observe: Option<AcceptedKeys>) -> Keys {
        Keys(Mutex::new(WatchedKeys {
            listen,
            observe,
            looked_at: Instant::now(),
        }))
    }

    /// Whether the value of an `Authorization` header carries a key that opens the route. The comparison takes the same time
    /// wherever the difference lies.
    pub fn accept(&self, authorization: &str, opener: Opener) -> bool {
        let Some(carried) = Carried::by(authorization) else {
            return false;
        };
        let mut watched = lock(&self.0);
        watched.look();
        let (text, listen_counts) = match &carried {
            Carried::Token(token) => (token.as_str(), opener != Opener::Observe),
            // A browser keeps a password, and sends it along when a foreign page makes it POST a payout.
            Carried::Password(password) => (password.expose(), false),
        };
        let listen = watched.listen.iter().filter(|_| listen_counts);
        let observe = watched.observe.iter().filter(|_| opener != Opener::Listen);
        let keys = listen.chain(observe).flat_map(AcceptedKeys::keys);
        let is_right = keys
            .map(|key| key.expose().as_bytes().ct_eq(text.as_bytes()))
            .fold(Choice::from(0), |one, other| one | other);
        is_right.into()
    }

    /// What `GET /status` says of the keys: of `listenKey`, and of `observeKey`.
    pub fn in_json(&self) -> [Value; 2] {
        let watched = lock(&self.0);
        [&watched.listen, &watched.observe].map(|keys| match keys {
            Some(keys) if keys.can_change() => {
                json!({ "valid": keys.keys().len(), "read": "when their file changes" })
            }
            Some(keys) => json!({ "valid": keys.keys().len(), "read": "at the start" }),
            None => Value::Null,
        })
    }
}

impl WatchedKeys {
    fn look(&mut self) {
        if self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        refresh("listenKey", self.listen.as_mut(), self.observe.as_ref());
        refresh("observeKey", self.observe.as_mut(), self.listen.as_ref());
    }
}

fn refresh(name: &str, keys: Option<&mut AcceptedKeys>, others: Option<&AcceptedKeys>) {
    let Some(keys) = keys else {
        return;
    };
    match keys.refresh(others) {
        Ok(false) => {}
        Ok(true) => log::info!("{name} has changed; valid keys now: {}", keys.keys().len()),
        Err(problem) => log::warn!(
            "{name} has changed and cannot be used, so the keys before it stay valid: {problem}"
        ),
    }
}

impl Carried {
    fn by(authorization: &str) -> Option<Carried> {
        let (scheme, value) = authorization.split_once(' ')?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Carried::Token(value.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let user_and_password = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        let (_, password) = user_and_password.split_once(':')?;
        Some(Carried::Password(Secret::new(password.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let secret = |text: &str| Secret::new(text.to_owned());
        let listen = AcceptedKeys::load(None, move || Ok(vec![secret("a:key"), secret("next")]));
        let observe = AcceptedKeys::load(None, move || Ok(vec![secret("looks")]));
        Keys::new(Some(listen.unwrap()), Some(observe.unwrap()))
    }

    fn basic(user_and_password: &str) -> String {
        format!("Basic {}", STANDARD.encode(user_and_password))
    }

    #[test]
    fn one_of_the_keys_is_the_bearer_token() {
        let keys = keys();
        for right in ["Bearer a:key", "bEARER   a:key ", "Bearer next"] {
            assert!(keys.accept(right, Opener::Listen), "{right}");
            assert!(keys.accept(right, Opener::Either), "{right}");
            assert!(!keys.accept(right, Opener::Observe), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a:ke",
            "Bearer a:keyy",
            "Bearer a:key next",
            "Bearer looks",
            "a:key",
            "Digest a:key",
            &basic("user:a:key"),
            &basic("user:looks"),
        ] {
            assert!(!keys.accept(wrong, Opener::Listen), "{wrong}");
        }
    }

    #[test]
    fn the_password_is_the_key_of_operators_only() {
        let keys = keys();
        for right in [
            "Bearer looks",
            &basic("user:looks"),
            &basic(":looks"),
            "bASIC  Omxvb2tz",
        ] {
            assert!(keys.accept(right, Opener::Observe), "{right}");
            assert!(keys.accept(right, Opener::Either), "{right}");
        }
        for wrong in [
            &basic("user:a:key"),
            &basic(":next"),
            &basic("looks"),
            &basic("looks:"),
            &basic("user:looks "),
            "Basic looks",
            "Basic",
            "Basic /w==",
        ] {
            assert!(!keys.accept(wrong, Opener::Either), "{wrong}");
        }
    }
}
