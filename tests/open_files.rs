//! The files of the state under a running connector: when one is removed or replaced, nothing more is written.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{FakePsp, Listening, Reply};

/// A connector that has read ten transactions, and what its state has in its write-ahead log.
fn listening() -> (FakePsp, Listening) {
    let psp = FakePsp::start();
    for number in 0..10 {
        psp.add_transaction(
            &format!("t-{number}"),
            &format!("2024-02-01T00:00:0{number}Z"),
        );
    }
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    (psp, listening)
}

/// It notices the change with its next poll, and ends.
fn ends(listening: &mut Listening, file: &str, change: impl FnOnce(&Path)) {
    let path = listening.place.state().join(file);
    change(&path);
    listening.post("/poll", "");
    assert_eq!(listening.process.ended().0, Some(65), "{}", listening.log());
    let line =
        listening.wait_for_line("was removed or replaced while generic-connector had it open");
    assert!(line.contains(path.to_str().unwrap()), "{line}");
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::write(&other, "another file").unwrap();
    fs::rename(&other, path).unwrap();
}

/// It is not touched any more.
fn is_left(file: &str) {
    let (_psp, mut listening) = listening();
    ends(&mut listening, file, replace);
    let left = fs::read_to_string(listening.place.state().join(file)).unwrap();
    assert_eq!(left, "another file");
}

/// What was committed is there at the next start, although the service does not answer.
fn is_lost_without_loss(file: &str) {
    let (psp, mut listening) = listening();
    ends(&mut listening, file, |path| fs::remove_file(path).unwrap());
    psp.always("/", Reply::status(401));
    let listening = listening.restart(&[]);
    let (_, page) = listening.get("/transactions");
    assert_eq!(page.as_array().unwrap().len(), 10, "{page}");
    assert!(!listening.log().contains("put back"), "{}", listening.log());
}

cases! {
    is_left;
    another_state_is_left_as_it_is("state.sqlite3");
    another_log_is_left_as_it_is("state.sqlite3-wal");
    another_lock_ends_the_first_process("lock");
}

cases! {
    is_lost_without_loss;
    a_log_that_is_removed_costs_nothing("state.sqlite3-wal");
    a_shared_memory_that_is_removed_costs_nothing("state.sqlite3-shm");
    a_lock_that_is_removed_costs_nothing("lock");
}

#[test]
fn a_state_that_is_moved_away_ends_the_process() {
    let (_psp, mut listening) = listening();
    ends(&mut listening, "state.sqlite3", |path| {
        fs::rename(path, path.with_extension("moved")).unwrap();
    });
    assert!(!listening.place.state().join("state.sqlite3").exists());
}
