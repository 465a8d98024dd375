use std::fmt::Display;

use serde_json::json;

use super::dates::rewritten;
use super::members::drop_unreadable;
use super::texts::storable;
use crate::api::{
    Amount, Asset, Initiated, InitiationRequest, Invalid, Members, Timestamp, check_id,
    check_metadata, escaped,
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

/// Bytes of a member's JSON. A request has no more as a whole.
const LONGEST_MEMBER: usize = 64 * 1024;

/// Bytes. A larger answer is kept without the members that the API does not know.
const LARGEST: usize = 256 * 1024;

/// Reads the service's answer to `request`, and completes it so that the Go client can read it.
///
/// A body without a usable `id` is an error, and so is one that belongs to another request ([`difference`]). Any other
/// field that is missing, unreadable or too long is taken from the request or dropped: the money is on its way, and an
/// answer that Formance cannot read would hide that.
///
/// Unlike in lists, the client reads dates and the status as plain strings (`payouts.go`). So it resolves escapes in
/// dates, and maps an unknown status itself.
pub fn read_initiated(request: &InitiationRequest, body: &[u8]) -> Result<Initiated, Invalid> {
    let invalid = |reason: &dyn Display| {
        let body = escaped(&String::from_utf8_lossy(body));
        Invalid(format!(
            "the body is not the payout or transfer ({reason}): \"{body}\""
        ))
    };
    let json = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
    let mut answer = Members::read(json.trim()).map_err(|error| invalid(&error))?;
    let id = answer.text("id").map_err(|error| invalid(&error))?;
    check_id("id", &id).map_err(|error| invalid(&error))?;
    let id = id.into_owned();
    let asked = Members::read(&request.json).map_err(|error| invalid(&error))?;
    let difference =
        difference(&answer, &request.idempotency_key, &asked).map_err(|error| invalid(&error))?;
    drop_unreadable(&mut answer, &FIELDS);
    answer.retain(|_, json| json.len() <= LONGEST_MEMBER);
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
    if answer.write().len() > LARGEST {
        answer.retain(|name, _| FIELDS.contains(&name));
    }
    Ok(Initiated {
        id,
        json: storable(&answer.write()).into_owned(),
        difference,
    })
}

/// The answer for what an operator says was made under that id. It has nothing of the request if damage has destroyed that.
pub fn initiated_as(request: &InitiationRequest, id: &str) -> Result<Initiated, Invalid> {
    let key = &request.idempotency_key;
    let answer = json!({ "id": id, "idempotencyKey": key }).to_string();
    if request.json.is_empty() {
        return Ok(Initiated {
            id: id.to_owned(),
            json: answer,
            difference: None,
        });
    }
    read_initiated(request, answer.as_bytes())
}

/// How the answer differs from what was asked for, in words for a person; none if it does not. Missing and unreadable
/// fields do not differ.
///
/// It is an error if the answer belongs to another request: because it has another key, or because it has none and
/// another amount or asset. With the right key it is ours, whatever it says: services deduct fees from amounts and write
/// account numbers in a form of their own.
fn difference(answer: &Members, key: &str, asked: &Members) -> Result<Option<String>, Invalid> {
    let text = |field: &str| {
        let json = answer.get(field).filter(|json| *json != "null")?;
        // A number counts as its digits.
        let text = answer.text(field).unwrap_or(json.into());
        (!text.is_empty()).then_some(text)
    };
    let answered_key = text("idempotencyKey");
    if let Some(other) = answered_key.as_deref().filter(|other| *other != key) {
        let other = escaped(other);
        return Err(Invalid(format!(
            "it belongs to the idempotencyKey \"{other}\""
        )));
    }
    let mut differences = Vec::new();
    for field in REQUESTED {
        let asked = asked.text(field)?;
        let Some(answered) = text(field).filter(|answered| is_other(field, answered, &asked))
        else {
            continue;
        };
        let (shown, asked) = (escaped(&answered), escaped(&asked));
        let difference = format!("its {field} is \"{shown}\" instead of \"{asked}\"");
        if answered_key.is_none() && matches!(field, "amount" | "currency") {
            return Err(Invalid(format!(
                "{difference}, and it has no idempotencyKey"
            )));
        }
        differences.push(difference);
    }
    Ok((!differences.is_empty()).then(|| differences.join(", ")))
}

/// Whether an answer's value of a field is another one than what was asked for.
fn is_other(field: &str, answered: &str, asked: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match field {
        "amount" => match (Amount::parse(answered), Amount::parse(asked)) {
            (Ok(answered), Ok(asked)) => answered != asked,
            // Such as 100.0 or 1e2.
            _ => number(answered)
                .zip(number(asked))
                .is_some_and(|(answered, asked)| answered.total_cmp(&asked).is_ne()),
        },
        "currency" => Asset::check(answered).is_ok() && answered != asked,
        _ => answered != asked,
    }
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
            "id": "po-1", "Id": 7, "idempotencyKey": null, "amount": 100, "currency": "eur", "status": null,
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
            json!({ "id": "i".repeat(1_001) }),
            json!([]),
        ] {
            assert!(read(&nothing).is_err(), "{nothing}");
        }
        assert!(read_initiated(&request, b"").is_err());
        let large: String = (0..5_000)
            .map(|number| format!(r#""x{number}":"{}","#, "y".repeat(100)))
            .collect();
        let large = format!(
            r#"{{{large}"id":"po-1","status":"{}"}}"#,
            "s".repeat(100_000)
        );
        let json = read_initiated(&request, large.as_bytes()).unwrap().json;
        assert!(
            json.len() < 1_000 && json.contains(r#""status":"OTHER""#),
            "{json}"
        );
    }

    /// How an answer with these members differs, or why it is not ours. 100 EUR/2 were asked for under the key 7.
    fn difference_of(more: &Value) -> Result<Option<String>, String> {
        let request = json!({
            "idempotencyKey": "7", "amount": "0100", "currency": "EUR/2", "sourceAccountId": "acc-1",
            "destinationAccountId": "ben-1",
        });
        let request = InitiationRequest::read(request.to_string().as_bytes()).unwrap();
        let mut answer = more.clone();
        answer["id"] = json!("po-1");
        read_initiated(&request, answer.to_string().as_bytes())
            .map(|initiated| initiated.difference)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_or_unreadable_or_written_in_another_way_does_not_differ() {
        for key in [json!(null), json!(""), json!("7"), json!(7)] {
            for (field, value) in [
                ("amount", json!("100")),
                ("amount", json!("+100")),
                ("amount", json!(100)),
                ("amount", json!(100.0)),
                ("amount", json!(null)),
                ("amount", json!("a hundred")),
                ("amount", json!("nan")),
                ("amount", json!({})),
                ("currency", json!("")),
                ("currency", json!("eur")),
                ("currency", json!(7)),
                ("sourceAccountId", json!(null)),
                ("destinationAccountId", json!("ben-1")),
            ] {
                let answered = difference_of(&json!({ "idempotencyKey": key, field: value }));
                assert_eq!(answered, Ok(None), "{key} {field} {value}");
            }
        }
    }

    #[test]
    fn an_answer_is_ours_by_its_key_or_by_its_amount_and_asset() {
        for key in [json!(null), json!(""), json!("7"), json!(7)] {
            for (field, value, is_ours) in [
                ("destinationAccountId", json!("DE02 ben-1"), true),
                ("amount", json!("99"), key == "7" || key == 7),
                ("amount", json!("-100"), key == "7" || key == 7),
                ("amount", json!(99), key == "7" || key == 7),
                ("amount", json!("1.00"), key == "7" || key == 7),
                ("currency", json!("EUR"), key == "7" || key == 7),
            ] {
                let answered = difference_of(&json!({ "idempotencyKey": key, field: value }));
                assert_eq!(answered.is_ok(), is_ours, "{key} {field} {value}");
                let shown = answered.map_or_else(|error| error, Option::unwrap_or_default);
                assert!(shown.contains(&format!("its {field} is")), "{shown}");
            }
        }
        for other in [json!("8"), json!(8), json!({}), json!("07")] {
            let answered = difference_of(&json!({ "idempotencyKey": other, "amount": "100" }));
            assert!(answered.unwrap_err().contains("belongs to"), "{other}");
        }
    }
}
