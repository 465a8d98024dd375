//! States of older layouts are brought up to date: nothing in them is lost, and nothing is delivered again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::formance::Connectivity;
use crate::formance::push::{history, is_post, number, publisher, with_status};
use crate::support::old_state::{LAYOUTS, columns, polled_with_layout};
use crate::support::{FakePsp, LISTEN_KEY, Listening, Place, Reply, run, transaction};

/// The service whose records `layouts/4.sql` has.
fn service_of_layout_4() -> FakePsp {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:01Z");
    psp.change_account("acc-1", json!({ "accountName": "Renamed" }));
    psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
    let add = |id: &str, created_at: &str, status: &str, amount: &str, more: Value| {
        psp.add_raw_transaction(with_status(id, created_at, status, amount));
        psp.change_transaction(id, more);
    };
    add(
        "paid",
        "2024-02-01T00:00:01Z",
        "SUCCEEDED",
        "100",
        json!({ "metadata": { "order": "it's \"7\"" } }),
    );
    add(
        "refund",
        "2024-02-01T00:00:02Z",
        "REFUNDED",
        "30",
        json!({ "relatedTransactionID": "paid" }),
    );
    add(
        "held",
        "2024-02-01T00:00:03Z",
        "AUTHORISATION",
        "100",
        json!({ "updatedAt": "2024-02-01T00:01:01Z", "metadata": { "a": "1" } }),
    );
    add(
        "orphan",
        "2024-02-01T00:00:04Z",
        "REFUNDED_FAILURE",
        "30",
        json!({ "updatedAt": "2024-02-01T00:01:00Z", "relatedTransactionID": "missing" }),
    );
    add(
        "grandchild",
        "2024-02-01T00:00:05Z",
        "REFUND_REVERSED",
        "10",
        json!({ "relatedTransactionID": "orphan" }),
    );
    add(
        "odd",
        "2024-02-01T00:00:06Z",
        "SUCCEEDED",
        "5",
        json!({ "currency": "JPY" }),
    );
    add(
        "turned down",
        "2024-02-01T00:00:07Z",
        "SUCCEEDED",
        "77",
        json!({}),
    );
    psp
}

/// A state of layout 4, beside a stack that has nothing yet.
fn state_of_layout_4(psp: &FakePsp, stack: &Connectivity) -> Place {
    let place = Place::new(&psp.url(), json!({ "publish": [stack.entry()] }));
    fs::create_dir(place.state()).unwrap();
    let state = open(&place);
    state.execute_batch(include_str!("layouts/4.sql")).unwrap();
    let here = "UPDATE state SET value = ?1 WHERE key = 'endpoint'";
    state.execute(here, [psp.url()]).unwrap();
    place
}

fn open(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap()
}

#[test]
fn a_state_of_layout_4_is_brought_up_to_date_and_its_figures_stay() {
    let psp = service_of_layout_4();
    let stack = Connectivity::start();
    let place = state_of_layout_4(&psp, &stack);
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("the state from layout 4 to 12"),
        "{ran}"
    );
    assert!(place.state().join("state.sqlite3.layout-4").exists());
    // What `status` showed before, in the words of the version that skipped them.
    let mut shown = publisher(&place);
    shown.as_object_mut().unwrap().remove("deliveredAt");
    assert_eq!(
        shown,
        json!({
            "name": "formance", "type": "formance", "offset": 13, "lag": 0, "lagSince": null, "error": null, "inUse": true,
            "refused": 1,
            "waiting": 3, "waitingFor": "missing",
            "leftOut": [
                { "lastSeq": 9, "versions": 1, "reason": "asset JPY: the Payments API takes none but codes of ISO 4217 \
                   with their decimals, such as USD/2 or JPY/0" },
                { "lastSeq": 2, "versions": 1, "reason": "balances: no API of Formance takes them; let Connectivity \
                   poll this program (\"listen\")" },
                { "lastSeq": 11, "versions": 1, "reason": "changed accounts and beneficiaries: the Payments API writes \
                   them once and keeps the first name and metadata" },
            ],
        })
    );
    let exchanges = stack.exchanges();
    assert!(
        !exchanges
            .iter()
            .any(|(asked, _)| is_post(asked, "/payments"))
    );

    let fresh = Place::new(&psp.url(), json!({}));
    fresh.poll_well();
    assert_eq!(columns(&open(&place)), columns(&open(&fresh)));
    assert_eq!(indices(&open(&place)), indices(&open(&fresh)));
}

