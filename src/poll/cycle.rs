use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Pending, Verdict};
use super::cursor::{Step, Walk};
use super::workers::{Answer, Job, Outcome};
use super::{Settings, Summary};
use crate::api::{Record, Second, Stream, Timestamp, Unusable, escaped};
use crate::psp::{self, Listed};
use crate::store::{self, Batch, Cursor, PollRow, Store};

/// How many known accounts are read from the store at once.
const ACCOUNTS_AT_ONCE: usize = 1_000;
/// How many failures of a stream are logged one by one in a poll; the others are counted.
const FAILURES_LOGGED: usize = 3;
/// How many skipped records of a stream are logged one by one in a poll; the others are counted.
const SKIPS_LOGGED: usize = 10;

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
    versions: [i64; 4],
    skipped: [usize; 4],
    failures: [Vec<String>; 4],
    failed: [usize; 4],
    /// Why nothing more is asked in this poll.
    abandoned: Option<String>,
    interrupted: bool,
}

/// The reading of one list.
#[derive(Debug)]
struct List {
    stream: Stream,
    walk: Walk,
    /// The cursor as it was last committed.
    committed: Cursor,
    state: ListState,
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
    pub fn begin(store: &Store, settings: &Settings) -> Result<Cycle, store::Error> {
        let mut lists = Vec::new();
        for stream in Stream::LISTED {
            let committed = store.cursor(stream)?;
            let walk = Walk::new(committed.clone(), settings.page_size, settings.lookback);
            lists.push(List {
                stream,
                walk,
                committed,
                state: ListState::Ready,
            });
        }
        let number = store.next_poll()?;
        Ok(Cycle {
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
            pending: Pending::new(number, settings.batch_records),
            in_flight: 0,
            succeeded: false,
            balances_failed_in_a_row: 0,
            versions: [0; 4],
            skipped: [0; 4],
            failures: Default::default(),
            failed: [0; 4],
            abandoned: None,
            interrupted: false,
        })
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
                    Ok(record) => self.take(store, &record).map(|_| ()),
                    Err(unusable) => {
                        self.skip(Stream::Balances, &unusable);
                        log::debug!("balances of account \"{}\" skipped", escaped(&account));
                        Ok(())
                    }
                }
            }
            (Job::ListPage { stream, .. }, Answer::Page(Err(error))) => {
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
                    Job::ListPage { stream, .. } => stream,
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
            | (Job::ListPage { .. }, Answer::Balances(_)) => Ok(()),
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
        let moved: Vec<(Stream, Cursor)> = self
            .lists
            .iter()
            .filter(|list| *list.walk.cursor() != list.committed)
            .map(|list| (list.stream, list.walk.cursor().clone()))
            .collect();
        let poll = self.row(requests, done);
        let versions = self.pending.in_order();
        let committed = versions.len();
        store.commit(Batch {
            versions,
            cursors: &moved,
            poll: &poll,
        })?;
        self.pending.clear();
        for (stream, cursor) in moved {
            if let Some(list) = self.lists.iter_mut().find(|list| list.is(stream)) {
                list.committed = cursor;
            }
        }
        Ok(committed)
    }

    /// New versions of each stream read so far.
    pub fn versions(&self) -> [i64; 4] {
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
            skipped: self.skipped.iter().sum(),
            failed: self.failed.iter().sum(),
            first_failure: self.first_failure(),
            elapsed: self.started.elapsed(),
        }
    }

    /// Logs how many more there were of what was logged one by one.
    pub fn log_the_rest(&self) {
        if self.outcome() == super::PollOutcome::Failed {
            return;
        }
        for (stream, skipped) in Stream::ALL.into_iter().zip(self.skipped) {
            if skipped > SKIPS_LOGGED {
                log::warn!(
                    "{stream}: {} further records skipped",
                    skipped - SKIPS_LOGGED
                );
            }
        }
        for (stream, failed) in Stream::ALL.into_iter().zip(self.failed) {
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
            skipped: self.skipped.iter().sum::<usize>() as i64,
            error: self.first_failure(),
        }
    }

    fn outcome(&self) -> super::PollOutcome {
        use super::PollOutcome::{Complete, Failed, Interrupted, Partial};
        let faultless = self.failed.iter().chain(&self.skipped).sum::<usize>() == 0;
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
            .or_else(|| self.failures.iter().flatten().next().cloned())
    }

    fn collect_page(
        &mut self,
        store: &Store,
        stream: Stream,
        listed: Listed,
    ) -> Result<(), store::Error> {
        let Listed { page, clock } = listed;
        for unusable in &page.unusable {
            self.skip(stream, unusable);
        }
        let mut stored = Vec::with_capacity(page.records.len());
        for record in &page.records {
            stored.push(self.take(store, record)?);
        }
        let Some(list) = self.lists.iter_mut().find(|list| list.is(stream)) else {
            return Ok(());
        };
        match list.walk.step(&page, &stored, clock) {
            Step::Ask => list.state = ListState::Ready,
            Step::End => list.state = ListState::Ended,
            Step::Stuck(reason) => {
                list.state = ListState::Ended;
                self.report(stream, format!("the list is incomplete: {reason}"));
            }
        }
        Ok(())
    }

    fn take(&mut self, store: &Store, record: &Record) -> Result<Option<Timestamp>, store::Error> {
        let (verdict, before) = self.pending.take(store, record)?;
        match verdict {
            Verdict::New { number } => {
                self.versions[record.stream as usize] += 1;
                if number == 1 && record.stream == Stream::Accounts {
                    self.fresh.push_back(record.id.clone());
                }
            }
            Verdict::Known | Verdict::Older => {}
            Verdict::DuplicateId => {
                let reason = "two different records have this id and date; the first one read was kept, make the \
                              service's ids unique";
                self.skip(
                    record.stream,
                    &Unusable {
                        id: Some(record.id.clone()),
                        reason: reason.to_owned(),
                    },
                );
            }
        }
        Ok(before)
    }

    fn success(&mut self) {
        if !self.succeeded {
            self.succeeded = true;
            // What was held back was no failure of the whole service.
            for (stream, failures) in Stream::ALL.into_iter().zip(&self.failures) {
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
                    self.failed[list.stream as usize] += 1;
                }
            }
        }
    }

    fn report(&mut self, stream: Stream, failure: String) {
        let place = stream as usize;
        self.failed[place] += 1;
        if self.failed[place] <= FAILURES_LOGGED {
            if self.succeeded {
                log::error!("{stream}: {failure}");
            }
            self.failures[place].push(failure);
        }
    }

    fn skip(&mut self, stream: Stream, unusable: &Unusable) {
        let place = stream as usize;
        self.skipped[place] += 1;
        if self.skipped[place] <= SKIPS_LOGGED {
            let id = unusable.id.as_deref();
            let id = id.map_or("without a usable id".to_owned(), |id| {
                format!("\"{}\"", escaped(id))
            });
            log::warn!("{stream}: record {id} skipped: {}", unusable.reason);
        }
    }

    fn set(&mut self, stream: Stream, state: ListState) {
        if let Some(list) = self.lists.iter_mut().find(|list| list.is(stream)) {
            list.state = state;
        }
    }
}

impl List {
    fn is(&self, stream: Stream) -> bool {
        self.stream == stream
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
