use std::borrow::Cow;

use super::dates::rewritten;
use super::left_out::{can_be_named, can_be_part, has_storable_amount};
use super::members::drop_unreadable;
use super::plain::plain;
use super::shown::ShownAs;
use super::texts::{non_empty_text, storable, text, unchecked_texts};
use super::values::{status, transaction_type};
use crate::api::{Initiation, Members, Stream, Timestamp};

/// The text of a version that the Go client can read: as the service sent it wherever possible, and dated by `stamp`.
///
/// `shown_as` says how a transaction is shown otherwise. `initiated_as` has the `idempotencyKey` of each payout and
/// transfer that Connectivity asked for and that became the transaction, or the one that it relates to ([`relation`]).
pub fn readable<'a>(
    stream: Stream,
    json: &'a str,
    stamp: Timestamp,
    shown_as: Option<&ShownAs>,
    initiated_as: &[(Initiation, String)],
) -> Cow<'a, str> {
    let is_itself = shown_as.is_none() && initiated_as.is_empty();
    let plain = is_itself.then(|| plain(stream, json, stamp)).flatten();
    plain.unwrap_or_else(|| rewritten_text(stream, json, stamp, shown_as, initiated_as).into())
}

/// As [`readable`], the long way.
pub(super) fn rewritten_text(
    stream: Stream,
    json: &str,
    stamp: Timestamp,
    shown_as: Option<&ShownAs>,
    initiated_as: &[(Initiation, String)],
) -> String {
    let Ok(mut record) = Members::read(json) else {
        // Never taken: it was read when it was stored.
        return json.to_owned();
    };
    drop_unreadable(&mut record, stream.fields());
    rewrite_date(&mut record, stream.date_field(), Some(stamp));
    for field in unchecked_texts(stream) {
        rewrite_text(&mut record, field);
    }
    match stream {
        Stream::Balances => rewrite_balances(&mut record),
        Stream::Transactions => {
            if let Some(shown_as) = shown_as {
                depart(&mut record, shown_as);
            }
            rewrite_transaction(&mut record, shown_as, initiated_as);
        }
        Stream::Accounts | Stream::Beneficiaries => {}
    }
    let text = if record.is_edited() {
        Cow::Owned(record.write())
    } else {
        Cow::Borrowed(json)
    };
    storable(&text).into_owned()
}

/// The id of the transaction that a version relates to as it is shown, if it relates to one.
pub fn relation(json: &str, shown_as: Option<&ShownAs>) -> Option<String> {
    const RELATED: &str = "relatedTransactionID";
    if let Some(related) = shown_as.and_then(|shown_as| shown_as.related.as_ref()) {
        return Some(related.clone()).filter(|related| !related.is_empty());
    }
    let json = storable(json);
    let mut record = Members::read(&json).ok()?;
    drop_unreadable(&mut record, Stream::Transactions.fields());
    non_empty_text(&record, RELATED)
}

/// Shows a transaction otherwise than the service has sent it.
fn depart(transaction: &mut Members, shown_as: &ShownAs) {
    for (field, value) in [
        ("status", &shown_as.status),
        ("amount", &shown_as.amount),
        ("type", &shown_as.kind),
        ("createdAt", &shown_as.created_at),
        ("relatedTransactionID", &shown_as.related),
    ] {
        match value.as_deref() {
            Some("") => transaction.remove(field),
            Some(value) => transaction.set(field, value),
            None => {}
        }
    }
}

fn rewrite_text(record: &mut Members, field: &'static str) {
    // Go reads every string, also one that Rust does not, such as half an emoji.
    let is_string = record.get(field).is_none_or(|json| json.starts_with('"'));
    if !is_string && let Some(text) = text(record, field).map(Cow::into_owned) {
        record.set(field, &text);
    }
}

/// Makes a date readable for Go, and equal to `stamp` if there is one.
fn rewrite_date(record: &mut Members, field: &'static str, stamp: Option<Timestamp>) {
    let Ok(text) = record.text(field) else {
        return;
    };
    let Ok(date) = Timestamp::parse(&text) else {
        return;
    };
    // Go does not resolve escapes in dates.
    let has_escapes = record.get(field).is_some_and(|json| json.contains('\\'));
    let written = match (stamp, rewritten(&text, date)) {
        (Some(stamp), _) if stamp != date => stamp.to_string(),
        (_, Some(readable)) => readable,
        // Only without its escapes: Formance tells adjustments apart by the spelling of the offset, too.
        _ if has_escapes => text.into_owned(),
        _ => return,
    };
    record.set(field, &written);
}