/// The statements that made a state's indices, by name.
fn indices(state: &rusqlite::Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
    let mut statement = state.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.try_into()).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn what_formance_has_is_known_after_the_upgrade() {
    let psp = service_of_layout_4();
    let stack = Connectivity::start();
    let place = state_of_layout_4(&psp, &stack);
    place.poll_well();
    // The stack is empty, so a payment begins with the amount that is known of it.
    psp.change_transaction(
        "held",
        json!({ "updatedAt": "2024-02-01T00:02:00Z", "status": "CAPTURE" }),
    );
    psp.change_transaction(
        "refund",
        json!({ "updatedAt": "2024-02-01T00:02:01Z", "amount": "50" }),
    );
    psp.change_transaction(
        "paid",
        json!({ "updatedAt": "2024-02-01T00:02:02Z", "type": "PAYOUT" }),
    );
    psp.add_raw_transaction(with_status(
        "missing",
        "2024-02-01T00:02:03Z",
        "SUCCEEDED",
        "100",
    ));
    place.poll_well();
    let held = stack.payment("held");
    assert_eq!(
        (&held.initial_amount, &held.amount),
        (&number(100), &number(100))
    );
    assert_eq!(history(&held), ["CAPTURE"]);
    let paid = stack.payment("paid");
    assert_eq!(
        (&paid.initial_amount, &paid.amount),
        (&number(100), &number(20))
    );
    assert_eq!(history(&paid), ["REFUNDED"]);
    let missing = stack.payment("missing");
    assert_eq!(missing.amount, number(80));
    assert_eq!(
        missing.history(),
        [
            ("orphan", "REFUNDED"),
            ("grandchild", "REFUND_REVERSED"),
            ("orphan", "REFUNDED_FAILURE"),
            ("missing", "SUCCEEDED"),
        ]
        .map(|(id, status)| (id.to_owned(), status.to_owned()))
    );
    let shown = publisher(&place);
    assert_eq!((&shown["waiting"], &shown["lag"]), (&json!(0), &json!(0)));
    let reasons = shown["leftOut"].as_array().unwrap();
    let balances = reasons
        .iter()
        .find(|left_out| left_out["lastSeq"] == 2)
        .unwrap();
    assert_eq!(balances["versions"], 1);
    assert!(reasons.iter().any(|left_out| {
        left_out["reason"]
            .as_str()
            .unwrap()
            .starts_with("changed types")
    }));
}

#[test]
fn a_state_of_layout_3_or_5_to_11_is_brought_up_to_date_and_its_publishers_go_on() {
    // Layout 4 has a test of its own.
    let layouts = LAYOUTS
        .into_iter()
        .filter(|(layout, _)| *layout >= 3 && *layout != 4);
    for (layout, sql) in layouts {
        let psp = FakePsp::with_a_bank();
        let open_at = "2024-02-20T00:00:00Z";
        psp.add_raw_transaction(with_status("open", open_at, "AUTHORISATION", "100"));
        let place = polled_with_layout(&psp, sql);
        let before = place.changes().len();
        psp.add_transaction("new", "2024-03-01T00:00:00Z");
        let succeeded = json!({ "status": "SUCCEEDED", "updatedAt": "2024-03-01T00:00:01Z" });
        psp.change_transaction("open", succeeded);
        let ran = place.poll_well();
        let migrated = format!("the state from layout {layout} to 12");
        assert!(ran.stderr.contains(&migrated), "{ran}");
        assert_eq!(place.changes().len(), before + 2);
        // Lists that showed a transaction as it was sent go on so. Since layout 7, they add its capture.
        let entries = if layout < 7 { 1 } else { 2 };
        let shown = open(&place).query_row(
            "SELECT count(*) FROM listed JOIN version USING (seq) WHERE id = 'open' AND number = 2",
            [],
            |row| row.get(0),
        );
        assert_eq!(shown, Ok(entries), "layout {layout}");
        let ran = run(place.command("verify"));
        assert_eq!(ran.code, Some(0), "{ran}");
        let new = Place::new(&psp.url(), json!({}));
        new.poll_well();
        assert_eq!(columns(&open(&place)), columns(&open(&new)));
    }
}

