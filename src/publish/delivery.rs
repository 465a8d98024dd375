use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{DeliveryError, Publisher};
use crate::crash;
use crate::stop::Stop;
use crate::store::{self, ChangeLog};

/// Changes delivered at once, at most.
const MOST_CHANGES: usize = 1_000;
/// Bytes of records delivered at once, after which no further change is added.
const MOST_BYTES: usize = 1 << 20;
/// The first wait after a failure; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

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
    /// Why it does not deliver, while it does not.
    pub error: Option<String>,
}

/// What a delivery thread works with.
struct Worker {
    publisher: Box<dyn Publisher>,
    log: ChangeLog,
    standing: Arc<Mutex<Standing>>,
    resumed: bool,
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
        let stored = log.offset(&name).map_err(|error| failed(&error))?;
        let (offset, error) = match publisher.resume(&log, stored) {
            Ok(offset) => (offset, None),
            Err(DeliveryError::Down(reason)) => (stored, Some(reason)),
            Err(DeliveryError::Refused(reason)) => return Err(failed(&reason)),
        };
        if let Some(error) = &error {
            log::error!("{}", failed(error));
        }
        let resumed = error.is_none();
        log.store_offset(&name, publisher.kind(), offset, error.as_deref())
            .map_err(|error| failed(&error))?;
        let standing = Arc::new(Mutex::new(Standing {
            offset,
            advanced_at: Instant::now(),
            error,
        }));
        let (wake, woken) = bounded(1);
        let worker = Worker {
            publisher,
            log,
            standing: standing.clone(),
            resumed,
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

    /// Waits until each has delivered everything up to `seq`. Gives up on one that has not advanced for `patience`, and
    /// when stopping is requested. What remains, one message for each publisher that has not finished.
    pub fn wait_for(&self, seq: i64, patience: Duration, stop: &Stop) -> Vec<String> {
        let waited_since = Instant::now();
        let mut remaining = Vec::new();
        for delivery in &self.0 {
            loop {
                let standing = delivery.standing();
                if standing.offset >= seq {
                    break;
                }
                let since = standing.advanced_at.max(waited_since);
                if since.elapsed() >= patience
                    || delivery.thread.is_finished()
                    || stop.wait(Duration::from_millis(10))
                {
                    let reason = standing
                        .error
                        .map(|error| format!(": {error}"))
                        .unwrap_or_default();
                    let missing = seq - standing.offset;
                    remaining.push(format!(
                        "publisher \"{}\" has {missing} changes to deliver{reason}",
                        delivery.name
                    ));
                    break;
                }
            }
        }
        remaining
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
            match self.deliver_next() {
                Ok(true) => wait = FIRST_WAIT,
                Ok(false) => {
                    wait = FIRST_WAIT;
                    select! {
                        recv(woken) -> signal => if signal.is_err() { return },
                        recv(stop.receiver()) -> _ => return,
                    }
                }
                Err(reason) => {
                    self.note_failure(&reason);
                    // Half to whole, so that publishers which failed together do not come back together.
                    if stop.wait(wait.mul_f64(0.5 + fastrand::f64() / 2.0)) {
                        return;
                    }
                    wait = LONGEST_WAIT.min(wait * 2);
                }
            }
        }
    }

    /// Delivers the next changes. False if there are none.
    fn deliver_next(&mut self) -> Result<bool, String> {
        let told = |error: store::Error| error.to_string();
        let mut offset = self.standing().offset;
        if !self.resumed {
            offset = self
                .publisher
                .resume(&self.log, offset)
                .map_err(|error| error.to_string())?;
            self.resumed = true;
            self.advance(offset).map_err(told)?;
        }
        let changes = self
            .log
            .read(offset, MOST_CHANGES, MOST_BYTES)
            .map_err(told)?;
        let Some(last) = changes.last() else {
            return Ok(false);
        };
        if let Err(error) = self.publisher.deliver(&self.log, &changes) {
            // What arrived is not known: the target is asked again.
            self.resumed = false;
            return Err(error.to_string());
        }
        self.advance(last.seq).map_err(told)?;
        Ok(true)
    }

    /// Notes that everything up to that seq is delivered. That it is cannot be undone by an offset that is not stored.
    fn advance(&mut self, offset: i64) -> Result<(), store::Error> {
        let before = self.standing();
        self.set(Standing {
            offset,
            advanced_at: Instant::now(),
            error: before.error.clone(),
        });
        crash::point();
        self.log
            .store_offset(self.publisher.name(), self.publisher.kind(), offset, None)?;
        if before.error.is_some() {
            log::info!("publisher \"{}\" delivers again", self.publisher.name());
        }
        self.set(Standing {
            error: None,
            ..self.standing()
        });
        Ok(())
    }

    fn note_failure(&self, reason: &str) {
        let standing = self.standing();
        // Said once, not at every try.
        if standing.error.as_deref() != Some(reason) {
            log::error!(
                "publisher \"{}\" cannot deliver, and tries again until it can: {reason}",
                self.publisher.name()
            );
            let stored = self.log.store_offset(
                self.publisher.name(),
                self.publisher.kind(),
                standing.offset,
                Some(reason),
            );
            if let Err(error) = stored {
                log::error!("{error}");
            }
            self.set(Standing {
                error: Some(reason.to_owned()),
                ..standing
            });
        }
    }

    fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}
