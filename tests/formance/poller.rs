//! Formance's own poller: it asks, pages, filters, decodes and stores as the `generic` connector and the stack behind it
//! do, so that a test can say what would be in Formance. Where the stack retries forever, the model tries four times.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use generic_connector::{Amount, Asset, Stream};
use serde_json::Value;

use super::date::Date;
use super::go::{self, Fields, GoType, escaped_target, page_of};
use super::limits::{check_balance, check_record};

/// Records a page, and the most that one fetch brings.
const PAGE_SIZE: usize = 100;
/// The deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is retried.
const RETRIES: usize = 3;
/// Between two tries. The stack waits for seconds, and ignores `Retry-After`.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// A fetch of more pages counts as endless.
const ENDLESS: usize = 2_000;

/// The fields that are decoded, and what each must be.
fn fields_of(stream: Stream) -> &'static [(&'static str, GoType)] {
    match stream {
        Stream::Accounts => &[
            ("id", GoType::Text),
            ("accountName", GoType::Text),
            ("createdAt", GoType::Date),
            ("metadata", GoType::Metadata),
        ],
        Stream::Balances => &[
            ("id", GoType::Text),
            ("accountID", GoType::Text),
            ("at", GoType::Date),
            ("balances", GoType::List),
        ],
        Stream::Beneficiaries => &[
            ("id", GoType::Text),
            ("ownerName", GoType::Text),
            ("createdAt", GoType::Date),
            ("metadata", GoType::Metadata),
        ],
        Stream::Transactions => &[
            ("id", GoType::Text),
            ("relatedTransactionID", GoType::OptionalText),
            ("createdAt", GoType::Date),
            ("updatedAt", GoType::Date),
            ("currency", GoType::Text),
            ("scheme", GoType::OptionalText),
            ("type", GoType::Type),
            ("status", GoType::Status),
            ("amount", GoType::Text),
            ("sourceAccountID", GoType::OptionalText),
            ("destinationAccountID", GoType::OptionalText),
            ("metadata", GoType::Metadata),
        ],
    }
}

const BALANCE: &[(&str, GoType)] = &[("amount", GoType::Text), ("currency", GoType::Text)];

/// A Payout or Transfer.
const MADE: &[(&str, GoType)] = &[
    ("id", GoType::Text),
    ("idempotencyKey", GoType::Text),
    ("amount", GoType::Text),
    ("currency", GoType::Text),
    ("sourceAccountId", GoType::Text),
    ("destinationAccountId", GoType::Text),
    ("description", GoType::OptionalText),
    ("status", GoType::Text),
    ("createdAt", GoType::Text),
    ("updatedAt", GoType::OptionalText),
    ("metadata", GoType::Metadata),
];

/// A stack with the `generic` connector installed, between its runs.
pub struct Poller {
    url: String,
    key: String,
    agent: ureq::Agent,
    /// The date of the last record that it kept of each stream.
    watermarks: BTreeMap<Stream, Date>,
    /// Every version that it kept, in the order in which it received them.
    received: BTreeMap<Stream, Vec<String>>,
    /// Accounts and beneficiaries share their ids: the first one stays.
    accounts: BTreeMap<String, (Stream, String)>,
    payments: BTreeMap<(String, String), Vec<ShownAdjustment>>,
    statuses: BTreeMap<String, String>,
    balances: BTreeMap<(String, String), Held>,
    requests: usize,
}

/// One state of a payment as Formance shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAdjustment {
    /// The transaction that it came with.
    pub id: String,
    pub status: String,
    created_at: Date,
}

/// What an account holds of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    /// When this amount was first seen, in microseconds.
    since: i128,
    amount: String,
}

/// Why a try gave nothing.
enum Failure {
    /// It is tried again.
    Transient(String),
    /// The run ends.
    Final(String),
}

