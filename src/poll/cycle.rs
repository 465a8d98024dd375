use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{DUPLICATE, Pending, Taken, Verdict};
use super::cursor::{Step, Walk};
use super::workers::{Answer, Job, Outcome};
use super::{Settings, Summary};
use crate::api::{self, PerStream, Record, Second, Stream, Timestamp, Unusable, escaped};
use crate::psp::{self, ListPage};
use crate::store::{self, Batch, Cursor, Kind, PollRow, Quirks, Store};

/// How many known accounts are read from the store at once.
const ACCOUNTS_AT_ONCE: usize = 1_000;
/// How many failures of a stream are logged one by one in a poll; the others are counted.
const FAILURES_LOGGED: usize = 3;
/// How many records newly in quarantine are logged one by one for each stream in a poll; the others are counted.
const QUARANTINED_LOGGED: usize = 10;
/// So many polls in a row that leave a cursor where it is, although they read newer records, are reported.
pub const STANDING_POLLS: i64 = 3;
/// A record that changes so often without a newer date is reported.
const RESTLESS_VERSIONS: i64 = 5;

/// One poll under way: what is still to ask, what was read, what went wrong.
#[derive(Debug)]
pub struct Cycle {
    number: i64,
    started: Instant,
    started_at: Second,
    lists: Vec<List>,
    /// Accounts of this poll whose balances are to be asked.
    fresh: VecDeque<String>,
    known: KnownAccounts,
    pending: Pending,
    in_flight: usize,
    succeeded: bool,
    /// Accounts in a row whose balances could not be had.
    balances_failed_in_a_row: usize,
    versions: PerStream<i64>,
    quarantined: PerStream<usize>,
    failures: PerStream<Vec<String>>,
    failed: PerStream<usize>,
    /// Why nothing more is asked in this poll.
    abandoned: Option<String>,
    interrupted: bool,
}

