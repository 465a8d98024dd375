use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use ureq::http::Method;

use super::Settings;
use super::token::TokenSource;
use crate::api::{Timestamp, escaped};
use crate::formance::ConnectorId;
use crate::publish::DeliveryError;
use crate::publish::target::{self, FormanceError, Target};
use crate::secret::Secret;
use crate::transport::{Answer, Credential, OutgoingRequest};

/// The providers whose connectors take what is pushed.
const PROVIDERS: [&str; 2] = ["generic", "dummypay"];
/// The most connectors that a page of their list has.
const PAGE_SIZE: usize = 100;
/// A list of connectors with more pages than this never ends.
const MOST_PAGES: usize = 1_000;

/// The client of a stack's Payments API.
#[derive(Debug)]
pub(super) struct PaymentsClient {
    target: Target,
    /// `{stack}/api/payments/v3` or `{service}/v3`.
    base: String,
    /// None if the API wants no token.
    tokens: Option<TokenSource>,
}

/// An installed connector. Its configuration, which contains a key in clear text, is not read.
#[derive(Debug, Deserialize)]
struct InstalledConnector {
    id: String,
    name: String,
    provider: String,
    #[serde(rename = "scheduledForDeletion", default)]
    scheduled_for_deletion: bool,
}

/// What became of a pushed object.
#[derive(Debug)]
pub(super) enum Pushed {
    /// The API has it, and answered this.
    Taken(Vec<u8>),
    /// The API refuses it for its content, and says why.
    Refused(String),
}

impl PaymentsClient {
    /// Does not connect yet.
    pub fn new(settings: &Settings) -> PaymentsClient {
        PaymentsClient {
            target: Target::new(&settings.transport),
            base: settings.url.clone(),
            tokens: settings
                .credentials
                .clone()
                .map(|credentials| TokenSource::new(&settings.token_url, credentials)),
        }
    }

    /// Finds the connector of that name or id.
    pub fn connector(&self, wanted: &str) -> Result<ConnectorId, DeliveryError> {
        let is_id = ConnectorId::decode(wanted).is_some();
        let key = if is_id { "id" } else { "name" };
        let query = json!({ "$match": { key: wanted } }).to_string();
        let query = utf8_percent_encode(&query, NON_ALPHANUMERIC);
        let mut path = format!("/connectors?pageSize={PAGE_SIZE}&query={query}");
        let mut pages = 0;
        loop {
            pages += 1;
            let page = self.connectors(&path)?;
            for connector in page.data {
                let given = if is_id {
                    &connector.id
                } else {
                    &connector.name
                };
                if given == wanted {
                    return usable(&connector);
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
                         the name of one that is installed (a reset gives a connector a new id but keeps its name)",
                        escaped(&self.base),
                        escaped(wanted)
                    )));
                }
            }
        }
    }

    /// Reads an object, which `read` finds in the body; none if there is none.
    pub fn get<T>(
        &self,
        path: &str,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, DeliveryError> {
        let answer = self.ask(&Method::GET, path, None)?;
        let body = answer.body_or_empty();
        match answer.status {
            200 => match read(body) {
                Some(found) => Ok(Some(found)),
                None => Err(DeliveryError::down(format!(
                    "{}, which is not the API's answer: is \"url\" right, or does something else answer there?",
                    target::in_words(&answer)
                ))),
            },
            404 if FormanceError::read(body).is_some() => Ok(None),
            _ => Err(target::down(&answer, "")),
        }
    }

    /// Checks that the client may write, with a request that the API rejects before it looks at anything else.
    pub fn may_write(&self) -> Result<(), DeliveryError> {
        let answer = self.ask(&Method::POST, "/accounts", Some(b"{}"))?;
        match answer.status {
            400 => Ok(()),
            _ => Err(target::down(&answer, "unexpected")),
        }
    }

    /// Pushes an object. Errors call it `what`. `newest` is the newest date in it, which must not lie in the target's
    /// future.
    pub fn push(
        &self,
        what: &str,
        method: &Method,
        path: &str,
        json: &str,
        newest: Timestamp,
    ) -> Result<Pushed, DeliveryError> {
        let answer = self.ask(method, path, Some(json.as_bytes()))?;
        let error = FormanceError::read(answer.body_or_empty());
        let told = || target::in_words(&answer);
        let down = |reason: String| Err(DeliveryError::down(reason));
        match (answer.status, error) {
            // So the API answers, and not a page in front of it.
            (200 | 201, _) if is_data(answer.body_or_empty()) => {
                Ok(Pushed::Taken(answer.body.unwrap_or_default()))
            }
            (204, _) if *method == Method::PATCH => Ok(Pushed::Taken(Vec::new())),
            (200..=299, _) => down(format!(
                "{what}: {}, which is not the API's answer: is \"url\" right, or does something else answer there?",
                told()
            )),
            (404, _) if *method == Method::PATCH => down(format!(
                "{what}: {}: the payment no longer exists there; if this continues, deliver everything again with \
                publisher replay",
                told()
            )),
            // So answers something in front of the API.
            (400, None) => Err(target::down(&answer, "")),
            (400, Some(error)) if error.message.contains("connector_id") => down(format!(
                "{}: the connector no longer exists; looking it up again",
                told()
            )),
            (400, Some(error)) if error.code == "CONNECTOR_CAPABILITY_NOT_SUPPORTED" => down(
                format!("{}: set \"connector\" to one of provider generic", told()),
            ),
            (500, Some(_)) => down(format!(
                "{what}: {}; if this continues, the cause is its content: use publisher skip to quarantine it",
                told()
            )),
            (400 | 413 | 422, _) => match answer.date {
                Some(date) if newest >= date && told().contains("CreatedAt") => {
                    Err(ahead(what, &told(), newest, date))
                }
                _ => Ok(Pushed::Refused(told())),
            },
            _ => Err(target::down(&answer, "")),
        }
    }

    /// Reports the requests that were sent again, but not often.
    pub fn report_repeated(&self, publisher: &str) {
        self.target.report_repeated(publisher);
    }

    fn connectors(&self, path: &str) -> Result<ConnectorPage, DeliveryError> {
        #[derive(Deserialize)]
        struct ConnectorsBody {
            cursor: ConnectorPage,
        }
        let answer = self.ask(&Method::GET, path, None)?;
        match answer.status {
            200 => serde_json::from_slice::<ConnectorsBody>(answer.body_or_empty())
                .map(|body| body.cursor)
                // The error must not show the body, which contains configurations with their keys.
                .map_err(|_| {
                    DeliveryError::down(format!(
                        "GET {}/connectors answered 200, but without a list of connectors: is \"url\" right?",
                        escaped(&self.base)
                    ))
                }),
            _ => Err(target::down(&answer, "")),
        }
    }

    /// Sends a request with a token, and once more with another token if the first is refused.
    fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, DeliveryError> {
        let url = format!("{}{path}", self.base);
        let mut token = self.token(None)?;
        let mut is_renewed = false;
        loop {
            let request = OutgoingRequest {
                credential: token.as_ref().map_or(Credential::None, Credential::Bearer),
                headers: &[("Content-Type", "application/json")],
                body,
                ..target::request(method.clone(), &url)
            };
            let answer = self.target.exchange(&request)?;
            let fix = match (answer.status, &token) {
                (401, Some(refused)) if !is_renewed => {
                    token = self.token(Some(refused))?;
                    is_renewed = true;
                    continue;
                }
                (401, Some(_)) => {
                    "the API refuses a token that it has just issued; allow the client the scopes payments:read and \
                     payments:write"
                }
                (401, None) => {
                    "the API requires a token; set \"clientId\" and \"clientSecret\" or \"clientSecretFile\""
                }
                (403, _) => "the API refuses this client; allow it to use the Payments API",
                _ => return Ok(answer),
            };
            return Err(target::down(&answer, fix));
        }
    }

    /// A token other than the one that was refused; none if the API wants none.
    fn token(&self, refused: Option<&Secret>) -> Result<Option<Secret>, DeliveryError> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        tokens.token(&self.target, refused).map(Some)
    }
}

