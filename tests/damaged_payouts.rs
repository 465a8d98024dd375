//! Damage in the journal of payouts and transfers: what is no longer what was written down is neither sent nor answered.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::formance::payout;
use crate::support::old_state::polled_with_layout;
use crate::support::{FakePsp, LISTEN_KEY, Listening, Place, Reply, run};

/// A listener on a service that answers this to payouts.
fn listening(psp: &FakePsp, payouts: Reply) -> Listening {
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    psp.always("/payouts", payouts);
    listening
}

fn ask(listening: &Listening, amount: &str) -> (u16, Value) {
    listening.post("/payouts", &payout("p", amount).to_string())
}

/// The copies of the journal: in the state directory and beside it.
fn copies(place: &Place) -> [PathBuf; 2] {
    let state = place.state();
    let beside = format!("{}.initiations.ndjson", state.display());
    [state.join("initiations.ndjson"), beside.into()]
}

/// Changes the row of the payout.
fn damage(listening: &Listening, change: &str) {
    let state = rusqlite::Connection::open(listening.place.state().join("state.sqlite3")).unwrap();
    let sql = format!("UPDATE initiation SET {change}");
    assert_eq!(state.execute(&sql, []).unwrap(), 1);
}

const AMOUNT: &str = r#"request = replace(request, '"100"', '"900"')"#;

/// The answer stays, and the service is not asked again.
fn is_repaired(change: &str) {
    let psp = FakePsp::with_a_bank();
    let listening = listening(&psp, Reply::Usual);
    let (status, made) = ask(&listening, "100");
    assert_eq!(status, 201, "{made}");
    damage(&listening, change);
    assert_eq!(ask(&listening, "100"), (201, made));
    assert_eq!(psp.posts().len(), 1);
    let line = listening.wait_for_line("it is repaired from initiations.ndjson");
    assert!(line.contains("\"p\""), "{line}");
    assert_eq!(ask(&listening, "900").0, 409);
    let (_, status) = listening.get("/status");
    assert_eq!(status["warnings"], json!([]));
}

cases! {
    is_repaired;
    a_damaged_request_is_repaired_from_the_copy(AMOUNT);
    a_damaged_kind_is_repaired_from_the_copy("kind = 'payoutz'");
    a_damaged_state_is_repaired_from_the_copy("state = 'mady'");
    a_damaged_outcome_is_repaired_from_the_copy("state = 'not made'");
    a_damaged_status_is_repaired_from_the_copy("status = 203");
    a_damaged_answer_is_repaired_from_the_copy(r#"answer = replace(answer, '"100"', '"900"')"#);
    a_lost_answer_is_repaired_from_the_copy("answer = NULL");
    a_damaged_hash_is_repaired_from_the_copy("hash = x'00'");
}

#[test]
fn what_had_no_outcome_is_asked_for_as_it_was_and_is_unknown() {
    let psp = FakePsp::with_a_bank();
    let listening = listening(&psp, Reply::status(401));
    assert_eq!(ask(&listening, "100").0, 503);
    damage(&listening, AMOUNT);
    // It may be that a later outcome was lost, so that a refusal is none.
    psp.always("/payouts", Reply::status(422));
    let (status, answer) = ask(&listening, "100");
    assert_eq!((status, &answer["Title"]), (503, &json!("Outcome Unknown")));
    assert_eq!(psp.posts().last().unwrap().1["amount"], "100");
}

/// The copy is damaged as well, in the same way. An operator settles the payout.
fn is_settled(payouts: Reply, change: &str, settle: &str, expected: (u16, Value)) {
    let psp = FakePsp::with_a_bank();
    let listening = listening(&psp, payouts);
    ask(&listening, "100");
    damage(&listening, change);
    for copy in copies(&listening.place) {
        let lines = fs::read_to_string(&copy).unwrap();
        let damaged = lines.replace(r#"\"100\""#, r#"\"900\""#);
        assert_ne!(lines, damaged);
        fs::write(copy, damaged).unwrap();
    }
    psp.heal();
    let posts = psp.posts().len();
    for amount in ["100", "900"] {
        let (status, answer) = ask(&listening, amount);
        assert_eq!(status, 503, "{answer}");
    }
    let line = listening.wait_for_line("is damaged in the state");
    for part in ["ERROR", "\"p\"", "backup", "initiation settle p made ID"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let (_, status) = listening.get("/status");
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("neither sent nor answered"), "{warnings}");
    let listed = run(listening.place.command("initiation list"));
    assert!(listed.stdout.contains("damaged"), "{listed}");

    let settled = run(listening
        .place
        .command(&format!("initiation settle p {settle}")));
    assert_eq!(settled.code, Some(0), "{settled}");
    let (status, answer) = ask(&listening, "100");
    let (code, members) = expected;
    assert_eq!(status, code, "{answer}");
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&answer[name], value, "{answer}");
    }
    assert_eq!(psp.posts().len(), posts, "nothing is sent");
    let (_, status) = listening.get("/status");
    assert_eq!(status["warnings"], json!([]));
    assert_eq!(ask(&listening.restart(&[]), "100").0, code);
}

