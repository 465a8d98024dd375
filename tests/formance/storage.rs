//! What a Formance stack stores of what is pushed: the validation of its API v3, ids, and how adjustments move amounts.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use generic_connector::{STATUSES, Timestamp};
use num_bigint::BigInt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::TestAnswer;

/// Some of the schemes that the API knows.
const SCHEMES: &[&str] = &[
    "OTHER",
    "SEPA",
    "SEPA_CREDIT",
    "A2A",
    "ACH",
    "RTP",
    "CARD_VISA",
];

/// The data of one connector.
pub struct Storage {
    pub provider: &'static str,
    /// The uuid of the connector.
    pub uuid: String,
    pub accounts: BTreeMap<String, StackAccount>,
    /// By reference and type.
    pub payments: BTreeMap<(String, String), StackPayment>,
    /// How far the server's clock is behind.
    pub behind: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StackAccount {
    pub name: String,
    /// `INTERNAL` or `EXTERNAL`.
    pub kind: String,
    pub created_at: Timestamp,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StackPayment {
    pub initial_amount: BigInt,
    pub amount: BigInt,
    pub asset: String,
    pub scheme: String,
    pub source: Option<String>,
    pub destination: Option<String>,
    pub created_at: Timestamp,
    pub metadata: BTreeMap<String, String>,
    /// As they were inserted.
    pub adjustments: Vec<StackAdjustment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StackAdjustment {
    pub reference: String,
    pub created_at: Timestamp,
    pub status: String,
    pub amount: BigInt,
}

pub type ApiRefusal = (u16, &'static str, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountBody {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody {
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
    adjustments: Vec<AdjustmentBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdjustmentBody {
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

impl StackPayment {
    /// As the API sorts them, oldest first: by microsecond, then as they were inserted.
    pub fn sorted(&self) -> Vec<&StackAdjustment> {
        let mut sorted: Vec<&StackAdjustment> = self.adjustments.iter().collect();
        sorted.sort_by_key(|adjustment| microseconds(adjustment));
        sorted
    }

    /// The adjustments, sorted: reference and status.
    pub fn history(&self) -> Vec<(String, String)> {
        self.sorted()
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

    /// Inserts it once. Its identity is its reference, date and status.
    fn insert(&mut self, adjustment: StackAdjustment) {
        let is_same = |known: &StackAdjustment| {
            (&known.reference, known.created_at, &known.status)
                == (
                    &adjustment.reference,
                    adjustment.created_at,
                    &adjustment.status,
                )
        };
        if self.adjustments.iter().any(is_same) {
            return;
        }
        match adjustment.status.as_str() {
            "REFUNDED" => self.amount -= &adjustment.amount,
            "CAPTURE" | "REFUND_REVERSED" => self.amount += &adjustment.amount,
            _ => {}
        }
        self.adjustments.push(adjustment);
    }
}

impl Storage {
    /// An empty one, of the connector "acme".
    pub fn new() -> Storage {
        Storage {
            provider: "generic",
            uuid: "0ba403bb-3c9f-4695-bd1d-2bd9d7b28094".to_owned(),
            accounts: BTreeMap::new(),
            payments: BTreeMap::new(),
            behind: Duration::ZERO,
        }
    }

    /// The canonical JSON of the connector's id.
    pub fn connector(&self) -> String {
        format!(
            "{{\"Provider\":\"{}\",\"Reference\":\"{}\"}}",
            self.provider, self.uuid
        )
    }

    pub fn now(&self) -> Timestamp {
        let behind = i64::try_from(self.behind.as_nanos()).unwrap();
        Timestamp::now().plus_nanoseconds(-behind)
    }

    /// `POST /v3/accounts`. An account is written once.
    pub fn account(&mut self, body: &[u8]) -> Result<TestAnswer, ApiRefusal> {
        let request: AccountBody = read(body)?;
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
            .or_insert(StackAccount {
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

    /// `POST /v3/payments`.
    pub fn payment(&mut self, body: &[u8]) -> Result<TestAnswer, ApiRefusal> {
        let request: PaymentBody = read(body)?;
        Self::check_reference(&request.reference)?;
        let created_at = self.check_date(&request.created_at)?;
        if !["PAY-IN", "PAYOUT", "TRANSFER", "OTHER"].contains(&request.kind.as_str()) {
            return Err(validation("Type is invalid"));
        }
        let (initial_amount, amount) =
            (integer(&request.initial_amount)?, integer(&request.amount)?);
        check_asset(&request.asset)?;
        if !SCHEMES.contains(&request.scheme.as_str()) {
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
        let adjustments = self.check_adjustments(&request.adjustments)?;
        self.check_connector(&request.connector_id)?;
        let key = (request.reference.clone(), request.kind.clone());
        let payment = self.payments.entry(key).or_insert(StackPayment {
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
            payment.insert(adjustment);
        }
        let echo = json!({ "data": { "reference": request.reference, "status": "UNKNOWN" } });
        Ok(TestAnswer::new(201, echo.to_string()))
    }

    fn check_adjustments(
        &self,
        bodies: &[AdjustmentBody],
    ) -> Result<Vec<StackAdjustment>, ApiRefusal> {
        if bodies.is_empty() {
            return Err(validation("Adjustments must contain at least 1 item"));
        }
        let mut adjustments = Vec::new();
        for adjustment in bodies {
            Self::check_reference(&adjustment.reference)?;
            let created_at = self.check_date(&adjustment.created_at)?;
            if !STATUSES.contains(&adjustment.status.as_str()) {
                return Err(validation("Status is invalid"));
            }
            check_asset(&adjustment.asset)?;
            adjustments.push(StackAdjustment {
                reference: adjustment.reference.clone(),
                created_at,
                status: adjustment.status.clone(),
                amount: integer(&adjustment.amount)?,
            });
        }
        Ok(adjustments)
    }

    /// `PATCH /v3/payments/{id}/metadata`.
    pub fn metadata(&mut self, path: &str, body: &[u8]) -> Result<TestAnswer, ApiRefusal> {
        let id = path
            .strip_prefix("/payments/")
            .and_then(|rest| rest.strip_suffix("/metadata"))
            .ok_or_else(missing)?;
        let new: BTreeMap<String, String> = read(body)?;
        let connector = self.connector();
        let found = self
            .payments
            .iter_mut()
            .find(|(key, _)| payment_id(&connector, key) == id);
        found.ok_or_else(missing)?.1.metadata.extend(new);
        Ok(TestAnswer::new(204, ""))
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

    fn check_connector(&self, id: &str) -> Result<(), ApiRefusal> {
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

    fn check_reference(reference: &str) -> Result<(), ApiRefusal> {
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

    fn check_date(&self, text: &str) -> Result<Timestamp, ApiRefusal> {
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
        if date > self.now() {
            Err(validation(
                "CreatedAt must be less than or equal to the current Date & Time",
            ))
        } else {
            Ok(date)
        }
    }
}

/// Of its date, as PostgreSQL rounds it.
pub fn microseconds(adjustment: &StackAdjustment) -> i64 {
    (adjustment.created_at.nanoseconds() + 500).div_euclid(1_000)
}

/// The id of a payment by its reference and type. `connector` is the canonical JSON of the connector's.
pub fn payment_id(connector: &str, (reference, kind): &(String, String)) -> String {
    encode(&format!(
        "{{\"ConnectorID\":{connector},\"Reference\":{},\"Type\":\"{kind}\"}}",
        text(reference)
    ))
}

pub fn missing() -> ApiRefusal {
    (404, "NOT_FOUND", "not found".to_owned())
}

fn validation(message: impl Into<String>) -> ApiRefusal {
    (400, "VALIDATION", message.into())
}

pub fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn text(value: &str) -> String {
    // Canonical JSON escapes as serde_json does, but for the case of its digits.
    let json = serde_json::to_string(value).unwrap();
    assert!(!json.contains("\\u00"), "write a rule for {json}");
    json
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiRefusal> {
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

fn integer(json: &RawValue) -> Result<BigInt, ApiRefusal> {
    let digits = json.get().strip_prefix('-').unwrap_or(json.get());
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("math/big: cannot unmarshal {json} into a *big.Int");
        return Err((400, "MISSING_OR_INVALID_BODY", message));
    }
    Ok(json.get().parse().unwrap())
}

/// Some of ISO 4217.
fn check_asset(asset: &str) -> Result<(), ApiRefusal> {
    let known = ["EUR", "USD", "CZK", "JPY", "GBP"];
    let is_good = asset.split_once('/').is_some_and(|(code, decimals)| {
        known.contains(&code.to_uppercase().as_str())
            && !decimals.is_empty()
            && decimals.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_good {
        Ok(())
    } else {
        Err(validation("Asset is invalid"))
    }
}
