use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{CounterSet, Histogram};
use crate::api::{Initiation, Second, Stream, Timestamp};
use crate::sync::lock;

/// The status of a request that got no answer.
pub const NO_STATUS: u16 = 0;

/// How a poll ends that the state did not let come to its end.
const ABORTED: &str = "aborted";

/// Everything that is counted in memory since the start. Those who count share it.
#[derive(Debug)]
pub struct Counters {
    /// When counting began.
    pub started_at: Second,
    /// What the main loop counts.
    pub polls: PollCounters,
    /// What the client of the service counts.
    pub service: ServiceCounters,
    /// Versions that each publisher has delivered, by its name.
    pub delivered: CounterSet<String>,
    /// Answers of the listener, by route and status.
    pub answers: CounterSet<(&'static str, u16)>,
    /// Requests and connections that the listener has turned away, by reason.
    pub turned_away: CounterSet<&'static str>,
    /// Connections that are open: at the address of Connectivity, and at that of operators.
    pub connections: [AtomicU64; 2],
}

/// What the main loop counts.
#[derive(Debug)]
pub struct PollCounters {
    /// Polls, by outcome.
    pub ended: CounterSet<&'static str>,
    /// Whether one is under way.
    pub is_running: AtomicBool,
    /// How long they took in all. Microseconds.
    pub took: AtomicU64,
    /// Why the last one was aborted, if it was, and since when each was.
    pub abort: Mutex<Option<Abort>>,
    /// Records that sweeps have found and no poll had.
    pub missed: AtomicI64,
}

/// That polls are aborted, because the state cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abort {
    /// Since when each of them was.
    pub since: Second,
    /// Why the last one was.
    pub reason: String,
}

/// What the client of the service counts. A call is a stream, or payouts or transfers.
#[derive(Debug)]
pub struct ServiceCounters {
    /// Requests, by call and status.
    pub requests: CounterSet<(&'static str, u16)>,
    /// How long they took, by call.
    pub took: BTreeMap<&'static str, Histogram>,
    /// How many of them repeated one that had failed, by call.
    pub retries: CounterSet<&'static str>,
    /// Bytes of answers' bodies, decompressed.
    pub received: AtomicU64,
    /// How far the service's clock is ahead of ours, as its last answer said. Seconds.
    pub clock_offset: AtomicI64,
    /// When its certificate expires; none while none was seen.
    pub certificate_expiry: Mutex<Option<Second>>,
}

impl Counters {
    /// Everything is 0. `answered`: the routes of the listener, each with the status of its success.
    pub fn new(
        answered: impl IntoIterator<Item = (&'static str, u16)>,
        outcomes: &[&'static str],
    ) -> Counters {
        Counters {
            started_at: Timestamp::now().second(),
            polls: PollCounters {
                ended: CounterSet::of(outcomes.iter().copied().chain([ABORTED])),
                is_running: AtomicBool::default(),
                took: AtomicU64::default(),
                abort: Mutex::default(),
                missed: AtomicI64::default(),
            },
            service: ServiceCounters::new(),
            delivered: CounterSet::default(),
            answers: CounterSet::of(answered),
            turned_away: CounterSet::of(["key", "limit", "malformed"]),
            connections: Default::default(),
        }
    }
}

impl PollCounters {
    /// A poll begins.
    pub fn begun(&self) {
        self.is_running.store(true, Relaxed);
    }

    /// A poll has ended with that outcome.
    pub fn ended(&self, outcome: &'static str, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took.fetch_add(microseconds, Relaxed);
        self.ended.add(outcome, 1);
        self.is_running.store(false, Relaxed);
        *lock(&self.abort) = None;
    }

    /// The poll that runs has been aborted, if one runs, and none could be begun otherwise. Since when, and why.
    pub fn aborted(&self, reason: String) -> Abort {
        if self.is_running.swap(false, Relaxed) {
            self.ended.add(ABORTED, 1);
        }
        let mut abort = lock(&self.abort);
        let since = abort.as_ref().map(|abort| abort.since);
        let since = since.unwrap_or_else(|| Timestamp::now().second());
        abort.insert(Abort { since, reason }).clone()
    }
}

impl ServiceCounters {
    fn new() -> ServiceCounters {
        let reads = Stream::ALL.map(|stream| (stream.name(), 200));
        let writes = Initiation::ALL.map(|kind| (kind.name(), 201));
        let calls: Vec<_> = reads.into_iter().chain(writes).collect();
        let names = || calls.iter().map(|(name, _)| *name);
        let unanswered = names().map(|name| (name, NO_STATUS));
        // An alarm asks for their increase.
        let refused = names().flat_map(|name| [(name, 401), (name, 403)]);
        ServiceCounters {
            requests: CounterSet::of(calls.iter().copied().chain(unanswered).chain(refused)),
            took: names().map(|name| (name, Histogram::default())).collect(),
            retries: CounterSet::of(names()),
            received: AtomicU64::default(),
            clock_offset: AtomicI64::default(),
            certificate_expiry: Mutex::default(),
        }
    }

    /// Counts a request and how long it took. `status`: [`NO_STATUS`] if it got no answer.
    pub fn answered(&self, call: &'static str, status: u16, took: Duration) {
        self.requests.add((call, status), 1);
        if let Some(histogram) = self.took.get(call) {
            histogram.observe(took);
        }
    }

    /// Notes what the service's clock said just now.
    pub fn clock_said(&self, clock: Timestamp) {
        // Both in whole seconds: an answer has no finer date.
        let offset = clock.second().unix() - Timestamp::now().second().unix();
        self.clock_offset.store(offset, Relaxed);
    }

    /// Notes when the service's certificate expires.
    pub fn certificate_expires(&self, at: Second) {
        *lock(&self.certificate_expiry) = Some(at);
    }
}