cases! {
    is_settled;
    an_unknown_one_is_settled_as_made(
        Reply::status(303), AMOUNT, "made po-7", (201, json!({ "id": "po-7", "amount": "100" }))
    );
    an_unknown_one_is_settled_as_refused(
        Reply::status(303), AMOUNT, "refused", (422, json!({ "Title": "Refused" }))
    );
    a_made_one_is_settled_as_made(
        Reply::Usual, "answer = '{}'", "made po-7", (201, json!({ "id": "po-7", "amount": "100" }))
    );
    one_of_no_known_state_is_settled(
        Reply::Usual, "state = 'mady'", "made po-7", (201, json!({ "id": "po-7" }))
    );
}

#[test]
fn a_transaction_of_a_damaged_payout_is_no_other_payment() {
    let psp = FakePsp::with_a_bank();
    let listening = listening(&psp, Reply::Usual);
    let (_, made) = ask(&listening, "100");
    let id = made["id"].as_str().unwrap();
    listening.poll();
    let related = || {
        let (status, page) = listening.get("/transactions?pageSize=1000");
        assert_eq!(status, 200, "{page}");
        let mut page = page.as_array().unwrap().iter();
        page.find(|shown| shown["id"] == *id).unwrap()["relatedTransactionID"].clone()
    };
    assert_eq!(related(), "p");
    damage(&listening, "kind = 'transferz'");
    assert_eq!(related(), "p");
    listening.wait_for_line("it is repaired from initiations.ndjson");
    damage(&listening, "kind = 'transferz'");
    for copy in copies(&listening.place) {
        fs::remove_file(copy).unwrap();
    }
    assert_eq!(listening.get("/transactions?pageSize=1000").0, 503);
}

#[test]
fn the_copy_grows_only_when_there_is_something_to_write() {
    let psp = FakePsp::with_a_bank();
    let mut listening = listening(&psp, Reply::Usual);
    ask(&listening, "100");
    let [file, _] = copies(&listening.place);
    let lines = fs::read_to_string(&file).unwrap();
    assert!(lines.ends_with("}\n"), "{lines}");
    listening = listening.restart(&[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    listening.kill();
    fs::write(&file, lines.trim_end()).unwrap();
    let _listening = Listening::on(listening.place, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), lines);
}

#[test]
fn a_payout_of_an_older_state_is_answered_after_the_upgrade() {
    const MADE: &str = "
        INSERT INTO initiation (key, kind, request, state, asked_at, ended_at, after, id, status, answer)
        VALUES ('p', 'payouts', ?1, 'made', '2024-03-01T00:00:00Z', '2024-03-01T00:00:01Z', 0, 'po-1', 201, '{}')";
    let psp = FakePsp::with_a_bank();
    let place = polled_with_layout(&psp, include_str!("layouts/5.sql"));
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state
        .execute(MADE, [payout("p", "100").to_string()])
        .unwrap();
    drop(state);
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY });
    place.configure(&psp.url(), keys);
    let listening = Listening::on(place, &[]);
    assert_eq!(ask(&listening, "100"), (201, json!({})));
    assert_eq!(ask(&listening, "900").0, 409);
    assert!(psp.posts().is_empty());
}
