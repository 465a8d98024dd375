//! Payouts and transfers.

use serde_json::{Value, json};

use super::*;
use crate::api::Timestamp;

fn initiate(sandbox: &Sandbox, path: &str, body: &Value) -> (u16, Value) {
    let key = format!("Bearer {KEY}");
    let said = send(sandbox, "POST", path, Some(&key), &body.to_string());
    (said.status, serde_json::from_str(&said.body).unwrap())
}

fn request(key: &str) -> Value {
    json!({
        "idempotencyKey": key, "amount": "1050", "currency": "EUR/2",
        "sourceAccountId": "acc-eur-operating", "destinationAccountId": "ben-vauban",
        "description": "rent", "metadata": { "invoice": "7" }, "unknown": 1,
    })
}

fn transaction(sandbox: &Sandbox, id: &Value) -> Value {
    let all = transactions(sandbox, "pageSize=1000");
    let found = all.iter().find(|record| *id == *record.id).unwrap();
    serde_json::from_str(&found.json).unwrap()
}

#[test]
fn a_payout_is_made_once_and_listed() {
    let sandbox = bank();
    let before = Timestamp::now();
    let (status, payout) = initiate(&sandbox, "/payouts", &request("k"));
    assert_eq!(status, 201, "{payout}");
    let mut expected = request("k");
    expected.as_object_mut().unwrap().remove("unknown");
    for field in ["id", "createdAt", "updatedAt"] {
        expected[field] = payout[field].clone();
    }
    expected["status"] = json!("PENDING");
    assert_eq!(payout, expected);
    assert!(Timestamp::parse(field(&payout, "createdAt")).unwrap() >= before);
    let mut reordered = request("k").to_string();
    reordered.insert_str(1, r#""unknown":1e999,"#);
    let key = format!("Bearer {KEY}");
    let again = send(&sandbox, "POST", "/payouts", Some(&key), &reordered);
    assert_eq!(again.status, 201);
    assert_eq!(serde_json::from_str::<Value>(&again.body).unwrap(), payout);
    let mut other = request("k");
    other["amount"] = json!("1051");
    let (status, said) = initiate(&sandbox, "/payouts", &other);
    assert_eq!(status, 409);
    assert!(
        field(&said, "Detail").contains("\"k\" was already used"),
        "{said}"
    );
    let (status, transfer) = initiate(&sandbox, "/transfers", &other);
    assert_eq!(status, 201);
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 402);
    let listed = transaction(&sandbox, &payout["id"]);
    let expected = json!({
        "id": payout["id"], "createdAt": payout["createdAt"], "updatedAt": payout["createdAt"],
        "currency": "EUR/2", "type": "PAYOUT", "status": "PENDING", "amount": "1050",
        "scheme": "OTHER", "sourceAccountID": "acc-eur-operating",
        "destinationAccountID": "ben-vauban", "relatedTransactionID": "k", "metadata": { "invoice": "7" },
    });
    assert_eq!(listed, expected);
    assert_eq!(transaction(&sandbox, &transfer["id"])["type"], "TRANSFER");
}

#[test]
fn an_initiation_that_breaks_a_rule_is_refused() {
    let sandbox = bank();
    for (field, value, problem) in [
        ("idempotencyKey", json!(""), " is missing or empty"),
        ("idempotencyKey", Value::Null, " is missing or empty"),
        ("idempotencyKey", json!(7), " is 7, not a string"),
        ("amount", json!(1050), " is 1050, not a string"),
        ("amount", json!("10.50"), ": \"10.50\" is not an amount"),
        ("amount", json!("-0"), " is 0; it must be above zero"),
        ("amount", json!("-5"), " is -5; it must be above zero"),
        ("currency", json!("euro"), ": \"euro\" is not an asset"),
        ("sourceAccountId", Value::Null, " is missing or empty"),
        ("destinationAccountId", json!(""), " is missing or empty"),
        (
            "destinationAccountId",
            json!("nobody"),
            " is \"nobody\", which is not listed",
        ),
        (
            "sourceAccountId",
            json!("ben-vauban"),
            " is \"ben-vauban\", which is not listed",
        ),
        ("description", json!(1), " is 1, not a string"),
        ("metadata", json!({ "a": 1 }), ", not an object of strings"),
        ("metadata", json!([]), " is [], not an object of strings"),
    ] {
        let mut body = request("k");
        body[field] = value;
        let (status, answer) = initiate(&sandbox, "/transfers", &body);
        assert_eq!((status, &answer["Title"]), (400, &json!("Bad Request")));
        let detail = answer["Detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{field:?}")), "{answer}");
        assert!(detail.contains(problem), "{answer}");
    }
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 400);
}

#[test]
fn a_body_that_is_not_an_object_is_refused() {
    let sandbox = bank();
    for body in ["[]", "null", "{", "\"x\""] {
        let key = format!("Bearer {KEY}");
        let answer = send(&sandbox, "POST", "/payouts", Some(&key), body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains("not a JSON object"), "{}", answer.body);
    }
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 400);
}

#[test]
fn a_body_may_be_large_or_have_the_required_fields_only() {
    let sandbox = bank();
    let mut long = request("long");
    long["description"] = json!("x".repeat(64 * 1024));
    assert_eq!(initiate(&sandbox, "/payouts", &long).0, 413);
    long["description"] = json!("x".repeat(60 * 1024));
    assert_eq!(initiate(&sandbox, "/payouts", &long).0, 201);
    let mut least = request("least");
    for field in ["description", "metadata"] {
        least[field] = Value::Null;
    }
    let (status, made) = initiate(&sandbox, "/payouts", &least);
    assert_eq!(status, 201);
    assert!(made.get("description").is_none() && made.get("metadata").is_none());
    assert_eq!(transactions(&sandbox, "pageSize=1000").len(), 402);
}
