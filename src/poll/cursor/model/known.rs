//! Histories in which a walk once lost a record.

use std::time::Duration;

use super::check;
use super::service::ModelChange::{Insert, Late, Update, Wait};
use super::service::ModelQuirks;

/// A record left a second while that second was being read again, so another one shifted to a page that had been read. The
/// only page that showed the record as moved was the one that checks the filter, and nobody looked at it.
#[test]
fn a_record_that_moves_between_rereading_and_the_check_of_the_filter() {
    // Second 3 has 30 records, from number 15 on.
    let past = [
        (0, 10),
        (1000, 3),
        (1000, 2),
        (1000, 30),
        (1000, 15),
        (1000, 9),
        (1000, 1),
        (1000, 8),
        (1000, 4),
        (60_000, 3),
    ];
    let quirks = ModelQuirks {
        whole_seconds: false,
        ..ModelQuirks::default()
    };
    let changes = [
        Update(0),
        Update(70),
        Wait,
        Wait,
        Update(19),
        Wait,
        Insert,
        Wait,
        Insert,
        Update(26),
        Insert,
        Wait,
        Wait,
        Update(60),
        Wait,
        Update(61),
        Insert,
        Update(19),
        Wait,
        Wait,
        Late(0),
        Update(13),
        Wait,
        Wait,
        Wait,
        Wait,
        Wait,
        Late(4),
        Wait,
        Update(24),
    ];
    check(&past, &quirks, 10, (1, (0, Duration::ZERO)), &changes);
}
