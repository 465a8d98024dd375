//! The http publisher, and what delivery does for any publisher: batches that are sent again as they were, what is
//! refused, replays, several publishers side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Batch, FakePsp, Mishap, Place, Receiver, Running, TARGET_KEY, TARGET_TOKEN, TestAnswer, run,
    wait_until,
};

fn place(psp: &FakePsp, receiver: &Receiver) -> Place {
    Place::new(
        &psp.url(),
        json!({ "publish": [receiver.entry()], "pollingPeriod": "100ms" }),
    )
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&run(place.command("status --json")).stdout).unwrap()
}

fn up_to(last: i64) -> Vec<i64> {
    (1..=last).collect()
}

#[test]
fn change_lines_arrive_in_order_under_keys_that_say_what_is_in_them() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    place.configure(
        &psp.url(),
        json!({ "name": "Bänk 100%", "publish": [receiver.entry()] }),
    );
    place.poll_well();
    assert_eq!(receiver.seqs(), up_to(255));
    let state_id = status(&place)["stateId"].as_str().unwrap().to_owned();
    for batch in receiver.batches() {
        let seq = |line: Option<&Value>| line.unwrap()["seq"].clone();
        let (first, last) = (seq(batch.lines.first()), seq(batch.lines.last()));
        // A header has no place for other than ASCII.
        let key = format!("B%C3%A4nk 100%25/{state_id}/{first}-{last}-");
        let hash = batch.key.strip_prefix(&key).unwrap();
        assert!(hash.len() == 8 && u32::from_str_radix(hash, 16).is_ok());
        assert_eq!(batch.lines[0]["connector"], "Bänk 100%");
    }
    place.poll_well();
    assert_eq!(receiver.seqs().len(), 255);
}

#[test]
fn a_batch_whose_answer_was_lost_is_sent_again_as_it_was_also_after_a_crash() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    let lost: Arc<Mutex<Vec<Batch>>> = Arc::default();
    let seen = lost.clone();
    receiver.server.script(move |asked| {
        seen.lock().unwrap().push(Batch::of(asked));
        Mishap::LostAnswer
    });
    let log = fs::File::create(place.path().join("log")).unwrap();
    let mut command = place.command("run");
    command.stderr(log);
    let mut running = Running::start(command);
    wait_until("it was sent twice", || lost.lock().unwrap().len() >= 2);
    // More to send, which must not get into the batch that was sent already.
    psp.add_transaction("more", "2024-03-01T00:00:00Z");
    wait_until("it is stored", || status(&place)["lastSeq"] == 256);
    let sent = lost.lock().unwrap().len();
    wait_until("it is sent again", || lost.lock().unwrap().len() > sent);
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.ended();
    receiver.server.script(|_| Mishap::None);
    let batches = receiver.batches().len();
    place.poll_well();
    let lost = lost.lock().unwrap();
    assert!(lost.iter().all(|batch| *batch == lost[0]), "{lost:?}");
    let arrived = &receiver.batches()[batches..];
    assert_eq!(arrived[0], lost[0]);
    assert_eq!(arrived.last().unwrap().lines.last().unwrap()["id"], "more");
    let log = log_of(&place);
    assert_eq!(
        log.matches("delivery to \"http\" failed, retrying").count(),
        1,
        "{log}"
    );
    assert!(
        !log.contains("delivers again") && !log.contains(TARGET_TOKEN),
        "{log}"
    );
}

fn log_of(place: &Place) -> String {
    fs::read_to_string(place.path().join("log")).unwrap()
}

