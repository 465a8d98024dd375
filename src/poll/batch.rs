use std::collections::{BTreeMap, HashMap, HashSet};

use crate::api::{
    ContentHash, Record, Stream, Timestamp, Unusable, escaped, same_balances, same_content,
};
use crate::store::{self, Batch, Kind, Refused, Store, Stored, Version};

/// Bytes of records after which a batch is committed, however few they are.
const MOST_BYTES: usize = 8 << 20;

/// A version that was read so recently may be newer than what a lagging replica still answers. Seconds.
const REPLICA_LAG: u64 = 3_600;

/// Why one of two contents under one id is not accepted.
pub const DUPLICATE: &str = "another content of this id is listed with the same or a newer date; make the service's ids \
                         unique. If this one is listed alone from now on, a sweep accepts it";

/// What was read and is not committed yet, and what decides whether a record is a new version.
#[derive(Debug)]
pub struct Pending {
    poll: i64,
    /// The sweep that reads; none if it is the poll.
    sweep: Option<i64>,
    most_records: usize,
    versions: Vec<Version>,
    /// The place in `versions` of a record's newest version.
    newest: HashMap<(Stream, String), usize>,
    /// For each of `versions`, the place of its record's version before it.
    previous: Vec<Option<usize>>,
    bytes: usize,
    refused: Vec<Refused>,
    /// What `refused` holds.
    refused_keys: HashSet<(Stream, Option<String>, ContentHash)>,
    released: Vec<i64>,
    /// What was taken out of quarantine in vain.
    kept: Vec<i64>,
    /// The records that are listed as they are stored, while another content of theirs is in quarantine.
    rivals: Vec<(Stream, String)>,
    unknown_values: BTreeMap<(&'static str, String), i64>,
    /// The unknown values that were seen before: each is said once.
    known_unknowns: HashSet<(String, String)>,
    /// The streams that have records in quarantine.
    quarantined: Vec<Stream>,
}

/// What a record that was read is, beside what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Another content under the same key and date was read just before: two records share an id.
    DuplicateId {
        /// Whether that is not known already.
        newly: bool,
    },
}

/// A record that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it is.
    pub verdict: Verdict,
    /// The newest version known before, if any.
    pub before: Option<Stored>,
}

impl Pending {
    /// Nothing pending, for that poll, or for a sweep after it.
    pub fn new(
        store: &Store,
        poll: i64,
        sweep: Option<i64>,
        most_records: usize,
    ) -> Result<Pending, store::Error> {
        Ok(Pending {
            poll,
            sweep,
            most_records,
            versions: Vec::new(),
            newest: HashMap::new(),
            previous: Vec::new(),
            bytes: 0,
            refused: Vec::new(),
            refused_keys: HashSet::new(),
            released: Vec::new(),
            kept: Vec::new(),
            rivals: Vec::new(),
            unknown_values: BTreeMap::new(),
            known_unknowns: store.unknown_values()?,
            quarantined: store.quarantined_streams()?,
        })
    }

    /// Goes on after a further poll. Nothing is pending.
    pub fn go_on(&mut self, store: &Store, poll: i64) -> Result<(), store::Error> {
        self.poll = poll;
        self.quarantined = store.quarantined_streams()?;
        Ok(())
    }

    /// The newest version of a record, be it pending or stored.
    pub fn newest(&self, store: &Store, record: &Record) -> Result<Option<Stored>, store::Error> {
        let key = (record.stream, record.id.clone());
        match self.newest.get(&key).map(|place| &self.versions[*place]) {
            None => store.newest(record.stream, &record.id),
            Some(version) => Ok(Some(Stored {
                seq: 0,
                number: version.number,
                timestamp: version.record.timestamp,
                hash: version.record.hash,
                poll: self.poll,
                sweep: self.sweep,
                observed_at: version.observed_at,
            })),
        }
    }

    /// Takes the records of one answer. Two of them with one id and date are two records, whatever is stored.
    pub fn take_page<'a>(
        &mut self,
        store: &Store,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<Vec<Taken>, store::Error> {
        let mut first: HashMap<(&str, Timestamp), &Record> = HashMap::new();
        let mut taken = Vec::new();
        for record in records {
            let twin = *first
                .entry((&record.id, record.timestamp))
                .or_insert(record);
            let is_duplicate = twin.hash != record.hash && !same_content(&twin.json, &record.json);
            taken.push(self.take(store, record, is_duplicate)?);
        }
        Ok(taken)
    }

