use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{DeliveryError, Publisher};
use crate::crash;
use crate::stop::Stop;
use crate::store::{Change, ChangeLog, Delivered};

/// What was refused is tried again in slices of so many.
const RETRIES: usize = 16;
/// Bytes of records delivered at once, after which no further change is added.
const MOST_BYTES: usize = 1 << 20;
/// The first wait after a failure; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two tries, unless the target asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// As long as a target is left alone that asks for patience.
const LONGEST_WISH: Duration = Duration::from_secs(600);
/// How often a target is asked what it holds while all goes well.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// The delivery threads.
#[derive(Debug, Default)]
pub struct Deliveries(Vec<Delivery>);

/// One publisher's thread.
#[derive(Debug)]
pub struct Delivery {
    name: String,
    wake: Sender<()>,
    standing: Arc<Mutex<Standing>>,
    thread: JoinHandle<()>,
}

/// How far a publisher has come.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The last seq delivered.
    pub offset: i64,
    /// When it last delivered, or began.
    pub advanced_at: Instant,
    /// Whether it has looked for everything that there is to do, once at least.
    pub has_looked: bool,
    /// Versions that were put into quarantine since it began, because the target refuses them.
    pub refused: usize,
    /// Why it does not deliver, while it does not.
    pub error: Option<String>,
}

/// What a delivery thread works with.
struct Worker {
    publisher: Box<dyn Publisher>,
    log: ChangeLog,
    standing: Arc<Mutex<Standing>>,
    /// When the target was last asked what it holds; none if that is not known.
    resumed_at: Option<Instant>,
    /// The end of the batch under way, if it is to be sent as it was begun.
    sending: Option<i64>,
    /// Changes delivered at once, at most: fewer while the target fails on many at once.
    most: usize,
    /// The end of a batch that was refused and has more than one change: one of those up to there is why.
    suspect: Option<i64>,
}

impl Delivery {
    /// Starts delivering from the change log. An error if what the target holds is not of this state; a target that is
    /// only down is waited for.
    pub fn start(
        mut publisher: Box<dyn Publisher>,
        log: ChangeLog,
        stop: Stop,
    ) -> Result<Delivery, String> {
        let name = publisher.name().to_owned();
        let failed = |error: &dyn std::fmt::Display| format!("publisher \"{name}\": {error}");
        publisher.open(&log).map_err(|error| failed(&error))?;
        let is_another = log
            .register(&name, publisher.kind())
            .map_err(|error| failed(&error))?;
        if is_another {
            log::warn!(
                "publisher \"{name}\" has another type than it had: everything is delivered from the beginning"
            );
        }
        let progress = log.progress(&name).map_err(|error| failed(&error))?;
        let standing = Arc::new(Mutex::new(Standing {
            offset: progress.replay.unwrap_or(progress.offset),
            advanced_at: Instant::now(),
            has_looked: false,
            refused: 0,
            error: None,
        }));
        let (wake, woken) = bounded(1);
        let worker = Worker {
            most: publisher.most_changes(),
            publisher,
            log,
            standing: standing.clone(),
            resumed_at: None,
            sending: progress.sending,
            suspect: None,
        };
        let thread = thread::Builder::new()
            .name(format!("deliver-{name}"))
            .spawn(move || worker.run(&woken, &stop))
            .map_err(|error| failed(&error))?;
        Ok(Delivery {
            name,
            wake,
            standing,
            thread,
        })
    }
}

impl Deliveries {
    /// Adds one.
    pub fn push(&mut self, delivery: Delivery) {
        self.0.push(delivery);
    }

    /// The signals that wake each of them after a commit.
    pub fn wakers(&self) -> Vec<Sender<()>> {
        self.0
            .iter()
            .map(|delivery| delivery.wake.clone())
            .collect()
    }

    /// Waits until each has delivered everything up to `seq`, until the deadline if there is one. Gives up on one that has
    /// not advanced for `patience`, and when stopping is requested. What remains, one message for each publisher that
    /// has not finished.
    pub fn wait_for(
        &self,
        seq: i64,
        patience: Duration,
        deadline: Option<Instant>,
        stop: &Stop,
    ) -> Vec<String> {
        let waited_since = Instant::now();
        let mut remaining = Vec::new();
        for delivery in &self.0 {
            loop {
                let standing = delivery.standing();
                // One that cannot even look has said why.
                let has_looked = standing.has_looked || standing.error.is_some();
                if standing.offset >= seq && has_looked {
                    break;
                }
                let since = standing.advanced_at.max(waited_since);
                if since.elapsed() >= patience
                    || deadline.is_some_and(|deadline| Instant::now() >= deadline)
                    || delivery.thread.is_finished()
                    || stop.wait(Duration::from_millis(10))
                {
                    let reason = standing
                        .error
                        .map(|error| format!(": {error}"))
                        .unwrap_or_default();
                    let missing = match seq - standing.offset {
                        0 => "has not answered".to_owned(),
                        missing => format!("has {missing} changes to deliver"),
                    };
                    remaining.push(format!("publisher \"{}\" {missing}{reason}", delivery.name));
                    break;
                }
            }
        }
        remaining
    }

