//! The archive for whoever helps: it has what they need, and neither keys nor records, and it is made when little else works.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::json;

use crate::support::{FakePsp, Place, STATE_FILE, run, transaction};

/// The parts of the one archive in a folder, by their names, and its mode.
fn unpacked(folder: &Path) -> (BTreeMap<String, String>, u32) {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.extension().is_some_and(|end| end == "gz"));
    let path = path.unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(&path).unwrap()));
    let parts = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name.into_string().unwrap(), text)
    });
    (parts.collect(), mode)
}

/// A folder with a program of that name, which prints a text.
fn program(folder: &Path, name: &str, prints: &str) {
    let path = folder.join(name);
    fs::write(
        &path,
        format!("#!/bin/sh\necho \"$*\"\ncat <<'END'\n{prints}\nEND\n"),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn it_has_what_a_helper_needs_and_neither_keys_nor_records() {
    let service = FakePsp::with_a_bank();
    let mut bad = transaction("bad-id", "2024-02-01T00:02:00Z");
    bad["amount"] = json!("much");
    bad["metadata"] = json!({ "customer": "Jane-Doe-9177" });
    service.add_raw_transaction(bad);
    let keys = json!({
        "proxy": null, "observeKey": "0bserve-key-12345", "listen": "127.0.0.1:0", "listenKey": "l1sten-key-12345",
        "publish": [
            { "type": "ndjson", "path": "changes.ndjson" },
            { "type": "http", "url": "http://127.0.0.1:9/?token=url-t0ken-12345", "apiKey": "target-key-12345" },
            {
                "type": "formance", "url": "http://127.0.0.1:9", "connector": "c", "clientId": "id",
                "clientSecret": "cl1ent-secret-12345",
            },
        ],
    });
    let place = Place::new(&service.url(), keys);
    run(place.command("poll --delivery-patience 0s"));
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "journalctl",
        "a line with l1sten-key-12345 in it",
    );
    let mut command = place.command(&format!("support-bundle --to {}", folder.path().display()));
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", folder.path().display()));
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(!ran.stdout.contains("not there"), "{ran}");
    let (parts, mode) = unpacked(folder.path());
    assert_eq!(mode, 0o600);
    for (name, has) in [
        ("README.txt", "read it before you send it"),
        ("machine.txt", "sqlite"),
        ("configuration.json", "\"connector\": \"c\""),
        ("validity.txt", "it can be used"),
        ("files.txt", STATE_FILE),
        ("status.txt", "WARNING"),
        ("status.json", "\"lastSeq\""),
        ("quarantine.txt", "bad-id"),
        ("state.txt", "CREATE TABLE version"),
        ("log.txt", "--unit generic-connector.service"),
        ("log.txt", "a line with [redacted] in it"),
        ("check.txt", "must failed"),
        ("check.json", "\"format\": 1"),
    ] {
        assert!(parts[name].contains(has), "{name}: {}", parts[name]);
    }
    for (name, text) in &parts {
        for secret in ["-12345", "apiKey\": \"s", "Jane-Doe", "\"metadata\": {"] {
            assert!(!text.contains(secret), "{secret} in {name}: {text}");
        }
    }
}

#[test]
fn it_is_made_although_little_else_works() {
    // Neither a key, nor a state, nor a journal.
    let place = Place::new("http://127.0.0.1:9", json!({ "apiKey": null }));
    let log = place.path().join("log");
    let lines: Vec<String> = (0..3_000).map(|line| format!("line {line}")).collect();
    // As `--log <(docker logs connector)` passes them.
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (pipe, text) = (log.clone(), lines.join("\n"));
    std::thread::spawn(move || fs::write(pipe, text));
    let command = format!(
        "support-bundle --log {} --to {}",
        log.display(),
        place.path().display()
    );
    let ran = run(place.command(&command));
    assert_eq!(ran.code, Some(0), "{ran}");
    let (parts, _) = unpacked(place.path());
    for (name, why) in [
        ("validity.txt", "no key: set \"apiKey\""),
        ("status.txt", "there is no state at"),
        ("state.txt", "there is no state"),
        ("check.txt", "set CREDENTIALS_DIRECTORY="),
    ] {
        assert!(!parts.contains_key(name), "{name}");
        let says = |text: &str| {
            let mut lines = text.lines().filter(|line| line.contains(name));
            lines.any(|line| line.contains("not there: ") && line.contains(why))
        };
        assert!(says(&ran.stdout), "{ran}");
        assert!(says(&parts["README.txt"]));
    }
    let log = &parts["log.txt"];
    assert!(log.starts_with("line 1000\n") && log.ends_with("line 2999\n"));
    assert!(parts["configuration.json"].contains("\"name\""));
}

#[test]
fn a_damaged_state_and_a_full_disk_are_said() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    place.poll_well();
    fs::write(place.state().join(STATE_FILE), "no database at all").unwrap();
    let ran = run(place.command(&format!(
        "support-bundle --offline --log {} --to {}",
        place.config().display(),
        place.path().display()
    )));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.stdout.contains("state.txt            not there: "),
        "{ran}"
    );
    assert!(!ran.stdout.contains("check.txt"), "{ran}");
    let (parts, _) = unpacked(place.path());
    assert!(
        parts["log.txt"].contains("\"endpoint\""),
        "{}",
        parts["log.txt"]
    );
    let ran = run(place.command("support-bundle --offline --to /dev/full/nowhere"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("cannot write /dev/full/nowhere/generic-connector-support-"),
        "{ran}"
    );
}
