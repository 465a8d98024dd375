//! Random histories in which the state is put back: what the publishers have delivered, and what the journal says.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::formance::payout;
use crate::support::{FakePsp, Listening, Place, Receiver, Reply, StateCopy};

/// How many histories of each kind: RESTORES sets it.
fn histories() -> u64 {
    std::env::var("RESTORES").map_or(2, |text| text.parse().unwrap())
}

/// Transactions appear, late or not, and change. No later than the lookback, so that no sweep has to find them.
fn goes_on(service: &FakePsp, random: &mut Rng, second: &mut u32) {
    let at = |second: u32| {
        format!(
            "2024-03-01T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    };
    for _ in 0..random.usize(1..30) {
        *second += random.u32(1..4);
        let known = service.transactions().len();
        if known > 0 && random.u8(..3) == 0 {
            let status = random.choice(["PENDING", "SUCCEEDED", "FAILED"]);
            let change = json!({ "status": status, "updatedAt": at(*second) });
            service.change_transaction(&format!("tx-{}", random.usize(..known)), change);
        } else {
            let late = [0, random.u32(..30)][random.usize(..2)];
            service.add_transaction(&format!("tx-{known}"), &at(*second - late));
        }
    }
}

/// The newest content of every transaction has come last.
fn are_complete(service: &FakePsp, lines: &[Value], what: &str) {
    let newest: BTreeMap<String, &Value> = lines
        .iter()
        .filter(|line| line["stream"] == "transactions")
        .map(|line| (line["id"].to_string(), &line["record"]))
        .collect();
    for transaction in service.transactions() {
        let delivered = newest.get(&transaction["id"].to_string());
        assert_eq!(delivered, Some(&&transaction), "{what}");
    }
}

/// No `seq` or key is there with two contents.
fn are_unique(lines: &[Value], what: &str) {
    let mut contents = BTreeMap::new();
    for line in lines {
        let content = (&line["stream"], &line["id"], &line["record"]);
        for number in ["seq", "idempotencyKey"] {
            let key = line[number].to_string();
            let known = contents.entry(key).or_insert(content);
            assert_eq!(*known, content, "{what}: {line}");
        }
    }
}

fn are_right_after(copy: StateCopy, polls_first: bool, seed: u64) {
    let what = format!("{copy:?}, polls first: {polls_first}, seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut second = 3_600;
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    let target = Receiver::start();
    let place = Place::new(&service.url(), json!({}));
    let file = json!({ "type": "ndjson", "path": place.changes_file() });
    let http = json!({ "publish": [target.entry(), file.clone()] });
    let ndjson = json!({ "publish": [file] });
    place.configure(&service.url(), http.clone());
    goes_on(&service, &mut random, &mut second);
    place.poll_well();
    // The target may be behind when the copy is made.
    if random.bool() {
        goes_on(&service, &mut random, &mut second);
        place.configure(&service.url(), ndjson);
        place.poll_well();
        place.configure(&service.url(), http);
    }
    let kept = place.path().join("kept");
    copy.make(&place.state(), &kept);
    for _ in 0..random.usize(1..4) {
        goes_on(&service, &mut random, &mut second);
        place.poll_well();
    }
    let lost = place.changes();
    copy.put_back(&kept, &place.state());
    if !polls_first {
        service.always("/", Reply::status(401));
        place.poll();
        service.heal();
    }
    for _ in 0..3 {
        goes_on(&service, &mut random, &mut second);
        place.poll_well();
    }
    let changes = place.changes();
    if copy != StateCopy::Directory {
        assert_eq!(changes[..lost.len()], lost, "{what}");
    }
    are_complete(&service, &changes, &what);
    let mut sent = Vec::new();
    let mut bodies = BTreeMap::new();
    for batch in target.batches() {
        let body = bodies.entry(batch.key).or_insert(batch.lines.clone());
        assert_eq!(*body, batch.lines, "{what}");
        sent.extend(batch.lines);
    }
    are_complete(&service, &sent, &what);
    are_unique(&[sent, lost, changes].concat(), &what);
}

#[test]
fn publishers_have_everything_after_a_restore() {
    for seed in 0..histories() {
        for copy in StateCopy::ALL {
            for polls_first in [false, true] {
                are_right_after(copy, polls_first, seed);
            }
        }
    }
}

/// Payouts are asked for, some of them twice, before the copy, after it, and after it was put back.
fn payouts_are_made_once(copy: StateCopy, seed: u64) {
    let what = format!("{copy:?}, seed {seed}");
    let mut random = Rng::with_seed(seed);
    let service = FakePsp::with_a_bank();
    let mut listening = Listening::start(&service.url(), json!({}));
    let kept = listening.place.path().join("kept");
    let mut answers: BTreeMap<String, (String, (u16, Value))> = BTreeMap::new();
    for phase in 0..3 {
        listening.poll();
        for _ in 0..6 {
            let key = format!("key-{}", random.u8(..9));
            let amount = random.u8(1..3).to_string();
            let (status, answer) = listening.post("/payouts", &payout(&key, &amount).to_string());
            let asked = (amount.clone(), (status, answer.clone()));
            let (first, expected) = answers.entry(key).or_insert(asked);
            if *first == amount {
                assert_eq!((status, answer), *expected, "{what}");
            } else {
                assert_eq!(status, 409, "{what}");
            }
        }
        listening.poll();
        match phase {
            0 => copy.make(&listening.place.state(), &kept),
            1 => {
                listening.kill();
                copy.put_back(&kept, &listening.place.state());
                listening = listening.restart(&[]);
            }
            _ => {}
        }
    }
    // The service was asked with one body for each key.
    let mut bodies = BTreeMap::new();
    for (_, body) in service.posts() {
        let key = body["idempotencyKey"].to_string();
        assert_eq!(*bodies.entry(key).or_insert(body.clone()), body, "{what}");
    }
    let (_, listed) = listening.get("/transactions?pageSize=1000");
    for transaction in listed.as_array().unwrap() {
        if let Some(key) = transaction["id"].as_str().unwrap().strip_prefix("payout-") {
            assert_eq!(transaction["relatedTransactionID"], key, "{what}");
        }
    }
}

/// The journal's copy is beside the state. If the whole directory is put back, it is lost with it.
#[test]
fn payouts_are_made_once_although_the_state_is_put_back() {
    for seed in 0..histories() {
        for copy in [StateCopy::Files, StateCopy::Snapshot, StateCopy::Nothing] {
            payouts_are_made_once(copy, seed);
        }
    }
}
