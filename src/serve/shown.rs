//! A version as Connectivity is shown it: as the service sent it, but for what Formance's client could not read.
//!
//! That client (Go's encoding/json into generated structures, formancehq/payments v3.4.0) fails a whole page for one
//! value of the wrong type or outside an enumeration, takes `"ID"` for `"id"`, does not resolve escapes in dates, and
//! stores what it reads in a database that takes no U+0000.

use serde_json::Value;

use crate::api::{Members, STATUSES, Stream, TYPES, Timestamp, without_nul};
use crate::store::Listed;

/// The fields that Formance's client reads.
fn fields(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::Accounts => &["id", "accountName", "createdAt", "metadata"],
        Stream::Balances => &["id", "accountID", "at", "balances"],
        Stream::Beneficiaries => &["id", "ownerName", "createdAt", "metadata"],
        Stream::Transactions => &[
            "id",
            "relatedTransactionID",
            "createdAt",
            "updatedAt",
            "currency",
            "scheme",
            "type",
            "status",
            "amount",
            "sourceAccountID",
            "destinationAccountID",
            "metadata",
        ],
    }
}

/// Those of them that must be strings, and that no rule of the API has checked.
fn texts(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::Accounts => &["accountName"],
        Stream::Balances => &["id"],
        Stream::Beneficiaries => &["ownerName"],
        Stream::Transactions => &[
            "relatedTransactionID",
            "scheme",
            "sourceAccountID",
            "destinationAccountID",
        ],
    }
}

/// The text of a version. The date that the stream is sorted by is the stamp, unless it is that already.
pub(super) fn shown(stream: Stream, listed: &Listed) -> String {
    let Ok(mut record) = Members::read(&listed.json) else {
        // It was read when it was stored.
        return listed.json.clone();
    };
    record.drop_other_spellings(fields(stream));
    record.drop_deeper_than(Members::DEEPEST);
    show_date(
        &mut record,
        stream.date_field(),
        Some(listed.stamp.timestamp()),
    );
    for field in texts(stream) {
        match record.get(field) {
            None | Some("null") => {}
            Some(json) if json.starts_with('"') => {}
            Some(json) => {
                let text = Value::from(json);
                record.set(field, &text);
            }
        }
    }
    match stream {
        Stream::Balances => show_balances(&mut record),
        Stream::Transactions => show_transaction(&mut record, listed),
        Stream::Accounts | Stream::Beneficiaries => {}
    }
    let text = match record.is_edited() {
        true => record.write(),
        false => listed.json.clone(),
    };
    without_nul(&text).into_owned()
}

/// Makes a date one that Go reads, and that has the value `due`, if there is one.
fn show_date(record: &mut Members, field: &'static str, due: Option<Timestamp>) {
    let Ok(text) = record.text(field) else {
        return;
    };
    let is_escaped = record.get(field).is_some_and(|json| json.contains('\\'));
    let Ok(value) = Timestamp::parse(&text) else {
        return;
    };
    let written = match (due, value.for_go(&text)) {
        (Some(due), _) if due != value => due.to_string(),
        (_, Some(readable)) => readable,
        // As an offset is written is part of what Formance tells adjustments apart by.
        _ if is_escaped => text.into_owned(),
        _ => return,
    };
    record.set(field, &Value::from(written));
}

fn show_transaction(transaction: &mut Members, listed: &Listed) {
    show_date(transaction, "createdAt", None);
    for (field, known) in [("type", TYPES.as_slice()), ("status", STATUSES.as_slice())] {
        if !transaction
            .text(field)
            .is_ok_and(|value| known.contains(&&*value))
        {
            transaction.set(field, &Value::from("OTHER"));
        }
    }
    if transaction
        .text("relatedTransactionID")
        .is_ok_and(|related| !related.is_empty())
    {
        return;
    }
    // Formance takes it for another payment than the one that it has initiated unless it is told.
    let initiated = listed.initiated_as.iter().find(|(initiation, _)| {
        transaction
            .text("type")
            .is_ok_and(|kind| kind == initiation.transaction_type())
    });
    if let Some((_, key)) = initiated {
        transaction.set("relatedTransactionID", &Value::from(key.as_str()));
    }
}

