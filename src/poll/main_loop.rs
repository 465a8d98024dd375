use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Select, Sender};

use super::activity::Activity;
use super::alarms::Alarms;
use super::clock::Clocks;
use super::cycle::Cycle;
use super::queue::{Ask, PollQueue};
use super::sweep::Sweep;
use super::watch::Watch;
use super::workers::{Job, Outcome, PageAnswer, Workers};
use super::{Error, PollOutcome, PollReport, Settings, SliceReport, StoreResult};
use crate::api::{Query, Stream};
use crate::health::Alarm;
use crate::psp::ServiceClient;
use crate::stop::Stop;
use crate::store::Store;

/// How long requests in flight may go on once stopping is requested. Then their connections are cut.
const GRACE: Duration = Duration::from_secs(3);
/// How long a request may take to notice that its connection was cut.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// Pages of a sweep that are read after one poll of [`Poller::poll_once`]. With a timer, a slice lasts until the next
/// poll.
const SLICE_PAGES: u64 = 500;
/// Pages of a sweep that are read between two polls even if the second one is late already. Otherwise no sweep would end
/// where polls take longer than their period.
const LEAST_PAGES: u64 = 10;

/// The main loop.
pub struct Poller<'a> {
    store: Store,
    client: Arc<ServiceClient>,
    settings: Settings,
    stop: Stop,
    workers: Workers,
    queue: PollQueue,
    activity: Activity,
    /// The sweep that is under way while the loop does something else.
    paused: Option<Box<Sweep>>,
    /// They are woken by a commit.
    publishers: Vec<Sender<()>>,
    watch: &'a mut dyn Watch,
    alarms: Alarms,
    clocks: Clocks,
}

/// Everything that can wake the loop.
enum Event {
    /// A worker has taken this job.
    HandedOut(Job),
    /// A worker has done a job.
    Answered(Outcome),
    /// Nothing has happened, and a page that is due was read ahead.
    Held,
    /// The timer has expired, or nothing has happened for as long as the loop may wait.
    Waited { poll_is_due: bool },
    /// Somebody asks for something.
    Asked(Ask),
    /// Stopping is requested.
    Stop,
}

