//! What operators do beside the service: as root, as another user, after a change of the configuration.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Place, Ran, Receiver, Reply, STATE_FILE, run,
};

/// A user that is neither root nor anybody who runs the tests.
const SOMEBODY: u32 = 54_321;

fn status(place: &Place) -> Value {
    let ran = run(place.command("status --json"));
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Whether these tests run as root, who alone can make files of others. A test without that does nothing.
fn is_root(place: &Place) -> bool {
    fs::metadata(place.path()).unwrap().uid() == 0
}

/// Runs a command as a user who is not root.
fn as_somebody(place: &Place, command: &str) -> Ran {
    let mut command = place.command(command);
    if is_root(place) {
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
    run(command)
}

#[test]
fn what_root_makes_belongs_to_the_user_of_the_service() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({ "stateDir": "var/state" }));
    if !is_root(&place) {
        return;
    }
    let (var, state) = (place.path().join("var"), place.path().join("var/state"));
    let backups = place.path().join("var/backups");
    fs::create_dir(&var).unwrap();
    chown(&var, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let backup = format!("backup --to {}", backups.display());
    for command in ["poll", backup.as_str(), "quarantine list", "sweep"] {
        let ran = run(place.command(command));
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    let mut listed = Vec::new();
    for folder in [&state, &backups] {
        listed.push(folder.clone());
        listed.extend(
            fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
    assert!(listed.len() >= 7, "{listed:?}");
    for path in listed {
        let metadata = fs::metadata(&path).unwrap();
        let owner = (metadata.uid(), metadata.gid());
        assert_eq!(owner, (SOMEBODY, SOMEBODY), "{}", path.display());
    }
}

/// Whoever runs the service decides what the names in its directory lead to, and must not get root's files that way.
#[test]
fn what_was_roots_before_stays_roots() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    if !is_root(&place) {
        return;
    }
    let (state, roots) = (place.state(), place.path().join("of-root"));
    fs::create_dir(&state).unwrap();
    for name in ["lock", "changes.ndjson"] {
        let target = roots.with_extension(name);
        fs::write(&target, "").unwrap();
        symlink(&target, state.join(name)).unwrap();
    }
    chown(&state, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    run(place.command("poll"));
    assert_eq!(
        fs::metadata(state.join(STATE_FILE)).unwrap().uid(),
        SOMEBODY
    );
    for name in ["lock", "changes.ndjson"] {
        let metadata = fs::metadata(roots.with_extension(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{name}");
    }
}

#[test]
fn another_user_learns_whose_the_state_is() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    place.poll_well();
    if !is_root(&place) {
        return;
    }
    for path in [place.path().to_owned(), place.path().join("generic.json")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for command in ["status", "verify", "quarantine list"] {
        let mut command = place.command(command);
        command.uid(SOMEBODY).gid(SOMEBODY);
        let ran = run(command);
        let said = format!(
            "you may not read {}",
            place.state().join(STATE_FILE).display()
        );
        for part in [&*said, "as root, or as the user with the id 0"] {
            assert!(ran.stderr.contains(part), "{ran}");
        }
    }
}

/// SQLite makes files beside a state even to read it.
#[test]
fn a_state_in_a_directory_that_cannot_be_written_is_not_read_and_why_is_said() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    place.poll_well();
    let (state, file) = (place.state(), place.state().join(STATE_FILE));
    if is_root(&place) {
        let files = fs::read_dir(&state).unwrap();
        for path in files.map(|entry| entry.unwrap().path()) {
            chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
        chown(&state, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    let set_mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(place.path(), 0o755);
    set_mode(&place.config(), 0o644);
    set_mode(&state, 0o500);
    let ran = as_somebody(&place, "status");
    set_mode(&state, 0o700);
    assert_eq!(ran.code, Some(1), "{ran}");
    let owner = fs::metadata(&file).unwrap().uid();
    let who = format!("the user with the id {owner}");
    for part in ["may not write", &*who, "check the modes"] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    let ran = as_somebody(&place, "status");
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn a_configuration_that_this_user_may_not_read_exists() {
    let place = Place::new("http://127.0.0.1:9", json!({}));
    let set_mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(place.path(), 0o755);
    set_mode(&place.config(), if is_root(&place) { 0o640 } else { 0 });
    let ran = as_somebody(&place, "run");
    assert_eq!(ran.code, Some(78), "{ran}");
    let hint = "let this user read the file";
    assert!(ran.stderr.contains(hint), "{ran}");
    assert!(!ran.stderr.contains("existing file"), "{ran}");
}

#[test]
fn a_poll_for_connectivity_alone_begins_no_file() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(
        &service.url(),
        json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY }),
    );
    let ran = run(place.command("poll"));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(!place.state().join("changes.ndjson").exists());
    let shown = status(&place);
    assert_eq!(
        (&shown["publishers"], &shown["lastSeq"]),
        (&json!([]), &json!(255))
    );
}

#[test]
fn a_publisher_that_left_the_configuration_is_shown_so_and_can_be_forgotten() {
    let (service, target) = (FakePsp::with_a_bank(), Receiver::start());
    let mut left = target.entry();
    left["name"] = json!("left");
    let listening = Listening::start(&service.url(), json!({ "publish": [target.entry(), left] }));
    listening.poll();
    let remove = |listening: &Listening| run(listening.place.command("publisher remove left"));
    let place = &listening.place;
    assert_eq!(status(place)["publishers"][1]["inUse"], true);
    let keys = json!({
        "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h", "publish": [target.entry()],
    });
    place.configure(&service.url(), keys);
    let ran = remove(&listening);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("the running connector still delivers to \"left\""),
        "{ran}"
    );
    let listening = listening.restart(&[]);
    listening.poll();
    let shown = status(&listening.place);
    assert_eq!(shown["publishers"][1]["inUse"], false, "{shown}");
    let table = run(listening.place.command("status")).stdout;
    let says = "not in the configuration any more; forget it with: publisher remove left";
    assert!(table.contains(says), "{table}");
    let ran = remove(&listening);
    assert_eq!(ran.code, Some(0), "{ran}");
    let shown = status(&listening.place);
    assert_eq!(shown["publishers"].as_array().unwrap().len(), 1);
}

#[test]
fn monitoring_notices_that_polls_fail() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    assert_eq!(listening.post("/poll?wait=true", "").0, 200);
    let check = || run(listening.place.command("status --check")).code;
    assert_eq!(check(), Some(0));
    let ready = json!({ "status": "ready", "warnings": 0, "lastPoll": "complete" });
    assert_eq!(listening.get("/readyz?deep"), (200, ready));
    service.always("/", Reply::status(401));
    let (status, summary) = listening.post("/poll?wait=true", "");
    assert_eq!((status, &summary["outcome"]), (502, &json!("failed")));
    assert!(
        summary["error"].as_str().unwrap().contains("401"),
        "{summary}"
    );
    let degraded = json!({ "status": "degraded", "warnings": 0, "lastPoll": "failed" });
    assert_eq!(listening.get("/readyz?deep"), (503, degraded));
    assert_eq!(listening.get("/readyz").0, 200);
    let never = Place::new(&service.url(), json!({}));
    run(never.command("poll"));
    let ran = run(never.command("status --check"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stdout.contains("WARNING    no poll has ever succeeded"),
        "{ran}"
    );
}

#[test]
fn check_names_what_the_service_could_not_use() {
    let service = FakePsp::with_a_bank();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let keys = json!({
        "listen": address, "listenKey": LISTEN_KEY,
        "publish": [{ "type": "ndjson", "path": "closed/changes.ndjson" }],
    });
    let place = Place::new(&service.url(), keys);
    let closed = place.path().join("closed");
    fs::create_dir(&closed).unwrap();
    for (path, mode) in [
        (&closed, 0o555),
        (&place.path().to_owned(), 0o755),
        (&place.config(), 0o644),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let check = || {
        let mut command = place.command("check --offline");
        // Root may write everywhere.
        if is_root(&place) {
            command.uid(SOMEBODY).gid(SOMEBODY);
        }
        run(command)
    };
    let ran = check();
    assert_eq!(ran.code, Some(2), "{ran}");
    let cannot = format!(
        "FAILED   ndjson: path: cannot write to {}: Permission denied",
        closed.display()
    );
    for part in [
        &*cannot,
        &*format!("\"listen\": {address} cannot be used: Address already in use"),
        "ReadWritePaths=",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {ran}");
    }
    drop(taken);
    let ran = check();
    assert!(!ran.stdout.contains("cannot be used"), "{ran}");
}
