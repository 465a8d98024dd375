use std::collections::HashMap;

use super::StoreResult;
use crate::api::{PerStream, Record, SharedText, Timestamp, same_content};
use crate::store::{Store, StoredVersion, Version};

/// The versions that were read and are not committed yet. They hide the stored ones of the same records.
#[derive(Debug)]
pub struct PendingVersions {
    /// The poll that reads, or the last one before the sweep that reads.
    pub poll: i64,
    /// The sweep that reads; none if it is the poll.
    pub sweep: Option<i64>,
    list: Vec<Version>,
    /// The place in `list` of each record's newest version.
    newest: PerStream<HashMap<SharedText, usize>>,
    /// For each of `list` the place of its record's version before it.
    previous: Vec<Option<usize>>,
    /// Bytes that their texts keep in memory.
    bytes: usize,
}

impl PendingVersions {
    /// None, for that poll, or for a sweep after it.
    pub fn new(poll: i64, sweep: Option<i64>) -> PendingVersions {
        PendingVersions {
            poll,
            sweep,
            list: Vec::new(),
            newest: PerStream::default(),
            previous: Vec::new(),
            bytes: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes that their texts keep in memory: the whole body of an answer for one record of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a version of a record: the newest one, with that number.
    pub fn push(&mut self, record: &Record, number: i64) {
        let newest = &mut self.newest[record.stream];
        let before = newest.insert(record.id.clone(), self.list.len());
        self.previous.push(before);
        let last = self.list.last();
        if !last.is_some_and(|last| last.record.json.shares_text_with(&record.json)) {
            self.bytes += record.json.kept_bytes();
        }
        self.list.push(Version {
            record: record.clone(),
            number,
            observed_at: Timestamp::now().second(),
        });
    }

    /// Forgets them all, and keeps the room that they took: as many follow.
    pub fn clear(&mut self) {
        self.list.clear();
        self.newest.values_mut().for_each(HashMap::clear);
        self.previous.clear();
        self.bytes = 0;
    }

    /// All of them, in the order of the change log. They are to be committed now: the places are wrong afterwards.
    pub fn in_order(&mut self) -> &[Version] {
        self.list.sort_by_key(|version| version.record.stream);
        &self.list
    }

    /// The newest version of a record, pending or stored.
    pub fn newest(&self, store: &Store, record: &Record) -> StoreResult<Option<StoredVersion>> {
        let Some(version) = self.of(record).next() else {
            return store.newest(record.stream, &record.id);
        };
        Ok(Some(StoredVersion {
            seq: 0,
            number: version.number,
            timestamp: version.record.timestamp,
            hash: version.record.hash,
            hash_now: Some(version.record.hash),
            poll: self.poll,
            sweep: self.sweep,
            observed_at: version.observed_at,
        }))
    }

    /// The text of a record's [`newest`](PendingVersions::newest) version; none if it is damaged.
    pub fn json(
        &self,
        store: &Store,
        record: &Record,
        newest: &StoredVersion,
    ) -> StoreResult<Option<String>> {
        match self.of(record).next() {
            Some(version) => Ok(Some(version.record.json.to_string())),
            None => store.json(newest.seq),
        }
    }

    /// Whether a version of the record before its newest one had this content.
    pub fn had_content(&self, store: &Store, record: &Record) -> StoreResult<bool> {
        let same = |json: &str| same_content(json, &record.json);
        let mut pending = self.of(record);
        let newest_is_pending = pending.next().is_some();
        if pending.any(|version| same(&version.record.json)) {
            return Ok(true);
        }
        let Some(stored) = store.newest(record.stream, &record.id)? else {
            return Ok(false);
        };
        if newest_is_pending && store.json(stored.seq)?.is_some_and(|json| same(&json)) {
            return Ok(true);
        }
        store.had_content(stored.seq, record)
    }

    /// The pending versions of a record, the newest one first.
    fn of(&self, record: &Record) -> impl Iterator<Item = &Version> {
        let newest = self.newest[record.stream].get(&*record.id).copied();
        let places = std::iter::successors(newest, |place| self.previous[*place]);
        places.map(|place| &self.list[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Page, Stream};

    #[test]
    fn one_new_record_of_a_page_counts_as_the_whole_page() {
        let page = |first: usize| {
            let elements = (first..first + 100).map(|number| {
                format!(
                    r#"{{"id":"{number}","accountName":"A","createdAt":"2024-01-01T00:00:00Z"}}"#
                )
            });
            let body = format!("[{}]", elements.collect::<Vec<String>>().join(","));
            (
                Page::read(Stream::Accounts, body.as_str()).unwrap(),
                body.len(),
            )
        };
        let (one, bytes_of_one) = page(0);
        let (other, bytes_of_other) = page(100);
        let mut pending = PendingVersions::new(1, None);
        pending.push(&one.records[50], 1);
        pending.push(&one.records[60], 1);
        assert_eq!(pending.bytes(), bytes_of_one);
        pending.push(&other.records[0], 1);
        assert_eq!(pending.bytes(), bytes_of_one + bytes_of_other);
        pending.clear();
        assert_eq!((pending.len(), pending.bytes()), (0, 0));
    }
}