#[test]
fn a_state_of_layout_1_is_brought_up_to_date_and_a_copy_of_it_is_kept() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    fs::create_dir(place.state()).unwrap();
    let file = place.state().join("state.sqlite3");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(include_str!("layouts/1.sql")).unwrap();
    // Two accounts are known, one of them in an older version, and the cursor of the transactions.
    let account =
        r#"{"accountName":"Account acc-1","createdAt":"2024-01-01T00:00:00Z","id":"acc-1"}"#;
    old.execute_batch(&format!(
        "INSERT INTO state VALUES ('state_id', 'an-id'), ('name', 'test'), ('endpoint', '{}');
         INSERT INTO version VALUES
             (1, 'accounts', 'acc-1', 1, '2024-01-01T00:00:00.000000000Z', x'00112233445566778899aabbccddeeff',
              '2024-03-01T00:00:00Z', 1, '{account}'),
             (2, 'accounts', 'acc-2', 1, '2024-01-02T00:00:00.000000000Z', x'00112233445566778899aabbccddeeff',
              '2024-03-01T00:00:00Z', 1, '{{}}');
         INSERT INTO record VALUES ('accounts', 'acc-1', 1), ('accounts', 'acc-2', 2);
         INSERT INTO cursor VALUES ('transactions', '2024-02-01T00:01:40Z', '[[\"2024-02-01T00:01:40Z\",\"2024-02-01T00:01:40Z\"]]', '[]');
         INSERT INTO publisher VALUES ('ndjson', 'ndjson', 2, '2024-03-01T00:00:00Z', NULL);
         INSERT INTO poll VALUES (7, '2024-03-01T00:00:00Z', '2024-03-01T00:00:01Z', 'complete', 9, 0, 2, 0, 0, 0, 3, NULL);",
        psp.url()
    ))
    .unwrap();
    drop(old);

    let status = run(place.command("status"));
    assert_eq!(status.code, Some(1), "{status}");
    assert!(
        status
            .stderr
            .contains("has layout 1, of an older version of generic-connector"),
        "{status}"
    );
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("the state from layout 1 to 12")
            && ran.stderr.contains("poll 8 complete: "),
        "{ran}"
    );
    // acc-1 is known, acc-2 is not as it was. No transaction is stored that could vouch for the cursor.
    assert_eq!(place.ids("accounts"), ["acc-2"]);
    assert_eq!(place.ids("transactions").len(), 250);
    assert_eq!(place.changes()[0]["seq"], 3);

    let copy = place.state().join("state.sqlite3.layout-1");
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let copy = rusqlite::Connection::open(copy).unwrap();
    let layout = copy.query_row("PRAGMA user_version", [], |row| row.get(0));
    assert_eq!(layout, Ok(1));
    let kept = copy.query_row("SELECT count(*) FROM version", [], |row| row.get(0));
    assert_eq!(kept, Ok(2));

    let fresh = Place::new(&psp.url(), json!({}));
    fresh.poll_well();
    let open =
        |place: &Place| rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    assert_eq!(columns(&open(&place)), columns(&open(&fresh)));
    place.poll_well();
}

