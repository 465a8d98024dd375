use num_bigint::BigInt;
use serde::Serialize;
use serde_json::value::RawValue;

use super::ledger::fingerprint;
use super::wire::{Metadata, as_json, date_as_text, metadata, observed_at};
use crate::api::{Amount, Members, Timestamp};
use crate::formance::payment::{self, Adjustment, PaymentEvent};
use crate::formance::{self, ConnectorId, Part, PaymentState, Unfit, non_empty_text, payment_date};
use crate::store::Change;

/// A version of a transaction, reduced to what the Payments API can have of it.
#[derive(Debug)]
pub(super) struct PaymentsTransaction {
    pub seq: i64,
    pub reference: String,
    /// A type in the API's spelling, such as `PAY-IN`.
    pub kind: &'static str,
    /// A status that the API knows, else `OTHER`.
    pub status: &'static str,
    pub amount: BigInt,
    pub asset: String,
    /// The id of the transaction that this one relates to.
    pub parent: Option<String>,
    pub metadata: Metadata,
    pub updated_at: Timestamp,
    fixed: Fixed,
}

/// What a payment keeps as it was first pushed, next to its asset.
#[derive(Debug)]
struct Fixed {
    scheme: &'static str,
    source: Option<String>,
    destination: Option<String>,
    created_at: Timestamp,
}

impl PaymentsTransaction {
    /// Reads a version. The error says why the API cannot have it.
    pub fn read(change: &Change) -> Result<PaymentsTransaction, Unfit> {
        let json = formance::storable(&change.json);
        let record = Members::read(&json)?;
        let reference = record.text("id")?.into_owned();
        formance::check_reference(&reference)?;
        let amount = Amount::parse(&record.text("amount")?)?;
        formance::check_amount(&amount)?;
        let asset = non_empty_text(&record, "currency").unwrap_or_default();
        let date = |field| payment_date(&record, field, observed_at(change));
        Ok(PaymentsTransaction {
            seq: change.seq,
            kind: match formance::transaction_type(&record) {
                "PAYIN" => "PAY-IN",
                same => same,
            },
            status: formance::status(&record),
            amount: amount.to_string().parse().unwrap_or_default(),
            asset: formance::payments_asset(asset),
            // One that relates to itself relates to nothing.
            parent: non_empty_text(&record, "relatedTransactionID")
                .filter(|parent| *parent != reference),
            metadata: metadata(&record),
            updated_at: date("updatedAt"),
            fixed: Fixed {
                scheme: formance::scheme(&record),
                source: non_empty_text(&record, "sourceAccountID"),
                destination: non_empty_text(&record, "destinationAccountID"),
                created_at: date("createdAt"),
            },
            reference,
        })
    }

    /// As errors name it.
    pub fn named(&self) -> String {
        super::named(&self.reference, self.seq)
    }

    /// As an event of the payment that it is a part of, in whose asset the payment's amount is.
    pub fn event_in(&self, part: &Part, asset: &str) -> PaymentEvent<'_> {
        let mut event = self.event(matches!(part, Part::Own(_)));
        if self.asset != asset && payment::moves_amount(self.status) {
            event.amount = &BigInt::ZERO;
        }
        event
    }

    /// As an event of its own payment, or of another one.
    pub fn event(&self, is_own: bool) -> PaymentEvent<'_> {
        PaymentEvent {
            status: self.status,
            amount: &self.amount,
            // To the precision in which the ledger keeps it, so that a replay makes the same adjustments.
            at: Timestamp::from_nanoseconds(self.updated_at.nanoseconds()),
            is_own,
        }
    }

    /// When the service says that it was created.
    pub fn created_at(&self) -> Timestamp {
        self.fixed.created_at
    }

    /// A hash of the metadata, if there is any.
    pub fn metadata_hash(&self) -> Option<String> {
        let has_some = !self.metadata.is_empty();
        has_some.then(|| fingerprint(&as_json(&self.metadata)))
    }

    /// A hash of what a payment keeps as it was first pushed.
    pub fn kept_hash(&self) -> String {
        let fixed = &self.fixed;
        let (source, destination) = (&fixed.source, &fixed.destination);
        let created_at = fixed.created_at.to_string();
        let kept = (&self.asset, fixed.scheme, source, destination, created_at);
        fingerprint(&as_json(&kept))
    }

    /// The ids of the accounts that it names.
    pub fn accounts(&self) -> impl Iterator<Item = &String> {
        self.fixed.source.iter().chain(&self.fixed.destination)
    }

    /// The request that pushes the adjustments of this version, and the latest date in it.
    ///
    /// `payment` is the id of the transaction whose payment it is. `before` is that payment as the API has it, or as it
    /// begins.
    pub fn request(
        &self,
        connector: &ConnectorId,
        payment: &str,
        before: &PaymentState,
        adjustments: &[Adjustment],
    ) -> (String, Timestamp) {
        let created_at = self.fixed.created_at;
        let newest = adjustments
            .iter()
            .map(|adjustment| adjustment.created_at)
            .fold(created_at, Timestamp::max);
        let account = |id: &Option<String>| id.as_ref().and_then(|id| connector.account(id));
        let request = PaymentRequest {
            reference: payment,
            connector_id: &connector.text,
            created_at,
            kind: &before.kind,
            initial_amount: number(&before.initial),
            amount: number(&before.shown),
            asset: &self.asset,
            scheme: self.fixed.scheme,
            source_account_id: account(&self.fixed.source),
            destination_account_id: account(&self.fixed.destination),
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
    #[serde(serialize_with = "date_as_text")]
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
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
    adjustments: Vec<AdjustmentRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdjustmentRequest<'a> {
    reference: &'a str,
    #[serde(serialize_with = "date_as_text")]
    created_at: Timestamp,
    status: &'a str,
    amount: Option<Box<RawValue>>,
    asset: &'a str,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
}

/// An integer of any size as a JSON number.
fn number(digits: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(digits.to_owned()).ok()
}
