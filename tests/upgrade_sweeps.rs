//! What waits in a state of an older layout is decided by a sweep that begins after the upgrade.

use serde_json::json;

use crate::formance::push::with_status;
use crate::support::old_state::{columns, polled_with_layout};
use crate::support::{FakePsp, Place};

fn open(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap()
}

#[test]
fn what_waits_in_a_state_of_layout_7_is_decided_by_the_next_sweep() {
    let psp = FakePsp::with_a_bank();
    let mut refund = with_status("refund", "2024-02-20T00:00:00Z", "REFUNDED", "100");
    refund["relatedTransactionID"] = json!("unlisted");
    psp.add_raw_transaction(refund);
    let place = polled_with_layout(&psp, include_str!("layouts/7.sql"));
    let held =
        |place: &Place| open(place).query_row("SELECT count(*) FROM held", [], |row| row.get(0));
    assert_eq!(held(&place), Ok(1));
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("the state from layout 7 to 12"),
        "{ran}"
    );
    assert_eq!(held(&place), Ok(1));
    place.age();
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("1 that waited for it are listed"),
        "{ran}"
    );
    assert_eq!(held(&place), Ok(0));
    let new = Place::new(&psp.url(), json!({}));
    new.poll_well();
    assert_eq!(columns(&open(&place)), columns(&open(&new)));
}

/// It may have passed what they relate to before they were read.
#[test]
fn a_sweep_that_an_older_version_began_decides_nothing() {
    let psp = FakePsp::with_a_bank();
    let mut refund = with_status("refund", "2024-02-20T00:00:00Z", "REFUNDED", "100");
    refund["relatedTransactionID"] = json!("unlisted");
    psp.add_raw_transaction(refund);
    let place = polled_with_layout(&psp, include_str!("layouts/7.sql"));
    place.age();
    let began = "
        INSERT INTO sweep VALUES (1, '2024-03-02T00:00:00Z', NULL, 'transactions', '{\"page\":2,\"pageSize\":100}', 0, 0, 0, 0, 0, '[]')";
    open(&place).execute_batch(began).unwrap();
    let ran = place.poll_well();
    assert!(ran.stderr.contains("sweep 1 complete"), "{ran}");
    assert!(!ran.stderr.contains("that waited for it"), "{ran}");
    let ran = place.poll_well();
    assert!(ran.stderr.contains("sweep 2 complete"), "{ran}");
    assert!(ran.stderr.contains("1 that waited for it"), "{ran}");
}
