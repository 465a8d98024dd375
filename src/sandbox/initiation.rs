use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::data::Data;
use crate::api::{Amount, Asset, Initiation, Stream, Timestamp, escaped};

/// The payouts and transfers that were made here. Each kind has idempotency keys of its own.
#[derive(Default)]
pub(super) struct Initiations {
    made: HashMap<(Initiation, String), Made>,
    /// The ids since [`take_new`](Initiations::take_new) was last asked.
    new: Vec<String>,
}

/// One of them. Its state is that of its transaction.
struct Made {
    id: String,
    created_at: String,
    request: Request,
}

/// What a body asks for.
#[derive(PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
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

/// Why nothing was made, for the client to read.
pub(super) enum Refusal {
    /// The body breaks a rule.
    Invalid(String),
    /// The key was used for another body.
    Conflict(String),
}

impl Initiations {
    /// The ids of those that were made since this was last asked, oldest first.
    pub fn take_new(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}

/// Makes what the body asks for, or finds what was made of its idempotency key: the Payout or Transfer as it is now.
///
/// From then on it is listed as a pending transaction of the same id.
pub(super) fn initiate(data: &mut Data, kind: Initiation, body: &[u8]) -> Result<String, Refusal> {
    let request = Request::read(body).map_err(Refusal::Invalid)?;
    let place = (kind, request.idempotency_key.clone());
    match data.initiations.made.get(&place) {
        Some(made) if made.request == request => return made.object(data),
        Some(_) => {
            return Err(Refusal::Conflict(format!(
                "The idempotencyKey {:?} was used before, in {kind}, with another body.",
                escaped(&request.idempotency_key)
            )));
        }
        None => {}
    }
    let created_at = Timestamp::now().to_string();
    let digits: String = created_at.chars().filter(char::is_ascii_digit).collect();
    let made = Made {
        id: format!("{}-{digits}", kind.transaction_type().to_lowercase()),
        created_at,
        request,
    };
    data.list_mut(Stream::Transactions)
        .put(&made.transaction(kind))
        .map_err(Refusal::Invalid)?;
    let object = made.object(data)?;
    data.initiations.new.push(made.id.clone());
    data.initiations.made.insert(place, made);
    Ok(object)
}

impl Made {
    fn transaction(&self, kind: Initiation) -> String {
        let request = &self.request;
        json!({
            "id": self.id,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
            "currency": request.currency,
            "type": kind.transaction_type(),
            "status": "PENDING",
            "amount": request.amount,
            "scheme": "OTHER",
            "sourceAccountID": request.source_account_id,
            "destinationAccountID": request.destination_account_id,
            "metadata": request.metadata,
        })
        .to_string()
    }

    /// The Payout or Transfer in its transaction's state.
    fn object(&self, data: &Data) -> Result<String, Refusal> {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct State {
            status: String,
            updated_at: String,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Object<'a> {
            id: &'a str,
            #[serde(flatten)]
            request: &'a Request,
            created_at: &'a str,
            #[serde(flatten)]
            state: State,
        }
        let transaction = data.list(Stream::Transactions).get(&self.id);
        // Nothing takes a transaction from the list, so there is one.
        let written = transaction.map_or("null", |record| &record.json);
        let object = serde_json::from_str(written).and_then(|state| {
            serde_json::to_string(&Object {
                id: &self.id,
                request: &self.request,
                created_at: &self.created_at,
                state,
            })
        });
        object.map_err(|error| Refusal::Invalid(error.to_string()))
    }
}

impl Request {
    /// Reads a body; the error is what to tell the client. Unknown fields are passed over.
    fn read(body: &[u8]) -> Result<Request, String> {
        let fields: HashMap<String, &RawValue> = serde_json::from_slice(body)
            .map_err(|error| format!("The body is not a JSON object: {error}."))?;
        let value = |field: &str| fields.get(field).map(|value| value.get());
        let text = |field: &str| {
            let text: Option<String> = optional(field, value(field), "a string")?;
            text.filter(|text| !text.is_empty())
                .ok_or_else(|| format!("{field:?} is missing or empty."))
        };
        let request = Request {
            idempotency_key: text("idempotencyKey")?,
            amount: text("amount")?,
            currency: text("currency")?,
            source_account_id: text("sourceAccountId")?,
            destination_account_id: text("destinationAccountId")?,
            description: optional("description", value("description"), "a string")?,
            metadata: optional("metadata", value("metadata"), "an object of strings")?,
        };
        let amount = Amount::parse(&request.amount)
            .map_err(|invalid| format!("\"amount\": {invalid}."))?
            .to_string();
        if amount == "0" || amount.starts_with('-') {
            return Err(format!("\"amount\" is {amount}; it must be above zero."));
        }
        Asset::check(&request.currency).map_err(|invalid| format!("\"currency\": {invalid}."))?;
        Ok(request)
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