impl Poller {
    /// The endpoint and the key as they are configured. A slash at the endpoint's end stays: it is sent twice.
    pub fn new(url: &str, key: &str) -> Poller {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Poller {
            url: url.to_owned(),
            key: key.to_owned(),
            agent: agent.into(),
            watermarks: BTreeMap::new(),
            received: BTreeMap::new(),
            accounts: BTreeMap::new(),
            payments: BTreeMap::new(),
            statuses: BTreeMap::new(),
            balances: BTreeMap::new(),
            requests: 0,
        }
    }

    /// Another endpoint and key are configured. What was read stays, and so do the watermarks.
    pub fn point_at(&mut self, url: &str, key: &str) {
        self.url = url.to_owned();
        self.key = key.to_owned();
    }

    /// One run of a stream: fetches until one says that there is no more.
    ///
    /// An error ends the run, or would be retried forever. The fetches before it are kept.
    pub fn run(&mut self, stream: Stream) -> Result<(), String> {
        self.run_with(stream, &mut || {})
    }

    /// As [`run`](Poller::run); `between` runs after each answer.
    pub fn run_with(&mut self, stream: Stream, between: &mut dyn FnMut()) -> Result<(), String> {
        while self.fetch_with(stream, between)? {}
        Ok(())
    }

    /// One fetch: pages until a hundred new records are there or a page is short. Whether there is more.
    pub fn fetch(&mut self, stream: Stream) -> Result<bool, String> {
        self.fetch_with(stream, &mut || {})
    }

    /// As [`fetch`](Poller::fetch); `between` runs after each answer.
    pub fn fetch_with(
        &mut self,
        stream: Stream,
        between: &mut dyn FnMut(),
    ) -> Result<bool, String> {
        let watermark = self.watermarks.get(&stream).copied().unwrap_or(Date::ZERO);
        let date_field = stream.date_field();
        let mut kept: Vec<(Fields, String)> = Vec::new();
        let mut has_more = false;
        for page in 1.. {
            if page > ENDLESS {
                return Err(format!("{ENDLESS} pages of {stream} and no end"));
            }
            let body = self.get(&list_target(stream, page, watermark), between)?;
            between();
            let records = page_of(&body)?;
            let length = records.len();
            for json in records {
                let fields = Fields::read(&json, fields_of(stream))?;
                if fields.date(date_field).instant() <= watermark.instant() {
                    continue;
                }
                check_kept(stream, &fields)?;
                kept.push((fields, json));
            }
            has_more = kept.len() > PAGE_SIZE || length >= PAGE_SIZE;
            if kept.len() >= PAGE_SIZE || !has_more {
                break;
            }
        }
        kept.truncate(PAGE_SIZE);
        for (fields, _) in &kept {
            check_stored(stream, fields)?;
        }
        if let Some((fields, _)) = kept.last() {
            self.watermarks.insert(stream, fields.date(date_field));
        }
        for (fields, json) in kept {
            self.store(stream, &fields, &json);
            self.received.entry(stream).or_default().push(json);
        }
        Ok(has_more)
    }

    /// Asks for the balances of an account. The id is put into the path as it is.
    ///
    /// An amount that changes while its date does not is an error, as the stack's database makes it one; an amount of an
    /// older date is passed over.
    pub fn balances(&mut self, account_id: &str) -> Result<(), String> {
        let target = escaped_target(&format!("/accounts/{account_id}/balances"))?;
        let body = self.get(&target, &mut || {})?;
        let fields = Fields::read(&body, fields_of(Stream::Balances))?;
        let at = fields.date("at");
        at.check_writable()?;
        let account = fields.text("accountID");
        let mut amounts = Vec::new();
        for balance in fields.list("balances")? {
            let balance = Fields::read(&balance, BALANCE)?;
            let amount =
                Amount::parse(balance.text("amount")).map_err(|error| error.to_string())?;
            let asset = balance.text("currency").to_owned();
            Asset::check(&asset).map_err(|error| error.to_string())?;
            check_balance(account, &asset, &amount.to_string())?;
            if account.is_empty() || at == Date::ZERO {
                return Err("balances without accountID or at".to_owned());
            }
            amounts.push((asset, amount.to_string()));
        }
        for (asset, amount) in amounts {
            let new = Held {
                since: at.microseconds(),
                amount,
            };
            let place = (account.to_owned(), asset);
            match self.balances.get(&place) {
                Some(held) if held.since > new.since || held.amount == new.amount => {}
                Some(held) if held.since == new.since => {
                    return Err(format!(
                        "{place:?} is {} and was {} at the same instant",
                        new.amount, held.amount
                    ));
                }
                _ => {
                    self.balances.insert(place, new);
                }
            }
        }
        Ok(())
    }

