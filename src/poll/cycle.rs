use super::accounts::AccountQueue;
use super::clock::{Clocks, POLLS_WAITING, clocks_far_apart};
use super::cursor::{AnswerTime, Step};
use super::failing::{self, FailingChange, StreamEnd};
use super::judge::Verdict;
use super::pending::{Judged, Pending};
use super::quarantine::{self, DUPLICATE};
use super::quirk_log::log_quirks;
use super::reading::Reading;
use super::retry::retry_quarantined;
use super::tally::Tally;
use super::workers::{BalancesAnswer, Job, JobError, PageAnswer};
use super::{PollReport, Settings, StoreResult, WorkDone};
use crate::api::{PerStream, Query, Record, Stream, Timestamp, Unusable, escaped};
use crate::psp::{self, ListPage, ServiceClient};
use crate::store::{
    BalancesProgress, Batch, Cursor, FailingStream, QuarantineKind, ReadingReach, Store,
};

/// A record that changes this often without a newer date is reported.
const RESTLESS_VERSIONS: i64 = 5;

/// One poll under way: what to ask next, and what to do with the answers.
///
/// Lists come first: each waits for its own answers, while the balances of the accounts wait for nobody. Transactions
/// are listed once the list of accounts has ended, complete or failed, or at once if it does not end within a poll.
#[derive(Debug)]
pub struct Cycle {
    readings: Vec<Reading>,
    accounts: AccountQueue,
    /// What is known of the balances, as the store has it.
    balances: Cursor,
    pending: Pending,
    tally: Tally,
    /// Jobs whose outcomes are still to come.
    in_flight: usize,
    settings: Settings,
    /// Whether it stores nothing while this machine's clock is far from that of the service.
    waits_for_clock: bool,
    /// The list, if it is polled alone. Nothing else is asked for but the balances of new accounts, and the state has no row
    /// of such a poll: what relies on a whole poll must not take it for one.
    list: Option<Stream>,
    /// The streams that the polls before have not read completely.
    failing: PerStream<Option<FailingStream>>,
}

impl Cycle {
    /// The next poll, from the stored cursors on; of one list, if it is to be polled alone.
    pub fn begin(
        store: &mut Store,
        client: &ServiceClient,
        settings: &Settings,
        list: Option<Stream>,
    ) -> StoreResult<Cycle> {
        store.ask_for_damaged()?;
        let mut readings = Vec::new();
        let is_polled = |stream: &Stream| list.is_none_or(|list| list == *stream);
        for stream in Stream::LISTED.into_iter().filter(is_polled) {
            readings.push(Reading::poll(store, stream, settings)?);
        }
        let number = store.next_poll()?;
        let mut cycle = Cycle {
            readings,
            accounts: AccountQueue::new(store, settings, list.is_none())?,
            balances: store.cursor(Stream::Balances)?,
            pending: Pending::new(store, number, None, settings.batch_records)?,
            tally: Tally::new(number, client),
            in_flight: 0,
            settings: settings.clone(),
            waits_for_clock: number <= POLLS_WAITING && store.last_seq()? == 0,
            list,
            failing: store.failing()?,
        };
        retry_quarantined(store, &mut cycle.pending, &mut cycle.tally)?;
        Ok(cycle)
    }

    /// The job to hand out next, if there is one now.
    pub fn next_job(&mut self, store: &Store) -> StoreResult<Option<Job>> {
        if !self.tally.goes_on() {
            return Ok(None);
        }
        if let Some(reading) = self.next_reading() {
            return Ok(Some(Job::ListPage {
                stream: reading.stream,
                query: reading.request(),
                one_try: reading.gets_one_try(),
            }));
        }
        let ahead = |reading: &Reading| Some((reading.stream, reading.next_ahead()?));
        if let Some((stream, query)) = self.readings.iter().find_map(ahead) {
            return Ok(Some(Job::PageAhead { stream, query }));
        }
        let account = self.accounts.next(store)?.cloned();
        Ok(account.map(|account| Job::Balances { account }))
    }

    fn next_reading(&self) -> Option<&Reading> {
        let of_accounts = |reading: &&Reading| reading.stream == Stream::Accounts;
        let accounts = self.readings.iter().find(of_accounts);
        self.readings
            .iter()
            .filter(|reading| reading.asks_now())
            .find(|reading| match reading.stream {
                Stream::Accounts => self.accounts.has_room(),
                Stream::Transactions => {
                    accounts.is_none_or(|accounts| accounts.has_ended() || accounts.is_endless())
                }
                _ => true,
            })
    }

