use super::cursor::{AnswerTime, Step};
use super::judge::Verdict;
use super::pending::{Judged, Pending};
use super::quarantine::{self, DUPLICATE};
use super::reading::Reading;
use super::sweep_end;
use super::workers::{Job, JobError, PageAnswer};
use super::{Settings, SliceReport, StoreResult, WorkDone};
use crate::api::{Query, Record, Second, Stream, Timestamp, escaped};
use crate::psp::{self, ListPage};
use crate::store::{Batch, ReadingReach, Store, SweepPlace, SweepRow};

/// A list is left out of the sweep after this many slices in a row that failed for a reason that may pass.
const FAILED_SLICES: u32 = 10;

/// A sweep, read in slices while no poll runs: every list from its beginning, by number. Transactions are read by date
/// where nothing is in doubt that only a list by number decides ([`Store::sweeps_by_date`]).
///
/// It finds what no poll can: records that appeared behind the cursor later than the lookback, contents that changed without
/// a newer date, and records that the service's filter hides.
#[derive(Debug)]
pub struct Sweep {
    row: SweepRow,
    reading: Reading,
    pending: Pending,
    /// What the next poll finds anyway: it goes back this many seconds behind the cursor.
    lookback: u64,
    /// Pages that this slice has read.
    pages: u64,
    /// Records that this slice has newly put into quarantine.
    quarantined: usize,
    /// Bytes of their texts.
    quarantined_bytes: usize,
    /// The filter of a list hides records. Known at the end.
    hides: bool,
    /// The answer to the last slice's last job, which came after that slice.
    late: Option<PageAnswer>,
}

impl Sweep {
    /// Whether a sweep is under way or due.
    pub fn is_due(store: &Store, settings: &Settings) -> StoreResult<bool> {
        let now = Timestamp::now().second();
        let due = store.sweep_due(settings.sweep_times(), now)?;
        Ok(due.is_some_and(|due| due <= now))
    }

    /// Goes on with the sweep that the state has under way, or begins one.
    pub fn take_up(store: &Store, settings: &Settings) -> StoreResult<Sweep> {
        let (page_size, now) = (settings.page_size, Timestamp::now().second());
        let mut row = match store.last_sweep()? {
            Some(row) if row.ended_at.is_none() => row,
            last => {
                let number = last.map_or(1, |row| row.number + 1);
                SweepRow::new(number, now, store.sweeps_by_date(number)?)
            }
        };
        if !row.has_begun() {
            row.reach = Some(ReadingReach {
                last_seq: store.last_seq()?,
                settled_before: now.earlier(settings.lookback),
            });
        }
        if row.place.page_size != page_size {
            // The numbers of its pages mean other elements now.
            row.place = SweepPlace::start(row.stream, page_size, row.place.by_date);
        }
        let poll = store.next_poll()? - 1;
        Ok(Sweep {
            reading: Reading::sweep(store, &row)?,
            pending: Pending::new(store, poll, Some(row.number), settings.batch_records)?,
            lookback: settings.lookback,
            pages: 0,
            quarantined: 0,
            quarantined_bytes: 0,
            hides: false,
            late: None,
            row,
        })
    }

    /// Begins the next slice, after a poll. The late answer may complete the sweep.
    pub fn go_on(&mut self, store: &mut Store) -> StoreResult<()> {
        self.pages = 0;
        self.quarantined = 0;
        self.quarantined_bytes = 0;
        let after_a_page = matches!(self.late, Some(Ok(_)));
        self.reading.go_on(store, after_a_page)?;
        self.pending.go_on(store, store.next_poll()? - 1)?;
        if let Some(answer) = self.late.take() {
            self.collect(store, answer)?;
        }
        Ok(())
    }

    /// Whether it has read every list.
    pub fn is_complete(&self) -> bool {
        self.row.ended_at.is_some()
    }

    /// Ends the slice: commits what was read, and how far the sweep has come.
    pub fn pause(&mut self, store: &mut Store) -> StoreResult<SliceReport> {
        self.commit(store)?;
        self.pending.pause();
        Ok(self.report(None))
    }

    /// The page to ask for now, if the last one was answered.
    pub fn next_job(&self) -> Option<Job> {
        self.reading.is_ready().then(|| Job::SweepPage {
            stream: self.reading.stream,
            query: self.reading.request(),
        })
    }

    /// A worker has taken the job.
    pub fn handed_out(&mut self) {
        self.reading.handed_out();
    }

    /// Whether that page is the one that is due.
    pub fn expects(&self, stream: Stream, query: Query) -> bool {
        stream == self.reading.stream && query == self.reading.request()
    }

