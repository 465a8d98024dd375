use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::store::Change;

/// The start of every change line. It identifies a torn line as ours.
pub(super) const START: &str = "{\"seq\":";

/// The part of a change line that says which version it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineHead {
    pub seq: i64,
    pub idempotency_key: String,
}

/// Appends a change as one line of JSON, with the record as the service sent it.
pub(super) fn write(line: &mut Vec<u8>, connector: &str, change: &Change) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct LineFields<'a> {
        seq: i64,
        connector: &'a str,
        stream: &'a str,
        id: &'a str,
        idempotency_key: &'a str,
        observed_at: &'a str,
    }
    let fields = LineFields {
        seq: change.seq,
        connector,
        stream: change.stream.name(),
        id: &change.id,
        idempotency_key: &change.idempotency_key,
        observed_at: &change.observed_at,
    };
    // Neither write can fail: the fields are numbers and texts, and a Vec accepts every write.
    let _ = serde_json::to_writer(&mut *line, &fields);
    line.pop();
    let _ = line.write_all(b",\"record\":");
    // JSON has line breaks only between tokens, where a space means the same.
    line.extend(change.json.bytes().map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            byte
        }
    }));
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Stream;

    #[test]
    fn a_change_is_one_line_with_the_record_as_it_was_sent() {
        let change = Change {
            seq: 7,
            stream: Stream::Transactions,
            id: "tx\n\"1".to_owned(),
            number: 2,
            idempotency_key: "acme/transactions/tx\n\"1/2-9f3c1a77".to_owned(),
            observed_at: "2026-11-22T18:00:00Z".to_owned(),
            json: "{\"id\":\"tx\\n\\\"1\",\r\n \"x\":1e2}".to_owned(),
        };
        let mut line = Vec::new();
        write(&mut line, "acme", &change);
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            "{\"seq\":7,\"connector\":\"acme\",\"stream\":\"transactions\",\"id\":\"tx\\n\\\"1\",\
             \"idempotencyKey\":\"acme/transactions/tx\\n\\\"1/2-9f3c1a77\",\
             \"observedAt\":\"2026-11-22T18:00:00Z\",\"record\":{\"id\":\"tx\\n\\\"1\",   \"x\":1e2}}\n"
        );
        assert!(line.starts_with(START.as_bytes()));
        let head: LineHead = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            (head.seq, head.idempotency_key),
            (7, change.idempotency_key)
        );
    }
}
