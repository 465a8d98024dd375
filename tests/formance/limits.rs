//! What PostgreSQL and Temporal cannot take of what Formance reads.

use generic_connector::Stream;

use super::go::Fields;
use super::storage::encode;

/// Bytes of a row of an index at most (PostgreSQL: `BTMaxItemSize` of a page of 8 kB).
const INDEX_ROW: usize = 2_704;
/// Digits of a `numeric` before its decimal point.
const NUMERIC: usize = 131_072;
/// Bytes of an id (Temporal: `limit.maxIDLength`).
const TEMPORAL_ID: usize = 1_000;
/// The id of the connector, in canonical JSON.
const CONNECTOR: &str =
    r#"{"Provider":"generic","Reference":"0ba403bb-3c9f-4695-bd1d-2bd9d7b28094"}"#;

/// What of a record cannot be stored.
pub fn check_record(stream: Stream, fields: &Fields) -> Result<(), String> {
    let id = fields.text("id");
    if stream != Stream::Transactions {
        check_index_row(&[account_id(id).len()])?;
        return match stream {
            Stream::Accounts => check_schedule(id),
            _ => Ok(()),
        };
    }
    check_numeric(fields.text("amount"))?;
    let payment = match fields.text("relatedTransactionID") {
        "" => id,
        related => related,
    };
    let payment = format!(
        "{{\"ConnectorID\":{CONNECTOR},\"Reference\":{},\"Type\":\"PAYOUT\"}}",
        canonical(payment)
    );
    check_index_row(&[encode(&payment).len()])?;
    let adjustment = format!(
        "{{\"CreatedAt\":\"2024-05-01T12:00:00.123456789+02:00\",\"PaymentID\":{payment},\"Reference\":{},\
        \"Status\":\"REFUNDED_FAILURE\"}}",
        canonical(id)
    );
    check_index_row(&[encode(&adjustment).len()])?;
    for field in ["sourceAccountID", "destinationAccountID"] {
        check_index_row(&[account_id(fields.text(field)).len()])?;
    }
    Ok(())
}

/// What of a balance cannot be stored.
pub fn check_balance(account: &str, asset: &str, amount: &str) -> Result<(), String> {
    check_numeric(amount)?;
    check_index_row(&[account_id(account).len(), 8, asset.len()])
}

fn check_numeric(amount: &str) -> Result<(), String> {
    if amount.trim_start_matches(['+', '-', '0']).len() > NUMERIC {
        return Err("value overflows numeric format".to_owned());
    }
    Ok(())
}

/// An account's balances have a schedule of their own, and each run of it an id.
fn check_schedule(account: &str) -> Result<(), String> {
    let connector = encode(CONNECTOR);
    let id =
        format!("organization-stack-{connector}-FETCH_BALANCES-{account}-2024-05-01T12:00:00Z");
    if id.len() > TEMPORAL_ID {
        return Err(format!("an id of {} bytes exceeds length limit", id.len()));
    }
    Ok(())
}

/// A row of an index over values of these lengths. Each one has four more bytes, and begins at a multiple of eight at
/// the latest, as after the eight of the row itself.
fn check_index_row(lengths: &[usize]) -> Result<(), String> {
    let values: usize = lengths
        .iter()
        .map(|length| (length + 4).next_multiple_of(8))
        .sum();
    let row = 8 + values;
    if row > INDEX_ROW {
        return Err(format!(
            "index row size {row} exceeds btree version 4 maximum {INDEX_ROW}"
        ));
    }
    Ok(())
}

fn account_id(reference: &str) -> String {
    encode(&format!(
        "{{\"ConnectorID\":{CONNECTOR},\"Reference\":{}}}",
        canonical(reference)
    ))
}

/// As long as canonical JSON makes it, which writes escapes with other digits.
fn canonical(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