    /// Keeps an answer that came after the slice for the next one.
    pub fn keep(&mut self, mut answer: PageAnswer) {
        self.reading.answered();
        if let Ok(listed) = &mut answer {
            // A poll must not wait for this slice.
            listed.large = None;
        }
        self.late = Some(answer);
    }

    /// How many elements it has read, of the records that are known.
    pub fn progress(&self, store: &Store) -> StoreResult<WorkDone> {
        let (done, mut of) = (self.row.seen, 0);
        for stream in Stream::LISTED {
            of += store.record_count(stream)?.cast_signed();
        }
        Ok(WorkDone { done, of })
    }

    /// How many pages this slice has read.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Takes the answer to its job. Returns a report if the slice is over.
    pub fn collect(
        &mut self,
        store: &mut Store,
        answer: PageAnswer,
    ) -> StoreResult<Option<SliceReport>> {
        self.reading.answered();
        self.pages += u64::from(!self.reading.is_question());
        match answer {
            Ok(listed) => self.take(store, &listed),
            // Not the service's fault. The loop ends the slice.
            Err(JobError::Request(psp::Error::Stopped { .. })) => Ok(None),
            Err(error) => match self.reading.recovers(&error) {
                Some(_) if self.is_in_doubt() => self.begin_by_number(store),
                Some(Step::Ask) => Ok(None),
                Some(Step::End) => self.end_list(store),
                None => self.fail(store, &error),
            },
        }
    }

    fn report(&self, failure: Option<String>) -> SliceReport {
        let left_out = if self.is_complete() {
            self.row.unread.len()
        } else {
            0
        };
        SliceReport {
            quarantined: self.quarantined,
            failure,
            left_out,
        }
    }

    /// Logs the closing line. How many records it has found that no poll had.
    pub fn log_end(&self) -> i64 {
        sweep_end::log(&self.row, self.hides);
        self.row.missed
    }

    fn take(&mut self, store: &mut Store, listed: &ListPage) -> StoreResult<Option<SliceReport>> {
        if !self.reading.is_read_elsewhere() {
            self.row.seen += listed.page.length() as i64;
        }
        let time = AnswerTime::at(listed.clock.second());
        let (reading, pending) = (&mut self.reading, &mut self.pending);
        let read = reading.take(store, pending, listed, time, false)?;
        for unusable in read.quarantined {
            self.count_quarantined(unusable.id.as_deref(), &unusable.reason, &unusable.json);
        }
        for (record, judged) in listed.page.records.iter().zip(&read.judged) {
            if self.count(record, judged) {
                self.reading.ask_for_missed(listed, record);
            }
        }
        if let Some(place) = self.reading.place() {
            self.row.place = SweepPlace {
                failures: 0,
                ..place
            };
        }
        match read.step {
            _ if self.is_in_doubt() => self.begin_by_number(store),
            Step::End => self.end_list(store),
            Step::Ask => {
                if let Some(reason) = self.reading.never_ends(store)? {
                    return self.leave_out(store, &reason);
                }
                let too_much = quarantine::too_much(self.quarantined_bytes);
                if too_much.is_some() || self.pending.is_full(0) {
                    self.commit(store)?;
                }
                Ok(too_much.map(|reason| self.report(Some(reason))))
            }
        }
    }

    fn fail(&mut self, store: &mut Store, error: &JobError) -> StoreResult<Option<SliceReport>> {
        self.row.place.failures += 1;
        if error.may_pass() && self.row.place.failures < FAILED_SLICES {
            self.commit(store)?;
            return Ok(Some(self.report(Some(error.to_string()))));
        }
        self.leave_out(store, &error.to_string())
    }

    fn leave_out(&mut self, store: &mut Store, reason: &str) -> StoreResult<Option<SliceReport>> {
        log::warn!("{}: skipped in this sweep: {reason}", self.row.stream);
        self.row.unread.push(self.row.stream.name().to_owned());
        self.next_list(store)
    }

    /// The list was read to its end: on to the next one, or to the end of the sweep.
    fn end_list(&mut self, store: &mut Store) -> StoreResult<Option<SliceReport>> {
        let stream = self.row.stream;
        self.commit(store)?;
        self.row.changed += self
            .pending
            .accept_alone(store, stream, self.row.started_at)?;
        // What the service lists no more needs no quarantine.
        if !self.row.place.found.incomplete {
            let gone = store.quarantined_before(stream, self.row.started_at)?;
            self.pending.quarantine.released.extend(gone);
            if stream == Stream::Accounts {
                self.pending
                    .missing
                    .close_unlisted(store, self.row.started_at)?;
            }
        }
        self.next_list(store)
    }

