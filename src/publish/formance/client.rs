use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use ureq::http::Method;

use super::{CONNECTIONS, Credentials, Settings};
use crate::api::{Timestamp, escaped};
use crate::formance::ConnectorId;
use crate::publish::DeliveryError;
use crate::publish::target::{Answer, Ask, FormanceError, Target};
use crate::secret::{Rotating, Secret};

/// What a token is asked for. Only scopes that are asked for are granted.
const SCOPE: &str = "payments:read payments:write";
/// A token is given up so long before it ends.
const BEFORE_ITS_END: Duration = Duration::from_secs(60);
/// The providers whose connectors take what is pushed.
const PROVIDERS: [&str; 2] = ["generic", "dummypay"];
/// The most connectors that a page of their list has.
const PAGE_SIZE: usize = 100;
/// A list of connectors that is longer than so many pages has no end.
const MOST_PAGES: usize = 1_000;

/// The client of a stack's Payments API.
#[derive(Debug)]
pub(super) struct Client {
    target: Target,
    /// `{stack}/api/payments/v3` or `{service}/v3`.
    base: String,
    token_url: String,
    /// The client's id and secret, unless the API wants none.
    credentials: Option<Credentials>,
    token: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    text: Secret,
    /// When another one is to be asked for.
    until: Instant,
}

/// An installed connector. Its configuration holds a key in clear and is not read.
#[derive(Debug, Deserialize)]
struct Connector {
    id: String,
    name: String,
    provider: String,
    #[serde(rename = "scheduledForDeletion", default)]
    scheduled_for_deletion: bool,
}

/// What the API made of an object that was pushed.
#[derive(Debug)]
pub(super) enum Pushed {
    /// It has it, and answered this.
    Taken(Vec<u8>),
    /// It refuses it for its content, and says why.
    Refused(String),
}

impl Client {
    /// A client that connects to nothing yet.
    pub fn new(settings: &Settings) -> Client {
        Client {
            target: Target::new(&settings.target, CONNECTIONS),
            base: settings.target.url.clone(),
            token_url: settings.token_url.clone(),
            credentials: settings.credentials.clone(),
            token: Mutex::new(None),
        }
    }

    /// Finds the connector of that name or id.
    pub fn connector(&self, wanted: &str) -> Result<ConnectorId, DeliveryError> {
        let key = match ConnectorId::decode(wanted) {
            Some(_) => "id",
            None => "name",
        };
        let query = json!({ "$match": { key: wanted } }).to_string();
        let query = utf8_percent_encode(&query, NON_ALPHANUMERIC);
        let mut path = format!("/connectors?pageSize={PAGE_SIZE}&query={query}");
        let mut pages = 0;
        loop {
            pages += 1;
            let page = self.connectors(&path)?;
            for connector in page.data {
                let given = match key {
                    "id" => &connector.id,
                    _ => &connector.name,
                };
                if given == wanted {
                    return usable(connector);
                }
            }
            match page.next {
                Some(next) if page.has_more && pages < MOST_PAGES => {
                    path = format!(
                        "/connectors?cursor={}",
                        utf8_percent_encode(&next, NON_ALPHANUMERIC)
                    );
                }
                _ => {
                    return Err(DeliveryError::down(format!(
                        "{} has no connector whose {key} is \"{}\": install one of provider generic there, or set \"connector\" to \
                         the name of one that is installed (a reset gives a connector a new id and leaves its name)",
                        escaped(&self.base),
                        escaped(wanted)
                    )));
                }
            }
        }
    }

    /// Whether the client may write, asked with a request that the API turns down before it looks at anything else.
    pub fn may_write(&self) -> Result<(), DeliveryError> {
        let answer = self.ask(&Method::POST, "/accounts", b"{}")?;
        match answer.status {
            400 => Ok(()),
            _ => Err(answer.down("unexpected")),
        }
    }

