//! `status`, as a table and as JSON: without a state, empty, and of a connector with everything there is to look at.

use serde_json::json;

use super::Session;
use super::poll::{bad_bank, place};
use crate::formance::Connectivity;
use crate::formance::payout;
use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Manners, Mishap, Place, Reply, TestAnswer, run, transaction,
};

/// Both forms.
fn shown(session: &mut Session, place: &Place) {
    session.on(place, "status").on(place, "status --json");
}

#[test]
fn without_a_state() {
    let place = Place::new("http://127.0.0.1:9", json!({}));
    Session::new().on(&place, "status").is("status-none");
}

#[test]
fn of_an_empty_service() {
    let psp = FakePsp::start();
    let place = place(&psp, &json!({}));
    place.poll_well();
    let mut session = Session::new();
    shown(&mut session, &place);
    session.is("status-empty");
}

#[test]
fn of_a_service_that_never_answered() {
    let place = Place::new("http://127.0.0.1:9", json!({}));
    place.poll();
    let mut session = Session::new();
    shown(&mut session, &place);
    session.is("status-never");
}

/// Quirks, quarantine, unknown values, a publisher that fails, one whose target refuses, payouts in every state.
#[test]
fn of_a_busy_connector() {
    let psp = bad_bank();
    let stack = Connectivity::start();
    let mut entry = stack.entry();
    entry["requestTimeout"] = json!("1s");
    let publish = json!([entry, { "type": "http", "url": "http://127.0.0.1:9/changes" }]);
    let place = place(
        &psp,
        &json!({
            "publish": publish, "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h",
            "sweepPeriod": "1000h",
        }),
    );
    let mut child = transaction("refund", "2024-02-02T00:00:00Z");
    child["relatedTransactionID"] = json!("not-listed");
    child["status"] = json!("REFUNDED");
    psp.add_raw_transaction(child);
    let mut crypto = transaction("crypto", "2024-02-02T00:00:01Z");
    crypto["currency"] = json!("BTC/8");
    psp.add_raw_transaction(crypto);
    stack.script(|asked| {
        if asked.text().contains("tx-007") {
            let no = r#"{"errorCode":"VALIDATION","errorMessage":"not this one"}"#;
            return Mishap::Instead(TestAnswer::new(400, no));
        }
        Mishap::None
    });
    psp.behave(Manners {
        cap: Some(40),
        excludes_bound: true,
        ..Manners::default()
    });
    // Long enough for one of the publishers.
    run(place.command("poll --delivery-patience 3s"));
    stack.go_down();
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    let listening = Listening::on(place, &[]);
    // A poll that is asked for before its first one has begun is that one.
    listening.wait_for_line("poll 2 ");
    listening.poll();
    listening.get("/transactions?page=1&pageSize=10&sort=updatedAt:asc");
    for (key, reply) in [
        ("made", Reply::Usual),
        ("refused", Reply::status(422)),
        ("not-made", Reply::status(401)),
        ("unknown", Reply::Cut),
    ] {
        psp.always("/payouts", reply);
        listening.post("/payouts", &payout(key, "100").to_string());
    }
    let mut session = Session::new();
    shown(&mut session, &listening.place);
    session.is("status-busy");
}
