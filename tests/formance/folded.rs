//! What Formance's storage makes of the transactions that its poller has kept: `internal/storage/payments.go` of
//! formancehq/payments v3.4.0.

use std::collections::BTreeMap;

use generic_connector::{Stream, Timestamp};
use num_bigint::BigInt;
use serde_json::Value;

use super::Poller;
use super::storage::StackAdjustment;

/// Payments by the ids of their transactions and their types.
pub type FoldedPayments = BTreeMap<(String, String), FoldedPayment>;

/// A payment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedPayment {
    pub initial_amount: BigInt,
    pub amount: BigInt,
    /// As they were inserted.
    pub adjustments: Vec<StackAdjustment>,
}

/// The payments of everything that a poller has kept.
pub fn folded(poller: &Poller) -> FoldedPayments {
    let mut payments = FoldedPayments::new();
    for json in poller.received(Stream::Transactions) {
        fold(&mut payments, &serde_json::from_str(json).unwrap());
    }
    payments
}

fn fold(payments: &mut FoldedPayments, transaction: &Value) {
    let text = |field: &str| transaction[field].as_str().unwrap_or_default().to_owned();
    let adjustment = StackAdjustment {
        reference: text("id"),
        created_at: Timestamp::parse(&text("createdAt")).unwrap(),
        status: text("status"),
        amount: text("amount").parse().unwrap(),
    };
    let related = Some(text("relatedTransactionID")).filter(|related| !related.is_empty());
    let key = (related.unwrap_or_else(|| text("id")), text("type"));
    let payment = payments.entry(key).or_insert_with(|| FoldedPayment {
        initial_amount: adjustment.amount.clone(),
        amount: match &*adjustment.status {
            "AUTHORISATION" => BigInt::ZERO,
            _ => adjustment.amount.clone(),
        },
        adjustments: Vec::new(),
    });
    // It is known by its reference, date and status.
    let is_known = payment.adjustments.iter().any(|known| {
        (&known.reference, known.created_at, &known.status)
            == (
                &adjustment.reference,
                adjustment.created_at,
                &adjustment.status,
            )
    });
    if is_known {
        return;
    }
    match &*adjustment.status {
        "REFUNDED" => payment.amount -= &adjustment.amount,
        "CAPTURE" | "REFUND_REVERSED" => payment.amount += &adjustment.amount,
        _ => {}
    }
    payment.adjustments.push(adjustment);
}

impl FoldedPayment {
    /// That of the newest adjustment, by microsecond and then as they were inserted.
    pub fn status(&self) -> &str {
        let newest = self
            .adjustments
            .iter()
            .max_by_key(|a| super::storage::microseconds(a));
        &newest.unwrap().status
    }
}
