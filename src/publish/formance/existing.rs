//! A payment that the stack has, read back because the ledger may not know all that was pushed of it: the state was put
//! back since, or is new.

use num_bigint::BigInt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::PaymentsClient;
use super::wire::Metadata;
use crate::api::Timestamp;
use crate::formance::payment::{self, PaymentEvent};
use crate::formance::{ConnectorId, PaymentState};
use crate::publish::DeliveryError;

/// Nanoseconds. Versions of one date are pushed a microsecond apart, so this is room for a thousand of them.
const ONE_DATE: i64 = 1_000_000;
/// Nanoseconds. Formance's database rounds dates to microseconds.
const ROUNDED: i64 = 1_000;

/// A payment as the stack has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExistingPayment {
    /// Its transaction's id.
    reference: String,
    kind: String,
    asset: String,
    initial: BigInt,
    amount: BigInt,
    metadata: Metadata,
    /// The oldest first.
    adjustments: Vec<ExistingAdjustment>,
}

#[derive(Debug, PartialEq, Eq)]
struct ExistingAdjustment {
    reference: String,
    status: String,
    amount: BigInt,
    created_at: Timestamp,
}

/// Reads the payment of a transaction; none if the stack has none. `kind` is the type that it is known by. The stack may
/// have another one, because a payment keeps the type under which it was first pushed.
pub(super) fn find(
    client: &PaymentsClient,
    connector: &ConnectorId,
    reference: &str,
    kind: Option<&str>,
) -> Result<Option<ExistingPayment>, DeliveryError> {
    if let Some(kind) = kind {
        let id = connector.payment(reference, kind);
        if let Some(payment) = client.get(&format!("/payments/{id}"), read)? {
            return Ok(Some(payment));
        }
    }
    let query = json!({ "$and": [
        { "$match": { "reference": reference } },
        { "$match": { "connector_id": connector.text } },
    ] });
    // The newest first. What was pushed has one type, and so one id.
    match list(client, 100, &query)?.last() {
        Some(id) => client.get(&format!("/payments/{id}"), read),
        None => Ok(None),
    }
}

/// Whether dates up to `reached` include that of an adjustment.
pub(super) fn is_reached(date: Timestamp, reached: Option<Timestamp>) -> bool {
    reached.is_some_and(|reached| date.plus_nanoseconds(-ROUNDED) <= reached)
}

/// Whether the stack has any payment of the connector.
pub(super) fn are_any(
    client: &PaymentsClient,
    connector: &ConnectorId,
) -> Result<bool, DeliveryError> {
    let query = json!({ "$match": { "connector_id": connector.text } });
    Ok(!list(client, 1, &query)?.is_empty())
}

impl ExistingPayment {
    /// What the ledger keeps of it.
    pub fn state(&self) -> PaymentState {
        // A related transaction's may be dated earlier.
        let is_own = |adjustment: &&ExistingAdjustment| adjustment.reference == self.reference;
        let first = self.adjustments.iter().find(is_own);
        let has_counted = self
            .adjustments
            .iter()
            .any(|adjustment| payment::moves_amount(&adjustment.status));
        PaymentState {
            kind: self.kind.clone(),
            asset: self.asset.clone(),
            initial: self.initial.to_string(),
            shown: self.amount.to_string(),
            is_open: !has_counted && first.is_some_and(|first| payment::is_open(&first.status)),
        }
    }

    /// The date of a transaction's newest adjustment.
    pub fn newest(&self, reference: &str) -> Option<Timestamp> {
        self.dates(reference).max()
    }

    /// The date of the adjustment that an event of a transaction has made; none if it has made none.
    pub fn date_of(&self, reference: &str, event: PaymentEvent) -> Option<Timestamp> {
        let dates = event.at.plus_nanoseconds(-ROUNDED)..event.at.plus_nanoseconds(ONE_DATE);
        let moved: BigInt = self.adjustments.iter().map(ExistingAdjustment::moves).sum();
        let mut shown = &self.amount - moved;
        for adjustment in &self.adjustments {
            // It was sent with less if not all of it could be counted.
            let state = PaymentState {
                shown: shown.to_string(),
                ..self.state()
            };
            let sent = payment::sent(&state, event);
            shown += adjustment.moves();
            if adjustment.is(reference, event)
                && dates.contains(&adjustment.created_at)
                && [event.amount, &sent].contains(&&adjustment.amount)
            {
                return Some(adjustment.created_at);
            }
        }
        // The same status and amount with another date make no adjustment.
        let before = self.dates(reference).filter(|date| *date <= event.at);
        let before = before.max().or(self.newest(reference))?;
        let is_same = |adjustment: &ExistingAdjustment| {
            adjustment.is(reference, event)
                && adjustment.created_at == before
                && adjustment.amount == *event.amount
        };
        self.adjustments.iter().any(is_same).then_some(before)
    }