fn show_balances(record: &mut Members) {
    let Some(Ok(mut balances)) = record
        .get("balances")
        .map(serde_json::from_str::<Vec<Members>>)
    else {
        return;
    };
    for balance in &mut balances {
        balance.drop_other_spellings(&["amount", "currency"]);
        balance.drop_deeper_than(Members::DEEPEST);
    }
    if balances.iter().any(Members::is_edited) {
        let balances: Vec<String> = balances.iter().map(Members::write).collect();
        record.set_json("balances", format!("[{}]", balances.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Initiation;
    use crate::store::Stamp;

    fn listed(json: &str, stamp: &str) -> Listed {
        let stamp = Timestamp::parse(stamp).unwrap().nanoseconds();
        Listed {
            stamp: Stamp::from_nanoseconds(stamp),
            json: json.to_owned(),
            initiated_as: Vec::new(),
        }
    }

    #[test]
    fn what_formance_can_read_is_shown_as_the_service_sent_it() {
        for (stream, json) in [
            (
                Stream::Accounts,
                r#"{ "id":"a", "accountName":"A", "createdAt":"2024-05-01T14:00:00+02:00","x":[1e9] }"#,
            ),
            (
                Stream::Balances,
                r#"{"id":"1","accountID":"a","at":"2024-05-01T12:00:00Z","balances":[{"amount":"1","currency":"JPY"}]}"#,
            ),
            (
                Stream::Transactions,
                r#"{"id":"t","type":"PAYIN","status":"CAPTURE","createdAt":"2024-05-01T12:00:00+02:00","updatedAt":"2024-05-01T12:00:00.000Z","scheme":null}"#,
            ),
        ] {
            assert_eq!(shown(stream, &listed(json, "2024-05-01T12:00:00Z")), json);
        }
    }

    #[test]
    fn what_it_cannot_read_is_made_readable() {
        for (stream, json, expected) in [
            (
                Stream::Accounts,
                r#"{"id":"a","ID":7,"accountName":5,"createdAt":"2024-05-01T11:00:00Z"}"#,
                r#"{"id":"a","accountName":"5","createdAt":"2024-05-01T12:00:00.000000000Z"}"#,
            ),
            (
                Stream::Transactions,
                r#"{"id":"t","type":"ACH","createdAt":"2016-12-31T23:59:60Z","updatedAt":"2024-05-01T12:00:00\u005a","sourceAccountID":{"a":1}}"#,
                r#"{"id":"t","type":"OTHER","createdAt":"2016-12-31T23:59:59.000000000Z","updatedAt":"2024-05-01T12:00:00Z","sourceAccountID":"{\"a\":1}","status":"OTHER"}"#,
            ),
            (
                Stream::Balances,
                r#"{"accountID":"a","at":"2024-05-01T12:00:00Z","balances":[{"amount":"1","Amount":1,"currency":"JPY"},{"currency":"EUR/2","amount":"2"}]}"#,
                r#"{"accountID":"a","at":"2024-05-01T12:00:00Z","balances":[{"amount":"1","currency":"JPY"},{"currency":"EUR/2","amount":"2"}]}"#,
            ),
        ] {
            assert_eq!(
                shown(stream, &listed(json, "2024-05-01T12:00:00Z")),
                expected
            );
        }
        let json = r#"{"id":"t","type":"PAYIN","status":"FAILED","createdAt":"0001-01-01T02:00:00+02:00","updatedAt":"2024-05-01T12:00:00Z"}"#;
        let expected = json.replace("0001-01-01T02:00:00+02:00", "1970-01-01T00:00:00Z");
        assert_eq!(
            shown(Stream::Transactions, &listed(json, "2024-05-01T12:00:00Z")),
            expected
        );
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let json = format!(
            r#"{{"id":"b","ownerName":"[[[","createdAt":"2024-05-01T12:00:00Z","x":{deep}}}"#
        );
        let expected = r#"{"id":"b","ownerName":"[[[","createdAt":"2024-05-01T12:00:00Z"}"#;
        assert_eq!(
            shown(
                Stream::Beneficiaries,
                &listed(&json, "2024-05-01T12:00:00Z")
            ),
            expected
        );
    }

    #[test]
    fn what_was_initiated_is_related_to_its_key_if_its_type_is_the_same() {
        let json = |kind: &str, related: &str| {
            format!(
                r#"{{"id":"t","type":"{kind}","status":"PENDING","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z"{related}}}"#
            )
        };
        let related = |json: &str| {
            let mut listed = listed(json, "2024-05-01T12:00:00Z");
            listed.initiated_as = vec![
                (Initiation::Transfer, "k-t".to_owned()),
                (Initiation::Payout, "k-p".to_owned()),
            ];
            let shown: Value = serde_json::from_str(&shown(Stream::Transactions, &listed)).unwrap();
            shown["relatedTransactionID"].clone()
        };
        assert_eq!(related(&json("PAYOUT", "")), "k-p");
        assert_eq!(
            related(&json("PAYOUT", r#","relatedTransactionID":null"#)),
            "k-p"
        );
        assert_eq!(
            related(&json("TRANSFER", r#","relatedTransactionID":"""#)),
            "k-t"
        );
        assert_eq!(
            related(&json("PAYOUT", r#","relatedTransactionID":"own""#)),
            "own"
        );
        assert_eq!(related(&json("PAYIN", "")), Value::Null);
    }
}
