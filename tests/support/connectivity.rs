use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use generic_connector::{STATUSES, Timestamp};
use num_bigint::BigInt;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::server::{Mishap, TestAnswer, TestRequest, TestServer, http_date};

/// A fake of the Payments API of a Formance stack, version 3. It keeps to the rules of formancehq/payments v3.4.0: what
/// it validates, what it writes once, how adjustments move amounts.
pub struct Connectivity {
    server: TestServer,
    inner: Arc<Mutex<Inner>>,
}

/// What a config of a connector has in clear. It must not get into any log.
pub const CONNECTOR_SECRET: &str = "api-key-of-the-installed-connector";
pub const CLIENT_ID: &str = "client-1";
pub const CLIENT_SECRET: &str = "s3cret+of/the client";

#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub name: String,
    /// `INTERNAL` or `EXTERNAL`.
    pub kind: String,
    pub created_at: Timestamp,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    pub initial_amount: BigInt,
    pub amount: BigInt,
    pub asset: String,
    pub scheme: String,
    pub source: Option<String>,
    pub destination: Option<String>,
    pub created_at: Timestamp,
    pub metadata: BTreeMap<String, String>,
    /// As they were inserted.
    pub adjustments: Vec<Adjustment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adjustment {
    pub reference: String,
    pub created_at: Timestamp,
    pub status: String,
    pub amount: BigInt,
}

impl Payment {
    /// The adjustments as the API sorts them, oldest first: by microsecond, then as they were inserted.
    pub fn history(&self) -> Vec<(String, String)> {
        let mut sorted: Vec<&Adjustment> = self.adjustments.iter().collect();
        sorted.sort_by_key(|adjustment| {
            (adjustment.created_at.nanoseconds() + 500).div_euclid(1_000)
        });
        sorted
            .into_iter()
            .map(|adjustment| (adjustment.reference.clone(), adjustment.status.clone()))
            .collect()
    }

    /// What is shown.
    pub fn status(&self) -> String {
        self.history()
            .pop()
            .map(|(_, status)| status)
            .unwrap_or_default()
    }
}

struct Inner {
    wants_token: bool,
    client_secret: String,
    scopes: BTreeSet<&'static str>,
    token_lifetime: Duration,
    /// Each token with the scopes it has and when it ends.
    tokens: BTreeMap<String, (String, Instant)>,
    tokens_given: usize,
    provider: &'static str,
    /// The uuid of the connector "acme".
    uuid: String,
    accounts: BTreeMap<String, Account>,
    payments: BTreeMap<(String, String), Payment>,
    /// How far the server's clock is behind.
    behind: Duration,
    /// The requests, and what was answered.
    exchanges: Vec<(TestRequest, u16)>,
}

