//! Complete, whatever the clocks say: one that was ahead for a moment hides nothing, and one that is behind dates nothing.

use generic_connector::Timestamp;
use serde_json::json;

use crate::support::{FakePsp, LISTEN_KEY, Listening, Manners, Place, run};

const A_DAY: i64 = 86_400;

/// The date that many seconds from now.
fn in_seconds(seconds: i64) -> String {
    Timestamp::now()
        .plus_nanoseconds(seconds * 1_000_000_000)
        .to_string()
}

fn set_clock_ahead(psp: &FakePsp, seconds: i64) {
    psp.behave(Manners {
        clock_ahead: seconds,
        ..Manners::default()
    });
}

#[test]
fn a_clock_of_the_service_that_jumps_a_day_ahead_and_back_hides_nothing() {
    let psp = FakePsp::start();
    psp.add_transaction("before", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    set_clock_ahead(&psp, A_DAY);
    psp.add_transaction("tomorrow", &in_seconds(A_DAY));
    place.poll_well();
    set_clock_ahead(&psp, 0);
    psp.add_transaction("today", &in_seconds(0));
    let ran = place.poll_well();
    assert!(!ran.stderr.contains("sweep"), "{ran}");
    assert_eq!(place.ids("transactions"), ["before", "tomorrow", "today"]);
}

#[test]
fn a_jump_of_the_service_is_reported_by_a_process_that_remembers_the_time() {
    let psp = FakePsp::start();
    psp.add_transaction("before", "2024-01-01T00:00:00Z");
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    let listening = Listening::start(&psp.url(), keys);
    listening.poll();
    set_clock_ahead(&psp, A_DAY);
    listening.poll();
    let line = listening.wait_for_line("cursors do not follow it");
    // Both clocks have gone on meanwhile.
    let jumps = ["1 d", "23 h 59 min"].map(|by| format!("clock (its \"Date\") jumped {by} ahead"));
    assert!(jumps.iter().any(|jump| line.contains(jump)), "{line}");
    for _ in 0..4 {
        listening.poll();
    }
    // The clock is the reason, so nothing is wrong with the cursor.
    assert!(
        !listening.log().contains("the cursor has been at"),
        "{}",
        listening.log()
    );
}

/// As a poll leaves it that ran `moved_at` while all clocks were a day ahead, or a version that did not write that down.
fn cursor_of_tomorrow(place: &Place, moved_at: Option<String>) {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let second = |date: String| format!("{}Z", &date[..19]);
    let moved = "UPDATE cursor SET position = ?1, moved_at = ?2 WHERE stream = 'transactions'";
    state
        .execute(moved, (second(in_seconds(A_DAY)), moved_at.map(second)))
        .unwrap();
}

#[test]
fn a_cursor_in_the_future_goes_back_to_the_poll_that_moved_it_there() {
    let psp = FakePsp::start();
    psp.add_transaction("before", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    cursor_of_tomorrow(&place, Some(in_seconds(-1800)));
    psp.add_transaction("hidden", &in_seconds(-1500));
    psp.forget_requests();
    let ran = place.poll_well();
    assert_eq!(place.ids("transactions"), ["before", "hidden"]);
    assert!(
        ran.stderr.contains("transactions: the cursor was at")
            && ran.stderr.contains("which was still in the future")
            && ran
                .stderr
                .contains("sweep 1 complete: 2 records seen, 0 of them missed before"),
        "{ran}"
    );
    // Once is enough.
    let ran = place.poll_well();
    assert!(
        !ran.stderr.contains("future") && !ran.stderr.contains("sweep"),
        "{ran}"
    );
}

#[test]
fn a_cursor_in_the_future_of_an_older_version_is_swept() {
    let psp = FakePsp::start();
    psp.add_transaction("before", "2024-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    cursor_of_tomorrow(&place, None);
    psp.add_transaction("hidden", &in_seconds(-7200));
    let ran = run(place.command("poll"));
    assert_eq!(place.ids("transactions"), ["before", "hidden"], "{ran}");
}

#[test]
fn nothing_is_stored_for_a_while_if_the_first_poll_finds_the_clocks_far_apart() {
    for ahead in [2 * 3600, -2 * 3600] {
        let psp = FakePsp::with_a_bank();
        set_clock_ahead(&psp, ahead);
        let place = Place::new(&psp.url(), json!({}));
        for _ in 0..5 {
            let ran = place.poll();
            assert_eq!(ran.code, Some(1), "{ran}");
            assert!(
                ran.stderr.contains("the clock of this machine says"),
                "{ran}"
            );
            assert!(place.changes().is_empty());
        }
        // It may be the service's clock that is wrong.
        place.poll_well();
        assert!(!place.changes().is_empty());
    }
}

#[test]
fn the_first_poll_goes_on_as_soon_as_the_clock_is_right() {
    let psp = FakePsp::with_a_bank();
    set_clock_ahead(&psp, 2 * 3600);
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(1));
    set_clock_ahead(&psp, 0);
    place.poll_well();
    assert!(!place.changes().is_empty());
}