    /// Sends an initiation once; `kind` is `payouts` or `transfers`. The status, and the body as JSON.
    ///
    /// What was made is shown as a payment under the idempotency key. The stack asks again, forever, after what
    /// [`run`](Poller::run) tries again; after any other answer the initiation has failed.
    pub fn post(&mut self, kind: &str, body: &Value) -> Result<(u16, Value), String> {
        self.requests += 1;
        let request = self
            .agent
            .post(format!("{}/{kind}", self.url))
            .header("Authorization", format!("Bearer {}", self.key))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json");
        let mut response = request
            .send(body.to_string())
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        if (200..300).contains(&status) {
            self.store_made(kind, &text)?;
        }
        let json = serde_json::from_str(&text).map_err(|error| format!("{status}: {error}"))?;
        Ok((status, json))
    }

    /// The ids of the records that it has. An id among accounts and beneficiaries belongs to where it came first.
    pub fn ids(&self, stream: Stream) -> BTreeSet<String> {
        match stream {
            Stream::Transactions => self.statuses.keys().cloned().collect(),
            Stream::Balances => {
                let accounts = self.balances.keys();
                accounts.map(|(account, _)| account.clone()).collect()
            }
            Stream::Accounts | Stream::Beneficiaries => {
                let own = self.accounts.iter().filter(|(_, (of, _))| *of == stream);
                own.map(|(id, _)| id.clone()).collect()
            }
        }
    }

    /// The version of an account or beneficiary that it shows: the first one, forever.
    pub fn account(&self, id: &str) -> Option<Value> {
        let (_, json) = self.accounts.get(id)?;
        serde_json::from_str(json).ok()
    }

    /// The status of the last version of a transaction that it kept.
    pub fn last_status(&self, id: &str) -> Option<&str> {
        self.statuses.get(id).map(String::as_str)
    }

    /// The adjustments of each payment, in the order in which they came. The key is the transaction's id, or the one
    /// that it is related to, and its type.
    pub fn payments(&self) -> &BTreeMap<(String, String), Vec<ShownAdjustment>> {
        &self.payments
    }

    /// The amount that it shows of an account and an asset.
    pub fn balance(&self, account_id: &str, asset: &str) -> Option<&str> {
        let place = (account_id.to_owned(), asset.to_owned());
        self.balances.get(&place).map(|held| held.amount.as_str())
    }

    /// Every version that it kept of a stream, as it was sent, in order.
    pub fn received(&self, stream: Stream) -> &[String] {
        self.received.get(&stream).map_or(&[], Vec::as_slice)
    }

    /// Requests made so far, tries counted.
    pub fn requests(&self) -> usize {
        self.requests
    }

    fn store_made(&mut self, kind: &str, json: &str) -> Result<(), String> {
        let made = Fields::read(json, MADE)?;
        Amount::check(made.text("amount")).map_err(|error| error.to_string())?;
        Asset::check(made.text("currency")).map_err(|error| error.to_string())?;
        // It is decoded as a text, and read as a date only then.
        let created_at = Date::read(&Value::from(made.text("createdAt")).to_string())?;
        let id = made.text("id").to_owned();
        let payment = match made.text("idempotencyKey") {
            "" => id.clone(),
            key => key.to_owned(),
        };
        let kind = kind.trim_end_matches('s').to_uppercase();
        let status = match made.text("status") {
            known if go::STATUSES.contains(&known) => known,
            _ => "OTHER",
        };
        self.show(payment, kind, id, status.to_owned(), created_at);
        Ok(())
    }

