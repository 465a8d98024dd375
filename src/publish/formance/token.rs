use std::sync::Mutex;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::Credentials;
use crate::api::escaped;
use crate::publish::DeliveryError;
use crate::publish::target::{self, Target};
use crate::secret::Secret;
use crate::sync::lock;
use crate::transport::{Answer, Credential, OutgoingRequest};

/// What a token is asked for. Only scopes that are asked for are granted.
const SCOPE: &str = "payments:read payments:write";
/// A token is replaced this long before it expires.
const BEFORE_ITS_END: Duration = Duration::from_secs(60);
/// The longest time for which a token is used, whatever it says of itself.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);

/// The access tokens of an OAuth2 client: one at a time, fetched when it is needed.
#[derive(Debug)]
pub(super) struct TokenSource {
    url: String,
    credentials: Credentials,
    current: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    text: Secret,
    /// When to ask for another one.
    until: Instant,
}

impl TokenSource {
    /// Does not fetch a token yet.
    pub fn new(url: &str, credentials: Credentials) -> TokenSource {
        TokenSource {
            url: url.to_owned(),
            credentials,
            current: Mutex::new(None),
        }
    }

    /// A token that is valid for a while, and is not the one that was refused.
    pub fn token(
        &self,
        target: &Target,
        refused: Option<&Secret>,
    ) -> Result<Secret, DeliveryError> {
        // The lock is held during the request, so that one request serves all that need a token.
        let mut current = lock(&self.current);
        if let Some(token) = &*current
            && token.until > Instant::now()
            && refused != Some(&token.text)
        {
            return Ok(token.text.clone());
        }
        let token = self.fetch(target)?;
        let text = token.text.clone();
        *current = Some(token);
        Ok(text)
    }

    fn fetch(&self, target: &Target) -> Result<Token, DeliveryError> {
        let mut secret = self.credentials.secret.current();
        loop {
            let asked_at = Instant::now();
            let answer = self.ask(target, &secret)?;
            match answer.status {
                200 => return self.read(&answer, asked_at),
                400 | 401 | 403 => match self.credentials.secret.rotated(&secret, "Formance") {
                    Some(rotated) => secret = rotated,
                    None => {
                        return Err(DeliveryError::down(format!(
                            "POST {} answered {}: Formance issues no token; check \"clientId\", the client's secret \
                            (which is then read again), and that the client is allowed the scopes {SCOPE}",
                            escaped(&self.url),
                            answer.status
                        )));
                    }
                },
                _ => {
                    // The body may repeat what was sent.
                    let body = Ok(Vec::new());
                    return Err(target::down(&Answer { body, ..answer }, ""));
                }
            }
        }
    }

    fn ask(&self, target: &Target, secret: &Secret) -> Result<Answer, DeliveryError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form = Zeroizing::new(format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            encoded(&self.credentials.id),
            encoded(secret.expose()),
            encoded(SCOPE)
        ));
        let request = OutgoingRequest {
            credential: Credential::ForAnother,
            headers: &[("Content-Type", "application/x-www-form-urlencoded")],
            body: Some(form.as_bytes()),
            ..target::request(Method::POST, &self.url)
        };
        target.exchange(&request)
    }

    fn read(&self, answer: &Answer, asked_at: Instant) -> Result<Token, DeliveryError> {
        #[derive(Deserialize)]
        struct GivenToken {
            access_token: String,
            #[serde(default = "default_lifetime")]
            expires_in: u64,
        }
        let given: GivenToken = serde_json::from_slice(answer.body_or_empty()).map_err(|_| {
            DeliveryError::down(format!(
                "POST {} answered 200, but without a token: is \"url\" that of a stack?",
                escaped(&self.url)
            ))
        })?;
        let lifetime = Duration::from_secs(given.expires_in).min(LONGEST_LIFETIME);
        let valid_for = match lifetime.checked_sub(BEFORE_ITS_END) {
            Some(rest) if rest > BEFORE_ITS_END => rest,
            _ => lifetime / 2,
        };
        Ok(Token {
            text: Secret::new(given.access_token),
            until: asked_at + valid_for,
        })
    }
}

/// Seconds, for a token that does not say when it expires.
fn default_lifetime() -> u64 {
    300
}
