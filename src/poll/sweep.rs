use std::time::Duration;

use super::Settings;
use super::batch::{DUPLICATE, Pending, Taken, Verdict};
use super::cursor::{Step, Walk};
use super::cycle::{log_quirks, quarantined};
use super::workers::Job;
use crate::api::{self, Record, Second, Stream, Timestamp, escaped};
use crate::psp::{self, ListPage};
use crate::store::{self, Batch, Cursor, Kind, Place, Store, SweepRow};

/// The first sweep begins so long after the first poll, or a period after it if that is shorter. Seconds.
const FIRST_SWEEP_AFTER: u64 = 600;

/// After so many slices in a row that could not go on for a reason that may pass, a list is left out of the sweep.
const FAILED_SLICES: u32 = 10;

/// How a slice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SliceEnd {
    /// The sweep is complete.
    Complete(SweepRow),
    /// The rest waits for the next slice, because of this error.
    Failed(String),
}

/// A slice of a sweep: it reads lists plainly from their beginning while no poll runs.
///
/// It finds what no poll can: records that appeared behind the cursor later than the lookback, and contents that changed
/// without a newer date. What is newer than the cursor is left to the next poll.
#[derive(Debug)]
pub struct Sweep {
    row: SweepRow,
    /// The stored cursor of the stream that is read.
    cursor: Cursor,
    walk: Walk,
    pending: Pending,
    page_size: u32,
    lookback: u64,
    in_flight: bool,
    pages: u64,
    /// Records that this slice has newly put into quarantine.
    quarantined: usize,
}

impl Sweep {
    /// Whether a sweep is under way or due.
    pub fn is_due(store: &Store, settings: &Settings) -> Result<bool, store::Error> {
        let now = Timestamp::now().second();
        let doubtful = Stream::LISTED
            .into_iter()
            .map(|stream| Ok(store.cursor(stream)?.quirks.doubtful_since()))
            .collect::<Result<Vec<_>, store::Error>>()?
            .into_iter()
            .max()
            .flatten();
        let period = settings.sweep_period.as_secs();
        Ok(match store.last_sweep()? {
            Some(last) => {
                last.ended_at.is_none()
                    || doubtful > Some(last.started_at)
                    || now.since(last.started_at) >= period
                    // The clock was set back since.
                    || last.started_at.since(now) >= period
            }
            None => match store.first_observed()? {
                Some(first) => {
                    doubtful.is_some() || now.since(first) >= period.min(FIRST_SWEEP_AFTER)
                }
                None => false,
            },
        })
    }

    /// Goes on with the sweep that is under way, or begins one.
    pub fn take_up(store: &Store, settings: &Settings) -> Result<Sweep, store::Error> {
        let page_size = settings.page_size;
        let now = Timestamp::now().second();
        let mut row = match store.last_sweep()? {
            Some(row) if row.ended_at.is_none() => row,
            last => SweepRow::new(last.map_or(1, |row| row.number + 1), now, page_size),
        };
        if row.place.page_size != page_size {
            // The numbers of its pages mean other elements now.
            row.place = Place::start(page_size);
        }
        let cursor = store.cursor(row.stream)?;
        let poll = store.next_poll()? - 1;
        Ok(Sweep {
            walk: Walk::sweep(cursor.quirks.clone(), page_size, row.place.clone(), now),
            pending: Pending::new(store, poll, Some(row.number), settings.batch_records)?,
            page_size,
            lookback: settings.lookback,
            in_flight: false,
            pages: 0,
            quarantined: 0,
            cursor,
            row,
        })
    }

    /// Goes on with a new slice of what is under way here. `fresh`: its last page was answered a moment ago.
    pub fn go_on(&mut self, store: &Store, fresh: bool) -> Result<(), store::Error> {
        self.pages = 0;
        self.quarantined = 0;
        self.cursor = store.cursor(self.row.stream)?;
        let may_have_shifted = !fresh && !self.in_flight;
        self.walk
            .go_on(self.cursor.quirks.clone(), may_have_shifted);
        self.pending.go_on(store, store.next_poll()? - 1)
    }