#[test]
fn any_fault_of_any_exchange_loses_nothing_and_changes_no_batch() {
    let faults = [
        Mishap::LostAnswer,
        Mishap::Cut,
        Mishap::Silence,
        Mishap::Instead(TestAnswer::new(500, "")),
        Mishap::Instead(TestAnswer::new(401, "")),
        Mishap::Instead(TestAnswer::new(403, "")),
        Mishap::Instead(TestAnswer::new(404, "")),
        Mishap::Instead(TestAnswer::new(405, "")),
        Mishap::Instead(TestAnswer::new(302, "").with("Location", "http://127.0.0.1:1/")),
        Mishap::Instead(TestAnswer::new(429, "").with("Retry-After", "0")),
    ];
    let psp = FakePsp::with_a_bank();
    for mishap in faults {
        let receiver = Receiver::start();
        let mut entry = receiver.entry();
        entry["requestTimeout"] = json!("300ms");
        let place = Place::new(&psp.url(), json!({ "publish": [entry] }));
        let (what, mut left) = (format!("{mishap:?}"), 2);
        receiver.server.script(move |_| match left {
            0 => Mishap::None,
            _ => {
                left -= 1;
                mishap.clone()
            }
        });
        let ran = place.poll_well();
        assert!(
            ran.stderr.contains("publisher \"http\" delivers again"),
            "{what}: {ran}"
        );
        let distinct: BTreeSet<i64> = receiver.seqs().into_iter().collect();
        assert_eq!(distinct.len(), 255, "{what}");
        let mut keys: BTreeMap<String, Batch> = BTreeMap::new();
        for batch in receiver.batches() {
            let known = keys.entry(batch.key.clone()).or_insert(batch.clone());
            assert_eq!(*known, batch, "{what}");
        }
        assert_eq!(
            status(&place)["publishers"][0]["error"],
            Value::Null,
            "{what}"
        );
    }
}

#[test]
fn the_process_may_end_at_any_step() {
    let psp = FakePsp::start();
    for number in 0..4 {
        psp.add_transaction(&format!("tx-{number}"), "2024-02-01T00:00:00Z");
    }
    let mut step = 1;
    loop {
        let receiver = Receiver::start();
        // The second line is refused, so there are several batches.
        receiver.server.script(|asked| {
            let has_second = Batch::of(asked).lines.iter().any(|line| line["seq"] == 2);
            if has_second {
                Mishap::Instead(TestAnswer::new(422, "no such thing"))
            } else {
                Mishap::None
            }
        });
        let place = place(&psp, &receiver);
        let mut command = place.command("poll");
        command.env("GENERIC_CONNECTOR_CRASH_AT", step.to_string());
        let crashed = run(command).code.is_none();
        place.poll();
        let distinct: BTreeSet<i64> = receiver.seqs().into_iter().collect();
        assert_eq!(distinct, [1, 3, 4].into(), "step {step}");
        let refused = run(place.command("quarantine list --json")).stdout;
        let refused: Value = serde_json::from_str(&refused).unwrap();
        assert_eq!(
            refused.as_array().unwrap().len(),
            1,
            "step {step}: {refused}"
        );
        assert_eq!(refused[0]["number"], "http/2", "step {step}");
        if !crashed {
            break;
        }
        step += 1;
    }
    assert!(step > 10, "only {step} steps");
}

