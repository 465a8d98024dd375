use crate::api::{Members, STATUSES, TYPES};

/// Formance's value for everything that it does not know, in all three fields.
const OTHER: &str = "OTHER";

/// The schemes that the Payments API knows (`payment_scheme.go`).
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
    OTHER,
];

/// The `type` of a transaction.
pub fn transaction_type(transaction: &Members) -> &'static str {
    known_or_other(transaction, "type", &TYPES)
}

/// The `status` of a transaction.
pub fn status(transaction: &Members) -> &'static str {
    known_or_other(transaction, "status", &STATUSES)
}

/// The `scheme` of a transaction. Only the Payments API has a list of schemes; the Go client takes any text.
pub fn scheme(transaction: &Members) -> &'static str {
    known_or_other(transaction, "scheme", &SCHEMES)
}

fn known_or_other(transaction: &Members, field: &str, known: &[&'static str]) -> &'static str {
    let value = transaction.text(field).unwrap_or_default();
    let found = known.iter().find(|known| **known == value);
    found.copied().unwrap_or(OTHER)
}
