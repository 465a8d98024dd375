//! The main loop: it decides what to ask next, hands jobs to the workers, collects what came of them, and ends every
//! batch with one publish step, [`Store::commit`].
//!
//! Who sends what to whom, and why it cannot deadlock: the loop hands jobs out over a channel without room, in the same
//! `select` in which it takes outcomes, so it never waits for a worker while a worker waits for it; workers send
//! outcomes over an unbounded channel, so they never wait for the loop. Nothing else is shared but the client. After a
//! commit the publishers are woken by a signal that is dropped if they are awake already.
//!
//! A poll (`cycle`) lists accounts and beneficiaries side by side, asks the balances of every known account and of a
//! new one as soon as its page is in, and lists transactions once the account list has ended. What was read becomes new
//! versions or not (`batch`); how far a list is complete is the cursor walk's business (`cursor`). One failing
//! request fails its account or its stream until the next poll; the rest goes on. A key that is refused from the start ends
//! the poll; balances that fail for one account after the other wait for the next one.
//!
//! Between polls, while nothing else is to do, a sweep (`sweep`) reads on in the lists from their beginning, one page at a
//! time. A poll that falls due does not wait for it: what the sweep has read is committed, and the answer that is still
//! to come is kept for the next slice. So a poll and a sweep never have anything pending together.

mod batch;
mod cursor;
mod cycle;
mod sweep;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, never, unbounded};

use crate::api::PerStream;
use crate::psp::ServiceClient;
use crate::stop::Stop;
use crate::store::{self, Store};
use cycle::{Cycle, Requests};
use sweep::{SliceEnd, Sweep};
use workers::{Answer, Job, Outcome, Workers};

pub use cycle::STANDING_POLLS;

/// How long requests in flight may go on once stopping is requested; then their connections are cut.
const GRACE: Duration = Duration::from_secs(3);
/// How long a cut request may take to notice.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// How many pages of a sweep are read after one poll of [`Poller::poll_once`]. With a timer, a slice lasts until the
/// next poll.
const SLICE_PAGES: u64 = 500;
/// So many pages of a sweep are read between two polls even if the second one is late already: where polls take longer
/// than their period, sweeps would never come to their end.
const LEAST_PAGES: u64 = 10;
/// So many periods without a poll that succeeds are reported.
pub const SILENT_PERIODS: u32 = 3;
/// Less room than this on the disk is reported. Bytes.
pub const LITTLE_ROOM: u64 = 256 << 20;

/// How to poll.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records asked for on a page.
    pub page_size: u32,
    /// How many requests run at once.
    pub workers: usize,
    /// New versions after which a batch is committed.
    pub batch_records: usize,
    /// By how many seconds a walk's first request goes back behind the cursor.
    pub lookback: u64,
    /// From the start of one poll to the start of the next.
    pub period: Duration,
    /// From the start of one sweep to the start of the next.
    pub sweep_period: Duration,
}

impl Settings {
    /// So many accounts in a row without an answer mean that the others will have none either.
    fn balances_failures_at_most(&self) -> usize {
        8.max(2 * self.workers)
    }
}

/// Why polling cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system gives no threads.
    #[error(
        "cannot start the worker threads: {0}; lower \"workers\" or raise the limit on processes"
    )]
    Threads(#[from] std::io::Error),
    /// Every worker thread has ended, which is a bug.
    #[error("the worker threads have ended: this is a bug, please report it")]
    WorkersLost,
    /// The loop was told to stop before the poll that was asked for began.
    #[error("generic-connector is shutting down; ask again when it is up")]
    Stopped,
}

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOutcome {
    /// Everything was read.
    Complete,
    /// A stream or an account failed, or a record was newly put into quarantine; the rest was read.
    Partial,
    /// No request succeeded.
    Failed,
    /// It was told to stop. What was read is stored.
    Interrupted,
}

impl PollOutcome {
    /// As the state and `status` have it.
    pub fn name(self) -> &'static str {
        match self {
            PollOutcome::Complete => "complete",
            PollOutcome::Partial => "partial",
            PollOutcome::Failed => "failed",
            PollOutcome::Interrupted => "interrupted",
        }
    }
}

/// What a poll did.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which poll, from 1.
    pub number: i64,
    /// How it ended.
    pub outcome: PollOutcome,
    /// New versions.
    pub versions: PerStream<i64>,
    /// HTTP requests, retries included.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
    /// Records newly put into quarantine.
    pub quarantined: usize,
    /// Requests that failed for good.
    pub failed: usize,
    /// What went wrong first.
    pub first_failure: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What a slice of a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records newly put into quarantine.
    pub quarantined: usize,
    /// Why it did not get as far as it should.
    pub failure: Option<String>,
    /// Lists that the sweep has left out, because they cannot be read.
    pub left_out: usize,
}