#[test]
fn what_is_refused_is_narrowed_down_kept_and_can_be_tried_again() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    let bad = [7, 8, 100, 255];
    receiver.server.script(move |asked| {
        let lines = Batch::of(asked).lines;
        // It takes no more than a hundred at once.
        let refuses = |line: &Value| bad.iter().any(|seq| line["seq"] == *seq);
        match lines.len() > 100 {
            true => Mishap::Instead(TestAnswer::new(413, "")),
            false if lines.iter().any(refuses) => Mishap::Instead(TestAnswer::new(
                400,
                "{\"title\":\"No\",\"detail\":\"not\\nthis\"}",
            )),
            false => Mishap::None,
        }
    });
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    let expected: Vec<i64> = up_to(255)
        .into_iter()
        .filter(|seq| !bad.contains(seq))
        .collect();
    assert_eq!(receiver.seqs(), expected);
    let publisher = &status(&place)["publishers"][0];
    assert_eq!(publisher["lag"], 0);
    assert_eq!(publisher["refused"], 4);
    let listed = run(place.command("quarantine list")).stdout;
    assert!(
        listed.contains("http/100") && listed.contains("answered 400 (No: not\\nthis)"),
        "{listed}"
    );
    receiver.server.script(|_| Mishap::None);
    run(place.command("quarantine retry http/100 http/7"));
    run(place.command("quarantine drop http/8"));
    assert_eq!(run(place.command("quarantine drop http/8")).code, Some(1));
    place.poll_well();
    assert_eq!(receiver.seqs()[expected.len()..], [7, 100]);
    let listed = run(place.command("quarantine list")).stdout;
    assert!(
        listed.contains("http/255") && !listed.contains("http/8"),
        "{listed}"
    );
    let beyond = run(place.command("publisher replay http --from 999"));
    assert!(
        beyond.stderr.contains("has delivered only up to seq 255"),
        "{beyond}"
    );
    // One that is skipped is not sent, and no batch reaches over it.
    receiver.server.script(|_| Mishap::Cut);
    psp.add_transaction("one", "2024-03-01T00:00:00Z");
    psp.add_transaction("two", "2024-03-01T00:00:01Z");
    psp.add_transaction("three", "2024-03-01T00:00:02Z");
    run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(run(place.command("publisher skip http 257")).code, Some(0));
    receiver.server.script(|_| Mishap::None);
    let before = receiver.seqs().len();
    place.poll_well();
    assert_eq!(receiver.seqs()[before..], [256, 258]);
    run(place.command("quarantine drop http/257"));
    // A replay is everything, also what was refused.
    let before = receiver.seqs().len();
    run(place.command("publisher replay http --from 250"));
    place.poll_well();
    assert_eq!(receiver.seqs()[before..], (250..=258).collect::<Vec<i64>>());
    let listed = run(place.command("quarantine list")).stdout;
    assert!(!listed.contains("http/"), "{listed}");
}

#[test]
fn a_key_that_is_rotated_is_read_again() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    let mut entry = receiver.entry();
    let key_file = place.path().join("key");
    entry["apiKey"] = Value::Null;
    entry["apiKeyFile"] = json!("key");
    fs::write(&key_file, format!("{TARGET_KEY}\n")).unwrap();
    fs::set_permissions(
        &key_file,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    place.configure(&psp.url(), json!({ "publish": [entry] }));
    receiver
        .server
        .script(|asked| match asked.header("authorization") {
            Some("Bearer the-next-key") => Mishap::None,
            // As some echo what they were sent.
            _ => Mishap::Instead(TestAnswer::new(
                401,
                format!("not with {:?}", asked.header("authorization")),
            )),
        });
    let ran = run(place.command("poll --delivery-patience 200ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("the target refuses the key; put the right one into \"apiKey\" or its file"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("Bearer [redacted]") && !ran.stderr.contains(TARGET_KEY),
        "{ran}"
    );
    let log = fs::File::create(place.path().join("log")).unwrap();
    let mut command = place.command("run");
    command.stderr(log);
    let mut running = Running::start(command);
    wait_until("it is refused", || {
        log_of(&place).contains("refuses the key")
    });
    fs::write(&key_file, "the-next-key\n").unwrap();
    wait_until("it is delivered", || receiver.seqs().len() == 255);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_target_that_asks_for_patience_is_left_alone() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    let times: Arc<Mutex<Vec<std::time::Instant>>> = Arc::default();
    let seen = times.clone();
    receiver.server.script(move |_| {
        let mut seen = seen.lock().unwrap();
        seen.push(std::time::Instant::now());
        match seen.len() {
            1 => Mishap::Instead(TestAnswer::new(503, "").with("Retry-After", "2")),
            _ => Mishap::None,
        }
    });
    place.poll_well();
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_secs(2));
}

