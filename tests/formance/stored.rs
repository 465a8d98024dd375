//! What the API v3 of a Formance stack answers of the payments that it has.

use generic_connector::Timestamp;
use num_bigint::BigInt;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::storage::{
    ApiRefusal, StackPayment, Storage, encode, microseconds, missing, payment_id,
};
use crate::support::TestAnswer;

impl Storage {
    /// `GET /v3/payments` with a query for this connector and perhaps a reference: without adjustments.
    pub fn list(&self, query: &str) -> Result<TestAnswer, ApiRefusal> {
        let query = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("query="));
        let query = percent_decode_str(query.unwrap()).decode_utf8().unwrap();
        let query: Value = serde_json::from_str(&query).unwrap();
        let conditions = query["$and"].as_array().cloned();
        let mut wanted = None;
        for condition in conditions.unwrap_or_else(|| vec![query.clone()]) {
            match condition["$match"]
                .as_object()
                .unwrap()
                .iter()
                .next()
                .unwrap()
            {
                (name, value) if name == "reference" => wanted = Some(value.clone()),
                (name, value) => assert_eq!(
                    (name.as_str(), value.as_str()),
                    ("connector_id", Some(&*encode(&self.connector())))
                ),
            }
        }
        let found = self
            .payments
            .iter()
            .filter(|((known, _), _)| wanted.as_ref().is_none_or(|wanted| wanted == known));
        let data: Vec<Value> = found
            .map(|(key, payment)| {
                let mut shown = self.shown(key, payment);
                shown["adjustments"] = Value::Null;
                shown
            })
            .collect();
        let cursor = json!({ "cursor": { "pageSize": 100, "hasMore": false, "data": data } });
        Ok(TestAnswer::new(200, cursor.to_string()))
    }

    /// `GET /v3/payments/{id}`.
    pub fn get(&self, path: &str) -> Result<TestAnswer, ApiRefusal> {
        let id = path.strip_prefix("/payments/").ok_or_else(missing)?;
        let mut payments = self.payments.iter();
        let (key, payment) = payments
            .find(|(key, _)| payment_id(&self.connector(), key) == id)
            .ok_or_else(missing)?;
        let shown = json!({ "data": self.shown(key, payment) });
        Ok(TestAnswer::new(200, shown.to_string()))
    }

    fn shown(&self, key: &(String, String), payment: &StackPayment) -> Value {
        let integer =
            |integer: &BigInt| serde_json::from_str::<Value>(&integer.to_string()).unwrap();
        let adjustments = payment.sorted().into_iter().rev().map(|adjustment| {
            json!({
                "reference": adjustment.reference, "status": adjustment.status,
                "amount": integer(&adjustment.amount), "asset": payment.asset, "metadata": null,
                "createdAt": Timestamp::from_nanoseconds(microseconds(adjustment) * 1_000).to_string(),
            })
        });
        json!({
            "id": payment_id(&self.connector(), key), "connectorID": encode(&self.connector()),
            "reference": key.0, "type": key.1, "initialAmount": integer(&payment.initial_amount),
            "amount": integer(&payment.amount), "asset": payment.asset, "scheme": payment.scheme,
            "createdAt": payment.created_at.to_string(), "status": payment.status(),
            "metadata": payment.metadata, "adjustments": adjustments.collect::<Vec<Value>>(),
        })
    }
}
