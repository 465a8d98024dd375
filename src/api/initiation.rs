use std::fmt;

use super::{Amount, Asset, Invalid, Members};

/// A payout or a transfer that Connectivity asks the PSP to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiation {
    /// From an account to a beneficiary.
    Payout,
    /// From an account to another one.
    Transfer,
}

impl Initiation {
    /// Both.
    pub const ALL: [Initiation; 2] = [Initiation::Payout, Initiation::Transfer];

    /// Its name in paths and in the state.
    pub fn name(self) -> &'static str {
        match self {
            Initiation::Payout => "payouts",
            Initiation::Transfer => "transfers",
        }
    }

    /// The initiation of that [`name`](Initiation::name).
    pub fn from_name(name: &str) -> Option<Initiation> {
        Initiation::ALL
            .into_iter()
            .find(|initiation| initiation.name() == name)
    }

    /// The `type` of the transaction that results from it.
    pub fn transaction_type(self) -> &'static str {
        match self {
            Initiation::Payout => "PAYOUT",
            Initiation::Transfer => "TRANSFER",
        }
    }
}

impl fmt::Display for Initiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The body of a request for a payout or a transfer, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiationRequest {
    /// The service makes the payout or transfer once under this key.
    pub idempotency_key: String,
    /// The exact text of the body.
    pub json: String,
}

/// The fields of a request. A service that reads names in any case takes other spellings for them.
const FIELDS: [&str; 7] = [
    "idempotencyKey",
    "amount",
    "currency",
    "sourceAccountId",
    "destinationAccountId",
    "description",
    "metadata",
];

impl InitiationRequest {
    /// Reads a PayoutRequest or a TransferRequest. The error names the field, its value and the rule.
    pub fn read(body: &[u8]) -> Result<InitiationRequest, Invalid> {
        /// Characters, as many as an id may have.
        const LONGEST_KEY: usize = 1_000;
        let invalid = |text: String| Err(Invalid(text));
        let json =
            std::str::from_utf8(body).map_err(|_| Invalid("the body is not UTF-8".to_owned()))?;
        let members = Members::read(json).map_err(|error| {
            Invalid(format!("the body is not a JSON object of the API: {error}"))
        })?;
        if let Some(name) = members.duplicate() {
            return invalid(format!(
                "\"{}\" appears twice in the body",
                super::escaped(name)
            ));
        }
        if let Some(name) = members.other_spelling(&FIELDS) {
            return invalid(format!(
                "\"{}\" differs from a field of the API only in case, and the service could take it for that field",
                super::escaped(name)
            ));
        }
        let text = |field: &str| match members.text(field)? {
            text if text.is_empty() => Err(Invalid(format!("\"{field}\" is empty"))),
            text => Ok(text),
        };
        let key = text("idempotencyKey")?;
        if key.chars().count() > LONGEST_KEY {
            return invalid(format!(
                "\"idempotencyKey\" has more than {LONGEST_KEY} characters"
            ));
        }
        let amount = text("amount")?;
        Amount::check(&amount).map_err(|error| Invalid(format!("\"amount\": {error}")))?;
        if amount.starts_with('-') || amount.bytes().all(|byte| matches!(byte, b'0' | b'+')) {
            let amount = super::escaped(&amount);
            return invalid(format!(
                "\"amount\" is \"{amount}\"; it must be greater than 0"
            ));
        }
        Asset::check(&text("currency")?)
            .map_err(|error| Invalid(format!("\"currency\": {error}")))?;
        text("sourceAccountId")?;
        text("destinationAccountId")?;
        Ok(InitiationRequest {
            idempotency_key: key.into_owned(),
            json: json.to_owned(),
        })
    }
}

/// The service's answer to a request for a payout or a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiated {
    /// The id that the service gave it, and that the resulting transaction has.
    pub id: String,
    /// The text of the Payout or Transfer.
    pub json: String,
    /// How it differs from what was asked for, if it does, as in "its amount is …".
    pub difference: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(field: &str, value: Value) -> Vec<u8> {
        let mut body = json!({
            "idempotencyKey": "key-1", "amount": "100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1", "description": null, "metadata": { "a": "b" },
        });
        match value {
            Value::Null => body.as_object_mut().unwrap().remove(field),
            value => body
                .as_object_mut()
                .unwrap()
                .insert(field.to_owned(), value),
        };
        body.to_string().into_bytes()
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_rejected_by_the_name_of_its_field() {
        assert_eq!(
            InitiationRequest::read(&body("x", json!(1)))
                .unwrap()
                .idempotency_key,
            "key-1"
        );
        for (field, value, said) in [
            (
                "idempotencyKey",
                Value::Null,
                "\"idempotencyKey\" is missing",
            ),
            ("idempotencyKey", json!(""), "\"idempotencyKey\" is empty"),
            (
                "idempotencyKey",
                json!("k".repeat(1_001)),
                "more than 1000 characters",
            ),
            ("amount", json!(100), "\"amount\" is 100, not a string"),
            ("amount", json!("0"), "greater than 0"),
            ("amount", json!("+000"), "greater than 0"),
            ("amount", json!("-5"), "greater than 0"),
            ("amount", json!("1.5"), "\"amount\""),
            ("currency", json!("eur"), "\"currency\""),
            ("sourceAccountId", json!(""), "\"sourceAccountId\" is empty"),
            (
                "destinationAccountId",
                Value::Null,
                "\"destinationAccountId\" is missing",
            ),
            ("Amount", json!("1"), "\"Amount\" differs from a field"),
            ("sourceAccountID", json!("a"), "differs from a field"),
            ("de\u{17f}cription", json!("a"), "differs from a field"),
        ] {
            let error = InitiationRequest::read(&body(field, value.clone()))
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{field} {value}: {error}");
        }
        for text in ["", "[]", "<html>", r#"{"amount":"1","amount":"2"}"#] {
            assert!(InitiationRequest::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(InitiationRequest::read(b"\xff").is_err());
    }
}
