//! The state is put back, and the stack has more than the ledger knows: every payment ends as if that had not happened.

use std::collections::BTreeMap;
use std::fs;

use fastrand::Rng;
use generic_connector::STATUSES;
use num_bigint::BigInt;
use serde_json::json;

use super::{replayed, with_status};
use crate::formance::Connectivity;
use crate::support::{FakePsp, Place, StateCopy};

/// A stack and a connector that pushes to it.
struct Side {
    stack: Connectivity,
    place: Place,
}

/// What the stack shows of a payment: amount, initial amount, status, metadata and every adjustment.
type Shown = (
    BigInt,
    BigInt,
    String,
    BTreeMap<String, String>,
    Vec<(String, String)>,
);

impl Side {
    fn start(service: &FakePsp) -> Side {
        let stack = Connectivity::start();
        let place = super::place(service, &stack);
        Side { stack, place }
    }

    fn shown(&self) -> BTreeMap<(String, String), Shown> {
        let payments = self.stack.payments().into_iter();
        payments
            .map(|(key, payment)| {
                let (status, history) = (payment.status(), payment.history());
                let (amount, initial) = (payment.amount, payment.initial_amount);
                (key, (amount, initial, status, payment.metadata, history))
            })
            .collect()
    }

    /// A poll that delivers nothing, as if the stack were down.
    fn poll_only(&self, service: &FakePsp) {
        self.place.configure(&service.url(), json!({}));
        self.place.poll_well();
        let keys = json!({ "publish": [self.stack.entry()] });
        self.place.configure(&service.url(), keys);
    }
}