    /// Pushes an object, which errors call so. `newest` is the newest date in it: it must not lie in the target's future.
    pub fn push(
        &self,
        what: &str,
        method: &Method,
        path: &str,
        json: &str,
        newest: Timestamp,
    ) -> Result<Pushed, DeliveryError> {
        let answer = self.ask(method, path, json.as_bytes())?;
        let error = FormanceError::read(&answer.body);
        match (answer.status, error) {
            // As the API answers, and no page that stands before it.
            (200 | 201, _) if is_data(&answer.body) => Ok(Pushed::Taken(answer.body)),
            (204, _) if *method == Method::PATCH => Ok(Pushed::Taken(answer.body)),
            (200..=299, _) => Err(DeliveryError::down(format!(
                "{what}: {}, which is not the API's answer: is \"url\" right, and does something else answer there?",
                answer.told()
            ))),
            (404, _) if *method == Method::PATCH => Err(DeliveryError::down(format!(
                "{what}: {}: the payment is gone there; if that stays so, publisher replay delivers everything again",
                answer.told()
            ))),
            // Something on the way says so, and not the API.
            (400, None) => Err(answer.down("")),
            (400, Some(error)) if error.message.contains("connector_id") => {
                Err(DeliveryError::down(format!(
                    "{}: the connector is gone; it is looked up again",
                    answer.told()
                )))
            }
            (400, Some(error)) if error.code == "CONNECTOR_CAPABILITY_NOT_SUPPORTED" => {
                Err(DeliveryError::down(format!(
                    "{}: set \"connector\" to one of provider generic",
                    answer.told()
                )))
            }
            (500, Some(_)) => Err(DeliveryError::down(format!(
                "{what}: {}; if this does not pass, it is about its content: publisher skip puts it into quarantine",
                answer.told()
            ))),
            (400 | 413 | 422, _) => match answer.date {
                Some(date) if newest >= date && answer.told().contains("CreatedAt") => {
                    Err(ahead(what, &answer, newest, date))
                }
                _ => Ok(Pushed::Refused(answer.told())),
            },
            _ => Err(answer.down("")),
        }
    }

    fn connectors(&self, path: &str) -> Result<ConnectorPage, DeliveryError> {
        #[derive(Deserialize)]
        struct Body {
            cursor: ConnectorPage,
        }
        let answer = self.ask(&Method::GET, path, b"")?;
        match answer.status {
            200 => serde_json::from_slice::<Body>(&answer.body)
                .map(|body| body.cursor)
                // The error must not show the body, which has configurations with their keys.
                .map_err(|_| {
                    DeliveryError::down(format!(
                        "GET {}/connectors answered 200, but with no list of connectors: is \"url\" right?",
                        escaped(&self.base)
                    ))
                }),
            _ => Err(answer.down("")),
        }
    }

