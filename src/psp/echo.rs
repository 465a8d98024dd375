use crate::api::{Page, Record, Unusable};
use crate::secret::redaction;

/// Why a record is not accepted that has the mark of a secret.
const REASON: &str = "it contains a key of this program, which is replaced with [redacted] here: have the service corrected, \
    which repeats what it is sent, then replace the key. A version without a key is accepted";

/// Takes the records that repeat a secret out of a page that had one.
pub fn page(page: Page) -> Page {
    let Page {
        records,
        unusable,
        is_null,
    } = page;
    let mut page = Page {
        records: Vec::with_capacity(records.len()),
        unusable: Vec::with_capacity(unusable.len()),
        is_null,
    };
    let read = records.into_iter().map(Ok);
    for read in read.chain(unusable.into_iter().map(Err)) {
        match record(read) {
            Ok(record) => page.records.push(record),
            Err(unusable) => page.unusable.push(unusable),
        }
    }
    page
}

/// A record, unless it repeats a secret.
pub fn record(read: Result<Record, Unusable>) -> Result<Record, Unusable> {
    let (id, json) = match read {
        Ok(record) if is_marked(&record.json) => {
            (Some(record.id.to_string()), (*record.json).into())
        }
        Err(unusable) if is_marked(&unusable.json) => (unusable.id, unusable.json),
        read => return read,
    };
    Err(Unusable {
        // Without the secret, several records may have the same id.
        id: id.filter(|id| !is_marked(id)),
        reason: REASON.to_owned(),
        json,
    })
}

fn is_marked(text: &str) -> bool {
    text.contains(redaction::MARK)
}