    fn show(
        &mut self,
        payment: String,
        kind: String,
        id: String,
        status: String,
        created_at: Date,
    ) {
        let adjustments = self.payments.entry((payment, kind)).or_default();
        let adjustment = ShownAdjustment {
            id,
            status,
            created_at,
        };
        if !adjustments.contains(&adjustment) {
            adjustments.push(adjustment);
        }
    }

    fn store(&mut self, stream: Stream, fields: &Fields, json: &str) {
        let id = fields.text("id").to_owned();
        if stream != Stream::Transactions {
            self.accounts
                .entry(id)
                .or_insert_with(|| (stream, json.to_owned()));
            return;
        }
        let or_other = |text: &str| match text {
            "" => "OTHER".to_owned(),
            text => text.to_owned(),
        };
        let status = or_other(fields.text("status"));
        let payment = match fields.text("relatedTransactionID") {
            "" => id.clone(),
            related => related.to_owned(),
        };
        let kind = or_other(fields.text("type"));
        let created_at = fields.date("createdAt");
        self.show(payment, kind, id.clone(), status.clone(), created_at);
        self.statuses.insert(id, status);
    }

    fn get(&mut self, target: &str, between: &mut dyn FnMut()) -> Result<String, String> {
        let mut tries = 0;
        loop {
            self.requests += 1;
            match self.try_get(target) {
                Ok(body) => return Ok(body),
                Err(Failure::Transient(_)) if tries < RETRIES => {
                    tries += 1;
                    thread::sleep(RETRY_DELAY);
                    between();
                }
                Err(Failure::Transient(reason) | Failure::Final(reason)) => {
                    return Err(format!("GET {target}: {reason}"));
                }
            }
        }
    }

    fn try_get(&self, target: &str) -> Result<String, Failure> {
        let request = self
            .agent
            .get(format!("{}{target}", self.url))
            .header("Authorization", format!("Bearer {}", self.key));
        let mut response = request.call().map_err(|error| match error {
            ureq::Error::Timeout(_) => Failure::Transient(error.to_string()),
            error => Failure::Final(error.to_string()),
        })?;
        let status = response.status().as_u16();
        match status {
            200..300 => {}
            408 | 421 | 423 | 425 | 429 | 500.. => {
                return Err(Failure::Transient(format!("status {status}")));
            }
            _ => return Err(Failure::Final(format!("status {status}"))),
        }
        let body = response.body_mut().with_config().limit(u64::MAX);
        let body = body.read_to_vec();
        let body = body.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// A list request: its keys stand in alphabetical order.
fn list_target(stream: Stream, page: usize, watermark: Date) -> String {
    let date_field = stream.date_field();
    let mut query = vec![
        format!("page={page}"),
        format!("pageSize={PAGE_SIZE}"),
        format!("sort={date_field}%3Aasc"),
    ];
    if watermark != Date::ZERO {
        let second = watermark.whole_second().replace(':', "%3A");
        query.push(format!("{date_field}From={second}"));
    }
    query.sort();
    format!("/{stream}?{}", query.join("&"))
}

/// What fails the fetch though the record may not be among the hundred that it keeps.
fn check_kept(stream: Stream, fields: &Fields) -> Result<(), String> {
    // Each is written as JSON again.
    fields.date("createdAt").check_writable()?;
    fields.date(stream.date_field()).check_writable()?;
    if stream == Stream::Transactions {
        Amount::check(fields.text("amount")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What fails all hundred on their way into the database.
fn check_stored(stream: Stream, fields: &Fields) -> Result<(), String> {
    if fields.text("id").is_empty() {
        return Err(format!("{stream} without an id"));
    }
    if fields.date("createdAt") == Date::ZERO {
        return Err(format!("{stream} without createdAt"));
    }
    if stream == Stream::Transactions {
        Asset::check(fields.text("currency")).map_err(|error| error.to_string())?;
    }
    check_record(stream, fields)
}