/// Whether a body is the API's: an object with `data`.
fn is_data(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct DataBody {
        #[serde(rename = "data")]
        _data: IgnoredAny,
    }
    serde_json::from_slice::<DataBody>(body).is_ok()
}

/// A page of the list of connectors.
#[derive(Debug, Deserialize)]
struct ConnectorPage {
    data: Vec<InstalledConnector>,
    #[serde(rename = "hasMore", default)]
    has_more: bool,
    next: Option<String>,
}

/// The connector's id, if objects can be pushed to it.
fn usable(connector: &InstalledConnector) -> Result<ConnectorId, DeliveryError> {
    let name = escaped(&connector.name);
    let refuse = |reason: String| Err(DeliveryError::down(reason));
    if !PROVIDERS.contains(&connector.provider.to_ascii_lowercase().as_str()) {
        return refuse(format!(
            "the connector \"{name}\" is of provider \"{}\", which accepts no pushed objects: set \"connector\" to \
            one of provider generic",
            escaped(&connector.provider)
        ));
    }
    if connector.scheduled_for_deletion {
        return refuse(format!(
            "the connector \"{name}\" is being reset or uninstalled: looking it up again until it is reinstalled"
        ));
    }
    match ConnectorId::decode(&connector.id) {
        Some(id) => Ok(id),
        None => refuse(format!(
            "the connector \"{name}\" has an id that is not one of the Payments API, version 3: \"{}\"",
            escaped(&connector.id)
        )),
    }
}

/// The target does not take a date yet, because its clock is behind.
fn ahead(what: &str, told: &str, newest: Timestamp, date: Timestamp) -> DeliveryError {
    // The answer's date has whole seconds.
    let wait = newest.since(date) + Duration::from_secs(1);
    DeliveryError::Down {
        reason: format!(
            "{what}: {told}: the newest date in it is {:.0} s ahead of the target's clock ({date}); it is sent again \
            when that date has passed. Is this machine's clock right? (publisher skip puts it into quarantine.)",
            newest.since(date).as_secs_f64().ceil()
        ),
        wait: Some(wait),
    }
}
