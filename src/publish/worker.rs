//! The thread of one publisher: which changes come next, and what follows from the target's answer.
//!
//! A batch starts after the offset and never contains a quarantined version. Its size adapts: it halves while the
//! target fails, and doubles back up to the publisher's limit. If the target refuses a batch of several changes, the
//! next batches are halves of it, until one change is left. That one is quarantined.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::delivery_state::SharedDeliveryState;
use super::flapping::{FailureLine, Flapping};
use super::{DeliveryError, Publisher, lacks_balances};
use crate::crash;
use crate::health::Alarm;
use crate::metrics::Counters;
use crate::stop::Stop;
use crate::store::{self, Change, Delivered, PublisherState};
use crate::transport::Backoff;

/// How many refused versions are read at once when they are tried again.
const RETRIES: usize = 16;
/// Bytes of records, after which a batch takes no further change.
const MOST_BYTES: usize = 1 << 20;
/// The first wait after a failure. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two tries, unless the target asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a target may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(600);
/// How often a target is asked what it holds while deliveries succeed.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What a delivery thread works with.
pub(super) struct DeliveryWorker {
    publisher: Box<dyn Publisher>,
    store: PublisherState,
    state: SharedDeliveryState,
    /// When the target was last asked what it holds; none if that is not known.
    resumed_at: Option<Instant>,
    /// The end of a batch that was started and has to be sent again as it was.
    sending: Option<i64>,
    /// The most changes in a batch.
    most: usize,
    /// The seq after which an operator wants everything again, until the first of it is delivered.
    replay: Option<i64>,
    /// The end of a refused batch of several changes: the target refuses at least one change up to here.
    suspect: Option<i64>,
    flapping: Flapping,
    counters: Arc<Counters>,
}

impl DeliveryWorker {
    /// A worker that goes on where `state` says. `sending` is the end of the batch that was under way.
    pub fn new(
        publisher: Box<dyn Publisher>,
        store: PublisherState,
        state: SharedDeliveryState,
        sending: Option<i64>,
        counters: Arc<Counters>,
    ) -> DeliveryWorker {
        DeliveryWorker {
            most: publisher.most_changes(),
            publisher,
            store,
            state,
            resumed_at: None,
            sending,
            replay: None,
            suspect: None,
            flapping: Flapping::default(),
            counters,
        }
    }