    fn next_list(&mut self, store: &mut Store) -> StoreResult<Option<SliceReport>> {
        let after = |stream: &Stream| *stream > self.row.stream;
        let Some(next) = Stream::LISTED.into_iter().find(after) else {
            self.row.ended_at = Some(Timestamp::now().second());
            self.commit(store)?;
            for stream in Stream::LISTED {
                self.hides |= store.cursor(stream)?.quirks.hides.is_some();
            }
            return Ok(Some(self.report(None)));
        };
        self.commit(store)?;
        self.row.stream = next;
        self.begin_list(store, self.row.place.by_date)?;
        Ok(None)
    }

    fn begin_list(&mut self, store: &Store, by_date: bool) -> StoreResult<()> {
        self.row.place = SweepPlace::start(self.row.stream, self.row.place.page_size, by_date);
        self.reading = Reading::sweep(store, &self.row)?;
        Ok(())
    }

    /// Whether the list is read by date, although that has shown that not everything can be found so.
    fn is_in_doubt(&self) -> bool {
        let place = &self.row.place;
        place.by_date && place.anchored && !self.reading.keeps_contract()
    }

    fn begin_by_number(&mut self, store: &mut Store) -> StoreResult<Option<SliceReport>> {
        let stream = self.row.stream;
        log::info!(
            "{stream}: read by date, the list is in doubt: the sweep begins the list again, by number"
        );
        self.commit(store)?;
        self.begin_list(store, false)?;
        Ok(None)
    }

    fn commit(&mut self, store: &mut Store) -> StoreResult<()> {
        let moved = self.reading.moved_cursor();
        let cursors = moved.map(|cursor| (self.reading.stream, cursor));
        let batch = Batch {
            cursors: cursors.as_slice(),
            sweep: Some(&self.row),
            ..Batch::default()
        };
        self.pending.commit(store, &batch)?;
        if let Some((_, cursor)) = cursors {
            self.reading.committed(cursor);
        }
        Ok(())
    }

    /// Counts what a record turned out to be. Whether polls should have found it.
    fn count(&mut self, record: &Record, judged: &Judged) -> bool {
        if judged.newly_quarantined {
            self.count_quarantined(Some(&record.id), DUPLICATE, &record.json);
        }
        let Verdict::New { .. } = judged.verdict else {
            return false;
        };
        let before = judged.before;
        match before.filter(|(timestamp, _)| *timestamp >= record.timestamp) {
            Some((_, sweep)) => {
                self.row.changed += 1;
                if sweep == Some(self.row.number - 1) {
                    self.count_always_changing(record);
                }
                false
            }
            None => self.count_missed(record.timestamp.second()),
        }
    }

    /// Counts a record that changed without a newer date in the sweep before, too.
    fn count_always_changing(&mut self, record: &Record) {
        if self.row.always_changing == 0 {
            log::warn!(
                "{}: record \"{}\" changes in every sweep without a newer date: does the service put the time of the \
                request into it? Every change is delivered",
                record.stream,
                escaped(&record.id)
            );
        }
        self.row.always_changing += 1;
    }

    /// Counts a version that no poll had found, unless the next poll finds it: because of the lookback, or because it is newer
    /// than what a complete poll can have seen. Whether polls should have found it.
    fn count_missed(&mut self, dated: Second) -> bool {
        let cursor = self.reading.stored();
        let lateness = cursor.position.map_or(0, |position| position.since(dated));
        let seen_until = cursor.began_at.map(|began| began.earlier(self.lookback));
        let was_hidden = Some(dated) > cursor.position && Some(dated) < seen_until;
        let is_missed = lateness > self.lookback || was_hidden;
        if is_missed {
            self.row.missed += 1;
            self.row.lateness = self.row.lateness.max(lateness as i64);
        }
        // Where the filter is known to hide records, it may have hidden any of them.
        is_missed || cursor.quirks.hides.is_some()
    }