    /// Versions that were put into quarantine since delivery began, because a target refuses them.
    pub fn refused(&self) -> usize {
        self.0
            .iter()
            .map(|delivery| delivery.standing().refused)
            .sum()
    }

    /// Waits until every thread has ended, which they do once stopping is requested, but not beyond the deadline.
    pub fn join(self, deadline: Instant) {
        for delivery in self.0 {
            while !delivery.thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Delivery {
    /// How far it has come.
    pub fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Worker {
    fn run(mut self, woken: &Receiver<()>, stop: &Stop) {
        let mut wait = FIRST_WAIT;
        while !stop.requested() {
            match self.step_or_panic() {
                Ok(true) => wait = FIRST_WAIT,
                Ok(false) => {
                    wait = FIRST_WAIT;
                    self.note_recovery();
                    self.change(|standing| standing.has_looked = true);
                    select! {
                        recv(woken) -> signal => if signal.is_err() { return },
                        recv(stop.receiver()) -> _ => return,
                    }
                }
                Err(error) => {
                    // What arrived is not known: the target is asked again.
                    self.resumed_at = None;
                    self.note_failure(&error.to_string());
                    let asked = match error {
                        DeliveryError::Down {
                            wait: Some(asked), ..
                        } => asked.min(LONGEST_WISH),
                        _ => Duration::ZERO,
                    };
                    // Half to whole, so that publishers which failed together do not come back together.
                    let backoff = wait.mul_f64(0.5 + fastrand::f64() / 2.0);
                    if stop.wait(backoff.max(asked)) {
                        return;
                    }
                    wait = LONGEST_WAIT.min(wait * 2);
                }
            }
        }
    }

    /// As [`step`](Worker::step). A panic, which no input is known to cause, is a failure like any other: a thread that
    /// ended by it would stand still unseen.
    fn step_or_panic(&mut self) -> Result<bool, DeliveryError> {
        panic::catch_unwind(AssertUnwindSafe(|| self.step())).unwrap_or_else(|_| {
            Err(DeliveryError::down(
                "delivery panicked: this is a bug, please report it with the lines before this one",
            ))
        })
    }

    /// Delivers the next changes. False if there are none.
    fn step(&mut self) -> Result<bool, DeliveryError> {
        if self.resumed_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.resume()?;
        }
        if let Some(after) = self.log.take_replay(self.publisher.name())? {
            log::info!(
                "publisher \"{}\" delivers everything after seq {after} again, as asked",
                self.publisher.name()
            );
            self.suspect = None;
            self.set_offset(after);
        }
        // First, because it is older. If it cannot be delivered now, that holds up nothing else.
        let retried = self.retry_refused();
        let refused = self
            .log
            .next_refused(self.publisher.name(), self.standing().offset)?;
        let changes = self.next_batch(refused.map_or(i64::MAX, |seq| seq - 1))?;
        let Some(last) = changes.last() else {
            let offset = self.standing().offset;
            return match self.log.read(offset, 1, 1)?.first() {
                // What is in quarantine is not delivered.
                Some(next) if refused == Some(next.seq) => {
                    self.advance(next.seq, &Delivered::default())?;
                    Ok(true)
                }
                Some(_) => {
                    self.suspect = None;
                    Ok(true)
                }
                None => retried.map(|()| false),
            };
        };
        match self.publisher.deliver(&self.log, &changes) {
            Ok(delivered) => {
                self.advance(last.seq, &delivered)?;
                self.most = self.publisher.most_changes().min(self.most * 2);
            }
            Err(DeliveryError::Refused(reason)) if changes.len() == 1 => {
                let refused = vec![(last.seq, reason)];
                let delivered = Delivered {
                    refused,
                    ..Delivered::default()
                };
                self.advance(last.seq, &delivered)?;
            }
            Err(DeliveryError::Refused(_)) => {
                self.suspect = Some(last.seq);
                self.sending = None;
            }
            Err(error) => {
                // A target that fails now and then, or lets only so many through, must get to the end of a batch.
                self.most = (self.most / 2).max(1);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Asks the target after which seq to go on.
    fn resume(&mut self) -> Result<(), DeliveryError> {
        let stored = self.standing().offset;
        let offset = self.publisher.resume(&self.log, stored)?;
        self.resumed_at = Some(Instant::now());
        match offset == stored {
            true => Ok(()),
            false => {
                self.suspect = None;
                self.advance(offset, &Delivered::default())
            }
        }
    }

    /// The changes to send next, up to that seq: as they were sent before, if they were; half of what was refused, if it
    /// was.
    fn next_batch(&mut self, most: i64) -> Result<Vec<Change>, DeliveryError> {
        let offset = self.standing().offset;
        self.sending = self.sending.filter(|end| *end <= most);
        if let Some(end) = self.sending {
            return Ok(self.log.read_until(offset, end, usize::MAX, usize::MAX)?);
        }
        let end = self.suspect.unwrap_or(i64::MAX).min(most);
        let mut changes = self.log.read_until(offset, end, self.most, MOST_BYTES)?;
        if self.suspect.is_some() {
            changes.truncate(changes.len().div_ceil(2));
        }
        if let Some(last) = changes.last()
            && self.publisher.keeps_batches()
        {
            self.log.begin_batch(self.publisher.name(), last.seq)?;
            self.sending = Some(last.seq);
            crash::point();
        }
        Ok(changes)
    }

    /// Delivers what was refused before and someone wants to be tried again.
    fn retry_refused(&mut self) -> Result<(), DeliveryError> {
        let name = self.publisher.name().to_owned();
        for change in self.log.retries(&name, RETRIES)? {
            let seq = change.seq;
            let delivered = match self.publisher.deliver(&self.log, &[change]) {
                Ok(delivered) => delivered,
                Err(DeliveryError::Refused(reason)) => Delivered {
                    refused: vec![(seq, reason)],
                    ..Delivered::default()
                },
                Err(error) => return Err(error),
            };
            self.log.settle(&name, seq, &delivered)?;
            match delivered.refused.first() {
                None => {
                    log::info!(
                        "publisher \"{name}\": seq {seq} is settled, which had been refused"
                    );
                }
                Some((_, reason)) => {
                    log::warn!("publisher \"{name}\": seq {seq} is refused again: {reason}");
                }
            }
        }
        Ok(())
    }

    /// Notes that everything up to that seq is delivered, and what became of it. That it is cannot be undone by an
    /// offset that is not stored.
    fn advance(&mut self, offset: i64, delivered: &Delivered) -> Result<(), DeliveryError> {
        crash::point();
        if delivered.is_plain() {
            self.set_offset(offset);
        }
        self.log.advance(self.publisher.name(), offset, delivered)?;
        self.set_offset(offset);
        self.suspect = self.suspect.filter(|end| *end > offset);
        self.change(|standing| standing.refused += delivered.refused.len());
        self.note_recovery();
        if let Some((seq, reason)) = delivered.refused.first() {
            log::warn!(
                "publisher \"{}\": {} changes are refused by the target and kept in quarantine, the first of them seq {seq}: \
                 {reason}",
                self.publisher.name(),
                delivered.refused.len()
            );
        }
        Ok(())
    }

    /// Notes that what kept it from delivering does so no more.
    fn note_recovery(&self) {
        if self.standing().error.is_none() {
            return;
        }
        log::info!("publisher \"{}\" delivers again", self.publisher.name());
        if let Err(error) = self.log.note_error(self.publisher.name(), None) {
            log::error!("{error}");
        }
        self.change(|standing| standing.error = None);
    }

    fn note_failure(&self, reason: &str) {
        // Said once, not at every try.
        if self.standing().error.as_deref() != Some(reason) {
            log::error!(
                "publisher \"{}\" cannot deliver, and tries again until it can: {reason}",
                self.publisher.name()
            );
            let noted = self.log.note_error(self.publisher.name(), Some(reason));
            if let Err(error) = noted {
                log::error!("{error}");
            }
            self.change(|standing| standing.error = Some(reason.to_owned()));
        }
    }

    fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_offset(&mut self, offset: i64) {
        // A batch that was begun from elsewhere is none.
        self.sending = None;
        self.change(|standing| {
            standing.offset = offset;
            standing.advanced_at = Instant::now();
        });
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