/// How far a running poll has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// New versions so far.
    pub versions: PerStream<i64>,
    /// HTTP requests so far.
    pub requests: u64,
    /// How long it has been running.
    pub elapsed: Duration,
}

/// What the loop tells about its work while it works.
pub trait Watch {
    /// A request was answered.
    fn progress(&mut self, _progress: Progress) {}
    /// A poll has ended.
    fn ended(&mut self, _summary: &Summary) {}
}

/// Watches nothing.
impl Watch for () {}

/// What can be asked of the loop while it runs.
pub enum Ask {
    /// To poll now. While a poll runs, one further is remembered.
    Poll(Option<Ended>),
    /// Whether it turns: it says so by calling this.
    Alive(Box<dyn FnOnce() + Send>),
}

/// Called when a poll has ended that began after it was asked for, or with the reason why there is none.
pub type Ended = Box<dyn FnOnce(Result<&Summary, &Error>) + Send>;

/// The main loop.
pub struct Poller<'a> {
    store: Store,
    client: Arc<ServiceClient>,
    settings: Settings,
    stop: Stop,
    ask: Sender<Ask>,
    asked: Receiver<Ask>,
    /// Who waits for the end of the poll that comes next, and of the one that runs.
    waiting: Vec<Ended>,
    answering: Vec<Ended>,
    publishers: Vec<Sender<()>>,
    watch: &'a mut dyn Watch,
    workers: Workers,
    current: Option<Cycle>,
    wanted: bool,
    /// When the next poll is due by the timer; none if there is no timer.
    timer: Option<Instant>,
    /// The client's counts when the current poll began.
    counted: Requests,
    /// The sweep that is under way, if this process has begun or taken it up.
    sweep: Option<Sweep>,
    /// Whether a slice of it is being read now.
    sweeping: bool,
    /// Records that the slice has newly put into quarantine.
    swept_quarantined: usize,
    /// Lists that the last sweep has left out.
    left_out: usize,
    /// The answer to a slice's last job, which came after its end.
    late: Option<Outcome>,
    /// When a poll last succeeded, or the loop began; whether it was said that this is long ago.
    last_good_poll: Instant,
    silence_reported: bool,
    /// Whether it was said that the disk has little room.
    room_reported: bool,
}

/// Everything that can wake the loop.
enum Event {
    /// The job was handed to a worker.
    HandedOut,
    Outcome(Outcome),
    /// By the timer, or on request.
    PollDue,
    /// A question was answered.
    Asked,
    Stop,
}

