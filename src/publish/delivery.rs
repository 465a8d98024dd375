use std::fmt::Display;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::delivery_state::SharedDeliveryState;
use super::worker::DeliveryWorker;
use super::{Publisher, lacks_balances};
use crate::metrics::Counters;
use crate::stop::Stop;
use crate::store::{PublisherState, Registration};

/// How often [`Deliveries::wait_for`] looks at a publisher.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often [`Deliveries::join`] looks at a thread.
const JOIN_INTERVAL: Duration = Duration::from_millis(5);

/// The delivery threads.
#[derive(Debug, Default)]
pub struct Deliveries(Vec<Delivery>);

/// One publisher's thread.
#[derive(Debug)]
pub struct Delivery {
    name: String,
    wake: Sender<()>,
    state: SharedDeliveryState,
    thread: JoinHandle<()>,
}

impl Delivery {
    /// Starts delivering from the change log. A target that is down, or holds what does not belong to this state, is waited
    /// for: polling and the other targets go on.
    pub fn start(
        publisher: Box<dyn Publisher>,
        store: PublisherState,
        stop: Stop,
        counters: Arc<Counters>,
    ) -> Result<Delivery, String> {
        let name = store.name.clone();
        let failed = |error: &dyn Display| format!("publisher \"{name}\": {error}");
        let registration = store
            .register(publisher.kind())
            .map_err(|error| failed(&error))?;
        let dropped = store.dropped_after(0).map_err(|error| failed(&error))?;
        let lack = lacks_balances(publisher.kind(), dropped);
        let lack = lack.map_or(String::new(), |lack| format!("; {lack}"));
        match registration {
            Registration::OtherType => log::warn!(
                "publisher \"{name}\" has a new type: everything is delivered from the beginning{lack}"
            ),
            Registration::New if !lack.is_empty() => log::warn!(
                "publisher \"{name}\" is new: everything is delivered from the beginning{lack}"
            ),
            Registration::New | Registration::Known => {}
        }
        let progress = store.progress().map_err(|error| failed(&error))?;
        let state = SharedDeliveryState::new(progress.replay.unwrap_or(progress.offset));
        let (wake, woken) = bounded(1);
        counters.delivered.add(name.clone(), 0);
        let (shared, sending) = (state.clone(), progress.sending);
        let worker = DeliveryWorker::new(publisher, store, shared, sending, counters);
        let thread = thread::Builder::new()
            .name(format!("deliver-{name}"))
            .spawn(move || worker.run(&woken, &stop))
            .map_err(|error| failed(&error))?;
        Ok(Delivery {
            name,
            wake,
            state,
            thread,
        })
    }

    /// Waits as [`Deliveries::wait_for`] does. What remains, unless everything is delivered.
    fn wait_for(
        &self,
        seq: i64,
        patience: Duration,
        deadline: Option<Instant>,
        stop: &Stop,
    ) -> Option<String> {
        let waited_since = Instant::now();
        loop {
            let state = self.state.get();
            // A publisher that cannot even look has reported why.
            let has_looked = state.has_looked || state.error.is_some();
            if state.offset >= seq && has_looked {
                return None;
            }
            let since = state.advanced_at.max(waited_since);
            if since.elapsed() >= patience
                || deadline.is_some_and(|deadline| Instant::now() >= deadline)
                || state.is_gone
                || self.thread.is_finished()
                || stop.wait(LOOK_INTERVAL)
            {
                let reason = state
                    .error
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default();
                let missing = match seq - state.offset {
                    0 => "has not answered".to_owned(),
                    missing => format!("has {missing} changes to deliver"),
                };
                return Some(format!("publisher \"{}\" {missing}{reason}", self.name));
            }
        }
    }
}

impl Deliveries {
    /// Adds one.
    pub fn push(&mut self, delivery: Delivery) {
        self.0.push(delivery);
    }

    /// The signals that wake each thread after a commit.
    pub fn wakers(&self) -> Vec<Sender<()>> {
        self.0
            .iter()
            .map(|delivery| delivery.wake.clone())
            .collect()
    }

    /// Waits until each publisher has delivered everything up to `seq`, or until the deadline if there is one. Gives up
    /// on a publisher that has not advanced for `patience`, and when stopping is requested. Returns what remains, one
    /// message for each publisher that has not finished.
    pub fn wait_for(
        &self,
        seq: i64,
        patience: Duration,
        deadline: Option<Instant>,
        stop: &Stop,
    ) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|delivery| delivery.wait_for(seq, patience, deadline, stop))
            .collect()
    }

    /// Versions that were quarantined since delivery started, because a target refused them.
    pub fn refused(&self) -> usize {
        self.0
            .iter()
            .map(|delivery| delivery.state.get().refused)
            .sum()
    }

    /// Waits until every thread has ended, which happens once stopping is requested, but not beyond the deadline.
    pub fn join(self, deadline: Instant) {
        for delivery in self.0 {
            while !delivery.thread.is_finished() && Instant::now() < deadline {
                thread::sleep(JOIN_INTERVAL);
            }
        }
    }
}