    /// Delivers until stopping is requested. `woken` says that there may be new changes.
    pub fn run(mut self, woken: &Receiver<()>, stop: &Stop) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while !stop.requested() {
            match self.step_or_panic() {
                Ok(has_more) => {
                    backoff.reset();
                    if has_more {
                        continue;
                    }
                    self.note_recovery();
                    self.state.change(|state| state.has_looked = true);
                    select! {
                        recv(woken) -> signal => if signal.is_err() { return },
                        recv(stop.receiver()) -> _ => return,
                    }
                }
                Err(error) => {
                    // It is not known what arrived, so the target is asked again.
                    self.resumed_at = None;
                    self.note_failure(&error.to_string());
                    let is_gone =
                        matches!(error, DeliveryError::Gone(_) | DeliveryError::Foreign(_));
                    self.state.change(|state| state.is_gone = is_gone);
                    let asked = match error {
                        DeliveryError::Down {
                            wait: Some(asked), ..
                        } => asked.min(LONGEST_WISH),
                        _ => Duration::ZERO,
                    };
                    // Half to whole, so that publishers which failed together do not return together.
                    let wait = backoff.delay().mul_f64(0.5 + fastrand::f64() / 2.0);
                    if stop.wait(wait.max(asked)) {
                        return;
                    }
                }
            }
        }
    }

    /// As [`step`](DeliveryWorker::step), but a panic becomes a failure. No input is known to cause one. If it ended the
    /// thread, delivery would stop unseen.
    fn step_or_panic(&mut self) -> Result<bool, DeliveryError> {
        panic::catch_unwind(AssertUnwindSafe(|| self.step())).unwrap_or_else(|_| {
            Err(DeliveryError::down(
                "delivery panicked: this is a bug, please report it with the lines before this one",
            ))
        })
    }

    /// Delivers the next changes. False if there are none.
    fn step(&mut self) -> Result<bool, DeliveryError> {
        self.begin_replay()?;
        if self.resumed_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.resume()?;
        }
        // Refused changes come first because they are older. If they fail, the others are delivered all the same.
        let retried = self.retry_refused();
        let refused = self.store.next_refused(self.state.get().offset)?;
        let most = refused.map_or(i64::MAX, |seq| seq - 1);
        let changes = match self.next_batch(most) {
            Err(store::Error::Damaged { seq, .. }) => {
                self.store.pass_over_damaged(seq)?;
                return Ok(true);
            }
            changes => changes?,
        };
        if let Some(last) = changes.last() {
            self.deliver(&changes, last.seq)?;
            return Ok(true);
        }
        match self.store.log.next_seq(self.state.get().offset)? {
            // It is in quarantine, so it is passed over.
            Some(next) if refused == Some(next) => {
                self.advance(next, &Delivered::default(), None)?;
                Ok(true)
            }
            Some(_) => {
                self.suspect = None;
                Ok(true)
            }
            None if self.replay.is_some() => {
                // There was nothing to replay.
                let offset = self.state.get().offset;
                self.advance(offset, &Delivered::default(), self.replay)?;
                Ok(true)
            }
            None => retried.map(|()| false),
        }
    }

    /// Asks the target after which seq to go on.
    fn resume(&mut self) -> Result<(), DeliveryError> {
        let stored = self.state.get().offset;
        let offset = self.publisher.resume(&self.store, stored)?;
        self.resumed_at = Some(Instant::now());
        // What the target holds does not end a replay before it has begun.
        if offset != stored && self.replay.is_none() {
            if offset < stored {
                self.note_lack(offset)?;
            }
            self.suspect = None;
            self.advance(offset, &Delivered::default(), None)?;
        }
        Ok(())
    }

    /// Says what is delivered no more of what comes after that seq.
    fn note_lack(&self, after: i64) -> Result<(), store::Error> {
        let dropped = self.store.dropped_after(after)?;
        if let Some(lack) = lacks_balances(self.publisher.kind(), dropped) {
            log::warn!(
                "publisher \"{}\" delivers everything after seq {after} again: {lack}",
                self.store.name
            );
        }
        Ok(())
    }

    /// Goes back as far as an operator wants, if one does. The wish stays in the state until the first of it is delivered.
    fn begin_replay(&mut self) -> Result<(), DeliveryError> {
        let wish = self.store.progress()?.replay;
        let Some(after) = wish.filter(|_| wish != self.replay) else {
            return Ok(());
        };
        self.store.begin_replay(after)?;
        log::info!(
            "publisher \"{}\" delivers everything after seq {after} again, as requested",
            self.store.name
        );
        self.replay = Some(after);
        self.suspect = None;
        self.set_offset(after);
        Ok(())
    }

    /// Delivers again what was refused and an operator wants to be tried again.
    fn retry_refused(&mut self) -> Result<(), DeliveryError> {
        let name = self.store.name.clone();
        let retries = match self.store.retries(RETRIES) {
            // It waits for its repair again.
            Err(store::Error::Damaged { seq, .. }) => {
                return Ok(self.store.pass_over_damaged(seq)?);
            }
            retries => retries?,
        };
        for change in retries {
            let seq = change.seq;
            let delivered = match self.publisher.deliver(&self.store, &[change]) {
                Err(DeliveryError::Refused(reason)) => Delivered::refused(seq, reason),
                delivered => delivered?,
            };
            self.store.settle(seq, &delivered)?;
            match delivered.refused.first() {
                None => {
                    self.count_delivered(1);
                    log::info!(
                        "publisher \"{name}\": seq {seq} is settled; the target had refused it"
                    );
                }
                Some((_, reason)) => {
                    log::warn!("publisher \"{name}\": seq {seq} is refused again: {reason}");
                }
            }
        }
        Ok(())
    }

    /// The changes to send next, none of them above `most`. A batch that was started is sent as it was; a refused one
    /// is halved. It is an error if the first one is damaged.
    fn next_batch(&mut self, most: i64) -> Result<Vec<Change>, store::Error> {
        let offset = self.state.get().offset;
        self.sending = self.sending.filter(|end| *end <= most);
        if let Some(end) = self.sending {
            return self.store.log.read(offset, end, usize::MAX, usize::MAX);
        }
        let end = self.suspect.unwrap_or(i64::MAX).min(most);
        let mut changes = self.store.log.read(offset, end, self.most, MOST_BYTES)?;
        if self.suspect.is_some() {
            changes.truncate(changes.len().div_ceil(2));
        }
        if let Some(last) = changes.last()
            && self.publisher.keeps_batches()
        {
            self.store.begin_batch(last.seq)?;
            self.sending = Some(last.seq);
            crash::point();
        }
        Ok(changes)
    }

    /// Delivers a batch that ends with that seq.
    fn deliver(&mut self, changes: &[Change], last: i64) -> Result<(), DeliveryError> {
        match self.publisher.deliver(&self.store, changes) {
            Ok(delivered) => {
                self.advance(last, &delivered, self.replay)?;
                // A batch also settles versions that waited for one of it: what is refused need not be of the batch.
                let is_refused = |seq| delivered.refused.iter().any(|(refused, _)| *refused == seq);
                let is_taken = |seq| !is_refused(seq) && !delivered.untaken.contains(&seq);
                let taken = changes.iter().filter(|change| is_taken(change.seq));
                self.count_delivered(taken.count() + delivered.late);
                self.most = self.publisher.most_changes().min(self.most * 2);
                Ok(())
            }
            Err(DeliveryError::Refused(reason)) if changes.len() == 1 => {
                self.advance(last, &Delivered::refused(last, reason), self.replay)
            }
            Err(DeliveryError::Refused(_)) => {
                self.suspect = Some(last);
                self.sending = None;
                Ok(())
            }
            Err(error) => {
                // A batch must succeed even at a target that fails now and then, or limits the rate.
                self.most = (self.most / 2).max(1);
                Err(error)
            }
        }
    }

    /// Notes that everything up to that seq is delivered, and what became of it. `replay`: the replay that has come to its
    /// first changes by that.
    fn advance(
        &mut self,
        offset: i64,
        delivered: &Delivered,
        replay: Option<i64>,
    ) -> Result<(), DeliveryError> {
        crash::point();
        // Even if the offset cannot be stored, these changes have been delivered.
        if delivered.is_plain() {
            self.set_offset(offset);
        }
        self.store.advance(offset, delivered, replay)?;
        self.replay = self.replay.filter(|_| replay.is_none());
        self.set_offset(offset);
        self.suspect = self.suspect.filter(|end| *end > offset);
        let refused = delivered.refused.len();
        self.state.change(|state| state.refused += refused);
        self.note_recovery();
        if let Some((seq, reason)) = delivered.refused.first() {
            log::warn!(
                "publisher \"{}\": {refused} changes were refused by the target and quarantined, the first one is seq \
                 {seq}: {reason}",
                self.store.name
            );
        }
        Ok(())
    }

    fn count_delivered(&self, versions: usize) {
        let name = self.store.name.clone();
        self.counters.delivered.add(name, versions as u64);
    }

    fn set_offset(&mut self, offset: i64) {
        // A started batch begins at the old offset.
        self.sending = None;
        self.state.change(|state| {
            state.offset = offset;
            state.advanced_at = Instant::now();
        });
    }

    /// Notes that delivery succeeds again, if it had failed.
    fn note_recovery(&mut self) {
        if self.state.get().error.is_none() {
            return;
        }
        if self.flapping.succeeded(Instant::now()) {
            log::info!("publisher \"{}\" delivers again", self.store.name);
        }
        self.note_error(None);
    }

    /// Notes why delivery fails: once, not at every try.
    fn note_failure(&mut self, reason: &str) {
        let alarm = Alarm::DeliveryFails {
            publisher: self.store.name.clone(),
            reason: reason.to_owned(),
        };
        match self.flapping.failed(reason, Instant::now()) {
            FailureLine::Fails => log::error!("{alarm}"),
            FailureLine::NowAndThen => {
                log::warn!("{alarm}; this happens now and then, and is no longer said each time");
            }
            FailureLine::Nothing => log::debug!("{alarm}"),
        }
        if self.state.get().error.as_deref() != Some(reason) {
            self.note_error(Some(reason));
        }
    }

    fn note_error(&self, reason: Option<&str>) {
        if let Err(error) = self.store.note_error(reason) {
            log::error!("{error}");
        }
        self.state
            .change(|state| state.error = reason.map(str::to_owned));
    }
}
