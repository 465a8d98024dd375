use std::fmt::Display;

use super::dates::rewritten;
use super::members::drop_unreadable;
use super::texts::without_nul;
use crate::api::{
    Amount, Asset, Initiated, InitiationRequest, Invalid, Members, Timestamp, check_metadata,
    escaped,
};

/// The fields that the Go client reads from a payout or a transfer.
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

/// The required ones of them that the request has, too, except the key.
const REQUESTED: [&str; 4] = [
    "amount",
    "currency",
    "sourceAccountId",
    "destinationAccountId",
];

/// Reads the service's answer to `request`, and completes it so that the Go client can read it.
///
/// A body without an `id` is an error. Any other field that is missing or unreadable is taken from the request or
/// dropped: the money is on its way, and an answer that Formance cannot read would hide that.
///
/// Unlike in lists, the client reads dates and the status as plain strings (`payouts.go`). So it resolves escapes in
/// dates, and maps an unknown status itself.
pub fn read_initiated(request: &InitiationRequest, body: &[u8]) -> Result<Initiated, Invalid> {
    let invalid = |reason: &dyn Display| {
        let body = escaped(&String::from_utf8_lossy(body));
        Invalid(format!(
            "the body is not a payout or transfer ({reason}): \"{body}\""
        ))
    };
    let json = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
    let mut answer = Members::read(json.trim()).map_err(|error| invalid(&error))?;
    let id = answer.text("id").map_err(|error| invalid(&error))?;
    if id.is_empty() {
        return Err(invalid(&"\"id\" is empty"));
    }
    let id = id.into_owned();
    let asked = Members::read(&request.json).map_err(|error| invalid(&error))?;
    drop_unreadable(&mut answer, &FIELDS);
    answer.set("idempotencyKey", &request.idempotency_key);
    for field in REQUESTED {
        let checked = answer.text(field).and_then(|text| match field {
            "amount" => Amount::check(&text),
            "currency" => Asset::check(&text),
            _ => Ok(()),
        });
        if checked.is_err() {
            answer.set(field, &asked.text(field)?);
        }
    }
    complete(&mut answer);
    Ok(Initiated {
        id,
        json: without_nul(&answer.write()).into_owned(),
    })
}

fn complete(answer: &mut Members) {
    if answer.text("status").is_err() {
        answer.set("status", "OTHER");
    }
    let created_at = answer
        .text("createdAt")
        .and_then(|text| Ok(rewritten(&text, Timestamp::parse(&text)?)))
        .unwrap_or_else(|_| Some(Timestamp::now().second().to_string()));
    if let Some(date) = created_at {
        answer.set("createdAt", &date);
    }
    for field in ["updatedAt", "description"] {
        if answer.text(field).is_err() {
            answer.remove(field);
        }
    }
    if answer
        .get("metadata")
        .is_some_and(|metadata| check_metadata(metadata).is_err())
    {
        answer.remove("metadata");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_answer_is_completed_so_that_the_go_client_can_read_it() {
        let request = json!({
            "idempotencyKey": "key-1", "amount": "0100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1", "description": null, "metadata": { "a": "b" },
        });
        let request = InitiationRequest::read(request.to_string().as_bytes()).unwrap();
        let whole = json!({
            "id": "po-1", "idempotencyKey": "key-1", "amount": "100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1", "status": "PENDING", "createdAt": "2024-05-01T12:00:00Z", "x": 1,
        });
        let read = |body: &Value| read_initiated(&request, body.to_string().as_bytes());
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
        assert!(read_initiated(&request, b"").is_err());
    }
}
