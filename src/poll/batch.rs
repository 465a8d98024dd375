use std::collections::{HashMap, HashSet};

use crate::api::{Record, Stream, Timestamp, same_balances, same_content};
use crate::store::{self, Store, Stored, Version};

/// Bytes of records after which a batch is committed, however few they are.
const MOST_BYTES: usize = 8 << 20;

/// The new versions of a poll that are not committed yet, and what decides whether a record is one.
#[derive(Debug)]
pub struct Pending {
    poll: i64,
    most_records: usize,
    versions: Vec<Version>,
    /// The place in `versions` of a record's newest version.
    newest: HashMap<(Stream, String), usize>,
    bytes: usize,
    /// The records that this poll has found as they are stored.
    confirmed: HashSet<(Stream, String)>,
}

/// What a record that was read is, beside what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The first version of its record, or a further one. It is pending now.
    New {
        /// Which version of its record it is, from 1.
        number: i64,
    },
    /// It is stored already.
    Known,
    /// A newer version is stored already: a lagging replica, or a page that was answered late.
    Older,
    /// Another content under the same key and date was read in this poll: two records share an id.
    DuplicateId,
}

impl Pending {
    /// Nothing pending, for that poll.
    pub fn new(poll: i64, most_records: usize) -> Pending {
        Pending {
            poll,
            most_records,
            versions: Vec::new(),
            newest: HashMap::new(),
            bytes: 0,
            confirmed: HashSet::new(),
        }
    }

    /// Takes a record that was read: says what it is and the date of the version known before, if any.
    pub fn take(
        &mut self,
        store: &Store,
        record: &Record,
    ) -> Result<(Verdict, Option<Timestamp>), store::Error> {
        let key = (record.stream, record.id.clone());
        let pending = self.newest.get(&key).map(|place| &self.versions[*place]);
        let known = match pending {
            Some(Version { record, number, .. }) => Some(Stored {
                seq: 0,
                number: *number,
                timestamp: record.timestamp,
                hash: record.hash,
                poll: self.poll,
            }),
            None => store.newest(record.stream, &record.id)?,
        };
        let Some(known) = known else {
            self.push(key, record, 1);
            return Ok((Verdict::New { number: 1 }, None));
        };
        let before = Some(known.timestamp);
        if known.hash == record.hash {
            self.confirm(key);
            return Ok((Verdict::Known, before));
        }
        let same = |json: &str| match record.stream {
            Stream::Balances => same_balances(json, &record.json),
            _ => same_content(json, &record.json),
        };
        let worth_comparing =
            record.stream == Stream::Balances || known.timestamp == record.timestamp;
        if worth_comparing {
            let is_same = match pending {
                Some(version) => same(&version.record.json),
                None => same(&store.json(known.seq)?),
            };
            if is_same {
                self.confirm(key);
                return Ok((Verdict::Known, before));
            }
        }
        // Of balances the amounts decide, whatever their date says.
        if record.stream != Stream::Balances {
            if record.timestamp < known.timestamp {
                return Ok((Verdict::Older, before));
            }
            let read_in_this_poll = known.poll == self.poll || self.confirmed.contains(&key);
            if record.timestamp == known.timestamp && read_in_this_poll {
                return Ok((Verdict::DuplicateId, before));
            }
        }
        let number = known.number + 1;
        self.push(key, record, number);
        Ok((Verdict::New { number }, before))
    }

    /// Whether it is time to commit.
    pub fn is_full(&self) -> bool {
        self.versions.len() >= self.most_records || self.bytes >= MOST_BYTES
    }

    /// The pending versions in the order of the change log: by stream, and within a stream as they were read.
    pub fn in_order(&mut self) -> &[Version] {
        self.newest.clear();
        self.versions.sort_by_key(|version| version.record.stream);
        &self.versions
    }

    /// They are committed: nothing is pending any more.
    pub fn clear(&mut self) {
        self.versions.clear();
        self.newest.clear();
        self.bytes = 0;
    }

    fn push(&mut self, key: (Stream, String), record: &Record, number: i64) {
        self.bytes += record.json.len();
        self.newest.insert(key, self.versions.len());
        self.versions.push(Version {
            record: record.clone(),
            number,
            observed_at: Timestamp::now().second(),
        });
    }

    fn confirm(&mut self, key: (Stream, String)) {
        // Balances are asked for once a poll; and what this poll has stored says so itself.
        if key.0 != Stream::Balances && !self.newest.contains_key(&key) {
            self.confirmed.insert(key);
        }
    }
}
