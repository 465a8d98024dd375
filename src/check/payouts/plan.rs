use num_bigint::BigInt;
use serde_json::json;

use crate::api::{Initiation, InitiationRequest, Invalid};

/// What `--pay` may pay.
#[derive(Debug, Clone)]
pub struct PayPlan {
    /// Whether it makes payouts or transfers.
    pub kind: Initiation,
    /// The account that pays.
    pub from: String,
    /// The account or beneficiary that is paid.
    pub to: String,
    /// The amount of each, in minor units.
    pub amount: String,
    /// The asset.
    pub currency: String,
}

/// How many requests I4 sends at once.
pub(super) const AT_ONCE: usize = 5;
/// How many requests I6 sends, each of which breaks a rule.
pub(super) const BROKEN: usize = 5;

impl PayPlan {
    /// How many payouts a service makes that is right: for I1, I4, I5 and I7.
    pub const IF_RIGHT: usize = 4;
    /// How many requests are sent that a service could make a payout of: I1, I2, I3, the five of I4, the two of I5, the five
    /// of I6, and I7.
    pub const AT_MOST: usize = 3 + AT_ONCE + 2 + BROKEN + 1;

    /// An error names what the API does not allow in it.
    pub fn check(&self) -> Result<(), Invalid> {
        self.request("check").map(|_| ())
    }

    /// The request for one under that key.
    pub(super) fn request(&self, key: &str) -> Result<InitiationRequest, Invalid> {
        InitiationRequest::read(self.body(key).to_string().as_bytes())
    }

    /// An amount that is not that of the plan: one more.
    pub fn other_amount(&self) -> String {
        let amount: BigInt = self.amount.parse().unwrap_or_default();
        (amount + 1u8).to_string()
    }

    /// The body of a request under that key, to be changed.
    pub(super) fn body(&self, key: &str) -> serde_json::Value {
        json!({
            "idempotencyKey": key,
            "amount": self.amount,
            "currency": self.currency,
            "sourceAccountId": self.from,
            "destinationAccountId": self.to,
            "description": "conformance test by generic-connector check",
            "metadata": {},
        })
    }
}