    /// A worker has taken this job.
    pub fn handed_out(&mut self, job: &Job) {
        self.in_flight += 1;
        match job {
            Job::ListPage { stream, .. } => {
                if let Some(reading) = self.reading_mut(*stream) {
                    reading.handed_out();
                }
            }
            Job::PageAhead { stream, query } => {
                if let Some(reading) = self.reading_mut(*stream) {
                    reading.ahead_handed_out(query);
                }
            }
            Job::Balances { .. } => self.accounts.handed_out(),
            // Never a poll's.
            Job::SweepPage { .. } => {}
        }
    }

    /// Whether outcomes are still to come.
    pub fn is_waiting(&self) -> bool {
        self.in_flight > 0
    }

    /// An outcome came in and is of no use any more.
    pub fn dropped(&mut self) {
        self.in_flight -= 1;
    }

    /// Stops asking. The rest waits for the next poll.
    pub fn interrupt(&mut self) {
        self.tally.interrupt();
    }

    /// Whether everything that can be read was read, and every outcome is in.
    pub fn is_done(&mut self, store: &Store) -> StoreResult<bool> {
        Ok(!self.is_waiting() && !self.holds_page() && self.next_job(store)?.is_none())
    }

    /// Whether a page that is due was read ahead.
    pub fn holds_page(&self) -> bool {
        self.tally.goes_on() && self.readings.iter().any(Reading::holds_page)
    }

    /// Takes that page.
    pub fn take_held(&mut self, store: &mut Store) -> StoreResult<()> {
        let mut readings = self
            .readings
            .iter_mut()
            .filter(|reading| reading.holds_page());
        let held = readings.find_map(|reading| Some((reading.stream, reading.take_held()?)));
        match held {
            Some((stream, (listed, time))) => self.take_page(store, stream, &listed, time, true),
            None => Ok(()),
        }
    }

    /// Takes the answer to [`Job::PageAhead`].
    pub fn collect_ahead(
        &mut self,
        clocks: &mut Clocks,
        stream: Stream,
        query: Query,
        answer: PageAnswer,
    ) {
        self.in_flight -= 1;
        if let Some(reading) = self.reading_mut(stream) {
            reading.ahead_answered(&query, answer, clocks);
        }
    }

    /// Whether it is time to commit.
    pub fn is_full(&self) -> bool {
        let ahead = self.readings.iter().map(Reading::records_ahead).sum();
        self.pending.is_full(ahead)
    }

    /// Takes the answer to [`Job::ListPage`].
    pub fn collect_page(
        &mut self,
        store: &mut Store,
        clocks: &mut Clocks,
        stream: Stream,
        answer: PageAnswer,
    ) -> StoreResult<()> {
        self.in_flight -= 1;
        let mut readings = self.readings.iter_mut();
        let Some(reading) = readings.find(|reading| reading.stream == stream) else {
            return Ok(());
        };
        let listed = match answer {
            Ok(listed) => listed,
            Err(error) => {
                if reading.recovers(&error).is_none() {
                    reading.fail();
                    self.fail(stream, &error);
                }
                return Ok(());
            }
        };
        if self.waits_for_clock
            && let Some(reason) = clocks_far_apart(listed.clock)
        {
            reading.fail();
            self.tally.failure(stream, reason.clone());
            self.abandon(reason);
            return Ok(());
        }
        let time = clocks.read(&listed, reading.waited());
        self.take_page(store, stream, &listed, time, false)
    }

    /// Takes a page of a list.
    fn take_page(
        &mut self,
        store: &mut Store,
        stream: Stream,
        listed: &ListPage,
        time: AnswerTime,
        is_held: bool,
    ) -> StoreResult<()> {
        self.tally.success();
        let mut readings = self.readings.iter_mut();
        let Some(reading) = readings.find(|reading| reading.stream == stream) else {
            return Ok(());
        };
        let read = reading.take(store, &mut self.pending, listed, time, is_held)?;
        if read.step == Step::End {
            if let Some(reason) = reading.incomplete() {
                self.tally.incomplete(stream, reason);
            }
        } else if let Some(reason) = reading.never_ends(store)? {
            reading.fail();
            self.tally.failure(stream, reason);
        } else if let Some(reason) = reading.leaves(&self.settings) {
            self.tally.unfinished(stream, reason);
        }
        for unusable in read.quarantined {
            self.count_quarantined(stream, unusable);
        }
        for (record, judged) in listed.page.records.iter().zip(&read.judged) {
            self.count(record, judged);
        }
        self.limit_quarantine(stream);
        Ok(())
    }