    /// The page to ask for now, if its turn has come.
    pub fn next_job(&self) -> Option<Job> {
        (!self.in_flight).then(|| Job::SweepPage {
            stream: self.row.stream,
            query: self.walk.request(),
        })
    }

    /// Notes that the job was handed out.
    pub fn handed_out(&mut self) {
        self.in_flight = true;
    }

    /// Notes that its job was answered after the end of the slice.
    pub fn answered(&mut self) {
        self.in_flight = false;
    }

    /// Whether that job asked for the page that is due.
    pub fn expects(&self, job: &Job) -> bool {
        matches!(job, Job::SweepPage { stream, query }
            if *stream == self.row.stream && *query == self.walk.request())
    }

    /// How many pages this slice has read.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// How many records this slice has newly put into quarantine.
    pub fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// Takes the answer to its job. Some end, if the slice is at its end.
    pub fn collect(
        &mut self,
        store: &mut Store,
        answer: Result<ListPage, psp::Error>,
    ) -> Result<Option<SliceEnd>, store::Error> {
        self.in_flight = false;
        self.pages += 1;
        let ListPage { page, clock } = match answer {
            Ok(listed) => listed,
            Err(psp::Error::TooLarge { .. }) if self.walk.shrink() => return Ok(None),
            Err(error) => {
                self.row.place.failures += 1;
                if error.is_transient() && self.row.place.failures < FAILED_SLICES {
                    self.pause(store)?;
                    return Ok(Some(SliceEnd::Failed(error.to_string())));
                }
                log::warn!("{}: left out of the sweep: {error}", self.row.stream);
                self.row.unread.push(self.row.stream.name().to_owned());
                return self.next_list(store);
            }
        };
        let stream = self.row.stream;
        self.row.seen += page.length() as i64;
        for unusable in &page.unusable {
            if self
                .pending
                .refuse(store, stream, Kind::Contract, unusable)?
            {
                self.quarantined += 1;
                log::warn!(
                    "{}",
                    quarantined(stream, unusable.id.as_deref(), &unusable.reason)
                );
            }
        }
        let position = self.cursor.position;
        let passed = |record: &&Record| Some(record.timestamp.second()) <= position;
        let taken = self
            .pending
            .take_page(store, page.records.iter().filter(passed))?;
        let mut taken = taken.into_iter();
        let mut stored = Vec::with_capacity(page.records.len());
        for record in &page.records {
            let taken = Some(record).filter(passed).and_then(|_| taken.next());
            stored.push(taken.and_then(|taken| {
                self.count(record, &taken);
                taken.before.map(|before| before.timestamp)
            }));
        }
        let step = self.walk.step(&page, &stored, clock);
        if let Some(place) = self.walk.place() {
            self.row.place = Place {
                failures: 0,
                ..place
            };
        }
        match step {
            Step::Ask if self.pending.is_full() => self.pause(store).map(|()| None),
            Step::Ask => Ok(None),
            Step::End => self.end_list(store),
        }
    }

    /// Commits what was read, and how far the sweep has come.
    pub fn pause(&mut self, store: &mut Store) -> Result<(), store::Error> {
        self.commit(store)
    }

    fn commit(&mut self, store: &mut Store) -> Result<(), store::Error> {
        let before = self.cursor.clone();
        self.cursor.quirks = self.walk.cursor().quirks.clone();
        let moved = [(self.row.stream, self.cursor.clone())];
        let cursors = match before == self.cursor {
            true => &[],
            false => &moved[..],
        };
        self.pending.commit(
            store,
            Batch {
                cursors,
                sweep: Some(&self.row),
                ..Batch::default()
            },
        )?;
        log_quirks(self.row.stream, &before.quirks, &self.cursor.quirks);
        Ok(())
    }

