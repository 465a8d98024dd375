use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::StoreResult;
use super::judge::{Verdict, judge};
use super::missing::MissingAccounts;
use super::older_balances::OlderBalances;
use super::quarantine::{DUPLICATE, QuarantineChanges};
use super::versions::PendingVersions;
use crate::api::{Record, Second, Stream, Timestamp, Unusable, escaped, read_record, same_content};
use crate::store::{
    Batch, MOST_UNKNOWN_VALUES, MissingChanges, QuarantineBatch, QuarantineKind, Repair, Store,
    StoredVersion,
};

/// Bytes that pending records keep in memory after which a batch is committed, however few they are.
const MOST_BYTES: usize = 8 << 20;

/// How long what was read may wait for a batch to become full. Of a slow service, `status`, Connectivity and the targets get
/// the first records no later than that.
const LONGEST: Duration = Duration::from_secs(10);

/// What was read and is not committed yet.
#[derive(Debug)]
pub struct Pending {
    /// Records after which a batch is committed.
    most_records: usize,
    pub versions: PendingVersions,
    pub quarantine: QuarantineChanges,
    pub older_balances: OlderBalances,
    pub missing: MissingAccounts,
    /// Damaged versions that were read again as they were, by seq.
    repaired: BTreeMap<i64, Repair>,
    /// Versions that were found to be damaged: seq and stream.
    damaged: Vec<(i64, Stream)>,
    unknown_values: UnknownValues,
    /// Whether a part of a page was committed ahead. The rest of it follows with the cursor.
    is_ahead: bool,
    /// When the last batch was committed.
    committed_at: Instant,
}

/// A record that was read, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it is. A new version is pending now.
    pub verdict: Verdict,
    /// Whether it was put into quarantine and was not there before.
    pub newly_quarantined: bool,
    /// The date of the newest version known before, if any, and the sweep that found it, if one did.
    pub before: Option<(Timestamp, Option<i64>)>,
}

impl Pending {
    /// Nothing pending, for that poll, or for a sweep after it.
    pub fn new(
        store: &Store,
        poll: i64,
        sweep: Option<i64>,
        most_records: usize,
    ) -> StoreResult<Pending> {
        Ok(Pending {
            most_records,
            versions: PendingVersions::new(poll, sweep),
            quarantine: QuarantineChanges::new(store)?,
            older_balances: OlderBalances::new(store)?,
            missing: MissingAccounts::new(store)?,
            repaired: BTreeMap::new(),
            damaged: Vec::new(),
            unknown_values: UnknownValues::new(store)?,
            is_ahead: false,
            committed_at: Instant::now(),
        })
    }

    /// Goes on after a further poll. Nothing is pending.
    pub fn go_on(&mut self, store: &Store, poll: i64) -> StoreResult<()> {
        self.versions.poll = poll;
        self.committed_at = Instant::now();
        self.quarantine = QuarantineChanges::new(store)?;
        self.missing = MissingAccounts::new(store)?;
        Ok(())
    }

    /// Takes the records of one answer. Of a page that is longer than a batch, all but the rest is committed at once; the
    /// cursor stays where it is. `is_held`: others may have been answered after it, so what it holds is no newer than what is
    /// known of the same date.
    pub fn take_page(
        &mut self,
        store: &mut Store,
        records: &[Record],
        is_held: bool,
    ) -> StoreResult<Vec<Judged>> {
        let mut first: HashMap<(&str, Timestamp), &Record> = HashMap::with_capacity(records.len());
        let mut judged = Vec::with_capacity(records.len());
        for part in records.chunks(self.most_records) {
            if !judged.is_empty() {
                self.commit(store, &Batch::default())?;
                self.is_ahead = true;
            }
            store.look_up(|store| {
                for record in part {
                    let twin = *first
                        .entry((&record.id, record.timestamp))
                        .or_insert(record);
                    // Two contents with one id and date on one page are two records, whatever is stored.
                    let is_duplicate =
                        twin.hash != record.hash && !same_content(&twin.json, &record.json);
                    let before = self.versions.newest(store, record)?;
                    let is_older = is_held && !is_duplicate && changes_within_date(&before, record);
                    judged.push(match before {
                        Some(known) if is_older => Judged::older(&known),
                        before => self.take_beside(store, record, before, is_duplicate)?,
                    });
                }
                Ok(())
            })?;
        }
        Ok(judged)
    }

    /// Takes a record. `is_duplicate`: another content was read under its id and date.
    pub fn take(
        &mut self,
        store: &Store,
        record: &Record,
        is_duplicate: bool,
    ) -> StoreResult<Judged> {
        let before = self.versions.newest(store, record)?;
        self.take_beside(store, record, before, is_duplicate)
    }