    /// Takes the answer to [`Job::Balances`].
    pub fn collect_balances(
        &mut self,
        store: &Store,
        account: String,
        answer: BalancesAnswer,
    ) -> StoreResult<()> {
        self.in_flight -= 1;
        let read = match answer {
            Ok(read) => read,
            Err(JobError::Request(error @ psp::Error::NotFound { .. }))
                if self.pending.missing.is_closed(&account) =>
            {
                log::debug!("{error}: the account is closed");
                self.tally.success();
                self.accounts.answered();
                return Ok(());
            }
            Err(error) => {
                if matches!(error, JobError::Request(psp::Error::NotFound { .. })) {
                    self.pending.missing.note(account);
                }
                self.fail(Stream::Balances, &error);
                return Ok(());
            }
        };
        self.tally.success();
        self.accounts.answered();
        self.pending.missing.see(&account);
        match read {
            Ok(record) => {
                let judged = self.pending.take(store, &record, false)?;
                self.count(&record, &judged);
            }
            Err(mut unusable) => {
                // Which account was asked for is known, whatever the answer says.
                unusable.id = Some(account);
                let quarantine = &mut self.pending.quarantine;
                if quarantine.add(store, Stream::Balances, QuarantineKind::Contract, &unusable)? {
                    self.count_quarantined(Stream::Balances, &unusable);
                }
            }
        }
        Ok(())
    }

    /// The publish step: commits what was read, with the cursors that it allows. Returns how many versions it
    /// committed. `ended`: the poll is over.
    pub fn commit(
        &mut self,
        store: &mut Store,
        client: &ServiceClient,
        ended: bool,
    ) -> StoreResult<()> {
        let readings = self.readings.iter();
        let moved: Vec<(Stream, Cursor)> = readings
            .filter_map(|reading| Some((reading.stream, reading.moved_cursor()?)))
            .chain(
                self.changed_balances()
                    .map(|cursor| (Stream::Balances, cursor)),
            )
            .collect();
        let ended_at = ended.then(|| Timestamp::now().second());
        let is_complete = ended && self.tally.goes_on();
        let poll = self.report(client).row(ended_at);
        let failing = if ended { self.failing() } else { Vec::new() };
        let batch = Batch {
            cursors: &moved,
            balances: BalancesProgress {
                next: self.accounts.given_up_at(),
                asked_at: self.accounts.asked_at().filter(|_| is_complete),
            },
            failing: &failing,
            poll: self.list.is_none().then_some(&poll),
            ..Batch::default()
        };
        self.pending.commit(store, &batch)?;
        for (stream, cursor) in moved {
            if let Some(reading) = self.reading_mut(stream) {
                reading.committed(cursor);
            } else {
                log_quirks(stream, &self.balances.quirks, &cursor.quirks);
                self.balances = cursor;
            }
        }
        if ended {
            self.decide(store)?;
        }
        Ok(())
    }

    /// Lists what waits for transactions that are not listed, if this poll has read them all.
    fn decide(&self, store: &mut Store) -> StoreResult<()> {
        let mut readings = self.readings.iter();
        let transactions = readings.find(|reading| reading.stream == Stream::Transactions);
        if let Some(since) = transactions.and_then(Reading::whole_since) {
            store.decide(ReadingReach {
                last_seq: store.last_seq()?,
                settled_before: since.earlier(self.settings.lookback),
            });
        }
        Ok(())
    }

    /// What has changed about the streams that polls do not read completely. The poll has ended.
    fn failing(&self) -> Vec<FailingChange> {
        let balances = StreamEnd {
            stream: Stream::Balances,
            is_complete: self.accounts.asked_at().is_some(),
            gets_on: false,
            ended_at: None,
        };
        let streams = self.readings.iter().map(Reading::end).chain([balances]);
        failing::changes(&self.failing, &self.tally, streams)
    }

