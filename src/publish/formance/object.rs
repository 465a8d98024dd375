use std::borrow::Cow;
use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde::Serialize;
use serde_json::value::RawValue;

use super::ids::LONGEST_ID;
use super::payment::Adjustment;
use crate::api::{Amount, ContentHash, Members, STATUSES, Stream, Timestamp, without_nul};
use crate::store::{Change, PaymentState};

/// Characters. The API takes no shorter reference, of an account, a payment or an adjustment.
const SHORTEST_REFERENCE: usize = 3;
/// Characters. The longest name of an account.
const LONGEST_NAME: usize = 1_000;
/// Digits that a number of Formance's database has at most (PostgreSQL, `numeric`).
const LONGEST_AMOUNT: usize = 100_000;

/// The schemes that the API knows (formancehq/payments v3.4.0, `payment_scheme.go`).
const SCHEMES: [&str; 23] = [
    "CARD_VISA",
    "CARD_MASTERCARD",
    "CARD_AMEX",
    "CARD_DINERS",
    "CARD_DISCOVER",
    "CARD_JCB",
    "CARD_UNION_PAY",
    "CARD_ALIPAY",
    "CARD_CUP",
    "SEPA_DEBIT",
    "SEPA_CREDIT",
    "SEPA",
    "GOOGLE_PAY",
    "APPLE_PAY",
    "DOKU",
    "DRAGON_PAY",
    "MAESTRO",
    "MOL_PAY",
    "A2A",
    "ACH_DEBIT",
    "ACH",
    "RTP",
    "OTHER",
];

pub(super) type Metadata = BTreeMap<String, String>;

/// A version of an account or a beneficiary, as the API is told of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account<'a> {
    pub reference: String,
    #[serde(rename = "connectorID")]
    pub connector_id: &'a str,
    #[serde(serialize_with = "as_text")]
    pub created_at: Timestamp,
    #[serde(rename = "accountName")]
    name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

impl<'a> Account<'a> {
    /// Reads it. An error is why the API cannot have it.
    pub fn read(change: &Change, connector_id: &'a str) -> Result<Account<'a>, String> {
        let json = without_nul(&change.json);
        let record = Members::read(&json).map_err(|error| error.to_string())?;
        let (field, kind) = match change.stream {
            Stream::Beneficiaries => ("ownerName", "EXTERNAL"),
            _ => ("accountName", "INTERNAL"),
        };
        let reference = reference(&record)?;
        let name = match optional(&record, field) {
            Some(name) => name.chars().take(LONGEST_NAME).collect(),
            None => reference.clone(),
        };
        Ok(Account {
            created_at: date(&record, "createdAt", observed_at(change)),
            reference,
            connector_id,
            name,
            kind,
            metadata: metadata(&record),
        })
    }
}

/// A version of a transaction, as far as the API is told of it.
#[derive(Debug)]
pub(super) struct Transaction {
    pub seq: i64,
    pub reference: String,
    /// As the API writes types.
    pub kind: &'static str,
    /// A known one, else `OTHER`.
    pub status: &'static str,
    pub amount: BigInt,
    pub asset: String,
    scheme: &'static str,
    source: Option<String>,
    destination: Option<String>,
    /// The transaction that it relates to.
    pub parent: Option<String>,
    pub metadata: Metadata,
    created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Transaction {
    /// Reads it. An error is why the API cannot have it.
    pub fn read(change: &Change) -> Result<Transaction, String> {
        let json = without_nul(&change.json);
        let record = Members::read(&json).map_err(|error| error.to_string())?;
        let reference = reference(&record)?;
        let known = |field: &str, among: &[&'static str]| {
            let value = record.text(field).unwrap_or_default();
            among.iter().find(|known| **known == value).copied()
        };
        let amount = record
            .text("amount")
            .and_then(|text| Amount::parse(&text))
            .map_err(|invalid| invalid.to_string())?
            .to_string();
        if amount.len() > LONGEST_AMOUNT {
            return Err(format!(
                "amounts of more than {LONGEST_AMOUNT} digits: Formance's database has no place for them"
            ));
        }
        let asset = optional(&record, "currency").unwrap_or_default();
        if !asset.contains('/') {
            return Err(asset_refused(&asset));
        }
        let observed_at = observed_at(change);
        Ok(Transaction {
            seq: change.seq,
            kind: match &*record.text("type").unwrap_or_default() {
                "PAYIN" => "PAY-IN",
                "PAYOUT" => "PAYOUT",
                "TRANSFER" => "TRANSFER",
                _ => "OTHER",
            },
            status: known("status", &STATUSES).unwrap_or("OTHER"),
            amount: amount.parse().unwrap_or_default(),
            asset,
            scheme: known("scheme", &SCHEMES).unwrap_or("OTHER"),
            source: optional(&record, "sourceAccountID"),
            destination: optional(&record, "destinationAccountID"),
            // What relates to itself relates to nothing.
            parent: optional(&record, "relatedTransactionID").filter(|parent| *parent != reference),
            metadata: metadata(&record),
            created_at: date(&record, "createdAt", observed_at),
            updated_at: date(&record, "updatedAt", observed_at),
            reference,
        })
    }

    /// A hash of the metadata, if there is any.
    pub fn metadata_hash(&self) -> Option<[u8; 16]> {
        let has_some = !self.metadata.is_empty();
        has_some.then(|| ContentHash::of(&as_json(&self.metadata)).0)
    }

    /// A hash of what the API keeps of a payment as it was first told.
    pub fn kept_hash(&self) -> [u8; 16] {
        let kept = (
            &self.asset,
            self.scheme,
            &self.source,
            &self.destination,
            self.created_at.to_string(),
        );
        ContentHash::of(&as_json(&kept)).0
    }

    /// The accounts that it names.
    pub fn accounts(&self) -> impl Iterator<Item = &String> {
        self.source.iter().chain(&self.destination)
    }

    /// The request that tells the API of adjustments which this version makes. `before` is the payment as the API has
    /// it, or is to begin it; `payment` is the id of the transaction whose payment it is.
    pub fn request(
        &self,
        connector: &super::ids::ConnectorId,
        payment: &str,
        before: &PaymentState,
        adjustments: &[Adjustment],
    ) -> (String, Timestamp) {
        let newest = adjustments
            .iter()
            .map(|adjustment| adjustment.created_at)
            .fold(self.created_at, Timestamp::max);
        let account = |reference: &Option<String>| {
            let id = reference.as_ref().map(|id| connector.account(id));
            id.filter(|id| id.len() <= LONGEST_ID)
        };
        let request = PaymentRequest {
            reference: payment,
            connector_id: &connector.text,
            created_at: self.created_at,
            kind: &before.kind,
            initial_amount: number(&before.initial),
            amount: number(&before.shown),
            asset: &self.asset,
            scheme: self.scheme,
            source_account_id: account(&self.source),
            destination_account_id: account(&self.destination),
            metadata: &self.metadata,
            adjustments: adjustments
                .iter()
                .map(|adjustment| AdjustmentRequest {
                    reference: &self.reference,
                    created_at: adjustment.created_at,
                    status: &adjustment.status,
                    amount: number(&adjustment.amount.to_string()),
                    asset: &self.asset,
                    metadata: &self.metadata,
                })
                .collect(),
        };
        (as_json(&request), newest)
    }
}

/// The body of `POST /payments`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentRequest<'a> {
    reference: &'a str,
    #[serde(rename = "connectorID")]
    connector_id: &'a str,
    #[serde(serialize_with = "as_text")]
    created_at: Timestamp,
    #[serde(rename = "type")]
    kind: &'a str,
    initial_amount: Option<Box<RawValue>>,
    amount: Option<Box<RawValue>>,
    asset: &'a str,
    scheme: &'a str,
    #[serde(rename = "sourceAccountID", skip_serializing_if = "Option::is_none")]
    source_account_id: Option<String>,
    #[serde(
        rename = "destinationAccountID",
        skip_serializing_if = "Option::is_none"
    )]
    destination_account_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a Metadata,
    adjustments: Vec<AdjustmentRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdjustmentRequest<'a> {
    reference: &'a str,
    #[serde(serialize_with = "as_text")]
    created_at: Timestamp,
    status: &'a str,
    amount: Option<Box<RawValue>>,
    asset: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a Metadata,
}