#[test]
fn publishers_go_on_side_by_side_at_their_own_pace() {
    let psp = FakePsp::with_a_bank();
    let (receiver, down) = (Receiver::start(), Receiver::start());
    let mut other = down.entry();
    other["name"] = json!("other");
    let ndjson = json!({ "type": "ndjson", "path": "changes" });
    let with = |entries: Value| json!({ "publish": entries });
    let place = Place::new(&psp.url(), with(json!([receiver.entry(), ndjson])));
    place.poll_well();
    // A new one begins at its beginning, and one that is down holds up nobody.
    place.configure(&psp.url(), with(json!([receiver.entry(), other, ndjson])));
    down.server
        .script(|_| Mishap::Instead(TestAnswer::new(500, "")));
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    let ran = run(place.command("poll --delivery-patience 300ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("publisher \"other\" has 256 changes to deliver"),
        "{ran}"
    );
    assert_eq!(receiver.seqs(), up_to(256));
    let lines = || {
        fs::read_to_string(place.path().join("changes"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(lines(), 256);
    let shown = run(place.command("status")).stdout;
    assert!(shown.contains("delivery fails: POST"), "{shown}");
    down.server.script(|_| Mishap::None);
    place.poll_well();
    assert_eq!(down.seqs(), up_to(256));
    // A file is appended to.
    let replay = run(place.command("publisher replay ndjson --from 255"));
    assert!(
        replay
            .stdout
            .contains("will deliver everything from seq 255 again"),
        "{replay}"
    );
    place.poll_well();
    assert_eq!((lines(), receiver.seqs().len()), (258, 256));
    place.poll_well();
    assert_eq!(lines(), 258);
    // A publisher that is no longer configured can be removed.
    let removed = run(place.command("publisher remove other"));
    assert!(
        removed
            .stderr
            .contains("is in the configuration: remove its entry"),
        "{removed}"
    );
    place.configure(&psp.url(), with(json!([receiver.entry(), ndjson])));
    let mut running = Running::start({
        let mut command = place.command("run");
        command.stderr(Stdio::null());
        command
    });
    let polls = || status(&place)["polls"][0]["number"].as_i64();
    let before = polls();
    wait_until("it runs", || polls() > before);
    assert_eq!(run(place.command("publisher remove other")).code, Some(0));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.ended();
    assert!(!run(place.command("status")).stdout.contains("other"));
    let nobody = run(place.command("publisher replay nobody"));
    assert_eq!(nobody.code, Some(1), "{nobody}");
    assert!(
        nobody
            .stderr
            .contains("there is no publisher \"nobody\" in the state, which has: http, ndjson"),
        "{nobody}"
    );
}

#[test]
fn a_replay_is_taken_up_by_a_connector_that_runs() {
    let psp = FakePsp::with_a_bank();
    let receiver = Receiver::start();
    let place = place(&psp, &receiver);
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let mut running = Running::start(command);
    wait_until("it is delivered", || receiver.seqs().len() == 255);
    wait_until("that is known", || {
        status(&place)["publishers"][0]["lag"] == 0
    });
    let asked = run(place.command("publisher replay http --from 254"));
    assert_eq!(asked.code, Some(0), "{asked}");
    wait_until("it is delivered again", || receiver.seqs().len() == 257);
    assert_eq!(receiver.seqs()[255..], [254, 255]);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn what_was_stored_while_the_target_was_down_arrives_in_order() {
    let psp = FakePsp::start();
    for number in 0..5_000 {
        let (minute, second) = (number / 60 % 60, number % 60);
        let at = format!("2024-02-01T{:02}:{minute:02}:{second:02}Z", number / 3_600);
        psp.add_transaction(&format!("tx-{number:04}"), &at);
    }
    let receiver = Receiver::start();
    receiver.server.script(|_| Mishap::Cut);
    let more = json!({ "publish": [receiver.entry()], "batchRecords": 500 });
    let place = Place::new(&psp.url(), more);
    let ran = run(place.command("poll --delivery-patience 1ms"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("poll 1 complete: 5000 new versions"),
        "{ran}"
    );
    receiver.server.script(|_| Mishap::None);
    place.poll_well();
    assert_eq!(receiver.seqs(), up_to(5_000));
    // In batches, and not line by line.
    assert!(
        receiver.batches().len() <= 15,
        "{}",
        receiver.batches().len()
    );
}
