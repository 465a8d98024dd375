//! A fake of the Payments API of a Formance stack: tokens, requests, connectors. What it stores is in `storage`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::storage::{StackAccount, StackPayment, Storage, encode};
use crate::support::{Mishap, TestAnswer, TestRequest, TestServer, http_date};

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

struct Inner {
    wants_token: bool,
    client_secret: String,
    scopes: BTreeSet<&'static str>,
    token_lifetime: Duration,
    /// Each token with the scopes it has and when it ends.
    tokens: BTreeMap<String, (String, Instant)>,
    tokens_given: usize,
    storage: Storage,
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
            storage: Storage::new(),
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
        inner.storage = Storage {
            uuid: format!("0ba403bb-3c9f-4695-bd1d-{number:012}"),
            behind: inner.storage.behind,
            ..Storage::new()
        };
    }

    pub fn connector_id(&self) -> String {
        encode(&self.inner().storage.connector())
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
        self.inner().storage.behind = behind;
    }

    pub fn accounts(&self) -> BTreeMap<String, StackAccount> {
        self.inner().storage.accounts.clone()
    }

    /// By reference and type.
    pub fn payments(&self) -> BTreeMap<(String, String), StackPayment> {
        self.inner().storage.payments.clone()
    }

    /// The payment of that reference.
    pub fn payment(&self, reference: &str) -> StackPayment {
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
    move |request| {
        let mut inner = inner.lock().unwrap();
        let answer = inner.answer(request);
        inner.exchanges.push((request.clone(), answer.status));
        answer
    }
}

impl Inner {
    fn answer(&mut self, request: &TestRequest) -> TestAnswer {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/api/auth/oauth/token" {
            return self.token(request);
        }
        let Some(path) = path
            .strip_prefix("/api/payments/v3")
            .or(path.strip_prefix("/v3"))
        else {
            return TestAnswer::new(404, "404 page not found\n");
        };
        let needed = match request.method.as_str() {
            "GET" => "payments:read",
            _ => "payments:write",
        };
        let granted = request
            .header("authorization")
            .and_then(|value| self.tokens.get(value.strip_prefix("Bearer ")?))
            .is_some_and(|(scopes, until)| {
                scopes.split(' ').any(|scope| scope == needed) && *until > Instant::now()
            });
        if self.wants_token && !granted {
            return TestAnswer::new(401, "");
        }
        let done = match (request.method.as_str(), path) {
            ("GET", "/connectors") => Ok(self.connectors(query)),
            ("POST", "/accounts") => self.storage.account(&request.body),
            ("POST", "/payments") => self.storage.payment(&request.body),
            ("GET", "/payments") => self.storage.list(query),
            ("GET", path) => self.storage.get(path),
            ("PATCH", path) => self.storage.metadata(path, &request.body),
            _ => Err((404, "NOT_FOUND", "not found".to_owned())),
        };
        let answer = done.unwrap_or_else(|(status, code, message)| {
            let body = json!({ "errorCode": code, "errorMessage": message });
            TestAnswer::new(status, body.to_string())
        });
        match self.storage.behind {
            Duration::ZERO => answer,
            _ => answer.with("Date", &http_date(self.storage.now())),
        }
    }

    fn token(&mut self, request: &TestRequest) -> TestAnswer {
        let form: BTreeMap<String, String> = request
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
            connector(encode(&self.storage.connector()), "acme", "generic"),
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
}