    /// What is known of the balances, if that has changed.
    fn changed_balances(&self) -> Option<Cursor> {
        let mut cursor = self.balances.clone();
        let before = cursor.quirks.replicas_disagree_at;
        cursor.quirks.replicas_disagree_at = self.pending.older_balances.disagree_at(before);
        (cursor != self.balances).then_some(cursor)
    }

    /// What it did so far.
    pub fn report(&self, client: &ServiceClient) -> PollReport {
        PollReport {
            list: self.list,
            accounts: self.accounts_asked(),
            ..self.tally.report(client)
        }
    }

    /// How far the balances are, once every account is listed.
    fn accounts_asked(&self) -> WorkDone {
        let mut readings = self.readings.iter();
        if readings.any(|reading| reading.stream == Stream::Accounts && !reading.has_ended()) {
            return WorkDone::default();
        }
        self.accounts.progress()
    }

    /// Logs how many more there were of what was logged one by one.
    pub fn log_the_rest(&self) {
        self.tally.log_the_rest();
    }

    /// Counts what a record turned out to be, and logs what is odd about it.
    fn count(&mut self, record: &Record, judged: &Judged) {
        let stream = record.stream;
        if judged.newly_quarantined {
            self.tally
                .quarantined(stream, Some(&record.id), DUPLICATE, &record.json);
        }
        let Verdict::New { number } = judged.verdict else {
            return;
        };
        self.tally.new_version(stream);
        if number == 1 && stream == Stream::Accounts {
            self.accounts.push(record.id.to_string());
        }
        let same_date = judged
            .before
            .is_some_and(|(timestamp, _)| timestamp == record.timestamp);
        if number == RESTLESS_VERSIONS && same_date && stream != Stream::Balances {
            log::warn!(
                "{stream}: record \"{}\" has changed {number} times, most recently without a newer date: does the \
                service put the time of the request into it? Every change is delivered",
                escaped(&record.id)
            );
        }
    }

    fn count_quarantined(&mut self, stream: Stream, unusable: &Unusable) {
        let id = unusable.id.as_deref();
        self.tally
            .quarantined(stream, id, &unusable.reason, &unusable.json);
    }

    /// Leaves the rest of a list to the next poll if too much of it went into quarantine.
    fn limit_quarantine(&mut self, stream: Stream) {
        let too_much = quarantine::too_much(self.tally.quarantined_bytes(stream));
        if let Some(reason) = too_much
            && let Some(reading) = self.reading_mut(stream)
            && reading.is_ready()
        {
            reading.fail();
            self.tally.failure(stream, reason);
        }
    }

    /// Counts a job that has no answer, and draws the conclusions for the rest of the poll.
    fn fail(&mut self, stream: Stream, error: &JobError) {
        let of_balances = stream == Stream::Balances;
        let JobError::Request(error) = error else {
            return self.tally.failure(stream, error.to_string());
        };
        let failure = match error {
            psp::Error::Stopped { .. } => return self.interrupt(),
            psp::Error::NotFound { .. } if of_balances => {
                format!("{error}: the account no longer exists")
            }
            psp::Error::KeyRefused { status: 403, .. } if of_balances => {
                format!(
                    "{error}. If other balances are answered, the service withholds those of this account"
                )
            }
            _ => error.to_string(),
        };
        self.tally.failure(stream, failure.clone());
        let key_refused = matches!(error, psp::Error::KeyRefused { .. });
        // 403 may be about this account alone.
        let of_service =
            error.is_transient() || matches!(error, psp::Error::KeyRefused { status: 401, .. });
        if key_refused && !self.tally.has_succeeded() {
            self.abandon(failure);
        } else if of_balances
            && of_service
            && let Some(gave_up) = self.accounts.failed()
            && self.tally.has_succeeded()
        {
            log::error!("{stream}: {gave_up}");
        }
    }

    /// Asks nothing more in this poll.
    fn abandon(&mut self, reason: String) {
        let unread = self.readings.iter().filter(|reading| reading.is_ready());
        self.tally
            .abandon(reason, unread.map(|reading| reading.stream));
    }

    fn reading_mut(&mut self, stream: Stream) -> Option<&mut Reading> {
        let mut readings = self.readings.iter_mut();
        readings.find(|reading| reading.stream == stream)
    }
}
