//! Quiet: no secret in a log, an error, the state or `--help`; nothing from outside can forge a log line.

use std::fs;

use serde_json::json;

use crate::support::{FakePsp, KEY, Place, Reply, Running, binary, run, wait_until};

#[test]
fn the_key_is_shown_nowhere() {
    let psp = FakePsp::with_a_bank();
    psp.script(|path| match path {
        path if path.starts_with("/beneficiaries") => Reply::status(500),
        path if path.ends_with("/balances") => Reply::status(401),
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({}));
    let mut verbose = place.command("poll");
    verbose.arg("--verbose");
    let status = place.command("status");
    let mut help = binary();
    help.args(["poll", "--help"]);
    for command in [verbose, status, help] {
        let ran = run(command);
        assert!(
            !ran.stdout.contains(KEY) && !ran.stderr.contains(KEY),
            "{ran}"
        );
    }
    for entry in fs::read_dir(place.state()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(KEY.len())
                .any(|window| window == KEY.as_bytes())
        );
    }
}

#[test]
fn a_key_that_the_service_repeats_is_not_shown() {
    let psp = FakePsp::with_a_bank();
    let body = json!({ "title": "Unknown Key", "detail": format!("{KEY} is revoked") });
    let reply = Reply::With(400, vec![], body.to_string().into_bytes());
    psp.always("/beneficiaries", reply);
    let ran = Place::new(&psp.url(), json!({})).poll();
    let shown = "Unknown Key: [redacted] is revoked";
    assert!(
        ran.stderr.contains(shown) && !ran.stderr.contains(KEY),
        "{ran}"
    );
}

#[test]
fn the_service_cannot_forge_a_log_line() {
    let psp = FakePsp::with_a_bank();
    let body =
        br#"{"title":"x\n2026-01-01T00:00:00Z [INFO] all is well","detail":"\u001b[2J"}"#.to_vec();
    psp.always("/beneficiaries", Reply::With(400, vec![], body));
    psp.add_raw_transaction(json!({ "id": "a\nERROR b", "updatedAt": 5 }));
    let ran = Place::new(&psp.url(), json!({})).poll();
    assert!(ran.stderr.contains("all is well"), "{ran}");
    assert!(
        ran.stderr
            .lines()
            .all(|line| line.starts_with("20") && !line.starts_with("2026-01-01")),
        "{ran}"
    );
    assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
}

#[test]
fn a_state_that_others_can_read_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&place.state(), 0o755);
    set(&file, 0o644);
    let ran = place.poll_well();
    assert_eq!((mode(&place.state()), mode(&file)), (0o700, 0o600));
    let said = "every user of this machine had access to";
    assert_eq!(ran.stderr.matches(said).count(), 2, "{ran}");
    // Somebody has given the group its rights.
    set(&place.state(), 0o750);
    let ran = place.poll_well();
    assert_eq!(mode(&place.state()), 0o750);
    assert!(!ran.stderr.contains(said), "{ran}");
}

#[test]
fn a_process_leaves_no_core_dump() {
    let psp = FakePsp::start();
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    psp.always("/accounts", Reply::When(released));
    let place = Place::new(&psp.url(), json!({}));
    let polling = Running::start(place.command("poll"));
    wait_until("it asks", || !psp.requests().is_empty());
    let limits = fs::read_to_string(format!("/proc/{}/limits", polling.0.id())).unwrap();
    let limit = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let limit: Vec<&str> = limit.unwrap().split_whitespace().collect();
    assert_eq!(limit[4..6], ["0", "0"], "{limits}");
    // What the kernel keeps from other processes of the user belongs to root.
    use std::os::unix::fs::MetadataExt;
    let memory = fs::metadata(format!("/proc/{}/mem", polling.0.id())).unwrap();
    assert_eq!(memory.uid(), 0);
    drop(release);
}

#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.state()), 0o700);
    for entry in fs::read_dir(place.state()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
}
