//! Balances that others have superseded are dropped after a time, and nothing else is.

use serde_json::{Value, json};

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Mishap, Place, Reply, TestAnswer, TestServer, run,
};

/// The amount that acc-1 has.
fn balance(psp: &FakePsp, amount: u32) {
    let balances = json!([{ "amount": amount.to_string(), "currency": "EUR/2" }]);
    let at = format!("2024-02-01T00:{amount:02}:00Z");
    let body = json!({ "id": "b", "accountID": "acc-1", "at": at, "balances": balances });
    psp.always("/accounts/acc-1/balances", Reply::body(&body.to_string()));
}

/// A state with five balances of an account, all read long ago.
fn aged(settings: Value, poll: &str) -> (FakePsp, Place) {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), settings);
    for amount in 1..=5 {
        balance(&psp, amount);
        run(place.command(poll));
    }
    // What a publisher has delivered last is kept. That is none of the balances.
    psp.add_transaction("last", "2024-02-01T00:30:00Z");
    run(place.command(poll));
    place.age();
    (psp, place)
}

/// The versions of a stream that the state has.
fn versions(place: &Place, stream: &str) -> i64 {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let count = "SELECT count(*) FROM version WHERE stream = ?1";
    state.query_row(count, [stream], |row| row.get(0)).unwrap()
}

/// The state is whole, and says how many balances it has.
fn expect_whole(place: &Place, balances: i64) {
    let verified = run(place.command("verify"));
    assert_eq!(verified.code, Some(0), "{verified}");
    let status = run(place.command("status --json"));
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let streams = status["streams"].as_array().unwrap();
    let line = streams.iter().find(|line| line["stream"] == "balances");
    let (versions, dropped) = (&line.unwrap()["versions"], &line.unwrap()["dropped"]);
    assert_eq!((versions, dropped), (&json!(balances), &json!(4)));
}

#[test]
fn superseded_balances_are_dropped_after_their_time_and_the_newest_ones_stay() {
    let (psp, place) = aged(json!({}), "poll");
    let transactions = versions(&place, "transactions");
    assert_eq!(versions(&place, "balances"), 6, "acc-2 has one");
    place.poll_well();
    assert_eq!(versions(&place, "balances"), 2);
    assert_eq!(versions(&place, "transactions"), transactions);
    expect_whole(&place, 2);
    // What comes next follows a version that is no longer there.
    balance(&psp, 6);
    place.poll_well();
    expect_whole(&place, 3);
    assert_eq!(place.ids("balances").len(), 7, "each was delivered once");
}

#[test]
fn balances_are_kept_as_long_as_the_configuration_says() {
    for kept in ["3650d", "forever"] {
        let (_psp, place) = aged(json!({ "keepBalances": kept }), "poll");
        place.poll_well();
        assert_eq!(versions(&place, "balances"), 6, "{kept}");
    }
    for wrong in ["0d", "36500d", "0s", "month"] {
        let place = Place::new("http://127.0.0.1:9", json!({ "keepBalances": wrong }));
        let ran = place.poll();
        let says = "\"keepBalances\"";
        assert!(ran.code == Some(78) && ran.stderr.contains(says), "{ran}");
        assert!(
            ran.stderr.contains(r#"write "30d", "12h" or "forever""#),
            "{ran}"
        );
    }
}

#[test]
fn what_a_publisher_has_not_delivered_is_kept() {
    let target = TestServer::start(|_| TestAnswer::new(204, ""));
    target.script(|_| Mishap::Instead(TestAnswer::new(503, "")));
    let publish = json!([{ "type": "http", "name": "target", "url": target.url() }]);
    let poll = "poll --delivery-patience 1ms";
    let settings = json!({ "publish": publish });
    let (psp, place) = aged(settings.clone(), poll);
    run(place.command(poll));
    assert_eq!(versions(&place, "balances"), 6);
    // Out of the configuration for a while, it may come back.
    place.configure(&psp.url(), json!({}));
    place.poll_well();
    place.poll_well();
    assert_eq!(versions(&place, "balances"), 6);
    place.configure(&psp.url(), settings);
    target.script(|_| Mishap::None);
    place.poll_well();
    place.poll_well();
    assert_eq!(versions(&place, "balances"), 2);
}

#[test]
fn connectivity_reads_the_newest_balances_after_older_ones_were_dropped() {
    let (_psp, place) = aged(
        json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY }),
        "poll",
    );
    place.poll_well();
    assert_eq!(versions(&place, "balances"), 2);
    let listening = Listening::on(place, &[]);
    let (status, body) = listening.get("/accounts/acc-1/balances");
    assert_eq!((status, &body["balances"][0]["amount"]), (200, &json!("5")));
}

/// A warehouse that was added later lacked the history of the balances, and nothing said so.
#[test]
fn what_was_dropped_is_said_where_it_is_missed() {
    let file = |name: &str| json!({ "type": "ndjson", "name": name, "path": name });
    let (psp, place) = aged(json!({ "publish": [file("old")] }), "poll");
    let said = "superseded balances that were kept for \"keepBalances\" are not among them (4 were dropped)";
    let dropping = place.poll_well();
    assert!(!dropping.stderr.contains(said), "{dropping}");
    let replayed = run(place.command("publisher replay old"));
    assert!(replayed.stdout.contains(said), "{replayed}");
    place.poll_well();
    let offset = 255 + 4;
    let replayed = run(place.command(&format!("publisher replay old --from {}", offset + 1)));
    assert!(
        replayed.code == Some(0) && !replayed.stdout.contains(said),
        "{replayed}"
    );
    place.configure(&psp.url(), json!({ "publish": [file("old"), file("new")] }));
    let said =
        format!("publisher \"new\" is new: everything is delivered from the beginning; {said}");
    let ran = place.poll_well();
    assert!(ran.stderr.contains(&said), "{ran}");
    let ran = place.poll_well();
    assert!(!ran.stderr.contains(&said), "{ran}");
}