    /// Makes a request with a token, and once more with another one if the first is refused.
    fn ask(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, DeliveryError> {
        let url = format!("{}{path}", self.base);
        let mut token = self.token(None)?;
        let mut is_renewed = false;
        loop {
            let authorization = token
                .as_ref()
                .map(|token| format!("Bearer {}", token.expose()));
            let mut headers = vec![("Content-Type", "application/json")];
            if let Some(authorization) = &authorization {
                headers.push(("Authorization", authorization));
            }
            let answer = self.target.ask(Ask {
                method,
                url: &url,
                headers: &headers,
                body,
                secret: token.as_ref(),
            })?;
            match (answer.status, &token) {
                (401, Some(refused)) if !is_renewed => {
                    token = self.token(Some(refused))?;
                    is_renewed = true;
                }
                (401, Some(_)) => {
                    return Err(answer.down(
                        "the API refuses a token that it has just given; allow the client the scopes payments:read and \
                         payments:write",
                    ));
                }
                (401, None) => {
                    return Err(answer.down(
                        "the API wants a token; set \"clientId\" and \"clientSecret\" or \"clientSecretFile\"",
                    ));
                }
                (403, _) => {
                    return Err(answer
                        .down("the API refuses this client; allow it to use the Payments API"));
                }
                _ => return Ok(answer),
            }
        }
    }

    /// A token that is good for a while, and is not the one that was refused. None if the API wants none.
    fn token(&self, refused: Option<&Secret>) -> Result<Option<Secret>, DeliveryError> {
        let Some(Credentials { id, secret }) = &self.credentials else {
            return Ok(None);
        };
        // Held while one is fetched, so that one request does it for all.
        let mut known = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*known
            && token.until > Instant::now()
            && refused != Some(&token.text)
        {
            return Ok(Some(token.text.clone()));
        }
        let token = self.fetch_token(id, secret)?;
        let text = token.text.clone();
        *known = Some(token);
        Ok(Some(text))
    }

    fn fetch_token(&self, id: &str, secret: &Rotating) -> Result<Token, DeliveryError> {
        #[derive(Deserialize)]
        struct Given {
            access_token: String,
            #[serde(default = "some_minutes")]
            expires_in: u64,
        }
        let mut current = secret.current();
        loop {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let form = format!(
                "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                encoded(id),
                encoded(current.expose()),
                encoded(SCOPE)
            );
            let asked_at = Instant::now();
            let mut answer = self.target.ask(Ask {
                method: &Method::POST,
                url: &self.token_url,
                headers: &[("Content-Type", "application/x-www-form-urlencoded")],
                body: form.as_bytes(),
                secret: Some(&current),
            })?;
            match answer.status {
                200 => {
                    let given: Given = serde_json::from_slice(&answer.body).map_err(|_| {
                        DeliveryError::down(format!(
                            "POST {} answered 200, but with no token: is \"url\" that of a stack?",
                            escaped(&self.token_url)
                        ))
                    })?;
                    let lifetime = Duration::from_secs(given.expires_in.min(86_400));
                    let good_for = match lifetime.checked_sub(BEFORE_ITS_END) {
                        Some(rest) if rest > BEFORE_ITS_END => rest,
                        _ => lifetime / 2,
                    };
                    return Ok(Token {
                        text: Secret::new(given.access_token),
                        until: asked_at + good_for,
                    });
                }
                400 | 401 | 403 => match secret.rotated(&current, "Formance") {
                    Some(rotated) => current = rotated,
                    None => {
                        return Err(DeliveryError::down(format!(
                            "POST {} answered {}: Formance gives no token; check \"clientId\" and the client's secret (which is \
                             read again then), and that the client may have the scopes {SCOPE}",
                            escaped(&self.token_url),
                            answer.status
                        )));
                    }
                },
                _ => {
                    // It may repeat what it was sent.
                    answer.body.clear();
                    return Err(answer.down(""));
                }
            }
        }
    }
}

/// Seconds. A token that does not say how long it is good for.
fn some_minutes() -> u64 {
    300
}

/// Whether a body is what the API answers: an object with `data`.
fn is_data(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "data")]
        _data: IgnoredAny,
    }
    serde_json::from_slice::<Body>(body).is_ok()
}

/// A page of the list of connectors.
#[derive(Debug, Deserialize)]
struct ConnectorPage {
    data: Vec<Connector>,
    #[serde(rename = "hasMore", default)]
    has_more: bool,
    next: Option<String>,
}

/// The connector's id, if things can be pushed to it.
fn usable(connector: Connector) -> Result<ConnectorId, DeliveryError> {
    let name = escaped(&connector.name);
    let refuse = |reason: String| Err(DeliveryError::down(reason));
    if !PROVIDERS.contains(&connector.provider.to_ascii_lowercase().as_str()) {
        return refuse(format!(
            "the connector \"{name}\" is of provider \"{}\", to which nothing can be pushed: set \"connector\" to one of provider \
             generic",
            escaped(&connector.provider)
        ));
    }
    if connector.scheduled_for_deletion {
        return refuse(format!(
            "the connector \"{name}\" is being reset or uninstalled: it is looked up again until it is installed anew"
        ));
    }
    match ConnectorId::decode(&connector.id) {
        Some(id) => Ok(id),
        None => refuse(format!(
            "the connector \"{name}\" has an id that is none of the Payments API, version 3: \"{}\"",
            escaped(&connector.id)
        )),
    }
}

/// A date that the target does not take yet, because its clock is behind.
fn ahead(what: &str, answer: &Answer, newest: Timestamp, date: Timestamp) -> DeliveryError {
    // The answer's date is cut off to a second.
    let wait = newest.since(date) + Duration::from_secs(1);
    DeliveryError::Down {
        reason: format!(
            "{what}: {}: the newest date in it lies {:.0} s after the target's clock ({date}); it is sent again when that has passed. Is \
             this machine's clock right? (publisher skip puts it into quarantine.)",
            answer.told(),
            newest.since(date).as_secs_f64().ceil()
        ),
        wait: Some(wait),
    }
}
