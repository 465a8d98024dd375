//! The listener's keys: how they are replaced, and what a wrong one costs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::configuration::{ENDPOINT, rejected};
use crate::support::{FakePsp, KEY, LISTEN_KEY, Listening, Place, run, wait_until};

const NEXT_KEY: &str = "next-l1sten-key-of-the-test";

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

/// A place whose listener has its key in a file.
fn place(service: &FakePsp, keys: &str) -> (Place, PathBuf) {
    let more = json!({ "listen": "127.0.0.1:0", "listenKeyFile": "key", "pollingPeriod": "1h" });
    let place = Place::new(&service.url(), more);
    let file = place.path().join("key");
    write(&file, keys);
    (place, file)
}

fn status_with(listening: &Listening, key: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    listening.ask("GET", "/status", Some(&bearer), "").0
}

fn of_the_listener(listening: &Listening, key: &str) -> Value {
    let bearer = format!("Bearer {key}");
    let (status, _, body) = listening.ask("GET", "/status", Some(&bearer), "");
    assert_eq!(status, 200);
    body["listener"].clone()
}

#[test]
fn a_key_is_replaced_without_a_gap_and_without_a_restart() {
    let service = FakePsp::with_a_bank();
    let (place, file) = place(&service, &format!("{LISTEN_KEY}\n"));
    let listening = Listening::on(place, &[]);
    assert_eq!(status_with(&listening, LISTEN_KEY), 200);
    // Nobody has to send a wrong key for the change to be noticed.
    write(&file, &format!("{NEXT_KEY}\n\n {LISTEN_KEY} \n"));
    wait_until("both count", || {
        of_the_listener(&listening, LISTEN_KEY)["keys"]["valid"] == 2
    });
    assert_eq!(status_with(&listening, NEXT_KEY), 200);
    assert_eq!(
        status_with(
            &listening,
            &format!("{NEXT_KEY}\n{LISTEN_KEY}").replace('\n', " ")
        ),
        401
    );
    // A file that cannot be used changes nothing.
    for (bad, said) in [
        ("", "is empty: put the key into it"),
        (
            "a\nb\nc",
            "has 3 lines: keep the new key and, until everybody sends it, the old one",
        ),
    ] {
        write(&file, bad);
        wait_until("it is noticed", || {
            assert_eq!(status_with(&listening, LISTEN_KEY), 200);
            listening.log().contains(said)
        });
    }
    assert_eq!(status_with(&listening, NEXT_KEY), 200);
    write(&file, NEXT_KEY);
    wait_until("one counts", || {
        of_the_listener(&listening, NEXT_KEY)["keys"]["valid"] == 1
    });
    assert_eq!(status_with(&listening, LISTEN_KEY), 401);
    let log = listening.log();
    assert!(
        !log.contains(LISTEN_KEY) && !log.contains(NEXT_KEY),
        "{log}"
    );
    assert_eq!(log.matches("and cannot be used").count(), 2, "{log}");
}

#[test]
fn a_key_in_the_configuration_is_replaced_without_a_restart() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    let more = json!({ "listen": "127.0.0.1:0", "listenKey": NEXT_KEY });
    listening.place.configure(&service.url(), more);
    wait_until("it counts", || status_with(&listening, NEXT_KEY) == 200);
    assert_eq!(status_with(&listening, LISTEN_KEY), 401);
}

#[test]
fn a_credential_stays_as_it_is_whatever_others_send() {
    let service = FakePsp::with_a_bank();
    let more = json!({ "listen": "127.0.0.1:0", "pollingPeriod": "1h" });
    let place = Place::new(&service.url(), more);
    let credentials = tempfile::tempdir().unwrap();
    let file = credentials.path().join("listenKey");
    write(&file, &format!("{NEXT_KEY}\n{LISTEN_KEY}\n"));
    let folder = credentials.path().to_str().unwrap().to_owned();
    let listening = Listening::on(place, &[("CREDENTIALS_DIRECTORY", folder)]);
    write(&file, "another-key-of-the-test");
    // As long as a change of a file takes to be noticed.
    assert_eq!(status_with(&listening, "another-key-of-the-test"), 401);
    assert_eq!(status_with(&listening, "another-key-of-the-test"), 401);
    assert_eq!(status_with(&listening, LISTEN_KEY), 200);
    let keys = json!({ "valid": 2, "read": "at the start" });
    assert_eq!(of_the_listener(&listening, NEXT_KEY)["keys"], keys);
}