#[test]
fn a_state_of_layout_2_is_listed_after_the_upgrade() {
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    let keys = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    let place = Place::new(&service.url(), keys);
    // What a service of then had listed: a tie, a record that came late, a second version, one of a future date, balances
    // whose date went back, and, from layout 1, a record that breaks the API.
    let transaction = |id: &str, at: &str| transaction(id, at).to_string();
    let balances = |at: &str, amount: &str| {
        let balances = json!([{ "amount": amount, "currency": "EUR/2" }]);
        json!({ "id": "b", "accountID": "acc-1", "at": at, "balances": balances }).to_string()
    };
    let tie = "2024-02-01T00:00:00Z";
    let versions = [
        (
            "transactions",
            "tx-1",
            1,
            None,
            tie,
            transaction("tx-1", tie),
        ),
        (
            "transactions",
            "tx-2",
            1,
            None,
            tie,
            transaction("tx-2", tie),
        ),
        (
            "balances",
            "acc-1",
            1,
            None,
            "2024-02-02T00:00:00Z",
            balances("2024-02-02T00:00:00Z", "1"),
        ),
        (
            "transactions",
            "late",
            1,
            None,
            "2024-01-01T00:00:00Z",
            transaction("late", "2024-01-01T00:00:00Z"),
        ),
        (
            "transactions",
            "bad",
            1,
            None,
            tie,
            json!({ "id": "bad", "amount": 5 }).to_string(),
        ),
        (
            "transactions",
            "tx-1",
            2,
            Some(1),
            "2024-02-03T00:00:00Z",
            transaction("tx-1", "2024-02-03T00:00:00Z"),
        ),
        (
            "transactions",
            "future",
            1,
            None,
            "2124-01-01T00:00:00Z",
            transaction("future", "2124-01-01T00:00:00Z"),
        ),
        (
            "balances",
            "acc-1",
            2,
            Some(3),
            "2024-02-01T00:00:00Z",
            balances("2024-02-01T00:00:00Z", "2"),
        ),
    ];
    fs::create_dir(place.state()).unwrap();
    let old = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    old.execute_batch(include_str!("layouts/2.sql")).unwrap();
    let identity =
        "INSERT INTO state VALUES ('state_id', 'an-id'), ('name', 'test'), ('endpoint', ?1)";
    old.execute(identity, [service.url()]).unwrap();
    for (index, (stream, id, number, previous, at, json)) in versions.into_iter().enumerate() {
        let seq = index as i64 + 1;
        let date = at.replace('Z', ".000000000Z");
        let hash = ring::digest::digest(&ring::digest::SHA256, json.as_bytes());
        let hash = &hash.as_ref()[..16];
        old.execute(
            "INSERT INTO version VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, '2024-03-01T00:00:00Z', 1,
                 NULL, ?7)",
            (seq, stream, id, number, previous, date, &json, hash),
        )
        .unwrap();
        old.execute(
            "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3)",
            (stream, id, seq),
        )
        .unwrap();
    }
    drop(old);

    // What is listed is what was stored.
    service.always("/", Reply::status(401));
    let listening = Listening::on(place, &[]);
    assert!(
        listening.log().contains("the state from layout 2 to 12"),
        "{}",
        listening.log()
    );
    assert!(
        listening
            .log()
            .contains("1 versions of an older state break the API")
    );
    let (_, listed) = listening.get("/transactions");
    let listed: Vec<(&str, &str)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| {
            (
                shown["id"].as_str().unwrap(),
                shown["updatedAt"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        listed[..4],
        [
            ("tx-1", "2024-02-01T00:00:00Z"),
            ("tx-2", "2024-02-01T00:00:00.010000000Z"),
            ("late", "2024-02-01T00:00:00.020000000Z"),
            ("tx-1", "2024-02-03T00:00:00Z"),
        ]
    );
    assert_eq!((listed.len(), listed[4].0), (5, "future"));
    assert!(listed[4].1 < "2100");
    let (_, balances) = listening.get("/accounts/acc-1/balances");
    assert_eq!(balances["at"], "2024-02-02T00:00:00.010000000Z");
    assert_eq!(balances["balances"][0]["amount"], "2");
    assert!(
        listening
            .place
            .state()
            .join("state.sqlite3.layout-2")
            .exists()
    );
    service.heal();
    let fresh = Place::new(&service.url(), json!({}));
    fresh.poll_well();
    let open =
        |place: &Place| rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    assert_eq!(columns(&open(&listening.place)), columns(&open(&fresh)));
}