/// What becomes of a transaction before the copy, after it, and after the copy was put back.
type Story = (
    &'static str,
    [&'static [(&'static str, &'static str)]; 3],
    i64,
);

/// Status and amount. Each entry is a poll of its own.
const STORIES: [Story; 12] = [
    (
        "refunded",
        [
            &[("AUTHORISATION", "100")],
            &[("CAPTURE", "100")],
            &[("REFUNDED", "100")],
        ],
        0,
    ),
    (
        "partly-refunded",
        [
            &[("AUTHORISATION", "100")],
            &[("CAPTURE", "100")],
            &[("REFUNDED", "40")],
        ],
        60,
    ),
    (
        // Each of two refunds that relate to it takes 10 away.
        "captured",
        [&[("AUTHORISATION", "100")], &[("CAPTURE", "100")], &[]],
        80,
    ),
    (
        "captured-twice",
        [
            &[("AUTHORISATION", "100")],
            &[("CAPTURE", "40")],
            &[("CAPTURE", "60")],
        ],
        100,
    ),
    (
        "reversed",
        [
            &[("SUCCEEDED", "100")],
            &[("REFUNDED", "100")],
            &[("REFUND_REVERSED", "100")],
        ],
        100,
    ),
    (
        "returned",
        [
            &[("PENDING", "100")],
            &[("FAILED", "100")],
            &[("PENDING", "100")],
        ],
        100,
    ),
    (
        "lost-authorisation",
        [&[], &[("AUTHORISATION", "100")], &[("SUCCEEDED", "100")]],
        100,
    ),
    (
        "lost-success",
        [&[], &[("SUCCEEDED", "100")], &[("CAPTURE", "100")]],
        100,
    ),
    (
        "lost-capture",
        [
            &[],
            &[("AUTHORISATION", "100"), ("CAPTURE", "100")],
            &[("DISPUTE", "100")],
        ],
        100,
    ),
    (
        "undelivered",
        [
            &[("AUTHORISATION", "100"), ("CAPTURE", "100")],
            &[("REFUNDED", "30")],
            &[],
        ],
        70,
    ),
    (
        "undelivered-refund",
        [
            &[("SUCCEEDED", "100"), ("REFUNDED", "30")],
            &[("REFUND_REVERSED", "30")],
            &[("REFUNDED", "50")],
        ],
        50,
    ),
    (
        "only-after",
        [&[], &[], &[("AUTHORISATION", "100"), ("CAPTURE", "100")]],
        100,
    ),
];

fn amounts_are_right(copy: Option<StateCopy>) {
    let service = FakePsp::start();
    let (control, side) = (Side::start(&service), Side::start(&service));
    let kept = side.place.path().join("kept");
    let mut minute = 0;
    for phase in 0..3 {
        for step in 0..2 {
            minute += 1;
            for (id, story, _) in &STORIES {
                let Some((status, amount)) = story[phase].get(step) else {
                    continue;
                };
                becomes(&service, id, minute, status, amount);
            }
            // Another type, which makes another id: the payment keeps its first one.
            let kind = ["PAYOUT", "TRANSFER", "OTHER"][phase];
            let other_type = json!({ "type": kind });
            if phase > 0 {
                service.change_transaction("lost-success", other_type);
            }
            if (phase, step) == (1, 0) {
                child(&service, "lost-child", "captured", minute);
            }
            if (phase, step) == (2, 0) {
                child(&service, "new-child", "captured", minute);
            }
            control.place.poll_well();
            match (phase, step) {
                (0, 1) => side.poll_only(&service),
                _ => {
                    side.place.poll_well();
                }
            }
        }
        match phase {
            0 => {
                if let Some(copy) = copy {
                    copy.make(&side.place.state(), &kept);
                }
            }
            1 => match copy {
                Some(copy) => copy.put_back(&kept, &side.place.state()),
                None => fs::remove_dir_all(side.place.state()).unwrap(),
            },
            _ => {}
        }
    }
    for (id, _, amount) in &STORIES {
        let shown = side.stack.payment(id).amount;
        assert_eq!(shown, BigInt::from(*amount), "{copy:?}: {id}");
    }
    let wanted = control.shown();
    for (id, shown) in side.shown() {
        assert_eq!(shown, wanted[&id], "{copy:?}: {id:?}");
    }
    // Each was read once.
    let before = side.stack.exchanges().len();
    becomes(&service, "partly-refunded", 30, "REFUND_REVERSED", "40");
    side.place.poll_well();
    let exchanges = side.stack.exchanges().split_off(before);
    let reads = |(asked, _): &&(crate::support::TestRequest, u16)| {
        asked.method == "GET" && asked.path.contains("/payments/v3/payments")
    };
    let read: Vec<_> = exchanges.iter().filter(reads).collect();
    assert!(read.is_empty(), "{copy:?}: {read:?}");
    replayed(&side.place, &side.stack);
}

cases! { amounts_are_right;
    amounts_are_right_after_the_files_were_put_back(Some(StateCopy::Files));
    amounts_are_right_after_a_snapshot_was_put_back(Some(StateCopy::Snapshot));
    amounts_are_right_after_the_directory_was_put_back(Some(StateCopy::Directory));
    amounts_are_right_after_the_state_was_lost(Some(StateCopy::Nothing));
    amounts_are_right_after_the_directory_was_lost(None);
}

fn becomes(service: &FakePsp, id: &str, minute: u32, status: &str, amount: &str) {
    let at = format!("2024-02-01T00:{minute:02}:00Z");
    if service.transactions().iter().any(|known| known["id"] == id) {
        let change = json!({ "status": status, "amount": amount, "updatedAt": at });
        service.change_transaction(id, change);
    } else {
        service.add_raw_transaction(with_status(id, &at, status, amount));
    }
}

/// A refund of 10 that relates to another transaction.
fn child(service: &FakePsp, id: &str, parent: &str, minute: u32) {
    let at = format!("2024-02-01T00:{minute:02}:30Z");
    let mut child = with_status(id, &at, "REFUNDED", "10");
    child["relatedTransactionID"] = json!(parent);
    service.add_raw_transaction(child);
}

/// Transactions with any status and amount, some of them related, in as many polls as there are phases. What was read just
/// before the copy may not be delivered yet.
fn ends_as_if_never_put_back(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let service = FakePsp::start();
    let (control, side) = (Side::start(&service), Side::start(&service));
    // What waits for them is nowhere but in the state.
    for parent in ["tx-1", "tx-4"] {
        becomes(&service, parent, 0, "PENDING", "100");
    }
    let mut copy = None;
    for phase in 0..8 {
        for event in 0..random.u32(1..6) {
            let number = random.u8(..8);
            let id = format!("tx-{number}");
            let status = random.choice(STATUSES).unwrap();
            let amount = random.u8(1..150).to_string();
            let is_new = service.transactions().iter().all(|known| known["id"] != id);
            becomes(&service, &id, 1 + phase * 6 + event, status, &amount);
            if is_new && number % 3 == 2 {
                let parent = format!("tx-{}", number - 1);
                let related = json!({ "relatedTransactionID": parent });
                service.change_transaction(&id, related);
            }
        }
        control.place.poll_well();
        let makes_copy = copy.is_none() && phase < 6;
        if makes_copy && random.bool() {
            side.poll_only(&service);
        } else {
            side.place.poll_well();
        }
        if makes_copy {
            let kind = random.choice(StateCopy::ALL).unwrap();
            let kept = side.place.path().join(format!("kept-{phase}"));
            kind.make(&side.place.state(), &kept);
            copy = Some((kind, kept, phase + random.u32(1..3)));
        } else if let Some((kind, kept, _)) = copy.take_if(|(_, _, until)| *until <= phase) {
            kind.put_back(&kept, &side.place.state());
        }
    }
    control.place.poll_well();
    side.place.poll_well();
    let wanted = control.shown();
    let shown = side.shown();
    assert_eq!(shown.len(), wanted.len(), "seed {seed}");
    for (id, shown) in shown {
        let (adjustments, pushed) = (&side.stack.payments()[&id], &control.stack.payments()[&id]);
        assert_eq!(
            shown, wanted[&id],
            "seed {seed}: {id:?}: {adjustments:#?}, and not {pushed:#?}"
        );
    }
    replayed(&side.place, &side.stack);
}

/// RESTORES sets how many, RESTORE_SEED the first one.
#[test]
fn random_histories_end_as_if_the_state_had_never_been_put_back() {
    let histories = std::env::var("RESTORES").map_or(4, |text| text.parse().unwrap());
    let first = std::env::var("RESTORE_SEED").map_or(0, |text| text.parse().unwrap());
    (first..first + histories).for_each(ends_as_if_never_put_back);
}