impl<'a> Poller<'a> {
    /// A loop over that store and client. After each commit every one of `publishers` gets a signal.
    pub fn new(
        store: Store,
        client: Arc<ServiceClient>,
        settings: Settings,
        stop: Stop,
        publishers: Vec<Sender<()>>,
        watch: &'a mut dyn Watch,
    ) -> Result<Poller<'a>, Error> {
        let (ask, asked) = unbounded();
        let workers = Workers::start(settings.workers, client.clone())?;
        Ok(Poller {
            store,
            client,
            settings,
            stop,
            ask,
            asked,
            waiting: Vec::new(),
            answering: Vec::new(),
            publishers,
            watch,
            workers,
            current: None,
            wanted: false,
            timer: None,
            counted: Requests::default(),
            sweep: None,
            sweeping: false,
            swept_quarantined: 0,
            left_out: 0,
            late: None,
            last_good_poll: Instant::now(),
            silence_reported: false,
            room_reported: false,
        })
    }

    /// Polls once, until everything is read or stopping is requested. An error if the state fails.
    pub fn poll_once(&mut self) -> Result<Summary, Error> {
        self.begin()?;
        loop {
            let event = self.next_event()?;
            if let Some(summary) = self.handle(event)? {
                return Ok(summary);
            }
        }
    }

    /// Reads a slice of a sweep if one is due or under way; all of it, and one that is not due, if it is `wanted`.
    pub fn sweep_once(&mut self, wanted: bool) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        if self.stop.requested() || !(wanted || Sweep::is_due(&self.store, &self.settings)?) {
            return Ok(swept);
        }
        self.begin_slice()?;
        while let Some(sweep) = self.sweep.as_ref().filter(|_| self.sweeping) {
            if !wanted && sweep.pages() >= SLICE_PAGES {
                self.pause_sweep()?;
                break;
            }
            match self.next_event()? {
                Event::Outcome(outcome) => {
                    swept.failure = self.collect_sweep(outcome)?;
                    swept.quarantined = self.swept_quarantined;
                    swept.left_out = self.left_out;
                }
                Event::Stop => {
                    self.wind_up()?;
                }
                Event::HandedOut | Event::PollDue | Event::Asked => {}
            }
        }
        Ok(swept)
    }

    /// Polls by the timer and on request, until stopping is requested. A state that fails, as on a full disk, is
    /// reported and tried again in the next period.
    pub fn run(&mut self) -> Result<(), Error> {
        self.timer = Some(Instant::now());
        while !self.stop.requested() || self.current.is_some() {
            match self.next_event().and_then(|event| self.handle(event)) {
                Ok(_) => {}
                Err(error @ Error::Store(_)) => {
                    log::error!("poll given up: {error}");
                    self.drain();
                    self.wanted = false;
                    let waiting = self.answering.drain(..).chain(self.waiting.drain(..));
                    waiting.for_each(|ended| ended(Err(&error)));
                    self.current = None;
                    self.sweep = None;
                    self.sweeping = false;
                    self.report_silence();
                }
                Err(error) => return Err(error),
            }
        }
        self.turn_away();
        Ok(())
    }

    /// Answers who waits for a poll that will not begin, and takes no more questions.
    fn turn_away(&mut self) {
        let asked = std::mem::replace(&mut self.asked, never());
        for ask in asked.try_iter() {
            if let Ask::Poll(ended) = ask {
                self.waiting.extend(ended);
            }
        }
        let waiting = self.waiting.drain(..);
        waiting.for_each(|ended| ended(Err(&Error::Stopped)));
    }

    /// The state.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where things are asked of the loop.
    pub fn ask(&self) -> Sender<Ask> {
        self.ask.clone()
    }

    /// The seq of the newest committed version.
    pub fn last_seq(&self) -> Result<i64, store::Error> {
        self.store.last_seq()
    }

    fn next_event(&mut self) -> Result<Event, Error> {
        let job = match (&mut self.current, &self.sweep) {
            (Some(cycle), _) => cycle.next_job(&self.store, &self.settings)?,
            (None, Some(sweep)) if self.sweeping => sweep.next_job(),
            (None, _) => None,
        };
        let mut select = Select::new();
        let outcomes = select.recv(&self.workers.outcomes);
        let stop = select.recv(self.stop.receiver());
        let asked = select.recv(&self.asked);
        if job.is_some() {
            select.send(&self.workers.jobs);
        }
        let operation = match self.timer {
            Some(due) => select.select_deadline(due),
            None => Ok(select.select()),
        };
        let Ok(operation) = operation else {
            self.timer = Some(Instant::now() + self.settings.period);
            return Ok(Event::PollDue);
        };
        match operation.index() {
            index if index == outcomes => operation
                .recv(&self.workers.outcomes)
                .map(Event::Outcome)
                .map_err(|_| Error::WorkersLost),
            index if index == stop => {
                let _ = operation.recv(self.stop.receiver());
                Ok(Event::Stop)
            }
            index if index == asked => match operation.recv(&self.asked) {
                Ok(Ask::Poll(ended)) => {
                    self.waiting.extend(ended);
                    Ok(Event::PollDue)
                }
                Ok(Ask::Alive(say_so)) => {
                    say_so();
                    Ok(Event::Asked)
                }
                // The loop holds a sender itself.
                Err(_) => Ok(Event::Asked),
            },
            _ => {
                let job = job.ok_or(Error::WorkersLost)?;
                match (&mut self.current, &mut self.sweep) {
                    (Some(cycle), _) => cycle.handed_out(&job),
                    (None, Some(sweep)) => sweep.handed_out(),
                    (None, None) => {}
                }
                operation
                    .send(&self.workers.jobs, job)
                    .map_err(|_| Error::WorkersLost)?;
                Ok(Event::HandedOut)
            }
        }
    }

    /// Takes one event. The summary of the poll that it ended, if it did.
    fn handle(&mut self, event: Event) -> Result<Option<Summary>, Error> {
        match event {
            Event::HandedOut | Event::Asked => return Ok(None),
            Event::PollDue if self.current.is_some() => {
                self.wanted = true;
                self.report_silence();
                return Ok(None);
            }
            Event::PollDue => self.begin()?,
            Event::Outcome(outcome) if matches!(outcome.job, Job::SweepPage { .. }) => {
                if let Some(error) = self.collect_sweep(outcome)? {
                    log::warn!("the sweep goes on after the next poll: {error}");
                }
                let pages = self.sweep.as_ref().map_or(0, Sweep::pages);
                if self.wanted && self.current.is_none() && (!self.sweeping || pages >= LEAST_PAGES)
                {
                    self.begin()?;
                }
                return Ok(None);
            }
            Event::Outcome(outcome) => self.collect(outcome)?,
            Event::Stop => return self.wind_up(),
        }
        self.finish_if_done()
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.pause_sweep()?;
        self.timer = self.timer.map(|_| Instant::now() + self.settings.period);
        self.wanted = false;
        self.answering.append(&mut self.waiting);
        self.client.begin_poll();
        self.counted = Requests {
            made: self.client.requests(),
            retries: self.client.retries(),
        };
        self.current = Some(Cycle::begin(&mut self.store, &self.settings)?);
        // It may have taken records out of quarantine.
        wake(&self.publishers);
        Ok(())
    }

    fn collect(&mut self, outcome: Outcome) -> Result<(), Error> {
        let requests = self.requests();
        let Some(cycle) = &mut self.current else {
            return Ok(());
        };
        cycle.collect(&self.store, &self.settings, outcome)?;
        if cycle.is_full() {
            cycle.commit(&mut self.store, requests, false)?;
            wake(&self.publishers);
            // A first import may take longer than any number of periods.
            self.last_good_poll = Instant::now();
        }
        let progress = Progress {
            versions: cycle.versions(),
            requests: requests.made,
            elapsed: cycle.elapsed(),
        };
        self.watch.progress(progress);
        Ok(())
    }

    fn begin_slice(&mut self) -> Result<(), Error> {
        let mut fresh = false;
        if let (Some(sweep), Some(late)) = (&mut self.sweep, self.late.take())
            && sweep.expects(&late.job)
            && let Answer::Page(answer) = late.answer
        {
            fresh = true;
            if let Some(SliceEnd::Complete(row)) = sweep.collect(&mut self.store, answer)? {
                sweep::log_end(&row);
                self.sweep = None;
                return Ok(());
            }
        }
        match &mut self.sweep {
            Some(sweep) => sweep.go_on(&self.store, fresh)?,
            None => self.sweep = Some(Sweep::take_up(&self.store, &self.settings)?),
        }
        self.sweeping = true;
        Ok(())
    }

    /// Ends the slice that is being read, if one is. What it has read is committed.
    fn pause_sweep(&mut self) -> Result<(), Error> {
        if let Some(sweep) = self.sweep.as_mut().filter(|_| self.sweeping) {
            self.sweeping = false;
            sweep.pause(&mut self.store)?;
            wake(&self.publishers);
        }
        Ok(())
    }

    /// Takes an answer to a sweep's job. Why the slice had to end before its time, if it had to.
    fn collect_sweep(&mut self, outcome: Outcome) -> Result<Option<String>, Error> {
        let Some(sweep) = self
            .sweep
            .as_mut()
            .filter(|sweep| sweep.expects(&outcome.job))
        else {
            return Ok(None);
        };
        if !self.sweeping {
            // Its slice has ended meanwhile: it is the next one's first.
            sweep.answered();
            self.late = Some(outcome);
            return Ok(None);
        }
        let end = match outcome.answer {
            Answer::Page(answer) => {
                let end = sweep.collect(&mut self.store, answer)?;
                self.swept_quarantined = sweep.quarantined();
                end
            }
            Answer::Panicked(message) => Some(SliceEnd::Failed(format!(
                "a request panicked ({message}): this is a bug, please report it"
            ))),
            Answer::Balances(_) => None,
        };
        if end.is_some() {
            self.sweeping = false;
            wake(&self.publishers);
        }
        Ok(match end {
            Some(SliceEnd::Complete(row)) => {
                self.sweep = None;
                self.left_out = row.unread.len();
                sweep::log_end(&row);
                None
            }
            Some(SliceEnd::Failed(error)) => Some(error),
            None => None,
        })
    }

    /// Stops asking, and waits a bounded time for what is in flight.
    fn wind_up(&mut self) -> Result<Option<Summary>, Error> {
        self.pause_sweep()?;
        if let Some(cycle) = &mut self.current {
            cycle.interrupt();
        }
        let mut patience = Instant::now() + GRACE;
        let mut cut = false;
        while self.current.as_ref().is_some_and(Cycle::is_waiting) {
            match self.workers.outcomes.recv_deadline(patience) {
                Ok(outcome) if matches!(outcome.job, Job::SweepPage { .. }) => {}
                Ok(outcome) => self.collect(outcome)?,
                Err(_) if cut => break,
                Err(_) => {
                    self.client.abandon();
                    cut = true;
                    patience = Instant::now() + LAST_GRACE;
                }
            }
        }
        match self.current.take() {
            Some(cycle) => self.finish(cycle).map(Some),
            None => Ok(None),
        }
    }

    fn finish_if_done(&mut self) -> Result<Option<Summary>, Error> {
        let Some(mut cycle) = self.current.take() else {
            return Ok(None);
        };
        if !cycle.is_done(&self.store, &self.settings)? {
            self.current = Some(cycle);
            return Ok(None);
        }
        let summary = self.finish(cycle)?;
        if self.timer.is_some()
            && summary.outcome != PollOutcome::Failed
            && Sweep::is_due(&self.store, &self.settings)?
        {
            self.begin_slice()?;
        }
        if self.wanted && !self.sweeping {
            self.begin()?;
        }
        Ok(Some(summary))
    }

    fn finish(&mut self, mut cycle: Cycle) -> Result<Summary, Error> {
        let requests = self.requests();
        let committed = cycle.commit(&mut self.store, requests, true)?;
        if committed > 0 {
            wake(&self.publishers);
        }
        cycle.log_the_rest();
        let summary = cycle.summary(requests);
        log_summary(&summary);
        if summary.outcome != PollOutcome::Failed {
            self.last_good_poll = Instant::now();
            self.silence_reported = false;
        }
        self.report_silence();
        self.report_room();
        self.watch.ended(&summary);
        self.answering
            .drain(..)
            .for_each(|ended| ended(Ok(&summary)));
        Ok(summary)
    }

    /// Says once that no poll has succeeded for long.
    fn report_silence(&mut self) {
        let silent = self.last_good_poll.elapsed();
        if silent >= self.settings.period * SILENT_PERIODS && !self.silence_reported {
            self.silence_reported = true;
            log::warn!(
                "no poll has succeeded for {:.0} s: what is delivered stands still",
                silent.as_secs_f64()
            );
        }
    }

    /// Says once that the disk will soon be full.
    fn report_room(&mut self) {
        let Some(free) = self.store.free_bytes() else {
            return;
        };
        let little = free < LITTLE_ROOM;
        if little && !self.room_reported {
            log::warn!(
                "the disk of the state has {} MB left: when it is full, nothing new is stored or delivered",
                free / 1_000_000
            );
        }
        self.room_reported = little;
    }

    /// Takes and drops what is still to come of a poll that was given up.
    fn drain(&mut self) {
        let Some(cycle) = &mut self.current else {
            return;
        };
        cycle.interrupt();
        while cycle.is_waiting() && !self.stop.requested() {
            match self
                .workers
                .outcomes
                .recv_timeout(Duration::from_millis(100))
            {
                Ok(outcome) if matches!(outcome.job, Job::SweepPage { .. }) => {}
                Ok(_) => cycle.dropped(),
                Err(_) => continue,
            }
        }
    }

    fn requests(&self) -> Requests {
        Requests {
            made: self.client.requests() - self.counted.made,
            retries: self.client.retries() - self.counted.retries,
        }
    }
}

fn wake(publishers: &[Sender<()>]) {
    for publisher in publishers {
        // A full channel is a publisher that has not yet taken the last signal.
        let _ = publisher.try_send(());
    }
}

fn log_summary(summary: &Summary) {
    let new: i64 = summary.versions.values().sum();
    let by_stream: Vec<String> = summary
        .versions
        .iter()
        .map(|(stream, new)| format!("{stream} {new}"))
        .collect();
    let mut line = format!(
        "poll {} {}: {new} new versions ({}), {} requests, {} retries, {:.1} s",
        summary.number,
        summary.outcome.name(),
        by_stream.join(", "),
        summary.requests,
        summary.retries,
        summary.elapsed.as_secs_f64()
    );
    if summary.quarantined > 0 {
        line += &format!(", {} put into quarantine", summary.quarantined);
    }
    match (summary.outcome, &summary.first_failure) {
        (PollOutcome::Failed, Some(failure)) => log::error!("{line}: {failure}"),
        _ => log::info!("{line}"),
    }
}