    /// Takes a record that was read.
    pub fn take(
        &mut self,
        store: &Store,
        record: &Record,
        is_duplicate: bool,
    ) -> Result<Taken, store::Error> {
        let before = self.newest(store, record)?;
        let mut verdict = match &before {
            Some(known) if is_duplicate && known.hash != record.hash => {
                Verdict::DuplicateId { newly: true }
            }
            Some(known) => self.judge(store, record, known)?,
            None => Verdict::New { number: 1 },
        };
        if self.quarantined.contains(&record.stream) {
            self.look_at_the_quarantine(store, record, verdict)?;
        }
        match &mut verdict {
            Verdict::New { number } => self.push(record, *number),
            Verdict::Known | Verdict::Older => {}
            Verdict::DuplicateId { newly } => {
                *newly = self.refuse(
                    store,
                    record.stream,
                    Kind::DuplicateId,
                    &Unusable {
                        id: Some(record.id.clone()),
                        reason: DUPLICATE.to_owned(),
                        json: record.json.clone(),
                    },
                )?;
            }
        }
        Ok(Taken { verdict, before })
    }

    /// A new version releases what broke the API under its id; one that is listed as it is stored is a rival of what is
    /// not accepted beside it.
    fn look_at_the_quarantine(
        &mut self,
        store: &Store,
        record: &Record,
        verdict: Verdict,
    ) -> Result<(), store::Error> {
        for (number, kind) in store.quarantined_of(record.stream, &record.id)? {
            match (verdict, kind) {
                (Verdict::New { .. }, Kind::Contract) => self.released.push(number),
                (Verdict::Known, Kind::DuplicateId) => {
                    self.rivals.push((record.stream, record.id.clone()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A record that was taken out of quarantine goes back.
    pub fn keep(&mut self, number: i64) {
        self.kept.push(number);
    }

    /// Takes a record out of quarantine as a new version, whatever else is stored.
    pub fn accept(
        &mut self,
        store: &Store,
        number: i64,
        record: &Record,
    ) -> Result<(), store::Error> {
        let before = self.newest(store, record)?;
        self.push(record, before.map_or(1, |known| known.number + 1));
        self.released.push(number);
        Ok(())
    }

    /// Puts an element into quarantine. False if it is there already.
    pub fn refuse(
        &mut self,
        store: &Store,
        stream: Stream,
        kind: Kind,
        unusable: &Unusable,
    ) -> Result<bool, store::Error> {
        let hash = ContentHash::of(&unusable.json);
        if !self
            .refused_keys
            .insert((stream, unusable.id.clone(), hash))
        {
            return Ok(false);
        }
        // Of an id that breaks the API, it makes no difference how.
        let known = match (&unusable.id, kind) {
            (Some(id), Kind::Contract) => {
                let known = store.quarantined_of(stream, id)?;
                known.iter().any(|(_, kind)| *kind == Kind::Contract)
            }
            (id, _) => store.is_quarantined(stream, id.as_deref().unwrap_or_default(), hash)?,
        };
        self.bytes += unusable.json.len();
        self.refused.push(Refused {
            stream,
            id: unusable.id.clone(),
            kind,
            reason: unusable.reason.clone(),
            hash,
            json: unusable.json.clone(),
            seen_at: Timestamp::now().second(),
        });
        if !self.quarantined.contains(&stream) {
            self.quarantined.push(stream);
        }
        Ok(!known)
    }

    /// Lets what the service lists no more leave the quarantine.
    pub fn release(&mut self, numbers: Vec<i64>) {
        self.released.extend(numbers);
    }

    /// Whether it is time to commit.
    pub fn is_full(&self) -> bool {
        self.versions.len() + self.refused.len() >= self.most_records || self.bytes >= MOST_BYTES
    }

    /// Commits everything pending, in the order of the change log: by stream, and within a stream as it was read.
    /// `batch` brings what is committed with it. How many versions that were.
    pub fn commit(&mut self, store: &mut Store, batch: Batch) -> Result<usize, store::Error> {
        self.newest.clear();
        self.previous.clear();
        self.versions.sort_by_key(|version| version.record.stream);
        let unknown_values: Vec<(&'static str, String, i64)> = self
            .unknown_values
            .iter()
            .map(|((field, value), versions)| (*field, value.clone(), *versions))
            .collect();
        store.commit(Batch {
            poll_number: self.poll,
            versions: &self.versions,
            refused: &self.refused,
            released: &self.released,
            kept: &self.kept,
            rivals: &self.rivals,
            unknown_values: &unknown_values,
            ..batch
        })?;
        let committed = self.versions.len();
        self.versions.clear();
        self.bytes = 0;
        self.refused.clear();
        self.refused_keys.clear();
        self.released.clear();
        self.kept.clear();
        self.rivals.clear();
        self.unknown_values.clear();
        Ok(committed)
    }

    /// What a record is of which a version is known.
    fn judge(
        &self,
        store: &Store,
        record: &Record,
        known: &Stored,
    ) -> Result<Verdict, store::Error> {
        let new = Verdict::New {
            number: known.number + 1,
        };
        if known.hash == record.hash {
            return Ok(Verdict::Known);
        }
        if record.stream == Stream::Balances || known.timestamp == record.timestamp {
            let pending = self.newest.get(&(record.stream, record.id.clone()));
            let json = match pending {
                Some(place) => self.versions[*place].record.json.to_string(),
                None => store.json(known.seq)?,
            };
            let same = match record.stream {
                Stream::Balances => same_balances(&json, &record.json),
                _ => same_content(&json, &record.json),
            };
            if same {
                return Ok(Verdict::Known);
            }
        }
        // Of balances the amounts decide, whatever their date says.
        if record.stream == Stream::Balances || record.timestamp > known.timestamp {
            return Ok(new);
        }
        if self.quarantined.contains(&record.stream)
            && store.is_quarantined(record.stream, &record.id, record.hash)?
        {
            return Ok(Verdict::DuplicateId { newly: false });
        }
        let same_date = record.timestamp == known.timestamp;
        if same_date && !self.had_content(store, record)? {
            return Ok(new);
        }
        // What was delivered before, or is older, comes from a replica that lags; or the service has two records of that
        // id; or it has taken a change back. The next sweep knows.
        let lagging = Timestamp::now().second().since(known.observed_at) <= REPLICA_LAG;
        Ok(match self.sweep {
            Some(_) if !lagging => Verdict::DuplicateId { newly: true },
            _ => Verdict::Older,
        })
    }

    /// Whether a version of the record before its newest one had this content.
    fn had_content(&self, store: &Store, record: &Record) -> Result<bool, store::Error> {
        let key = (record.stream, record.id.clone());
        let pending = self.newest.get(&key).copied();
        let mut place = pending.and_then(|place| self.previous[place]);
        while let Some(before) = place {
            if same_content(&self.versions[before].record.json, &record.json) {
                return Ok(true);
            }
            place = self.previous[before];
        }
        let Some(stored) = store.newest(record.stream, &record.id)? else {
            return Ok(false);
        };
        if pending.is_some() && same_content(&store.json(stored.seq)?, &record.json) {
            return Ok(true);
        }
        store.had_content(stored.seq, record)
    }

    fn push(&mut self, record: &Record, number: i64) {
        self.bytes += record.json.len();
        for (field, value) in &record.unknown_values {
            let known = (field.to_string(), value.clone());
            if self.known_unknowns.len() < store::UNKNOWN_VALUES as usize
                && self.known_unknowns.insert(known)
            {
                log::warn!(
                    "{}: {field} \"{value}\", as record \"{}\" has it, is none of the API's: such records are delivered \
                     as they are, and count as OTHER where Formance needs one of its own",
                    record.stream,
                    escaped(&record.id)
                );
            }
            *self
                .unknown_values
                .entry((field, value.clone()))
                .or_default() += 1;
        }
        let key = (record.stream, record.id.clone());
        self.previous
            .push(self.newest.insert(key, self.versions.len()));
        self.versions.push(Version {
            record: record.clone(),
            number,
            observed_at: Timestamp::now().second(),
        });
    }
}