#[test]
fn a_file_with_too_many_keys_is_an_error() {
    let service = FakePsp::with_a_bank();
    let (place, _) = place(&service, "a\nb\nc\n");
    let ran = run(place.command("run"));
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(
        ran.stderr.contains("has 3 lines: keep the new key"),
        "{ran}"
    );
}

#[test]
fn only_the_answer_to_a_wrong_key_is_late() {
    const DELAY: Duration = Duration::from_secs(1);
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let wrong: Vec<_> = (0..20)
            .map(|number| {
                let listening = &listening;
                scope.spawn(move || status_with(listening, &format!("wrong-key-{number}")))
            })
            .collect();
        wait_until("they are counted", || {
            of_the_listener(&listening, LISTEN_KEY)["wrongKeys"] == 20
        });
        // Other clients get their answers while those wait.
        assert_eq!(listening.ask("GET", "/status", None, "").0, 401);
        assert_eq!(listening.get("/transactions").0, 200);
        let is_answered = wrong.iter().any(|asking| asking.is_finished());
        assert!(!is_answered || start.elapsed() >= DELAY);
        for asking in wrong {
            assert_eq!(asking.join().unwrap(), 401);
        }
    });
    assert!(start.elapsed() >= DELAY);
    assert_eq!(of_the_listener(&listening, LISTEN_KEY)["wrongKeys"], 20);
    let log = listening.log();
    let lines = log.lines().filter(|line| line.contains("wrong key"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains(": 1, the last one from 127.0.0.1"),
        "{log}"
    );
}

/// Whoever holds the one must not get what the other opens. `KEY` is that of the service.
#[test]
fn keys_of_different_people_are_different() {
    let target =
        "\"publish\": [{ \"type\": \"http\", \"url\": \"https://x\", \"apiKey\": \"{}\" }]";
    let listen = "\"listen\": \"127.0.0.1:0\", \"listenKey\": \"listens-s3cret-key\"";
    let observe = "\"observe\": \"127.0.0.1:0\", \"observeKey\": \"{}\"";
    let with = |text: &str, key: &str| text.replace("{}", key);
    for (keys, said) in [
        (
            with(observe, KEY),
            "\"observeKey\" is the same as \"apiKey\", which opens the service",
        ),
        (
            format!("{listen}, {}", with(observe, "listens-s3cret-key")),
            "\"observeKey\" is the same as \"listenKey\"",
        ),
        (
            format!("{listen}, {}", with(target, "listens-s3cret-key")),
            "the \"apiKey\" of the publisher \"http\" is the same as \"listenKey\"",
        ),
        (
            format!(
                "{}, {}",
                with(observe, "looks-s3cret-key"),
                with(target, "looks-s3cret-key")
            ),
            "the \"apiKey\" of the publisher \"http\" is the same as \"observeKey\"",
        ),
    ] {
        rejected(&format!("{{ {keys} }} -> {said}"));
    }
    // Formance may send what it sent to the service before, and a target may have had that key for long.
    let target = json!({ "type": "http", "url": "http://127.0.0.1:9", "apiKey": KEY });
    for (more, named) in [
        (
            json!({ "listen": "127.0.0.1:0", "listenKey": KEY }),
            "\"listenKey\"",
        ),
        (
            json!({ "publish": [target] }),
            "the \"apiKey\" of the publisher \"http\"",
        ),
    ] {
        let ran = run(Place::new(ENDPOINT, more).command("poll"));
        let warned =
            format!("{named} is the same as \"apiKey\": whoever has the one has the other");
        assert!(ran.code == Some(1) && ran.stderr.contains(&warned), "{ran}");
    }
}

#[test]
fn a_folder_of_keys_that_cannot_be_read_is_named() {
    let place = Place::new("http://127.0.0.1:1", json!({ "apiKey": null }));
    let mut command = place.command("poll");
    let folder = place.path().join("keys");
    command.env("CREDENTIALS_DIRECTORY", &folder);
    let ran = run(command);
    assert_eq!(ran.code, Some(78), "{ran}");
    let said = format!(
        "no key: {} in CREDENTIALS_DIRECTORY cannot be read: ",
        folder.display()
    );
    assert!(ran.stderr.contains(&said), "{ran}");
}
