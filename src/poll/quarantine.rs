use std::collections::HashSet;

use super::StoreResult;
use crate::api::{ContentHash, Record, Stream, Timestamp, Unusable, escaped};
use crate::store::{QuarantineEntry, QuarantineKind, Store};

/// Why one of two contents under one id is not accepted.
pub const DUPLICATE: &str = "the service lists another content under this id with the same or a newer date; make its \
    ids unique. If it lists only this one from now on, a sweep accepts it";

/// Bytes of the texts that a list may newly put into quarantine in one poll, or in one slice of a sweep. A service that
/// breaks the API in every record would otherwise fill the disk in its first poll.
const MOST_BYTES: usize = 16 << 20;

/// What the next commit changes in the quarantine.
#[derive(Debug, Default)]
pub struct QuarantineChanges {
    pub added: Vec<QuarantineEntry>,
    /// The keys of `added`: a page that is read twice adds nothing.
    added_keys: HashSet<(Stream, Option<String>, ContentHash)>,
    /// Bytes of the texts in `added`.
    pub bytes: usize,
    /// The numbers of what leaves the quarantine.
    pub released: Vec<i64>,
    /// The numbers of what was tried again and stays.
    pub kept: Vec<i64>,
    /// Records that are listed as they are stored, while another content of theirs is in quarantine.
    pub rivals: Vec<(Stream, String)>,
    /// The streams that have records in quarantine. A look-up for each record of the others would find nothing.
    streams: Vec<Stream>,
}

impl QuarantineChanges {
    /// No changes.
    pub fn new(store: &Store) -> StoreResult<QuarantineChanges> {
        Ok(QuarantineChanges {
            streams: store.quarantined_streams()?,
            ..QuarantineChanges::default()
        })
    }

    /// The changes are committed.
    pub fn clear(&mut self) {
        *self = QuarantineChanges {
            streams: std::mem::take(&mut self.streams),
            ..QuarantineChanges::default()
        };
    }

    /// Puts an element into quarantine. False if it is there already.
    pub fn add(
        &mut self,
        store: &Store,
        stream: Stream,
        kind: QuarantineKind,
        unusable: &Unusable,
    ) -> StoreResult<bool> {
        let Unusable { id, reason, json } = unusable.clone();
        let hash = ContentHash::of(&*json);
        if !self.added_keys.insert((stream, id.clone(), hash)) {
            return Ok(false);
        }
        let known = match (&id, kind) {
            // One element that breaks the API is kept for each id. In which way it breaks it makes no difference.
            (Some(id), QuarantineKind::Contract) => {
                let known = store.quarantined_of(stream, id)?;
                known
                    .iter()
                    .any(|(_, kind)| *kind == QuarantineKind::Contract)
            }
            (id, _) => store.is_quarantined(stream, id.as_deref().unwrap_or_default(), hash)?,
        };
        self.bytes += json.len();
        self.added.push(QuarantineEntry {
            stream,
            id,
            kind,
            reason,
            hash,
            json,
            seen_at: Timestamp::now().second(),
        });
        if !self.streams.contains(&stream) {
            self.streams.push(stream);
        }
        Ok(!known)
    }

    /// What is in quarantine under a record's id: numbers and kinds.
    pub fn of(&self, store: &Store, record: &Record) -> StoreResult<Vec<(i64, QuarantineKind)>> {
        if !self.streams.contains(&record.stream) {
            return Ok(Vec::new());
        }
        store.quarantined_of(record.stream, &record.id)
    }

    /// Whether this content of the record is in quarantine.
    pub fn holds(&self, store: &Store, record: &Record) -> StoreResult<bool> {
        Ok(self.streams.contains(&record.stream)
            && store.is_quarantined(record.stream, &record.id, record.hash)?)
    }
}

/// Why the rest of a list has to wait, if that many bytes of it were newly put into quarantine.
pub fn too_much(bytes: usize) -> Option<String> {
    (bytes > MOST_BYTES).then(|| {
        format!(
            "more than {MOST_BYTES} bytes of records that break the API were put into quarantine at once, so the rest of \
            the list waits for the next poll: correct the records in the service, see generic-connector quarantine list"
        )
    })
}

/// Logs that a record was newly put into quarantine.
pub fn log_new(stream: Stream, id: Option<&str>, reason: &str) {
    let id = id.map_or("without a usable id".to_owned(), |id| {
        format!("\"{}\"", escaped(id))
    });
    log::warn!("{stream}: record {id} put into quarantine: {reason}");
}
