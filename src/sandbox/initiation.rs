use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::Fault;
use super::data::Data;
use crate::api::{Amount, Asset, Initiation, Stream, Timestamp, escaped};

/// The payouts and transfers made so far. Payouts and transfers have separate idempotency keys.
#[derive(Default)]
pub(super) struct BankInitiations {
    made: HashMap<(Initiation, String), MadeInitiation>,
    /// The ids since the last call of [`take_new`](BankInitiations::take_new).
    new: Vec<String>,
}

/// A payout or transfer. Its status is that of its transaction.
struct MadeInitiation {
    id: String,
    created_at: String,
    body: InitiationBody,
}

#[derive(PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct InitiationBody {
    idempotency_key: String,
    amount: String,
    currency: String,
    source_account_id: String,
    destination_account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
}

/// Why the service refuses a payout or transfer. The text is for the client.
pub(super) enum InitiationRefusal {
    /// The body breaks a rule.
    Invalid(String),
    /// The key was used for another body.
    Conflict(String),
}

impl BankInitiations {
    /// Makes a payout or transfer and returns the Payout or Transfer object. If the idempotency key is known, returns
    /// the object made before, as it is now, unless the sandbox `makes_again` what it knows.
    ///
    /// Adds a pending transaction with the same id to the data.
    pub fn initiate(
        &mut self,
        data: &mut Data,
        kind: Initiation,
        body: &[u8],
        fault: Option<Fault>,
        makes_again: bool,
    ) -> Result<String, InitiationRefusal> {
        let body = InitiationBody::read(body).map_err(InitiationRefusal::Invalid)?;
        let key = (kind, body.idempotency_key.clone());
        match self.made.get(&key) {
            _ if makes_again => {}
            Some(made) if made.body == body || fault == Some(Fault::AnyAmount) => {
                return made.object(data);
            }
            Some(_) => {
                return Err(InitiationRefusal::Conflict(format!(
                    "The idempotencyKey {:?} was already used in {kind} with another body.",
                    escaped(&body.idempotency_key)
                )));
            }
            None => {}
        }
        for (field, id, lists) in [
            (
                "sourceAccountId",
                &body.source_account_id,
                &[Stream::Accounts][..],
            ),
            (
                "destinationAccountId",
                &body.destination_account_id,
                &[Stream::Accounts, Stream::Beneficiaries],
            ),
        ] {
            if !lists.iter().any(|list| data.list(*list).get(id).is_some()) {
                let detail = format!("{field:?} is {:?}, which is not listed.", escaped(id));
                return Err(InitiationRefusal::Invalid(detail));
            }
        }
        let created_at = Timestamp::now().to_string();
        let digits: String = created_at.chars().filter(char::is_ascii_digit).collect();
        let made = MadeInitiation {
            id: format!("{}-{digits}", kind.transaction_type().to_lowercase()),
            created_at,
            body,
        };
        data.list_mut(Stream::Transactions)
            .put(&made.transaction(kind, fault != Some(Fault::Unrelated)))
            .map_err(InitiationRefusal::Invalid)?;
        let object = made.object(data)?;
        self.new.push(made.id.clone());
        self.made.insert(key, made);
        Ok(object)
    }

    /// Whether there is one under the key of that body.
    pub fn knows(&self, kind: Initiation, body: &[u8]) -> bool {
        let body = InitiationBody::read(body);
        body.is_ok_and(|body| self.made.contains_key(&(kind, body.idempotency_key)))
    }

    /// Returns the ids made since the last call, oldest first.
    pub fn take_new(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}

impl MadeInitiation {
    /// Formance takes it for the payout's own transaction if it is related to the key.
    fn transaction(&self, kind: Initiation, is_related: bool) -> String {
        let body = &self.body;
        json!({
            "id": self.id,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
            "currency": body.currency,
            "type": kind.transaction_type(),
            "status": "PENDING",
            "amount": body.amount,
            "scheme": "OTHER",
            "sourceAccountID": body.source_account_id,
            "destinationAccountID": body.destination_account_id,
            "relatedTransactionID": is_related.then_some(&body.idempotency_key),
            "metadata": body.metadata,
        })
        .to_string()
    }

    /// The Payout or Transfer object, with its transaction's status.
    fn object(&self, data: &Data) -> Result<String, InitiationRefusal> {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct InitiationStatus {
            status: String,
            updated_at: String,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct InitiationObject<'a> {
            id: &'a str,
            #[serde(flatten)]
            body: &'a InitiationBody,
            created_at: &'a str,
            #[serde(flatten)]
            status: InitiationStatus,
        }
        let transaction = data.list(Stream::Transactions).get(&self.id);
        // There is always one, since transactions are never removed.
        let written = transaction.map_or("null", |record| &record.json);
        let object = serde_json::from_str(written).and_then(|status| {
            serde_json::to_string(&InitiationObject {
                id: &self.id,
                body: &self.body,
                created_at: &self.created_at,
                status,
            })
        });
        object.map_err(|error| InitiationRefusal::Invalid(error.to_string()))
    }
}

impl InitiationBody {
    /// Reads a body. The error is a text for the client. Unknown fields are ignored.
    fn read(body: &[u8]) -> Result<InitiationBody, String> {
        let fields: HashMap<String, &RawValue> = serde_json::from_slice(body)
            .map_err(|error| format!("The body is not a JSON object: {error}."))?;
        let value = |field: &str| fields.get(field).map(|value| value.get());
        let text = |field: &str| {
            let text: Option<String> = optional(field, value(field), "a string")?;
            text.filter(|text| !text.is_empty())
                .ok_or_else(|| format!("{field:?} is missing or empty."))
        };
        let body = InitiationBody {
            idempotency_key: text("idempotencyKey")?,
            amount: text("amount")?,
            currency: text("currency")?,
            source_account_id: text("sourceAccountId")?,
            destination_account_id: text("destinationAccountId")?,
            description: optional("description", value("description"), "a string")?,
            metadata: optional("metadata", value("metadata"), "an object of strings")?,
        };
        let amount = Amount::parse(&body.amount)
            .map_err(|invalid| format!("\"amount\": {invalid}."))?
            .to_string();
        if amount == "0" || amount.starts_with('-') {
            return Err(format!("\"amount\" is {amount}; it must be above zero."));
        }
        Asset::check(&body.currency).map_err(|invalid| format!("\"currency\": {invalid}."))?;
        Ok(body)
    }
}

/// The value of a field; null counts as missing.
fn optional<'a, T: Deserialize<'a>>(
    field: &str,
    value: Option<&'a str>,
    expected: &str,
) -> Result<Option<T>, String> {
    let wrong = |json| format!("{field:?} is {}, not {expected}.", escaped(json));
    value.map_or(Ok(None), |json| {
        serde_json::from_str(json).map_err(|_| wrong(json))
    })
}