/// What an event has brought to its end.
enum Finished {
    Poll(PollReport),
    Slice(SliceReport),
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
        Ok(Poller {
            workers: Workers::start(settings.workers, client.clone())?,
            queue: PollQueue::new(settings.period),
            store,
            client,
            settings,
            stop,
            activity: Activity::Idle,
            paused: None,
            publishers,
            watch,
            alarms: Alarms::new(),
            clocks: Clocks::new(),
        })
    }

    /// Polls by the timer and on request, until stopping is requested. When the state fails, as on a full disk, the poll
    /// is aborted and the next period tries again. A state that is damaged or replaced is an error: trying
    /// again would not help.
    pub fn run(&mut self) -> Result<(), Error> {
        self.queue.start_timer();
        while !self.stop.requested() || self.activity.is_polling() {
            match self.turn() {
                Ok(()) => {}
                Err(error @ Error::Store(_)) => {
                    self.abort(&error);
                    if matches!(&error, Error::Store(cause) if cause.is_final()) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.watch.stops();
        self.queue.close();
        Ok(())
    }

    /// Polls once, until everything is read or stopping is requested. An error if the state fails.
    pub fn poll_once(&mut self) -> Result<PollReport, Error> {
        self.begin_poll()?;
        loop {
            if let Some(Finished::Poll(report)) = self.step()? {
                return Ok(report);
            }
        }
    }

    /// Reads a slice of a sweep if one is due or under way. If it is `wanted`, it need not be due and is read to its end.
    pub fn sweep_once(&mut self, wanted: bool) -> Result<SliceReport, Error> {
        if self.stop.requested() || !(wanted || Sweep::is_due(&self.store, &self.settings)?) {
            return Ok(SliceReport::default());
        }
        if wanted {
            self.store.ask_for_sweep()?;
        }
        self.begin_slice()?;
        while let Activity::Sweeping(sweep) = &self.activity
            && (wanted || sweep.pages() < SLICE_PAGES)
        {
            if let Some(Finished::Slice(report)) = self.step()? {
                return Ok(report);
            }
        }
        Ok(self.pause_sweep()?.unwrap_or_default())
    }

    /// The state.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where things are asked of the loop.
    pub fn ask(&self) -> Sender<Ask> {
        self.queue.sender()
    }

    /// One turn of [`run`](Poller::run): an event, and what may begin after it.
    fn turn(&mut self) -> Result<(), Error> {
        let finished = self.step()?;
        if self.stop.requested() {
            return Ok(());
        }
        match finished {
            Some(Finished::Poll(report)) => {
                let failed = report.outcome == PollOutcome::Failed;
                if !failed && Sweep::is_due(&self.store, &self.settings)? {
                    self.begin_slice()?;
                }
            }
            Some(Finished::Slice(report)) => {
                if let Some(error) = report.failure {
                    log::warn!("the sweep continues after the next poll: {error}");
                }
            }
            None => {}
        }
        let has_time = match &self.activity {
            Activity::Idle => true,
            Activity::Polling(_) => false,
            Activity::Sweeping(sweep) => sweep.pages() >= LEAST_PAGES,
        };
        if has_time && self.queue.is_ready() {
            self.begin_poll()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Finished>, Error> {
        let job = match &mut self.activity {
            Activity::Idle => None,
            Activity::Polling(cycle) => cycle.next_job(&self.store)?,
            Activity::Sweeping(sweep) => sweep.next_job(),
        };
        let event = self.next_event(job, self.activity.holds_page())?;
        self.handle(event)
    }

    /// Waits for what comes first, if no page is held. The job is handed out if a worker is free before anything else happens.
    fn next_event(&mut self, job: Option<Job>, holds_page: bool) -> Result<Event, Error> {
        let wake_at = self.watch.turns();
        let (jobs, outcomes) = (&self.workers.jobs, &self.workers.outcomes);
        let (asked, stop) = (self.queue.asked(), self.stop.receiver());
        let mut select = Select::new();
        let answered_index = select.recv(outcomes);
        let asked_index = select.recv(asked);
        let stop_index = select.recv(stop);
        if job.is_some() {
            select.send(jobs);
        }
        if holds_page && let Err(_) = select.try_ready() {
            return Ok(Event::Held);
        }
        let due = self.queue.due();
        let ready = match due.into_iter().chain(wake_at).min() {
            Some(deadline) => select.select_deadline(deadline),
            None => Ok(select.select()),
        };
        let Ok(operation) = ready else {
            let poll_is_due = due.is_some_and(|due| due <= Instant::now());
            return Ok(Event::Waited { poll_is_due });
        };
        let index = operation.index();
        if index == answered_index {
            let outcome = operation.recv(outcomes);
            outcome.map(Event::Answered).map_err(|_| Error::WorkersLost)
        } else if index == asked_index {
            let ask = operation.recv(asked);
            ask.map(Event::Asked).map_err(|_| Error::AskersLost)
        } else if index == stop_index {
            // Nothing is ever sent: the channel is closed.
            let _ = operation.recv(stop);
            Ok(Event::Stop)
        } else {
            let job = job.ok_or(Error::WorkersLost)?;
            let sent = operation.send(jobs, job.clone());
            sent.map(|()| Event::HandedOut(job))
                .map_err(|_| Error::WorkersLost)
        }
    }

    fn handle(&mut self, event: Event) -> Result<Option<Finished>, Error> {
        match event {
            Event::HandedOut(job) => self.activity.handed_out(&job),
            Event::Answered(outcome) => return self.collect(outcome),
            Event::Held => return self.collect_for_poll(|cycle, store, _| cycle.take_held(store)),
            Event::Waited { poll_is_due: true } => {
                self.queue.timer_expired();
                self.poll_is_wanted()?;
            }
            Event::Waited { poll_is_due: false } => {}
            Event::Asked(Ask::Poll(list, waiter)) => {
                self.queue.want(list, waiter);
                if self.queue.is_ready() {
                    self.poll_is_wanted()?;
                }
            }
            Event::Asked(Ask::Sweep) => {
                self.store.ask_for_sweep()?;
                if let Activity::Idle = self.activity {
                    self.begin_slice()?;
                }
            }
            Event::Asked(Ask::Alive(say_so)) => say_so(),
            Event::Stop => return self.wind_up(),
        }
        Ok(None)
    }

    /// Begins a poll now, or remembers that one is wanted while another runs.
    fn poll_is_wanted(&mut self) -> Result<(), Error> {
        if self.activity.is_polling() {
            self.alarms.check_silence(self.settings.period);
            return Ok(());
        }
        self.begin_poll()
    }

    fn begin_poll(&mut self) -> Result<(), Error> {
        self.pause_sweep()?;
        let list = self.queue.begun();
        self.client.begin_poll();
        self.client.counters().polls.begun();
        let cycle = Cycle::begin(&mut self.store, &self.client, &self.settings, list)?;
        self.activity = Activity::Polling(Box::new(cycle));
        // Records may have been taken out of quarantine.
        wake(&self.publishers);
        Ok(())
    }

    fn collect(&mut self, outcome: Outcome) -> Result<Option<Finished>, Error> {
        match outcome {
            Outcome::ListPage { stream, answer } => {
                self.collect_for_poll(|cycle, store, clocks| {
                    cycle.collect_page(store, clocks, stream, answer)
                })
            }
            Outcome::PageAhead {
                stream,
                query,
                answer,
            } => self.collect_for_poll(|cycle, _, clocks| {
                cycle.collect_ahead(clocks, stream, query, answer);
                Ok(())
            }),
            Outcome::Balances { account, answer } => self
                .collect_for_poll(|cycle, store, _| cycle.collect_balances(store, account, answer)),
            Outcome::SweepPage {
                stream,
                query,
                answer,
            } => self.collect_for_sweep(stream, query, answer),
        }
    }

    fn collect_for_poll(
        &mut self,
        collect: impl FnOnce(&mut Cycle, &mut Store, &mut Clocks) -> StoreResult<()>,
    ) -> Result<Option<Finished>, Error> {
        let Activity::Polling(cycle) = &mut self.activity else {
            // The poll was aborted.
            return Ok(None);
        };
        collect(cycle, &mut self.store, &mut self.clocks)?;
        if cycle.is_full() {
            cycle.commit(&mut self.store, &self.client, false)?;
            wake(&self.publishers);
            self.alarms.batch_committed();
        }
        self.watch.progress(&cycle.report(&self.client));
        if cycle.is_done(&self.store)? {
            return self.finish_poll();
        }
        Ok(None)
    }

    fn finish_poll(&mut self) -> Result<Option<Finished>, Error> {
        let Activity::Polling(mut cycle) = std::mem::take(&mut self.activity) else {
            return Ok(None);
        };
        cycle.commit(&mut self.store, &self.client, true)?;
        let report = cycle.report(&self.client);
        if report.versions.values().any(|versions| *versions > 0) {
            wake(&self.publishers);
        }
        if report.outcome != PollOutcome::Failed {
            cycle.log_the_rest();
            if report.list.is_none() {
                self.alarms.poll_succeeded();
            }
        }
        report.log();
        let polls = &self.client.counters().polls;
        polls.ended(report.outcome.name(), report.elapsed);
        let dropped = self.store.rest(&self.settings.retention)?;
        if dropped > 0 {
            log::debug!("{dropped} superseded balances were kept long enough and are dropped");
        }
        self.alarms.check(&self.store, self.settings.period)?;
        self.alarms
            .check_certificate(self.client.certificate_expiry());
        self.watch.ended(&report);
        self.queue.ended(&report);
        Ok(Some(Finished::Poll(report)))
    }

    fn begin_slice(&mut self) -> Result<(), Error> {
        let sweep = match self.paused.take() {
            Some(mut sweep) => {
                sweep.go_on(&mut self.store)?;
                sweep
            }
            None => Box::new(Sweep::take_up(&self.store, &self.settings)?),
        };
        let is_complete = sweep.is_complete();
        self.activity = Activity::Sweeping(sweep);
        if is_complete {
            self.end_slice();
        }
        Ok(())
    }

    fn collect_for_sweep(
        &mut self,
        stream: Stream,
        query: Query,
        answer: PageAnswer,
    ) -> Result<Option<Finished>, Error> {
        if let Activity::Sweeping(sweep) = &mut self.activity {
            if sweep.expects(stream, query) {
                if let Some(report) = sweep.collect(&mut self.store, answer)? {
                    self.end_slice();
                    return Ok(Some(Finished::Slice(report)));
                }
                self.watch.swept(sweep.progress(&self.store)?);
            }
        } else if let Some(sweep) = &mut self.paused
            && sweep.expects(stream, query)
        {
            sweep.keep(answer);
        }
        // What nobody expects was asked for by a sweep that was aborted.
        Ok(None)
    }

    /// Ends the slice that is being read, if there is one. What it has read is committed.
    fn pause_sweep(&mut self) -> Result<Option<SliceReport>, Error> {
        let Activity::Sweeping(sweep) = &mut self.activity else {
            return Ok(None);
        };
        let report = sweep.pause(&mut self.store)?;
        self.end_slice();
        Ok(Some(report))
    }

    fn end_slice(&mut self) {
        let Activity::Sweeping(sweep) = std::mem::take(&mut self.activity) else {
            return;
        };
        wake(&self.publishers);
        if sweep.is_complete() {
            let missed = &self.client.counters().polls.missed;
            missed.fetch_add(sweep.log_end(), Relaxed);
        } else {
            self.paused = Some(sweep);
        }
    }

    /// Stops asking, and waits a bounded time for what is in flight.
    fn wind_up(&mut self) -> Result<Option<Finished>, Error> {
        self.watch.stops();
        if let Some(report) = self.pause_sweep()? {
            return Ok(Some(Finished::Slice(report)));
        }
        if let Activity::Polling(cycle) = &mut self.activity {
            cycle.interrupt();
        }
        let mut deadline = Instant::now() + GRACE;
        let mut cut = false;
        while self.activity.is_waiting() {
            match self.workers.outcomes.recv_deadline(deadline) {
                Ok(outcome) => {
                    if let Some(finished) = self.collect(outcome)? {
                        return Ok(Some(finished));
                    }
                }
                Err(_) if cut => break,
                Err(_) => {
                    self.client.abandon();
                    cut = true;
                    deadline = Instant::now() + LAST_GRACE;
                }
            }
        }
        self.finish_poll()
    }

    /// Drops what the loop was doing, because the state has failed.
    fn abort(&mut self, error: &Error) {
        let abort = self.client.counters().polls.aborted(error.to_string());
        log::error!("{}", Alarm::PollAborted(abort));
        self.watch.aborted(error);
        self.drain();
        self.queue.aborted(error);
        self.activity = Activity::Idle;
        self.paused = None;
        self.alarms.check_silence(self.settings.period);
    }

    /// Drops what is still to come of the poll, so that the next one does not meet it.
    fn drain(&mut self) {
        let Activity::Polling(cycle) = &mut self.activity else {
            return;
        };
        while cycle.is_waiting() && !self.stop.requested() {
            self.watch.turns();
            let patience = Duration::from_millis(100);
            match self.workers.outcomes.recv_timeout(patience) {
                Ok(
                    Outcome::ListPage { .. } | Outcome::PageAhead { .. } | Outcome::Balances { .. },
                ) => cycle.dropped(),
                Ok(Outcome::SweepPage { .. }) | Err(_) => {}
            }
        }
    }
}

fn wake(publishers: &[Sender<()>]) {
    for publisher in publishers {
        // A full channel is a publisher that has not taken the last signal yet.
        let _ = publisher.try_send(());
    }
}