/// Why the API does not take an asset.
pub(super) fn asset_refused(asset: &str) -> String {
    format!(
        "asset {}: the Payments API takes none but codes of ISO 4217 with their decimals, such as USD/2 or JPY/0",
        crate::api::escaped(asset)
    )
}

/// JSON of what cannot fail to be written: texts, numbers and maps of texts.
pub(super) fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn as_text<S: serde::Serializer>(date: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}

/// An integer of any size.
fn number(digits: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(digits.to_owned()).ok()
}

fn reference(record: &Members) -> Result<String, String> {
    let id = record
        .text("id")
        .map_err(|invalid| invalid.to_string())?
        .into_owned();
    if id.chars().count() < SHORTEST_REFERENCE {
        return Err(format!(
            "ids of fewer than {SHORTEST_REFERENCE} characters: the Payments API takes none"
        ));
    }
    Ok(id)
}

/// The text of a field that may be missing or empty. What is no string counts as its JSON.
fn optional(record: &Members, field: &str) -> Option<String> {
    let json = record.get(field).filter(|json| *json != "null")?;
    let text = record
        .text(field)
        .unwrap_or(Cow::Borrowed(json))
        .into_owned();
    (!text.is_empty()).then_some(text)
}

fn metadata(record: &Members) -> Metadata {
    record
        .get("metadata")
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// When a version was read.
fn observed_at(change: &Change) -> Timestamp {
    // This program wrote it.
    Timestamp::parse(&change.observed_at).unwrap_or_else(|_| Timestamp::from_nanoseconds(0))
}

/// A date that the API takes: none that lies after the version was read, and none that Go takes for no date.
fn date(record: &Members, field: &str, observed_at: Timestamp) -> Timestamp {
    let written = record
        .text(field)
        .and_then(|text| Timestamp::parse(&text))
        .unwrap_or(observed_at);
    let instead = written
        .for_go(&written.to_string())
        .and_then(|text| Timestamp::parse(&text).ok());
    let written = instead.unwrap_or(written);
    // When it was read is known to the second.
    match written > observed_at.second().end() {
        true => observed_at,
        false => written,
    }
}
