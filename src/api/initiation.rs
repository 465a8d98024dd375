use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::members::{Members, without_nul};
use super::{Amount, Asset, Invalid, Timestamp};

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

    /// The `type` of the transaction that comes of it.
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

/// The fields of the request that its answer must have, beside the key.
const SHARED: [&str; 4] = [
    "amount",
    "currency",
    "sourceAccountId",
    "destinationAccountId",
];

/// Every field of the answer.
const FIELDS: [&str; 11] = [
    "id",
    "idempotencyKey",
    "amount",
    "currency",
    "sourceAccountId",
    "destinationAccountId",
    "description",
    "status",
    "createdAt",
    "updatedAt",
    "metadata",
];

/// The body of a request for a payout or a transfer, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiationRequest {
    /// Under which the service makes it once.
    pub idempotency_key: String,
    /// The exact text.
    pub json: String,
}

impl InitiationRequest {
    /// Reads a PayoutRequest or a TransferRequest. The error names the field, its value and the rule.
    pub fn read(body: &[u8]) -> Result<InitiationRequest, Invalid> {
        /// As long as an id may be.
        const LONGEST_KEY: usize = 1_000;
        let invalid = |text: String| Err(Invalid(text));
        let json =
            std::str::from_utf8(body).map_err(|_| Invalid("the body is not UTF-8".to_owned()))?;
        let members = Members::read(json).map_err(|error| {
            Invalid(format!("the body is not a JSON object of the API: {error}"))
        })?;
        if let Some(name) = members.duplicate() {
            return invalid(format!(
                "\"{}\" stands twice in the body",
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
                "\"amount\" is \"{amount}\"; it must be more than 0"
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
    /// What the service calls it, and the transaction that comes of it.
    pub id: String,
    /// The Payout or Transfer, such that Formance's client can read it.
    pub json: String,
}

impl Initiated {
    /// Reads the body of the answer to `request`.
    ///
    /// A body without an `id` says nothing, and is an error. Of the rest, what is missing or cannot be read is completed
    /// from the request: the money is on its way, and an answer that cannot be read would hide that.
    pub fn read(request: &InitiationRequest, body: &[u8]) -> Result<Initiated, Invalid> {
        let invalid = |said: &dyn fmt::Display| {
            let body = super::escaped(&String::from_utf8_lossy(body));
            Invalid(format!(
                "the body is not a payout or transfer ({said}): \"{body}\""
            ))
        };
        let json = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
        let mut members = Members::read(json.trim()).map_err(|error| invalid(&error))?;
        let id = members.text("id").map_err(|error| invalid(&error))?;
        if id.is_empty() {
            return Err(invalid(&"\"id\" is empty"));
        }
        let id = id.into_owned();
        let asked = Members::read(&request.json).map_err(|error| invalid(&error))?;
        members.drop_other_spellings(&FIELDS);
        members.drop_deeper_than(Members::DEEPEST);
        members.set(
            "idempotencyKey",
            &Value::from(request.idempotency_key.as_str()),
        );
        for field in SHARED {
            let usable = match members.text(field) {
                Ok(text) if field == "amount" => Amount::check(&text).is_ok(),
                Ok(text) if field == "currency" => Asset::check(&text).is_ok(),
                Ok(_) => true,
                Err(_) => false,
            };
            if !usable {
                members.set(field, &Value::from(asked.text(field)?));
            }
        }
        if members.text("status").is_err() {
            members.set("status", &Value::from("OTHER"));
        }
        let date = members.text("createdAt").ok().map(Cow::into_owned);
        let readable = match date.as_deref().map(|text| (text, Timestamp::parse(text))) {
            Some((text, Ok(date))) => date.for_go(text),
            _ => Some(Timestamp::now().second().to_string()),
        };
        if let Some(readable) = readable {
            members.set("createdAt", &Value::from(readable));
        }
        for field in ["updatedAt", "description"] {
            if members.text(field).is_err() {
                members.remove(field);
            }
        }
        if members
            .get("metadata")
            .is_some_and(|value| super::contract::check_metadata(value).is_err())
        {
            members.remove("metadata");
        }
        Ok(Initiated {
            id,
            json: without_nul(&members.write()).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn a_request_that_breaks_a_rule_is_refused_by_the_name_of_its_field() {
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
            ("amount", json!("0"), "more than 0"),
            ("amount", json!("+000"), "more than 0"),
            ("amount", json!("-5"), "more than 0"),
            ("amount", json!("1.5"), "\"amount\""),
            ("currency", json!("eur"), "\"currency\""),
            ("sourceAccountId", json!(""), "\"sourceAccountId\" is empty"),
            (
                "destinationAccountId",
                Value::Null,
                "\"destinationAccountId\" is missing",
            ),
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

    #[test]
    fn an_answer_is_completed_so_that_formances_client_can_read_it() {
        let request = InitiationRequest::read(&body("amount", json!("0100"))).unwrap();
        let whole = json!({
            "id": "po-1", "idempotencyKey": "key-1", "amount": "100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1", "status": "PENDING", "createdAt": "2024-05-01T12:00:00Z", "x": 1,
        });
        let read = |body: &Value| Initiated::read(&request, body.to_string().as_bytes());
        let answer: Value = serde_json::from_str(&read(&whole).unwrap().json).unwrap();
        assert_eq!(answer, whole);
        let poor = json!({
            "id": "po-1", "Id": 7, "idempotencyKey": "other", "amount": 100, "currency": "eur", "status": null,
            "createdAt": "0001-01-01T00:00:00Z",
            "updatedAt": 5, "description": {}, "metadata": { "a": 1 }, "y": 2,
        });
        let initiated = read(&poor).unwrap();
        assert_eq!(initiated.id, "po-1");
        let answer: Value = serde_json::from_str(&initiated.json).unwrap();
        assert!(Timestamp::parse(answer["createdAt"].as_str().unwrap()).is_ok());
        let expected = json!({
            "id": "po-1", "idempotencyKey": "key-1", "amount": "0100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1", "status": "OTHER", "createdAt": answer["createdAt"], "y": 2,
        });
        assert_eq!(answer, expected);
        for nothing in [
            json!({}),
            json!({ "id": "" }),
            json!({ "id": 5 }),
            json!([]),
        ] {
            assert!(read(&nothing).is_err(), "{nothing}");
        }
        assert!(Initiated::read(&request, b"").is_err());
    }
}
