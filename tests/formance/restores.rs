//! A state that is put back while Formance has read further: every way of copying it, whoever asks first afterwards, and
//! random histories. Nothing is lost.

use fastrand::Rng;
use generic_connector::Stream;
use serde_json::json;

use super::listed::listening;
use super::{Lost, Poller, poller_on};
use crate::support::{FakePsp, LISTEN_KEY, Listening, Reply, StateCopy};

/// A service whose records appear, late or not, and change.
struct Changing<'a> {
    service: &'a FakePsp,
    random: Rng,
    records: usize,
    second: u32,
}

impl Changing<'_> {
    fn go_on(&mut self, events: usize) {
        for _ in 0..events {
            self.second += self.random.u32(0..3);
            if self.records > 0 && self.random.u8(..3) == 0 {
                let id = format!("tx-{}", self.random.usize(..self.records));
                let status = self.random.choice(["PENDING", "SUCCEEDED", "FAILED"]);
                self.second += 1;
                let change = json!({ "status": status, "updatedAt": self.at(0) });
                self.service.change_transaction(&id, change);
            } else {
                let late = [0, 0, self.random.u32(..600)][self.random.usize(..3)];
                self.appears(late);
            }
        }
    }

    /// A new record that is so many seconds late.
    fn appears(&mut self, late: u32) {
        let (id, at) = (format!("tx-{}", self.records), self.at(late));
        self.service.add_transaction(&id, &at);
        self.records += 1;
    }

    fn at(&self, late: u32) -> String {
        let second = 7_200 + self.second - late;
        format!(
            "2024-03-01T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// Formance reads the transactions. While it gets 503, it asks again and again.
fn read(poller: &mut Poller, listening: &Listening) {
    if poller.run(Stream::Transactions).is_err() {
        listening.place.age();
        poller.run(Stream::Transactions).unwrap();
    }
}

fn loses_nothing(copy: StateCopy, polls_first: bool, seed: u64) {
    let service = FakePsp::start();
    let mut changing = Changing {
        service: &service,
        random: Rng::with_seed(seed),
        records: 0,
        second: 0,
    };
    let mut random = Rng::with_seed(seed + 1);
    changing.go_on(random.usize(1..200));
    let mut listening = listening(&service);
    let mut poller = poller_on(&listening);
    read(&mut poller, &listening);
    let kept = listening.place.path().join("kept");
    copy.make(&listening.place.state(), &kept);
    for _ in 0..random.usize(1..4) {
        changing.go_on(random.usize(1..40));
        listening.poll();
        if random.u8(..4) > 0 {
            read(&mut poller, &listening);
        }
    }
    listening.kill();
    copy.put_back(&kept, &listening.place.state());
    changing.go_on(random.usize(..10));
    // It is dated before what Formance has read.
    changing.appears(random.u32(1..60));
    // The poll at its start fails.
    service.always("/", Reply::status(401));
    let listening = listening.restart(&[]);
    listening.wait_for_line(" failed");
    service.heal();
    poller.point_at(&listening.url, LISTEN_KEY);
    if polls_first {
        listening.poll();
    } else if copy != StateCopy::Nothing {
        read(&mut poller, &listening);
    }
    for _ in 0..3 {
        listening.poll();
        read(&mut poller, &listening);
        changing.go_on(random.usize(..10));
    }
    listening.poll();
    read(&mut poller, &listening);
    assert_eq!(
        Lost::of(&service, &poller),
        Lost::default(),
        "{copy:?}, polls first: {polls_first}, seed {seed}:\n{}",
        listening.log()
    );
}

/// RESTORES sets how many of each.
#[test]
fn a_state_that_is_put_back_loses_nothing() {
    let histories = std::env::var("RESTORES").map_or(1, |text| text.parse().unwrap());
    for number in 0..histories {
        for (index, copy) in StateCopy::ALL.into_iter().enumerate() {
            let seed = number * 100 + index as u64 * 10;
            loses_nothing(copy, false, seed);
            loses_nothing(copy, true, seed + 5);
        }
    }
}
