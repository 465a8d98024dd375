//! The state: whose it is, who may write it, and what happens when it cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Place, Reply, Running, run, transaction, wait_until,
};

#[test]
fn another_endpoint_or_name_on_an_old_state_is_refused() {
    let psp = FakePsp::with_a_bank();
    let other = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    for (endpoint, name) in [(other.url(), "test"), (psp.url(), "another")] {
        place.configure(&endpoint, json!({ "name": name }));
        let ran = place.poll();
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(
            ran.stderr.contains("belongs to connector \"test\"")
                && ran.stderr.contains("\"stateDir\""),
            "{ran}"
        );
    }
    assert!(other.requests().is_empty());
    // The way out that the message names, for the same service at a new address.
    place.configure(&other.url(), json!({}));
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state
        .execute(
            "UPDATE state SET value = ?1 WHERE key = 'endpoint'",
            [other.url()],
        )
        .unwrap();
    drop(state);
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn a_second_process_on_the_same_state_is_refused() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(&psp.url(), json!({ "publish": publish }));
    let mut command = place.command("run");
    command.stderr(Stdio::null());
    let _running = Running::start(command);
    wait_until("the first process polls", || !psp.requests().is_empty());
    let ran = place.poll();
    assert_eq!(ran.code, Some(75), "{ran}");
    assert!(
        ran.stderr.contains("in use by another generic-connector"),
        "{ran}"
    );
    let status = run(place.command("status"));
    assert_eq!(
        status.code,
        Some(0),
        "status does not need the lock: {status}"
    );
}

#[test]
fn files_that_are_no_state_are_left_as_they_are() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let good = fs::read(&file).unwrap();
    let newer = {
        let copy = place.path().join("newer");
        fs::write(&copy, &good).unwrap();
        rusqlite::Connection::open(&copy)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        fs::read(copy).unwrap()
    };
    let foreign = {
        let copy = place.path().join("foreign");
        rusqlite::Connection::open(&copy)
            .unwrap()
            .execute_batch("CREATE TABLE a (b)")
            .unwrap();
        fs::read(copy).unwrap()
    };
    let mut damaged = good.clone();
    damaged[..100].fill(7);
    for (bytes, said) in [
        (newer, "has layout 99"),
        (foreign, "is not a state file of generic-connector"),
        (damaged, "is damaged or not a state file"),
        (b"some text, long enough to be looked at as a database header would be, and a bit more than that".repeat(9), "is damaged or not a state file"),
    ] {
        fs::write(&file, &bytes).unwrap();
        let ran = place.poll();
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(ran.stderr.contains(said), "{said}: {ran}");
        assert!(fs::read(&file).unwrap() == bytes, "the file was changed: {said}");
    }
    fs::write(&file, good).unwrap();
    place.poll_well();
}

#[test]
fn a_state_damaged_in_the_middle_is_reported() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(65), "{ran}");
    assert!(ran.stderr.contains("is damaged"), "{ran}");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_reported() {
    let psp = FakePsp::with_a_bank();
    // A file where a directory is due, which stops root, too.
    let place = Place::new(&psp.url(), json!({ "stateDir": "file/state" }));
    fs::write(place.path().join("file"), "").unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(73), "{ran}");
    assert!(
        ran.stderr.contains("cannot make the state directory"),
        "{ran}"
    );
}

#[test]
fn a_read_only_state_directory_is_reported() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    fs::create_dir(place.state()).unwrap();
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o500)).unwrap();
    let writable_all_the_same = fs::write(place.state().join("probe"), "").is_ok();
    if writable_all_the_same {
        // Root may write everywhere; the message is that of the test above.
        return;
    }
    let ran = place.poll();
    assert_eq!(ran.code, Some(73), "{ran}");
    assert!(ran.stderr.contains("cannot open the lock"), "{ran}");
}

#[test]
fn a_full_disk_is_reported_and_the_next_poll_goes_on() {
    let psp = FakePsp::start();
    for number in 0..2_000 {
        psp.add_transaction(
            &format!("tx-{number}"),
            &format!("2024-02-01T00:{:02}:{:02}Z", number / 60, number % 60),
        );
    }
    let place = Place::new(&psp.url(), json!({ "batchRecords": 100, "pageSize": 100 }));
    // A limit on the size of files stands for the end of the disk.
    let mut limited = std::process::Command::new("sh");
    let poll = place.command("poll");
    limited
        .args(["-c", "ulimit -f 300; exec \"$@\"", "sh"])
        .arg(poll.get_program())
        .args(poll.get_args());
    let ran = run(limited);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("disk is full") || ran.stderr.contains("cannot commit"),
        "{ran}"
    );
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 2_000);
}