fn rewrite_transaction(
    transaction: &mut Members,
    shown_as: Option<&ShownAs>,
    initiated_as: &[(Initiation, String)],
) {
    rewrite_date(transaction, "createdAt", None);
    let nanoseconds = shown_as.map_or(0, |shown_as| shown_as.nanoseconds);
    if nanoseconds > 0
        && let Ok(Ok(date)) = transaction
            .text("createdAt")
            .map(|text| Timestamp::parse(&text))
    {
        let later = date.plus_nanoseconds(nanoseconds.into());
        transaction.set("createdAt", &later.to_string());
    }
    for (field, value) in [
        ("type", transaction_type(transaction)),
        ("status", status(transaction)),
    ] {
        if transaction.text(field).is_ok_and(|text| text == value) {
            continue;
        }
        transaction.set(field, value);
    }
    for field in ["sourceAccountID", "destinationAccountID"] {
        if non_empty_text(transaction, field).is_some_and(|account| !can_be_named(&account)) {
            transaction.remove(field);
        }
    }
    // Without this relation, Formance shows what it has initiated as two payments.
    let kind = transaction_type(transaction);
    let initiated = initiated_as
        .iter()
        .find(|(initiation, _)| initiation.transaction_type() == kind);
    let id = non_empty_text(transaction, "id").unwrap_or_default();
    if let Some((_, key)) = initiated
        && can_be_part(key, &id)
    {
        transaction.set("relatedTransactionID", key);
    }
}

fn rewrite_balances(record: &mut Members) {
    let Some(Ok(mut balances)) = record
        .get("balances")
        .map(serde_json::from_str::<Vec<Members>>)
    else {
        return;
    };
    for balance in &mut balances {
        drop_unreadable(balance, &["amount", "currency"]);
    }
    let all = balances.len();
    balances.retain(has_storable_amount);
    if balances.len() < all || balances.iter().any(Members::is_edited) {
        let balances: Vec<String> = balances.iter().map(Members::write).collect();
        record.set_json("balances", format!("[{}]", balances.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn shown(stream: Stream, json: &str, initiated_as: &[(Initiation, String)]) -> String {
        let stamp = Timestamp::parse("2024-05-01T12:00:00Z").unwrap();
        readable(stream, json, stamp, None, initiated_as).into_owned()
    }

    #[test]
    fn what_the_go_client_can_read_stays_as_the_service_sent_it() {
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
            assert_eq!(shown(stream, json, &[]), json);
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
            assert_eq!(shown(stream, json, &[]), expected);
        }
        let json = r#"{"id":"t","type":"PAYIN","status":"FAILED","createdAt":"0001-01-01T02:00:00+02:00","updatedAt":"2024-05-01T12:00:00Z"}"#;
        let expected = json.replace("0001-01-01T02:00:00+02:00", "1970-01-01T00:00:00Z");
        assert_eq!(shown(Stream::Transactions, json, &[]), expected);
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let json = format!(
            r#"{{"id":"b","ownerName":"[[[","createdAt":"2024-05-01T12:00:00Z","x":{deep}}}"#
        );
        let expected = r#"{"id":"b","ownerName":"[[[","createdAt":"2024-05-01T12:00:00Z"}"#;
        assert_eq!(shown(Stream::Beneficiaries, &json, &[]), expected);
    }

    #[test]
    fn what_was_initiated_is_related_to_its_key_if_its_type_is_the_same() {
        let json = |kind: &str, related: &str| {
            format!(
                r#"{{"id":"t","type":"{kind}","status":"PENDING","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z"{related}}}"#
            )
        };
        let initiated_as = [
            (Initiation::Transfer, "k-t".to_owned()),
            (Initiation::Payout, "k-p".to_owned()),
        ];
        let related_as = |json: &str, initiated_as: &[(Initiation, String)]| {
            let shown = shown(Stream::Transactions, json, initiated_as);
            let shown: Value = serde_json::from_str(&shown).unwrap();
            shown["relatedTransactionID"].clone()
        };
        let related = |json: &str| related_as(json, &initiated_as);
        assert_eq!(related(&json("PAYOUT", "")), "k-p");
        assert_eq!(
            related(&json("PAYOUT", r#","relatedTransactionID":null"#)),
            "k-p"
        );
        assert_eq!(
            related(&json("TRANSFER", r#","relatedTransactionID":"""#)),
            "k-t"
        );
        // The keys are those of the transaction that it relates to, if it relates to one.
        let relative = json("PAYOUT", r#","relatedTransactionID":"own""#);
        assert_eq!(related_as(&relative, &[]), "own");
        assert_eq!(related(&relative), "k-p");
        assert_eq!(related(&json("PAYIN", "")), Value::Null);
    }
}