    /// Takes a record whose newest version is `before`.
    fn take_beside(
        &mut self,
        store: &Store,
        record: &Record,
        before: Option<StoredVersion>,
        is_duplicate: bool,
    ) -> StoreResult<Judged> {
        let mut verdict = match &before {
            None => Verdict::New { number: 1 },
            Some(known) if is_duplicate && known.hash != record.hash => Verdict::DuplicateId,
            Some(known) => judge(store, &self.versions, &self.quarantine, record, known)?,
        };
        if record.stream == Stream::Balances {
            let older = verdict == Verdict::Older;
            if let Some(known) = before.as_ref().filter(|_| older)
                && self.older_balances.is_news(&record.id)
            {
                let number = known.number + 1;
                verdict = Verdict::New { number };
            } else {
                let at = record.timestamp;
                self.older_balances
                    .note_answer(&record.id, at, before.as_ref());
            }
        }
        for (number, kind) in self.quarantine.of(store, record)? {
            match (verdict, kind) {
                // What broke the API under the record's id is over.
                (Verdict::New { .. }, QuarantineKind::Contract) => {
                    self.quarantine.released.push(number);
                }
                // What is in quarantine beside the record still has a rival.
                (Verdict::Known, QuarantineKind::DuplicateId) => {
                    let rival = (record.stream, record.id.to_string());
                    self.quarantine.rivals.push(rival);
                }
                _ => {}
            }
        }
        if let Some(known) = before.as_ref().filter(|known| !known.is_intact()) {
            self.take_damaged(record, verdict, known.seq);
        }
        let mut newly_quarantined = false;
        match verdict {
            Verdict::New { number } => self.push(record, number),
            Verdict::Known | Verdict::Older | Verdict::Repaired => {}
            Verdict::DuplicateId => {
                let duplicate = Unusable {
                    id: Some(record.id.to_string()),
                    reason: DUPLICATE.to_owned(),
                    json: (*record.json).into(),
                };
                let (stream, kind) = (record.stream, QuarantineKind::DuplicateId);
                newly_quarantined = self.quarantine.add(store, stream, kind, &duplicate)?;
            }
        }
        Ok(Judged {
            verdict,
            newly_quarantined,
            before: before.map(|known| (known.timestamp, known.sweep)),
        })
    }

    /// Takes a record out of quarantine as a new version, whatever else is stored.
    pub fn accept(&mut self, store: &Store, number: i64, record: &Record) -> StoreResult<()> {
        let before = self.versions.newest(store, record)?;
        self.push(record, before.map_or(1, |known| known.number + 1));
        self.quarantine.released.push(number);
        Ok(())
    }

    /// Takes out of quarantine what a sweep that began at that moment has found listed without another content of the same
    /// record. How many records that are.
    pub fn accept_alone(
        &mut self,
        store: &Store,
        stream: Stream,
        began_at: Second,
    ) -> StoreResult<i64> {
        let mut accepted = 0;
        for alone in store.without_rival(stream, began_at)? {
            let read = |json: String| read_record(stream, json).ok();
            if let Some(record) = alone.json.and_then(read) {
                log::info!(
                    "{stream}: record \"{}\" released from quarantine: the service no longer lists its other content",
                    escaped(&alone.id)
                );
                self.accept(store, alone.number, &record)?;
                accepted += 1;
            }
        }
        Ok(accepted)
    }

    /// Whether it is time to commit. `ahead`: how many records are in memory beside what is pending.
    pub fn is_full(&self, ahead: usize) -> bool {
        let repairs = self.repaired.values();
        let repaired: usize = repairs.map(|repair| repair.record.json.len()).sum();
        let records = self.versions.len() + self.quarantine.added.len() + self.repaired.len();
        let bytes = self.versions.bytes() + self.quarantine.bytes + repaired;
        self.is_ahead
            || self.committed_at.elapsed() >= LONGEST
            || records + ahead >= self.most_records
            || bytes >= MOST_BYTES
    }

    /// Commits everything pending together with what `batch` holds. Within the batch the change log is ordered by
    /// stream, and within a stream as it was read.
    pub fn commit(&mut self, store: &mut Store, batch: &Batch) -> StoreResult<()> {
        let poll = self.versions.poll;
        store.note_damage(&std::mem::take(&mut self.damaged))?;
        let repaired: Vec<Repair> = self.repaired.values().cloned().collect();
        let versions = self.versions.in_order();
        store.commit(&Batch {
            poll_number: poll,
            versions,
            quarantine: QuarantineBatch {
                added: &self.quarantine.added,
                released: &self.quarantine.released,
                kept: &self.quarantine.kept,
                rivals: &self.quarantine.rivals,
            },
            repaired: &repaired,
            older_balances: Some(self.older_balances.changed()),
            unknown_values: &self.unknown_values.counts(),
            missing: Some(&self.missing.changes),
            ..*batch
        })?;
        self.versions.clear();
        self.quarantine.clear();
        self.older_balances.clear();
        self.repaired.clear();
        self.unknown_values.pending.clear();
        self.missing.changes = MissingChanges::default();
        self.is_ahead = false;
        self.committed_at = Instant::now();
        Ok(())
    }