#[test]
fn an_interrupted_poll_keeps_what_it_has_read() {
    let psp = FakePsp::with_a_bank();
    psp.always(
        "/transactions",
        Reply::After(std::time::Duration::from_millis(300)),
    );
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let mut running = Running::start({
        let mut command = place.command("poll");
        command.stderr(Stdio::null());
        command
    });
    wait_until("some pages are read", || {
        psp.requests()
            .iter()
            .filter(|path| path.contains("updatedAtFrom"))
            .count()
            >= 2
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let (code, took) = running.ended();
    assert_eq!(code, Some(0));
    assert!(took.as_secs() < 5);
    let read = place.ids("transactions").len();
    assert!((10..250).contains(&read), "{read}");
    psp.heal();
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn what_was_delivered_while_its_offset_could_not_be_stored_is_not_delivered_again() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(
        &psp.url(),
        json!({ "pollingPeriod": "100ms", "publish": publish }),
    );
    place.poll_well();
    // As on a full disk, where there is still room for the lines.
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON publisher WHEN new.offset > 255 BEGIN \
                   SELECT RAISE(ABORT, 'no room'); END";
    state.execute_batch(trigger).unwrap();
    let log = place.path().join("log");
    let mut command = place.command("run");
    command.stderr(fs::File::create(&log).unwrap());
    let mut running = Running::start(command);
    let delivered = || fs::read_to_string(place.path().join("changes")).unwrap();
    for number in 0..5 {
        let id = format!("next-{number}");
        psp.add_transaction(&id, &format!("2024-02-01T00:05:0{number}Z"));
        wait_until("it is delivered", || delivered().contains(&id));
    }
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("cannot store a publisher's offset"), "{said}");
    state.execute_batch("DROP TRIGGER full").unwrap();
    psp.add_transaction("last", "2024-02-01T00:06:00Z");
    wait_until("delivery goes on", || delivered().contains("\"last\""));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
    place.poll_well();
    assert_eq!(delivered().lines().count(), 255 + 6);
}

/// The names of a table's columns, by table.
pub(crate) fn columns(state: &rusqlite::Connection) -> Vec<(String, Vec<String>)> {
    let names = |sql: &str| -> Vec<String> {
        let mut statement = state.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    let columns = |table: &String| {
        let mut columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
        columns.sort();
        columns
    };
    tables
        .iter()
        .map(|table| (table.clone(), columns(table)))
        .collect()
}

#[test]
fn a_state_of_layout_3_is_brought_up_to_date_and_its_publishers_go_on() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let file = place.state().join("state.sqlite3");
    let fresh = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(include_str!("layouts/3.sql")).unwrap();
    // What layout 3 had is there, as the program of today has filled it.
    let filled = place.path().join("filled.sqlite3");
    fs::write(&filled, fresh).unwrap();
    old.execute("ATTACH ?1 AS filled", [filled.to_str().unwrap()])
        .unwrap();
    for (table, columns) in columns(&old) {
        // Indices have no columns here.
        if columns.is_empty() || table == "sqlite_sequence" {
            continue;
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let columns = columns.join(", ");
        // As layout 5 calls it.
        let filled = columns.replace("traits", "quirks");
        old.execute_batch(&format!(
            "INSERT INTO main.{table} ({columns}) SELECT {filled} FROM filled.{table}"
        ))
        .unwrap();
    }
    drop(old);
    let before = place.changes().len();
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    let ran = place.poll_well();
    assert!(ran.stderr.contains("the state from layout 3 to 5"), "{ran}");
    assert_eq!(place.changes().len(), before + 1);
    let open =
        |place: &Place| rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let new = Place::new(&psp.url(), json!({}));
    new.poll_well();
    assert_eq!(columns(&open(&place)), columns(&open(&new)));
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
        ran.stderr.contains("the state from layout 1 to 5")
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
        old.execute(
            "INSERT INTO version VALUES (?1, ?2, ?3, ?4, ?5, ?6, x'00112233445566778899aabbccddeeff', '2024-03-01T00:00:00Z', 1,
                 NULL, ?7)",
            (seq, stream, id, number, previous, date, json),
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
        listening.log().contains("the state from layout 2 to 5"),
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
