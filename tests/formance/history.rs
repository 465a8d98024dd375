//! Random histories of a service that changes while it is read, and what a reader loses of them.

use std::collections::BTreeSet;

use generic_connector::Stream;
use serde_json::json;

use super::Poller;
use crate::support::{FakePsp, KEY};

/// 2024-01-01T00:00:00Z in milliseconds.
pub const BEGINNING: i64 = 1_704_067_200_000;

/// What a service holds at first, and what becomes of it while it is read.
pub struct History {
    first: Vec<Event>,
    /// For each pass of the reader, what happens after each of its answers.
    passes: Vec<Vec<Vec<Event>>>,
}

/// Something that happens to a transaction. The date is its `updatedAt`, in milliseconds.
#[derive(Clone)]
pub enum Event {
    Appears {
        id: String,
        at: i64,
    },
    Changes {
        id: String,
        at: i64,
        status: &'static str,
    },
}

/// What the records of a random history may do.
#[derive(Clone, Copy, Default)]
pub struct Habits {
    /// Share a date.
    pub ties: bool,
    /// Appear with a date that has passed.
    pub late: bool,
    /// Get a new status, and with it the newest date.
    pub moves: bool,
}

/// What a reader does not have of what the service holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Ids of which it has no version.
    pub records: BTreeSet<String>,
    /// Ids of which it has an earlier status.
    pub statuses: BTreeSet<String>,
}

pub fn appears(id: impl Into<String>, at: i64) -> Event {
    let id = id.into();
    Event::Appears { id, at }
}

pub fn date(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}

impl Event {
    fn happen(&self, service: &FakePsp) {
        match self {
            Event::Appears { id, at } => service.add_transaction(id, &date(*at)),
            Event::Changes { id, at, status } => {
                service.change_transaction(id, json!({ "status": status, "updatedAt": date(*at) }));
            }
        }
    }
}

impl History {
    pub fn of(first: Vec<Event>, passes: Vec<Vec<Vec<Event>>>) -> History {
        History { first, passes }
    }

    /// The same for the same seed. Without habits its dates increase strictly, at most 100 in a second.
    pub fn random(seed: u64, habits: Habits) -> History {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut clock, mut count) = (BEGINNING, 0);
        let mut next = |random: &mut fastrand::Rng| {
            let tie = if habits.ties && random.u8(..25) == 0 {
                random.usize(2..250)
            } else {
                1
            };
            clock += 10 * random.i64(1..300);
            if habits.moves && count > 0 && random.u8(..3) == 0 {
                let id = format!("tx-{}", random.usize(..count));
                let status = random.choice(["SUCCEEDED", "FAILED", "CANCELLED"]).unwrap();
                return vec![Event::Changes {
                    id,
                    at: clock,
                    status,
                }];
            }
            let at = if habits.late && random.u8(..5) == 0 {
                clock - random.i64(1_000..3 * 86_400_000)
            } else {
                clock
            };
            let ids = count..count + tie;
            count += tie;
            ids.map(|number| appears(format!("tx-{number}"), at))
                .collect::<Vec<_>>()
        };
        let mut events = |random: &mut fastrand::Rng, most: usize| {
            let length = random.usize(most / 2..=most);
            (0..length).flat_map(|_| next(random)).collect::<Vec<_>>()
        };
        let first = events(&mut random, 500);
        let passes = (0..random.usize(1..5)).map(|_| {
            (0..random.usize(1..12))
                .map(|_| events(&mut random, 6))
                .collect()
        });
        let passes = passes.collect();
        History { first, passes }
    }

    /// Lives through it on the service, which first forgets its transactions. `pass` is one pass of a reader over the
    /// transactions; it calls its argument after each answer. The events that are left when a pass ends happen then.
    /// Two quiet passes follow the last one.
    pub fn live(&self, service: &FakePsp, mut pass: impl FnMut(&mut dyn FnMut())) {
        let happen = |events: &Vec<Event>| events.iter().for_each(|event| event.happen(service));
        service.remove_transactions();
        happen(&self.first);
        for events in &self.passes {
            let mut left = events.iter();
            pass(&mut || left.next().into_iter().for_each(happen));
            left.for_each(happen);
        }
        (0..2).for_each(|_| pass(&mut || {}));
    }
}

impl Lost {
    /// Compares what the service holds now with what the reader has.
    pub fn of(service: &FakePsp, poller: &Poller) -> Lost {
        let mut lost = Lost::default();
        for transaction in service.transactions() {
            let id = transaction["id"].as_str().unwrap();
            match poller.last_status(id) {
                None => lost.records.insert(id.to_owned()),
                Some(status) if transaction["status"] != status => {
                    lost.statuses.insert(id.to_owned())
                }
                Some(_) => continue,
            };
        }
        lost
    }
}

/// Lives through a history with the poller on the service itself.
pub fn directly(history: &History, service: &FakePsp) -> (Lost, Poller) {
    let mut poller = Poller::new(&service.url(), KEY);
    history.live(service, |between| {
        poller.run_with(Stream::Transactions, between).unwrap();
    });
    (Lost::of(service, &poller), poller)
}

pub fn numbered(begin: usize, end: usize, date: impl Fn(usize) -> i64) -> Vec<Event> {
    let event = |number| appears(format!("tx-{number:04}"), date(number));
    (begin..end).map(event).collect()
}