    fn count_quarantined(&mut self, id: Option<&str>, reason: &str, json: &str) {
        self.quarantined += 1;
        self.quarantined_bytes += id.map_or(0, |_| json.len());
        quarantine::log_new(self.row.stream, id, reason);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::Page;
    use crate::store::{Cursor, Identity, Retention};

    const SETTINGS: Settings = Settings {
        page_size: 2,
        larger_page_size: 2,
        workers: 1,
        pages_ahead: 0,
        batch_records: 100,
        lookback: 60,
        period: Duration::from_secs(60),
        share: Duration::from_secs(60),
        sweep_period: Duration::from_secs(3_600),
        balances_period: Duration::ZERO,
        retention: Retention {
            balances: None,
            publishers: Vec::new(),
        },
    };

    /// What a poll does that reads the accounts up to that date.
    fn poll_up_to(store: &mut Store, date: &str) {
        let position = Timestamp::parse(date).unwrap().second();
        let cursor = Cursor {
            position: Some(position),
            ..store.cursor(Stream::Accounts).unwrap()
        };
        let cursors = &[(Stream::Accounts, cursor)];
        let batch = Batch {
            cursors,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    }

    /// A sweep of a state that was polled up to 2024, while its first page is in flight.
    fn sweep_in_flight() -> (tempfile::TempDir, Store, Sweep) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: "test".to_owned(),
            endpoint: "http://localhost".to_owned(),
        };
        let mut store = Store::open(folder.path(), &identity).unwrap();
        poll_up_to(&mut store, "2024-01-01T00:00:00Z");
        let mut sweep = Sweep::take_up(&store, &SETTINGS).unwrap();
        sweep.handed_out();
        (folder, store, sweep)
    }

    /// The late page was taken with the cursor from before the poll, and what it showed was committed with that cursor.
    #[test]
    fn a_page_that_is_answered_during_a_poll_does_not_put_the_cursor_back() {
        let (_folder, mut store, mut sweep) = sweep_in_flight();
        sweep.pause(&mut store).unwrap();
        let newest_first = br#"[{"id":"b","accountName":"B","createdAt":"2023-02-01T00:00:00Z"},
            {"id":"a","accountName":"A","createdAt":"2023-01-01T00:00:00Z"}]"#;
        sweep.keep(Ok(ListPage {
            page: Page::read(Stream::Accounts, newest_first).unwrap(),
            clock: Timestamp::now(),
            large: None,
            redirected: false,
        }));
        poll_up_to(&mut store, "2024-06-01T00:00:00Z");
        sweep.go_on(&mut store).unwrap();
        sweep.pause(&mut store).unwrap();
        let cursor = store.cursor(Stream::Accounts).unwrap();
        let position = cursor.position.map(String::from);
        assert_eq!(position.as_deref(), Some("2024-06-01T00:00:00Z"));
        assert!(cursor.quirks.unsorted_since.is_some());
        assert!(store.newest(Stream::Accounts, "a").unwrap().is_some());
    }

    /// The next poll finds the version known, so only the sweep can tell that its record has left a second.
    #[test]
    fn a_second_that_a_record_has_left_is_read_again_by_the_next_poll() {
        let (_folder, mut store, mut sweep) = sweep_in_flight();
        let second = |date| Timestamp::parse(date).unwrap().second();
        let tie = (
            second("2023-01-01T00:00:00Z"),
            second("2023-01-01T00:00:00Z"),
        );
        let cursor = Cursor {
            numbered: [tie].into(),
            ..store.cursor(Stream::Accounts).unwrap()
        };
        let cursors = &[(Stream::Accounts, cursor)];
        let batch = Batch {
            cursors,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        sweep.go_on(&mut store).unwrap();
        for date in ["2023-01-01T00:00:00Z", "2023-06-01T00:00:00Z"] {
            let page = format!(r#"[{{"id":"a","accountName":"A","createdAt":"{date}"}}]"#);
            let listed = ListPage {
                page: Page::read(Stream::Accounts, page.as_bytes()).unwrap(),
                clock: Timestamp::now(),
                large: None,
                redirected: false,
            };
            sweep.collect(&mut store, Ok(listed)).unwrap();
        }
        sweep.pause(&mut store).unwrap();
        let cursor = store.cursor(Stream::Accounts).unwrap();
        assert_eq!(
            (cursor.again, cursor.numbered),
            ([tie].into(), [tie].into())
        );
    }

    /// The page stayed in flight, and the sweep waited for it until the next start.
    #[test]
    fn a_page_whose_request_panicked_is_asked_for_again() {
        let (_folder, mut store, mut sweep) = sweep_in_flight();
        let panicked = Err(JobError::Panicked("on purpose".to_owned()));
        let report = sweep.collect(&mut store, panicked).unwrap().unwrap();
        assert!(report.failure.unwrap().contains("on purpose"));
        sweep.go_on(&mut store).unwrap();
        assert!(
            matches!(sweep.next_job(), Some(Job::SweepPage { query, .. }) if query.page == Some(1))
        );
    }
}
