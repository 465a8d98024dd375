//! `migrate` says what a new layout takes, and brings the state to it.

use std::fs::{self, File, OpenOptions};

use serde_json::json;

use crate::support::old_state::{LAYOUTS, polled_with_layout};
use crate::support::{FakePsp, Place, run};

/// A state that is not polled: only its tables and the connector that it belongs to.
fn empty_with_layout(psp: &FakePsp, layout: &str) -> Place {
    let place = Place::new(&psp.url(), json!({}));
    fs::create_dir(place.state()).unwrap();
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state.execute_batch(layout).unwrap();
    let owner = "INSERT OR REPLACE INTO state (key, value) VALUES ('state_id', 'an-id'), ('name', 'test'), ('endpoint', ?1)";
    state.execute(owner, [psp.url()]).unwrap();
    place
}

/// The names in the directory of the state, and the bytes of the state.
fn contents(place: &Place) -> (Vec<String>, Vec<u8>) {
    let names = fs::read_dir(place.state()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| !name.ends_with("-shm") && !name.ends_with("-wal"))
        .collect();
    names.sort();
    (
        names,
        fs::read(place.state().join("state.sqlite3")).unwrap(),
    )
}

#[test]
fn each_older_layout_is_announced_without_a_change_and_migrated_once() {
    let psp = FakePsp::with_a_bank();
    for (layout, sql) in LAYOUTS {
        let place = empty_with_layout(&psp, sql);
        let before = contents(&place);
        let ran = run(place.command("migrate --dry-run"));
        assert_eq!(ran.code, Some(0), "{ran}");
        let copy = format!("state.sqlite3.layout-{layout}");
        for said in [
            &format!(", layout {layout}, "),
            "layout 12",
            &copy,
            " needed, ",
            "about 1 s",
        ] {
            assert!(ran.stdout.contains(said), "{said}: {ran}");
        }
        assert!(contents(&place) == before, "layout {layout}: {ran}");

        let ran = run(place.command("migrate"));
        assert_eq!(ran.code, Some(0), "{ran}");
        let migrated = format!("from layout {layout} to 12 in ");
        assert!(ran.stdout.contains(&migrated), "{ran}");
        assert!(place.state().join(&copy).exists(), "{ran}");
        let again = run(place.command("migrate"));
        assert_eq!(again.code, Some(0), "{again}");
        assert!(again.stdout.contains("none is needed"), "{again}");
    }
}

#[test]
fn the_records_are_there_and_the_copy_can_be_put_back() {
    let psp = FakePsp::with_a_bank();
    let place = polled_with_layout(&psp, include_str!("layouts/10.sql"));
    let changes = place.changes().len();
    let ran = run(place.command("migrate"));
    assert_eq!(ran.code, Some(0), "{ran}");
    place.poll_well();
    assert_eq!(place.changes().len(), changes);
    let copy = place.state().join("state.sqlite3.layout-10");
    let ran = run(place.command(&format!("restore {}", copy.display())));
    assert_eq!(ran.code, Some(0), "{ran}");
    place.poll_well();
    let verified = run(place.command("verify"));
    assert_eq!(verified.code, Some(0), "{verified}");
}

#[test]
fn another_process_with_the_state_keeps_it_and_does_not_hide_it() {
    let psp = FakePsp::with_a_bank();
    let place = empty_with_layout(&psp, include_str!("layouts/9.sql"));
    let lock = File::create(place.state().join("lock")).unwrap();
    lock.lock().unwrap();
    let ran = run(place.command("migrate --dry-run"));
    assert_eq!(ran.code, Some(0), "{ran}");
    let before = contents(&place);
    let ran = run(place.command("migrate"));
    assert_eq!(ran.code, Some(75), "{ran}");
    assert!(contents(&place) == before, "{ran}");
    drop(lock);
    assert_eq!(run(place.command("migrate")).code, Some(0));
}

#[test]
fn a_disk_with_too_little_room_is_something_to_look_at() {
    let psp = FakePsp::with_a_bank();
    let place = empty_with_layout(&psp, include_str!("layouts/10.sql"));
    // Longer than any disk. Almost nothing of it is written.
    let state = place.state().join("state.sqlite3");
    let state = OpenOptions::new().write(true).open(state).unwrap();
    let length = state.metadata().unwrap().len();
    state.set_len(1 << 42).unwrap();
    let ran = run(place.command("migrate --dry-run"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stdout.contains("too little, make room first"), "{ran}");
    let ran = run(place.command("migrate"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("are needed beside"), "{ran}");
    state.set_len(length).unwrap();
    let ran = run(place.command("migrate"));
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn a_newer_state_and_none_are_errors() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    for command in ["migrate", "migrate --dry-run"] {
        let ran = run(place.command(command));
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("there is no state at"), "{ran}");
    }
    place.poll_well();
    let ran = run(place.command("migrate --dry-run"));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("none is needed"), "{ran}");
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state.pragma_update(None, "user_version", 99).unwrap();
    for command in ["migrate", "migrate --dry-run"] {
        let ran = run(place.command(command));
        assert_eq!(ran.code, Some(65), "{ran}");
    }
}
