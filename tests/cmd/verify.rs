//! `verify`: without a state, of a good one and of one that is damaged.

use serde_json::json;

use super::Session;
use crate::support::FakePsp;

#[test]
fn states() {
    let psp = FakePsp::with_a_bank();
    let place = super::poll::place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "verify");
    place.poll_well();
    session.on(&place, "verify");
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let damage = "UPDATE version SET json = replace(json, 'EUR', 'EUS') WHERE stream = 'transactions' AND seq % 50 = 0";
    state.execute(damage, []).unwrap();
    session.on(&place, "verify");
    session.is("verify");
}
