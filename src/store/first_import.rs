//! Which transactions a first import has brought.
//!
//! Nearly all of its ids are new, and they come in no order. To find out that one of them is not known, a look-up reads a page
//! of a table that does not fit into memory. So a state that began without transactions keeps a filter of their ids, until
//! polls have read their list to its end.

use std::hash::{BuildHasher, RandomState};

use super::database::Database;
use super::{Error, Version};
use crate::api::Stream;

/// Bits of the filter, which has 2 MiB. Of a million ids, it takes one of 100 new ones for a known one, and of five million a
/// fifth. That costs a look-up.
const BITS: usize = 1 << 24;

/// The ids of all transactions of a state, such that one that is not among them is recognized: a Bloom filter.
#[derive(Debug)]
pub(super) struct FirstImport {
    words: Vec<u64>,
    hashes: RandomState,
}

impl FirstImport {
    /// Of a state that has no transactions yet; none of another one.
    pub fn begin(database: &Database) -> Result<Option<FirstImport>, Error> {
        const HAS_SOME: &str = "
            SELECT EXISTS (SELECT 1 FROM new_transaction) OR EXISTS (SELECT 1 FROM old_transaction)";
        let has_some: bool = database.value("look for transactions", HAS_SOME, ())?;
        Ok((!has_some).then(FirstImport::new))
    }

    fn new() -> FirstImport {
        FirstImport {
            words: vec![0; BITS / 64],
            hashes: RandomState::new(),
        }
    }

    /// These versions are about to be committed.
    pub fn note_all(&mut self, versions: &[Version]) {
        let records = versions.iter().map(|version| &version.record);
        records
            .filter(|record| record.stream == Stream::Transactions)
            .for_each(|record| self.note(&record.id));
    }

    fn note(&mut self, id: &str) {
        for bit in self.bits(id) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether there may be a transaction of that id. If not, it is new.
    pub fn may_have(&self, id: &str) -> bool {
        let mut bits = self.bits(id).into_iter();
        bits.all(|bit| self.words[bit / 64] & 1 << (bit % 64) != 0)
    }

    /// The bits of an id: the halves of its hash.
    #[expect(clippy::cast_possible_truncation, reason = "a half has 32 bits")]
    fn bits(&self, id: &str) -> [usize; 2] {
        let hash = self.hashes.hash_one(id);
        [hash & u64::from(u32::MAX), hash >> 32].map(|half| half as usize % BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Record, Timestamp};
    use crate::store::{Batch, Cursor, Identity, Retention, Store};

    #[test]
    fn what_a_first_import_has_brought_is_found_during_it_and_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: "test".to_owned(),
            endpoint: "http://localhost".to_owned(),
        };
        let version = |id: &str| Version {
            record: Record::new(Stream::Transactions, id.to_owned(), Timestamp::now(), "{}"),
            number: 1,
            observed_at: Timestamp::now().second(),
        };
        let mut store = Store::open(folder.path(), &identity).unwrap();
        let known = |store: &Store| {
            ["a", "b"].map(|id| store.newest(Stream::Transactions, id).unwrap().is_some())
        };
        let versions = &[version("a")];
        store
            .commit(&Batch {
                versions,
                ..Batch::default()
            })
            .unwrap();
        store.rest(&Retention::default()).unwrap();
        assert!(store.first_import.is_some());
        assert_eq!(known(&store), [true, false]);
        let end = Cursor {
            ended_at: Some(Timestamp::now().second()),
            ..Cursor::default()
        };
        store
            .commit(&Batch {
                cursors: &[(Stream::Transactions, end)],
                ..Batch::default()
            })
            .unwrap();
        store.rest(&Retention::default()).unwrap();
        assert!(store.first_import.is_none());
        assert_eq!(known(&store), [true, false]);
        drop(store);
        let store = Store::open(folder.path(), &identity).unwrap();
        assert!(store.first_import.is_none());
        assert_eq!(known(&store), [true, false]);
    }

    #[test]
    fn every_id_that_was_noted_is_found_and_few_others_are() {
        let mut first = FirstImport::new();
        let id = |number: usize| format!("tx-{number}");
        (0..200_000).for_each(|number| first.note(&id(number)));
        assert!((0..200_000).all(|number| first.may_have(&id(number))));
        let others = (200_000..300_000).filter(|number| first.may_have(&id(*number)));
        // Two bits, each of which is set for one id of 42: some 57.
        assert!((20..150).contains(&others.count()));
    }
}