    /// The list is read to its end: on to the next one, or to the end of the sweep.
    fn end_list(&mut self, store: &mut Store) -> Result<Option<SliceEnd>, store::Error> {
        let stream = self.row.stream;
        self.commit(store)?;
        for alone in store.without_rival(stream, self.row.started_at)? {
            if let Ok(record) = api::read_record(stream, &alone.json) {
                log::info!(
                    "{stream}: record \"{}\" taken out of quarantine: its other content is listed no more",
                    escaped(&alone.id)
                );
                self.pending.accept(store, alone.number, &record)?;
                self.row.changed += 1;
            }
        }
        // What the service lists no more needs no quarantine.
        if !self.row.place.incomplete {
            let gone = store.quarantined_before(stream, self.row.started_at)?;
            self.pending.release(gone);
        }
        self.next_list(store)
    }

    fn next_list(&mut self, store: &mut Store) -> Result<Option<SliceEnd>, store::Error> {
        let stream = self.row.stream;
        let mut lists = Stream::LISTED.into_iter();
        let next = lists
            .find(|listed| *listed == stream)
            .and_then(|_| lists.next());
        match next {
            Some(next) => {
                self.commit(store)?;
                self.row.stream = next;
                self.row.place = Place::start(self.page_size);
                self.cursor = store.cursor(next)?;
                self.walk = Walk::sweep(
                    self.cursor.quirks.clone(),
                    self.page_size,
                    self.row.place.clone(),
                    Timestamp::now().second(),
                );
                Ok(None)
            }
            None => {
                self.row.ended_at = Some(Timestamp::now().second());
                self.commit(store)?;
                Ok(Some(SliceEnd::Complete(self.row.clone())))
            }
        }
    }

    /// Counts what a record turned out to be.
    fn count(&mut self, record: &Record, taken: &Taken) {
        let stream = record.stream;
        match (taken.verdict, &taken.before) {
            (Verdict::New { .. }, Some(before)) if before.timestamp >= record.timestamp => {
                self.row.changed += 1;
                if before
                    .sweep
                    .is_some_and(|sweep| sweep + 1 == self.row.number)
                {
                    if self.row.always_changing == 0 {
                        log::warn!(
                            "{stream}: record \"{}\" changes in every sweep without a newer date: does the service put \
                             the time of the request into it? Each such change is delivered",
                            escaped(&record.id)
                        );
                    }
                    self.row.always_changing += 1;
                }
            }
            (Verdict::New { .. }, _) => {
                let second = record.timestamp.second();
                let behind = |position: Second| position.since(second);
                let lateness = self.cursor.position.map_or(0, behind);
                // What the lookback reaches, the next poll would have found.
                if lateness > self.lookback {
                    self.row.missed += 1;
                    self.row.lateness = self.row.lateness.max(lateness as i64);
                }
            }
            (Verdict::DuplicateId { newly: true }, _) => {
                self.quarantined += 1;
                log::warn!("{}", quarantined(stream, Some(&record.id), DUPLICATE));
            }
            (Verdict::Known | Verdict::Older | Verdict::DuplicateId { .. }, _) => {}
        }
    }
}

/// The closing line of a sweep.
pub fn log_end(row: &SweepRow) {
    let took = row
        .ended_at
        .map_or(0, |ended_at| ended_at.since(row.started_at));
    let mut line = format!(
        "sweep {} {}: {} records seen, {} of them missed before, {} changed without a newer date, {took} s",
        row.number,
        if row.unread.is_empty() {
            "complete"
        } else {
            "ended"
        },
        row.seen,
        row.missed,
        row.changed
    );
    if !row.unread.is_empty() {
        line += &format!("; left out: {}", row.unread.join(", "));
    }
    if row.always_changing > 0 {
        line += &format!("; {} change so in every sweep", row.always_changing);
    }
    if row.missed == 0 {
        log::info!("{line}");
        return;
    }
    let lateness = Duration::from_secs(row.lateness.unsigned_abs());
    let lookback = jiff::SignedDuration::try_from(lateness).unwrap_or(jiff::SignedDuration::MAX);
    log::warn!(
        "{line}; the latest lay {} s behind the cursor, where \"lookback\": \"{lookback:#}\" would have caught it",
        row.lateness
    );
}