impl Connectivity {
    /// A stack with a connector "acme" of provider `generic`.
    pub fn start() -> Connectivity {
        let inner = Arc::new(Mutex::new(Inner {
            wants_token: true,
            client_secret: CLIENT_SECRET.to_owned(),
            scopes: ["payments:read", "payments:write"].into(),
            token_lifetime: Duration::from_secs(3600),
            tokens: BTreeMap::new(),
            tokens_given: 0,
            provider: "generic",
            uuid: "0ba403bb-3c9f-4695-bd1d-2bd9d7b28094".to_owned(),
            accounts: BTreeMap::new(),
            payments: BTreeMap::new(),
            behind: Duration::ZERO,
            exchanges: Vec::new(),
        }));
        let server = TestServer::start(handler(inner.clone()));
        Connectivity { server, inner }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The entry of `publish` for it.
    pub fn entry(&self) -> Value {
        json!({
            "type": "formance", "url": self.url(), "connector": "acme", "clientId": CLIENT_ID,
            "clientSecret": CLIENT_SECRET, "requestTimeout": "5s",
        })
    }

    /// Nobody listens any more. What it has stays.
    pub fn go_down(&self) {
        self.server.go_down();
    }

    /// It listens again, on the same port.
    pub fn come_up(&self) {
        self.server.listen_again();
    }

    pub fn script(&self, script: impl FnMut(&TestRequest) -> Mishap + Send + 'static) {
        self.server.script(script);
    }

    pub fn latency(&self, latency: Duration) {
        self.server.latency(latency);
    }

    /// As `POST /v3/connectors/{id}/reset` does: its data is gone, and it has a new id.
    pub fn reset_connector(&self) {
        let mut inner = self.inner();
        let number = inner.exchanges.len();
        inner.uuid = format!("0ba403bb-3c9f-4695-bd1d-{number:012}");
        inner.accounts.clear();
        inner.payments.clear();
    }

    pub fn connector_id(&self) -> String {
        encode(&self.inner().connector())
    }

    pub fn expire_tokens(&self) {
        self.inner().tokens.clear();
    }

    pub fn token_lifetime(&self, lifetime: Duration) {
        self.inner().token_lifetime = lifetime;
    }

    pub fn tokens_given(&self) -> usize {
        self.inner().tokens_given
    }

    pub fn client_secret(&self, secret: &str) {
        self.inner().client_secret = secret.to_owned();
    }

    pub fn scopes(&self, scopes: &[&'static str]) {
        self.inner().scopes = scopes.iter().copied().collect();
    }

    pub fn without_auth(&self) {
        self.inner().wants_token = false;
    }

    /// Its clock is so far behind.
    pub fn clock_behind(&self, behind: Duration) {
        self.inner().behind = behind;
    }

    pub fn accounts(&self) -> BTreeMap<String, Account> {
        self.inner().accounts.clone()
    }

    /// By reference and type.
    pub fn payments(&self) -> BTreeMap<(String, String), Payment> {
        self.inner().payments.clone()
    }

    /// The payment of that reference.
    pub fn payment(&self, reference: &str) -> Payment {
        let payments = self.payments();
        let mut found = payments.iter().filter(|((known, _), _)| known == reference);
        let payment = found
            .next()
            .unwrap_or_else(|| panic!("no payment {reference}"))
            .1;
        assert!(found.next().is_none(), "{reference} is two payments");
        payment.clone()
    }

    /// The requests so far, and what was answered to those that were handled.
    pub fn exchanges(&self) -> Vec<(TestRequest, u16)> {
        self.inner().exchanges.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

fn handler(inner: Arc<Mutex<Inner>>) -> impl Fn(&TestRequest) -> TestAnswer {
    move |asked| {
        let mut inner = inner.lock().unwrap();
        let answer = inner.answer(asked);
        inner.exchanges.push((asked.clone(), answer.status));
        answer
    }
}

type Refusal = (u16, &'static str, String);

fn validation(message: impl Into<String>) -> Refusal {
    (400, "VALIDATION", message.into())
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn text(value: &str) -> String {
    // Canonical JSON escapes as serde_json does, but for the case of its digits.
    let json = serde_json::to_string(value).unwrap();
    assert!(!json.contains("\\u00"), "write a rule for {json}");
    json
}

impl Inner {
    /// The canonical JSON of the connector's id.
    fn connector(&self) -> String {
        format!(
            "{{\"Provider\":\"{}\",\"Reference\":\"{}\"}}",
            self.provider, self.uuid
        )
    }

    fn now(&self) -> Timestamp {
        let behind = i64::try_from(self.behind.as_nanos()).unwrap();
        Timestamp::now().plus_nanoseconds(-behind)
    }

    fn answer(&mut self, asked: &TestRequest) -> TestAnswer {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        if path == "/api/auth/oauth/token" {
            return self.token(asked);
        }
        let Some(path) = path
            .strip_prefix("/api/payments/v3")
            .or(path.strip_prefix("/v3"))
        else {
            return TestAnswer::new(404, "404 page not found\n");
        };
        let needed = match asked.method.as_str() {
            "GET" => "payments:read",
            _ => "payments:write",
        };
        let granted = asked
            .header("authorization")
            .and_then(|value| self.tokens.get(value.strip_prefix("Bearer ")?))
            .is_some_and(|(scopes, until)| {
                scopes.split(' ').any(|scope| scope == needed) && *until > Instant::now()
            });
        if self.wants_token && !granted {
            return TestAnswer::new(401, "");
        }
        let done = match (asked.method.as_str(), path) {
            ("GET", "/connectors") => Ok(self.connectors(query)),
            ("POST", "/accounts") => self.account(&asked.body),
            ("POST", "/payments") => self.payment(&asked.body),
            ("PATCH", path) => self.metadata(path, &asked.body),
            _ => Err((404, "NOT_FOUND", "not found".to_owned())),
        };
        let answer = done.unwrap_or_else(|(status, code, message)| {
            let body = json!({ "errorCode": code, "errorMessage": message });
            TestAnswer::new(status, body.to_string())
        });
        match self.behind {
            Duration::ZERO => answer,
            _ => answer.with("Date", &http_date(self.now())),
        }
    }

    fn token(&mut self, asked: &TestRequest) -> TestAnswer {
        let form: BTreeMap<String, String> = asked
            .text()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                let value = percent_decode_str(value)
                    .decode_utf8()
                    .unwrap()
                    .into_owned();
                (name.to_owned(), value)
            })
            .collect();
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        if !is("grant_type", "client_credentials") {
            return TestAnswer::new(400, r#"{"error":"unsupported_grant_type"}"#);
        }
        if !is("client_id", CLIENT_ID) || !is("client_secret", &self.client_secret) {
            return TestAnswer::new(
                401,
                r#"{"error":"invalid_client","error_description":"no such client"}"#,
            );
        }
        let scopes: Vec<&str> = form["scope"]
            .split(' ')
            .filter(|scope| self.scopes.contains(scope))
            .collect();
        self.tokens_given += 1;
        let token = format!("token-{}", self.tokens_given);
        let until = Instant::now() + self.token_lifetime;
        self.tokens.insert(token.clone(), (scopes.join(" "), until));
        let lifetime = self.token_lifetime.as_secs();
        let given =
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime });
        TestAnswer::new(200, given.to_string())
    }

    fn connectors(&self, query: &str) -> TestAnswer {
        let query: BTreeMap<&str, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                (
                    name,
                    percent_decode_str(value)
                        .decode_utf8()
                        .unwrap()
                        .into_owned(),
                )
            })
            .collect();
        let wanted: Value = query
            .get("query")
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        let connector = |id: String, name: &str, provider: &str| {
            json!({
                "id": id, "name": name, "provider": provider, "scheduledForDeletion": false,
                "config": { "apiKey": CONNECTOR_SECRET, "endpoint": "http://x", "name": name },
            })
        };
        let all = [
            connector(encode(&self.connector()), "acme", self.provider),
            connector(
                encode(
                    r#"{"Provider":"stripe","Reference":"0ba403bb-3c9f-4695-bd1d-000000000000"}"#,
                ),
                "cards",
                "stripe",
            ),
        ];
        let data: Vec<&Value> = all
            .iter()
            .filter(|connector| {
                let matched = &wanted["$match"];
                ["name", "id"]
                    .iter()
                    .all(|key| matched[key].is_null() || matched[key] == connector[key])
            })
            .collect();
        let cursor = json!({ "cursor": { "pageSize": 100, "hasMore": false, "data": data } });
        TestAnswer::new(200, cursor.to_string())
    }

    /// Checks that an id is one of this connector's: the reference in it.
    fn own_account(&self, id: &str) -> Option<String> {
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
        let decoded: Value = serde_json::from_str(&json).ok()?;
        let reference = decoded["Reference"].as_str()?;
        // Of a connector that was there before, perhaps: whether the account exists is not looked at.
        let uuid = decoded["ConnectorID"]["Reference"].as_str()?;
        let canonical = format!(
            "{{\"ConnectorID\":{{\"Provider\":\"{}\",\"Reference\":\"{uuid}\"}},\"Reference\":{}}}",
            self.provider,
            text(reference)
        );
        assert_eq!(json, canonical, "an id that is not canonical");
        Some(reference.to_owned())
    }

    fn check_connector(&self, id: &str) -> Result<(), Refusal> {
        let json = URL_SAFE_NO_PAD
            .decode(id)
            .map_err(|_| validation("ConnectorID is invalid"))?;
        if json != self.connector().as_bytes() {
            return Err(validation("connector_id: value not found"));
        }
        match self.provider {
            "generic" | "dummypay" => Ok(()),
            provider => Err((
                400,
                "CONNECTOR_CAPABILITY_NOT_SUPPORTED",
                format!("capability not supported for provider {provider}"),
            )),
        }
    }

    fn check_reference(reference: &str) -> Result<(), Refusal> {
        match reference.chars().count() {
            0 => Err(validation("Reference is a required field")),
            1..=2 => Err(validation(
                "Reference must be at least 3 characters in length",
            )),
            3..=1000 => Ok(()),
            _ => Err(validation(
                "Reference must be a maximum of 1,000 characters in length",
            )),
        }
    }

    fn check_date(&self, text: &str) -> Result<Timestamp, Refusal> {
        let date = Timestamp::parse(text)
            .map_err(|invalid| (400, "MISSING_OR_INVALID_BODY", invalid.to_string()))?;
        if date
            .to_string()
            .starts_with("0001-01-01T00:00:00.000000000")
        {
            return Err(validation("CreatedAt is a required field"));
        }
        if date.to_string().starts_with("0000") {
            return Err((500, "INTERNAL", "failed to insert".to_owned()));
        }
        match date > self.now() {
            true => Err(validation(
                "CreatedAt must be less than or equal to the current Date & Time",
            )),
            false => Ok(date),
        }
    }

    fn account(&mut self, body: &[u8]) -> Result<TestAnswer, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            #[serde(default)]
            reference: String,
            #[serde(default, rename = "connectorID")]
            connector_id: String,
            #[serde(default)]
            created_at: String,
            #[serde(default, rename = "accountName")]
            name: String,
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default)]
            metadata: BTreeMap<String, String>,
        }
        let request: Request = read(body)?;
        Self::check_reference(&request.reference)?;
        if request.connector_id.is_empty() {
            return Err(validation("ConnectorID is a required field"));
        }
        let created_at = self.check_date(&request.created_at)?;
        if !(1..=1000).contains(&request.name.chars().count()) {
            return Err(validation("Name is a required field"));
        }
        if !["INTERNAL", "EXTERNAL"].contains(&request.kind.as_str()) {
            return Err(validation("Type is invalid"));
        }
        self.check_connector(&request.connector_id)?;
        let stored = self
            .accounts
            .entry(request.reference.clone())
            .or_insert(Account {
                name: request.name,
                kind: request.kind,
                created_at,
                metadata: request.metadata,
            });
        let data = json!({
            "reference": request.reference, "type": stored.kind, "name": stored.name,
            "createdAt": stored.created_at.to_string(), "metadata": stored.metadata,
        });
        Ok(TestAnswer::new(201, json!({ "data": data }).to_string()))
    }

    fn payment(&mut self, body: &[u8]) -> Result<TestAnswer, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            #[serde(default)]
            reference: String,
            #[serde(default, rename = "connectorID")]
            connector_id: String,
            #[serde(default)]
            created_at: String,
            #[serde(default, rename = "type")]
            kind: String,
            initial_amount: Box<RawValue>,
            amount: Box<RawValue>,
            #[serde(default)]
            asset: String,
            #[serde(default)]
            scheme: String,
            #[serde(rename = "sourceAccountID")]
            source: Option<String>,
            #[serde(rename = "destinationAccountID")]
            destination: Option<String>,
            #[serde(default)]
            metadata: BTreeMap<String, String>,
            #[serde(default)]
            adjustments: Vec<AdjustmentRequest>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct AdjustmentRequest {
            #[serde(default)]
            reference: String,
            #[serde(default)]
            created_at: String,
            #[serde(default)]
            status: String,
            amount: Box<RawValue>,
            #[serde(default)]
            asset: String,
        }
        let request: Request = read(body)?;
        Self::check_reference(&request.reference)?;
        let created_at = self.check_date(&request.created_at)?;
        if !["PAY-IN", "PAYOUT", "TRANSFER", "OTHER"].contains(&request.kind.as_str()) {
            return Err(validation("Type is invalid"));
        }
        let (initial_amount, amount) =
            (integer(&request.initial_amount)?, integer(&request.amount)?);
        check_asset(&request.asset)?;
        let schemes = [
            "OTHER",
            "SEPA",
            "SEPA_CREDIT",
            "A2A",
            "ACH",
            "RTP",
            "CARD_VISA",
        ];
        if !schemes.contains(&request.scheme.as_str()) {
            return Err(validation("Scheme is invalid"));
        }
        let account = |id: &Option<String>, field: &str| match id {
            None => Ok(None),
            Some(id) => self
                .own_account(id)
                .map(Some)
                .ok_or_else(|| validation(format!("{field} is invalid"))),
        };
        let source = account(&request.source, "SourceAccountID")?;
        let destination = account(&request.destination, "DestinationAccountID")?;
        if request.adjustments.is_empty() {
            return Err(validation("Adjustments must contain at least 1 item"));
        }
        let mut adjustments = Vec::new();
        for adjustment in &request.adjustments {
            Self::check_reference(&adjustment.reference)?;
            let created_at = self.check_date(&adjustment.created_at)?;
            if !STATUSES.contains(&adjustment.status.as_str()) {
                return Err(validation("Status is invalid"));
            }
            check_asset(&adjustment.asset)?;
            adjustments.push(Adjustment {
                reference: adjustment.reference.clone(),
                created_at,
                status: adjustment.status.clone(),
                amount: integer(&adjustment.amount)?,
            });
        }
        self.check_connector(&request.connector_id)?;
        let key = (request.reference.clone(), request.kind.clone());
        let payment = self.payments.entry(key).or_insert(Payment {
            initial_amount,
            amount,
            asset: request.asset,
            scheme: request.scheme,
            source,
            destination,
            created_at,
            metadata: request.metadata,
            adjustments: Vec::new(),
        });
        for adjustment in adjustments {
            let is_same = |known: &Adjustment| {
                (&known.reference, known.created_at, &known.status)
                    == (
                        &adjustment.reference,
                        adjustment.created_at,
                        &adjustment.status,
                    )
            };
            if payment.adjustments.iter().any(is_same) {
                continue;
            }
            match adjustment.status.as_str() {
                "REFUNDED" => payment.amount -= &adjustment.amount,
                "CAPTURE" | "REFUND_REVERSED" => payment.amount += &adjustment.amount,
                _ => {}
            }
            payment.adjustments.push(adjustment);
        }
        let echo = json!({ "data": { "reference": request.reference, "status": "UNKNOWN" } });
        Ok(TestAnswer::new(201, echo.to_string()))
    }

    fn metadata(&mut self, path: &str, body: &[u8]) -> Result<TestAnswer, Refusal> {
        let missing = || (404, "NOT_FOUND", "not found".to_owned());
        let id = path
            .strip_prefix("/payments/")
            .and_then(|rest| rest.strip_suffix("/metadata"))
            .ok_or_else(missing)?;
        let new: BTreeMap<String, String> = read(body)?;
        let connector = self.connector();
        let found = self.payments.iter_mut().find(|((reference, kind), _)| {
            let json = format!(
                "{{\"ConnectorID\":{connector},\"Reference\":{},\"Type\":\"{kind}\"}}",
                text(reference)
            );
            encode(&json) == id
        });
        found.ok_or_else(missing)?.1.metadata.extend(new);
        Ok(TestAnswer::new(204, ""))
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    if body.windows(6).any(|bytes| bytes == b"\\u0000") {
        return Err((
            500,
            "INTERNAL",
            "unsupported Unicode escape sequence".to_owned(),
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| (400, "MISSING_OR_INVALID_BODY", error.to_string()))
}

fn integer(json: &RawValue) -> Result<BigInt, Refusal> {
    let digits = json.get().strip_prefix('-').unwrap_or(json.get());
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("math/big: cannot unmarshal {json} into a *big.Int");
        return Err((400, "MISSING_OR_INVALID_BODY", message));
    }
    Ok(json.get().parse().unwrap())
}

/// Some of ISO 4217.
fn check_asset(asset: &str) -> Result<(), Refusal> {
    let known = ["EUR", "USD", "CZK", "JPY", "GBP"];
    let is_good = asset.split_once('/').is_some_and(|(code, decimals)| {
        known.contains(&code.to_uppercase().as_str())
            && !decimals.is_empty()
            && decimals.bytes().all(|byte| byte.is_ascii_digit())
    });
    match is_good {
        true => Ok(()),
        false => Err(validation("Asset is invalid")),
    }
}