    /// Nothing is pending, and nothing will be for a while: gives the room back that was kept for more.
    pub fn pause(&mut self) {
        self.versions = PendingVersions::new(self.versions.poll, self.versions.sweep);
    }

    /// A record was read whose newest version is damaged. If it is the one that was stored, that is repaired.
    fn take_damaged(&mut self, record: &Record, verdict: Verdict, seq: i64) {
        let stream = record.stream;
        if verdict != Verdict::Repaired {
            self.damaged.push((seq, stream));
            return;
        }
        let repair = Repair {
            seq,
            // A page may have one of them, and its versions be known.
            record: record.detached(),
        };
        if self.repaired.insert(seq, repair).is_none() {
            log::warn!(
                "{stream}: the version of seq {seq}, of record \"{}\", was damaged in the state; the service has sent the \
                same bytes again, so it is repaired, and listed again",
                escaped(&record.id)
            );
        }
    }

    fn push(&mut self, record: &Record, number: i64) {
        self.unknown_values.note(record);
        self.versions.push(record, number);
    }
}

impl Judged {
    fn older(known: &StoredVersion) -> Judged {
        Judged {
            verdict: Verdict::Older,
            newly_quarantined: false,
            before: Some((known.timestamp, known.sweep)),
        }
    }
}

/// Whether another content is known under the record's date.
fn changes_within_date(known: &Option<StoredVersion>, record: &Record) -> bool {
    known
        .as_ref()
        .is_some_and(|known| known.timestamp == record.timestamp && known.hash != record.hash)
}

/// The values of `type` and `status` that the API does not know.
#[derive(Debug)]
struct UnknownValues {
    /// In how many pending versions each is.
    pending: BTreeMap<(&'static str, String), i64>,
    /// Those that were seen before. Each is logged once.
    known: HashSet<(String, String)>,
}

impl UnknownValues {
    fn new(store: &Store) -> StoreResult<UnknownValues> {
        Ok(UnknownValues {
            pending: BTreeMap::new(),
            known: store.unknown_values()?,
        })
    }

    fn note(&mut self, record: &Record) {
        for (field, value) in &record.unknown_values {
            if self.known.len() < MOST_UNKNOWN_VALUES
                && self.known.insert(((*field).to_owned(), value.clone()))
            {
                log::warn!(
                    "{}: {field} \"{value}\", seen in record \"{}\", is not defined by the API: such records are \
                    delivered unchanged and count as OTHER in Formance",
                    record.stream,
                    escaped(&record.id)
                );
            }
            let versions = self.pending.entry((field, value.clone())).or_default();
            *versions += 1;
        }
    }

    fn counts(&self) -> Vec<(&'static str, String, i64)> {
        let counts = self.pending.iter();
        counts
            .map(|((field, value), versions)| (*field, value.clone(), *versions))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Page;
    use crate::store::Identity;

    #[test]
    fn a_page_that_is_longer_than_a_batch_is_committed_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: "test".to_owned(),
            endpoint: "http://localhost".to_owned(),
        };
        let mut store = Store::open(folder.path(), &identity).unwrap();
        let mut pending = Pending::new(&store, 1, None, 2).unwrap();
        let elements = (0..5).map(|number| {
            format!(r#"{{"id":"{number}","accountName":"A","createdAt":"2024-01-01T00:00:00Z"}}"#)
        });
        let body = format!("[{}]", elements.collect::<Vec<String>>().join(","));
        let page = Page::read(Stream::Accounts, body.as_bytes()).unwrap();
        let judged = pending.take_page(&mut store, &page.records, false).unwrap();
        assert!(
            judged
                .iter()
                .all(|judged| { judged.verdict == Verdict::New { number: 1 } })
        );
        let stored = |store: &Store| {
            let stored =
                |record: &&Record| store.newest(record.stream, &record.id).unwrap().is_some();
            page.records.iter().filter(stored).count()
        };
        // The rest and the cursor are due now, however little the rest is.
        assert_eq!((stored(&store), pending.is_full(0)), (4, true));
        pending.commit(&mut store, &Batch::default()).unwrap();
        assert_eq!((stored(&store), pending.is_full(0)), (5, false));
        // A batch of a slow service waits for a time, not for records.
        pending.committed_at = Instant::now().checked_sub(LONGEST).unwrap();
        assert!(pending.is_full(0));
        pending.commit(&mut store, &Batch::default()).unwrap();
        assert!(!pending.is_full(0));
    }
}