    fn dates<'a>(&'a self, reference: &'a str) -> impl Iterator<Item = Timestamp> + 'a {
        let its = move |adjustment: &&ExistingAdjustment| adjustment.reference == reference;
        let adjustments = self.adjustments.iter().filter(its);
        adjustments.map(|adjustment| adjustment.created_at)
    }

    /// Whether it has all of a record's metadata.
    pub fn has_metadata(&self, metadata: &Metadata) -> bool {
        metadata
            .iter()
            .all(|(name, value)| self.metadata.get(name) == Some(value))
    }
}

impl ExistingAdjustment {
    /// Whether it is of that transaction, and has the status of that event.
    fn is(&self, reference: &str, event: PaymentEvent) -> bool {
        self.reference == reference && self.status == event.status
    }

    /// By how much it has moved its payment's amount.
    fn moves(&self) -> BigInt {
        match self.status.as_str() {
            "REFUNDED" => -self.amount.clone(),
            "CAPTURE" | "REFUND_REVERSED" => self.amount.clone(),
            _ => BigInt::ZERO,
        }
    }
}

/// The ids of the first payments that a query finds.
fn list(client: &PaymentsClient, most: usize, query: &Value) -> Result<Vec<String>, DeliveryError> {
    let query = utf8_percent_encode(&query.to_string(), NON_ALPHANUMERIC).to_string();
    let path = format!("/payments?pageSize={most}&query={query}");
    Ok(client.get(&path, ids)?.unwrap_or_default())
}

/// The ids of a page of payments; none if the body is no such page.
fn ids(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct PaymentsBody {
        cursor: PaymentsPage,
    }
    #[derive(Deserialize)]
    struct PaymentsPage {
        data: Vec<PaymentRow>,
    }
    #[derive(Deserialize)]
    struct PaymentRow {
        id: String,
    }
    let body: PaymentsBody = serde_json::from_slice(body).ok()?;
    Some(body.cursor.data.into_iter().map(|row| row.id).collect())
}

/// The payment in an answer; none if the body has none.
fn read(body: &[u8]) -> Option<ExistingPayment> {
    let body: PaymentBody = serde_json::from_slice(body).ok()?;
    let payment = body.data;
    let mut adjustments = Vec::new();
    // The newest comes first.
    for adjustment in payment.adjustments.into_iter().rev() {
        let amount = adjustment.amount.as_deref();
        adjustments.push(ExistingAdjustment {
            reference: adjustment.reference,
            status: adjustment.status,
            amount: amount.map_or(Some(BigInt::ZERO), integer)?,
            created_at: Timestamp::parse(&adjustment.created_at).ok()?,
        });
    }
    Some(ExistingPayment {
        reference: payment.reference,
        kind: payment.kind,
        asset: payment.asset,
        initial: integer(&payment.initial_amount)?,
        amount: integer(&payment.amount)?,
        metadata: payment.metadata.unwrap_or_default(),
        adjustments,
    })
}

/// An integer of any size.
fn integer(number: &RawValue) -> Option<BigInt> {
    number.get().parse().ok()
}

/// The answer to `GET /payments/{id}`.
#[derive(Deserialize)]
struct PaymentBody {
    data: PaymentData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentData {
    reference: String,
    #[serde(rename = "type")]
    kind: String,
    asset: String,
    initial_amount: Box<RawValue>,
    amount: Box<RawValue>,
    metadata: Option<Metadata>,
    adjustments: Vec<AdjustmentData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdjustmentData {
    reference: String,
    status: String,
    /// Formance's own poller leaves it out where the service says none.
    amount: Option<Box<RawValue>>,
    created_at: String,
}