/// The reading of one list.
#[derive(Debug)]
struct List {
    stream: Stream,
    walk: Walk,
    /// The cursor as it was when the poll began.
    begun: Cursor,
    /// The cursor as it was last committed.
    committed: Cursor,
    state: ListState,
    /// When the list was read to its end, and whether the position stood still meanwhile.
    ended: Option<(Second, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListState {
    /// Its next request is to be made.
    Ready,
    InFlight,
    Ended,
}

/// The accounts that were known before this poll, in the order in which they were first stored.
#[derive(Debug)]
struct KnownAccounts {
    after: i64,
    until: i64,
    buffer: VecDeque<String>,
}

impl Cycle {
    /// The next poll, from the stored cursors on.
    pub fn begin(store: &mut Store, settings: &Settings) -> Result<Cycle, store::Error> {
        let mut lists = Vec::new();
        for stream in Stream::LISTED {
            let committed = store.cursor(stream)?;
            let now = Timestamp::now().second();
            let walk = Walk::new(
                committed.clone(),
                settings.page_size,
                settings.lookback,
                now,
            );
            lists.push(List {
                stream,
                walk,
                begun: committed.clone(),
                committed,
                state: ListState::Ready,
                ended: None,
            });
        }
        let number = store.next_poll()?;
        let mut cycle = Cycle {
            number,
            started: Instant::now(),
            started_at: Timestamp::now().second(),
            lists,
            fresh: VecDeque::new(),
            known: KnownAccounts {
                after: 0,
                until: store.last_seq()?,
                buffer: VecDeque::new(),
            },
            pending: Pending::new(store, number, None, settings.batch_records)?,
            in_flight: 0,
            succeeded: false,
            balances_failed_in_a_row: 0,
            versions: PerStream::default(),
            quarantined: PerStream::default(),
            failures: PerStream::default(),
            failed: PerStream::default(),
            abandoned: None,
            interrupted: false,
        };
        cycle.take_retries(store)?;
        Ok(cycle)
    }

    /// Takes the records out of quarantine that an operator wants to see tried again.
    fn take_retries(&mut self, store: &mut Store) -> Result<(), store::Error> {
        let retries = store.retries()?;
        if retries.is_empty() {
            return Ok(());
        }
        for quarantined in retries {
            let stream = quarantined.stream;
            let read = api::read_record(stream, &quarantined.json)
                .map_err(|unusable| unusable.reason)
                .and_then(|record| match record.id == quarantined.id {
                    true => Ok(record),
                    false => Err(format!(
                        "it says that it is of \"{}\", which was not asked about",
                        escaped(&record.id)
                    )),
                });
            let newest = match &read {
                Ok(record) => self.pending.newest(store, record)?,
                Err(_) => None,
            };
            let read = read.and_then(|record| match newest {
                Some(newest) if newest.timestamp > record.timestamp => {
                    Err("a version of a newer date is stored".to_owned())
                }
                _ => Ok(record),
            });
            match read {
                Ok(record) => {
                    self.pending.accept(store, quarantined.number, &record)?;
                    self.versions[stream] += 1;
                }
                Err(reason) => {
                    log::warn!(
                        "{stream}: number {} stays in quarantine: {reason}",
                        quarantined.number
                    );
                    self.pending.keep(quarantined.number);
                }
            }
        }
        // What the service lists is judged beside what is stored.
        self.pending.commit(store, Batch::default()).map(|_| ())
    }

    /// The job to hand out next, if there is one now. Lists come first: each waits for its own answers, balances wait
    /// for nobody.
    pub fn next_job(
        &mut self,
        store: &Store,
        settings: &Settings,
    ) -> Result<Option<Job>, store::Error> {
        if self.abandoned.is_some() || self.interrupted {
            return Ok(None);
        }
        let accounts_ended = self
            .lists
            .iter()
            .any(|list| list.is(Stream::Accounts) && list.state == ListState::Ended);
        let room_for_accounts = self.fresh.len() < settings.batch_records;
        let ready = self.lists.iter().find(|list| {
            list.state == ListState::Ready
                && match list.stream {
                    // What the balances cannot keep up with would pile up.
                    Stream::Accounts => room_for_accounts,
                    Stream::Transactions => accounts_ended,
                    _ => true,
                }
        });
        if let Some(list) = ready {
            return Ok(Some(Job::ListPage {
                stream: list.stream,
                query: list.walk.request(),
            }));
        }
        let account = match self.fresh.front() {
            Some(account) => Some(account),
            None => self.known.first(store)?,
        };
        Ok(account.map(|account| Job::Balances {
            account: account.clone(),
        }))
    }

    /// Notes that the job of [`next_job`](Cycle::next_job) was handed out.
    pub fn handed_out(&mut self, job: &Job) {
        self.in_flight += 1;
        match job {
            Job::ListPage { stream, .. } => self.set(*stream, ListState::InFlight),
            Job::Balances { .. } => {
                if self.fresh.pop_front().is_none() {
                    self.known.buffer.pop_front();
                }
            }
            Job::SweepPage { .. } => {}
        }
    }

    /// Whether jobs are out whose outcomes are still to come.
    pub fn is_waiting(&self) -> bool {
        self.in_flight > 0
    }

    /// Notes that an outcome came in and was not taken.
    pub fn dropped(&mut self) {
        self.in_flight -= 1;
    }

    /// Takes what came of a job.
    pub fn collect(
        &mut self,
        store: &Store,
        settings: &Settings,
        outcome: Outcome,
    ) -> Result<(), store::Error> {
        self.in_flight -= 1;
        match (outcome.job, outcome.answer) {
            (Job::ListPage { stream, .. }, Answer::Page(Ok(listed))) => {
                self.success();
                self.collect_page(store, stream, listed)
            }
            (Job::Balances { account }, Answer::Balances(Ok(answer))) => {
                self.success();
                self.balances_failed_in_a_row = 0;
                match answer {
                    Ok(record) => {
                        let taken = self.pending.take(store, &record, false)?;
                        self.count(&record, &taken);
                        Ok(())
                    }
                    Err(mut unusable) => {
                        // Which account was asked about is known, whatever the answer says.
                        unusable.id = Some(account);
                        self.refuse(store, Stream::Balances, &unusable)
                    }
                }
            }
            (Job::ListPage { stream, .. }, Answer::Page(Err(error))) => {
                let too_large = matches!(error, psp::Error::TooLarge { .. });
                if too_large && self.list(stream).is_some_and(|list| list.walk.shrink()) {
                    self.set(stream, ListState::Ready);
                    return Ok(());
                }
                self.set(stream, ListState::Ended);
                self.fail(stream, &error, settings);
                Ok(())
            }
            (_, Answer::Balances(Err(error))) => {
                self.fail(Stream::Balances, &error, settings);
                Ok(())
            }
            (job, Answer::Panicked(message)) => {
                let stream = match job {
                    Job::ListPage { stream, .. } | Job::SweepPage { stream, .. } => stream,
                    Job::Balances { .. } => Stream::Balances,
                };
                self.set(stream, ListState::Ended);
                self.report(
                    stream,
                    format!("a request panicked ({message}): this is a bug, please report it"),
                );
                Ok(())
            }
            (Job::Balances { .. }, Answer::Page(_))
            | (Job::ListPage { .. }, Answer::Balances(_))
            | (Job::SweepPage { .. }, _) => Ok(()),
        }
    }

    /// Stops asking: the rest waits for the next poll.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Whether everything that can be read is read and every outcome is in.
    pub fn is_done(&mut self, store: &Store, settings: &Settings) -> Result<bool, store::Error> {
        Ok(self.in_flight == 0 && self.next_job(store, settings)?.is_none())
    }

    /// Whether the pending versions are so many that they should be committed now.
    pub fn is_full(&self) -> bool {
        self.pending.is_full()
    }

    /// The publish step: commits what was read, with the cursors that it allows. `done` if the poll is at its end.
    pub fn commit(
        &mut self,
        store: &mut Store,
        requests: Requests,
        done: bool,
    ) -> Result<usize, store::Error> {
        let cursors: Vec<(Stream, Cursor)> = self
            .lists
            .iter()
            .map(|list| (list.stream, list.cursor()))
            .collect();
        let moved: Vec<(Stream, Cursor)> = cursors
            .into_iter()
            .zip(&self.lists)
            .filter(|((_, cursor), list)| *cursor != list.committed)
            .map(|(moved, _)| moved)
            .collect();
        let poll = self.row(requests, done);
        let committed = self.pending.commit(
            store,
            Batch {
                cursors: &moved,
                poll: Some(&poll),
                ..Batch::default()
            },
        )?;
        for (stream, cursor) in moved {
            if let Some(list) = self.list(stream) {
                log_quirks(stream, &list.committed.quirks, &cursor.quirks);
                list.committed = cursor;
            }
        }
        Ok(committed)
    }

    /// New versions of each stream read so far.
    pub fn versions(&self) -> PerStream<i64> {
        self.versions
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What to report of the poll at its end.
    pub fn summary(&self, requests: Requests) -> Summary {
        Summary {
            number: self.number,
            outcome: self.outcome(),
            versions: self.versions,
            requests: requests.made,
            retries: requests.retries,
            quarantined: self.quarantined.values().sum(),
            failed: self.failed.values().sum(),
            first_failure: self.first_failure(),
            elapsed: self.started.elapsed(),
        }
    }

    /// Logs how many more there were of what was logged one by one.
    pub fn log_the_rest(&self) {
        if self.outcome() == super::PollOutcome::Failed {
            return;
        }
        for (stream, &quarantined) in self.quarantined.iter() {
            if quarantined > QUARANTINED_LOGGED {
                log::warn!(
                    "{stream}: {} further records put into quarantine",
                    quarantined - QUARANTINED_LOGGED
                );
            }
        }
        for (stream, &failed) in self.failed.iter() {
            if failed > FAILURES_LOGGED {
                log::error!(
                    "{stream}: {} further requests failed",
                    failed - FAILURES_LOGGED
                );
            }
        }
    }

    fn row(&self, requests: Requests, done: bool) -> PollRow {
        PollRow {
            number: self.number,
            started_at: self.started_at,
            ended_at: done.then(|| Timestamp::now().second()),
            outcome: if done {
                self.outcome().name()
            } else {
                "running"
            }
            .to_owned(),
            requests: requests.made as i64,
            retries: requests.retries as i64,
            versions: self.versions,
            quarantined: self.quarantined.values().sum::<usize>() as i64,
            error: self.first_failure(),
        }
    }

    fn outcome(&self) -> super::PollOutcome {
        use super::PollOutcome::{Complete, Failed, Interrupted, Partial};
        let faultless = self
            .failed
            .values()
            .chain(self.quarantined.values())
            .sum::<usize>()
            == 0;
        match () {
            () if self.interrupted => Interrupted,
            () if !self.succeeded => Failed,
            () if faultless => Complete,
            () => Partial,
        }
    }

    fn first_failure(&self) -> Option<String> {
        self.abandoned
            .clone()
            .or_else(|| self.failures.values().flatten().next().cloned())
    }

    fn collect_page(
        &mut self,
        store: &Store,
        stream: Stream,
        listed: ListPage,
    ) -> Result<(), store::Error> {
        let ListPage { page, clock } = listed;
        for unusable in &page.unusable {
            self.refuse(store, stream, unusable)?;
        }
        let taken = self.pending.take_page(store, page.records.iter())?;
        for (record, taken) in page.records.iter().zip(&taken) {
            self.count(record, taken);
        }
        let stored: Vec<Option<Timestamp>> = taken
            .iter()
            .map(|taken| taken.before.as_ref().map(|before| before.timestamp))
            .collect();
        let Some(list) = self.list(stream) else {
            return Ok(());
        };
        match list.walk.step(&page, &stored, clock) {
            Step::Ask => list.state = ListState::Ready,
            Step::End => {
                list.end();
                if let Some(reason) = list.walk.cursor().quirks.incomplete.clone() {
                    // Said once, when it is found out; the poll is not complete all the same.
                    self.failed[stream] += 1;
                    self.failures[stream]
                        .push(format!("the list cannot be read completely: {reason}"));
                }
            }
        }
        Ok(())
    }

    /// Counts what a record turned out to be, and says what has to be said.
    fn count(&mut self, record: &Record, taken: &Taken) {
        let stream = record.stream;
        match taken.verdict {
            Verdict::New { number } => {
                self.versions[stream] += 1;
                if number == 1 && stream == Stream::Accounts {
                    self.fresh.push_back(record.id.clone());
                }
                let same_date = taken
                    .before
                    .as_ref()
                    .is_some_and(|before| before.timestamp == record.timestamp);
                if number == RESTLESS_VERSIONS && same_date && stream != Stream::Balances {
                    log::warn!(
                        "{stream}: record \"{}\" has changed {number} times, without a newer date this time: does the \
                         service put the time of the request into it? Each such change is delivered",
                        escaped(&record.id)
                    );
                }
            }
            Verdict::Known | Verdict::Older => {}
            Verdict::DuplicateId { newly } => {
                self.tell_quarantined(stream, newly, Some(&record.id), DUPLICATE);
            }
        }
    }

    fn refuse(
        &mut self,
        store: &Store,
        stream: Stream,
        unusable: &Unusable,
    ) -> Result<(), store::Error> {
        let newly = self
            .pending
            .refuse(store, stream, Kind::Contract, unusable)?;
        self.tell_quarantined(stream, newly, unusable.id.as_deref(), &unusable.reason);
        Ok(())
    }

    fn tell_quarantined(&mut self, stream: Stream, newly: bool, id: Option<&str>, reason: &str) {
        self.quarantined[stream] += usize::from(newly);
        if newly && self.quarantined[stream] <= QUARANTINED_LOGGED {
            log::warn!("{}", quarantined(stream, id, reason));
        }
    }

    fn success(&mut self) {
        if !self.succeeded {
            self.succeeded = true;
            // What was held back was no failure of the whole service.
            for (stream, failures) in self.failures.iter() {
                failures
                    .iter()
                    .for_each(|failure| log::error!("{stream}: {failure}"));
            }
        }
    }

    fn fail(&mut self, stream: Stream, error: &psp::Error, settings: &Settings) {
        if let psp::Error::Stopped { .. } = error {
            self.interrupted = true;
            return;
        }
        let told = match error {
            psp::Error::NotFound { .. } if stream == Stream::Balances => {
                format!("{error}: the account is gone")
            }
            _ => error.to_string(),
        };
        self.report(stream, told.clone());
        let key_refused = matches!(error, psp::Error::KeyRefused { .. });
        if key_refused && !self.succeeded {
            self.abandon(told);
        } else if stream == Stream::Balances && (key_refused || error.is_transient()) {
            self.balances_failed_in_a_row += 1;
            if self.balances_failed_in_a_row >= settings.balances_failures_at_most() {
                self.give_up_balances(settings);
            }
        }
    }

    /// The balances of the accounts that were not asked about yet wait for the next poll. The lists go on: each ends by
    /// itself when it fails.
    fn give_up_balances(&mut self, settings: &Settings) {
        let failed = self.balances_failed_in_a_row;
        if failed == settings.balances_failures_at_most() {
            self.report(
                Stream::Balances,
                format!(
                    "{failed} requests in a row failed: the accounts not asked about yet wait for the next poll"
                ),
            );
        }
        self.fresh.clear();
        self.known.after = self.known.until;
        self.known.buffer.clear();
    }

    /// Nothing more is asked in this poll, for a reason that holds for every request.
    fn abandon(&mut self, reason: String) {
        if self.abandoned.is_none() {
            self.abandoned = Some(reason);
            for list in &mut self.lists {
                if list.state == ListState::Ready {
                    list.state = ListState::Ended;
                    self.failed[list.stream] += 1;
                }
            }
        }
    }

    fn report(&mut self, stream: Stream, failure: String) {
        self.failed[stream] += 1;
        if self.failed[stream] <= FAILURES_LOGGED {
            if self.succeeded {
                log::error!("{stream}: {failure}");
            }
            self.failures[stream].push(failure);
        }
    }

    fn set(&mut self, stream: Stream, state: ListState) {
        if let Some(list) = self.list(stream) {
            list.state = state;
        }
    }

    fn list(&mut self, stream: Stream) -> Option<&mut List> {
        self.lists.iter_mut().find(|list| list.is(stream))
    }
}

/// Logs what was found out of the service, and what is no longer so. Each once.
pub fn log_quirks(stream: Stream, before: &Quirks, now: &Quirks) {
    let (before, now) = (before.describe(), now.describe());
    for found in &now {
        if !before.iter().any(|known| known.name == found.name) {
            log::warn!("{stream}: {found}");
        }
    }
    for gone in &before {
        if !now.iter().any(|found| found.name == gone.name) {
            log::info!(
                "{stream}: it is no longer so that the service {}",
                gone.name
            );
        }
    }
}

/// What is said of a record that was put into quarantine.
pub fn quarantined(stream: Stream, id: Option<&str>, reason: &str) -> String {
    let id = id.map_or("without a usable id".to_owned(), |id| {
        format!("\"{}\"", escaped(id))
    });
    format!("{stream}: record {id} put into quarantine: {reason}")
}

impl List {
    fn is(&self, stream: Stream) -> bool {
        self.stream == stream
    }

    /// The walk has ended.
    fn end(&mut self) {
        self.state = ListState::Ended;
        let position = self.walk.cursor().position;
        let stands = position == self.begun.position && self.walk.latest() > position;
        self.ended = Some((Timestamp::now().second(), stands));
        if stands && self.begun.standing + 1 == STANDING_POLLS {
            log::warn!(
                "{}: the cursor has stood at {} for {STANDING_POLLS} polls, although there are records dated up to {}: \
                 are they dated in the future, or is the service's clock (its \"Date\") behind?",
                self.stream,
                position.map_or("the beginning".to_owned(), String::from),
                self.walk.latest().map_or_else(String::new, String::from)
            );
        }
    }

    /// The cursor as it may be committed now.
    fn cursor(&self) -> Cursor {
        let mut cursor = self.walk.cursor().clone();
        if let Some((ended_at, stands)) = self.ended {
            cursor.ended_at = Some(ended_at);
            cursor.standing = if stands { self.begun.standing + 1 } else { 0 };
        }
        cursor
    }
}

impl KnownAccounts {
    /// The next account to ask about.
    fn first(&mut self, store: &Store) -> Result<Option<&String>, store::Error> {
        if self.buffer.is_empty() && self.after < self.until {
            let accounts = store.accounts(self.after, self.until, ACCOUNTS_AT_ONCE)?;
            self.after = match accounts.last() {
                Some((seq, _)) => *seq,
                None => self.until,
            };
            self.buffer = accounts.into_iter().map(|(_, id)| id).collect();
        }
        Ok(self.buffer.front())
    }
}

/// How many requests were made, and how many of them were retries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests {
    /// All of them.
    pub made: u64,
    /// The retries.
    pub retries: u64,
}
