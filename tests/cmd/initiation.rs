//! `initiation`: payouts and transfers without an outcome, shown and settled beside a running connector.

use serde_json::json;

use super::Session;
use crate::formance::payout;
use crate::support::{FakePsp, Listening, Reply, run, wait_a_second};

#[test]
fn empty() {
    let psp = FakePsp::start();
    let place = super::poll::place(&psp, &json!({}));
    let mut session = Session::new();
    session.on(&place, "initiation list");
    place.poll_well();
    session
        .on(&place, "initiation list")
        .on(&place, "initiation list --json")
        .on(&place, "initiation settle nobody refused");
    session.is("initiation-empty");
}

#[test]
fn settled() {
    let psp = FakePsp::start();
    let listening = Listening::start(&psp.url(), json!({ "workers": 1 }));
    listening.wait_for_line("poll 1 complete");
    let other = json!({ "id": "po-other", "idempotencyKey": "net", "amount": "97" }).to_string();
    for (key, reply) in [
        ("made", Reply::Usual),
        ("net", Reply::With(201, vec![], other.into_bytes())),
        ("not-made", Reply::status(404)),
        ("it's \"q\"", Reply::status(303)),
        ("unknown", Reply::status(303)),
    ] {
        psp.always("/payouts", reply);
        // The newest one is listed first.
        wait_a_second();
        listening.post("/payouts", &payout(key, "100").to_string());
    }
    psp.always("/payouts", Reply::status(500));
    let place = &listening.place;
    let mut session = Session::new();
    let commands = [
        "initiation list",
        "initiation list --json",
        "initiation settle unknown made payout-made",
        "initiation settle unknown made po-1",
        "initiation settle unknown made po-1",
        "initiation settle unknown refused",
        "initiation settle net made po-x",
        "initiation settle net made po-other",
        "initiation settle not-made refused",
        "initiation settle made refused",
        "initiation settle nobody refused",
        "initiation settle not-made refused po-1",
    ];
    for command in commands {
        session.on(place, command);
    }
    // As the list shows it.
    let mut quoted = place.command("initiation settle");
    quoted.args(["it\\'s \\\"q\\\"", "refused"]);
    session.ran(r#"initiation settle "it\'s \"q\"" refused"#, &run(quoted));
    session.on(place, "initiation list");
    for key in ["unknown", "net", "not-made", "it's \"q\""] {
        let (status, answer) = listening.post("/payouts", &payout(key, "100").to_string());
        session.line(&format!("# asked again: {key}\n{status}\n{answer:#}\n"));
    }
    session.is("initiation-settled");
}
