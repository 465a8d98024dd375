//! A state of an older layout is brought up to date in slices: whatever ends the process in between, the next one goes on.

use std::fs;

use nix::sys::signal::Signal;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::formance::payout;
use crate::support::old_state::{BEFORE_12, LAYOUTS};
use crate::support::{FakePsp, Listening, Place, run};

/// Rows of each table that moves: more than two slices.
const ROWS: usize = 2_100;

/// What layout 4 keeps of a payment of its own, and of a part of one.
const ROWS_OF_4: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    INSERT INTO payment
    SELECT 'formance', 'old-' || i, i, 'SUCCEEDED', '100', NULL, x'00', i, iif(i % 2, NULL, 'parent'),
           iif(i % 2, 'PAY-IN', NULL), iif(i % 2, 'EUR/2', NULL), iif(i % 2, '100', NULL), iif(i % 2, '100', NULL),
           iif(i % 2, 0, NULL)
    FROM n";

/// What layout 11 keeps of transactions. Their versions do not matter here.
const TRANSACTIONS_OF_11: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    INSERT INTO record (stream, id, seq) SELECT 'transactions', 'tx-' || (i * 7919 % 10007), i FROM n";

/// What layout 11 counts.
const COUNTED_OF_11: &str = "
    INSERT INTO counted SELECT 'version', stream, count(*) FROM version GROUP BY stream;
    INSERT INTO counted SELECT 'record', stream, count(*) FROM record GROUP BY stream;";

/// A state file of that layout with many rows.
fn old_state(layout: usize, endpoint: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let old = rusqlite::Connection::open(file.path()).unwrap();
    old.execute_batch(LAYOUTS[layout - 1].1).unwrap();
    old.execute_batch("PRAGMA journal_mode = DELETE; DELETE FROM state; BEGIN")
        .unwrap();
    let identity =
        "INSERT INTO state VALUES ('state_id', 'an-id'), ('name', 'test'), ('endpoint', ?1)";
    old.execute(identity, [endpoint]).unwrap();
    let columns = "(seq, stream, id, number, timestamp, hash, observed_at, poll, json)";
    let version = format!(
        "INSERT INTO version {columns} VALUES (?1, 'accounts', ?2, ?3, '2024-01-01T00:00:00.000000000Z',
         ?5, '2024-03-01T00:00:00Z', 1, ?4)"
    );
    for row in 1..=ROWS as i64 {
        // Every other one is the second version of an account.
        let id = match row / 2 {
            // Formance cannot take it.
            3 => "x".repeat(900),
            number => format!("old-{number}"),
        };
        let account = json!({ "id": id, "accountName": "n", "createdAt": "2024-01-01T00:00:00Z" });
        let account = account.to_string();
        let hash = digest(&SHA256, account.as_bytes());
        let (seq, number) = (row + 100, 1 + (row % 2));
        old.execute(&version, (seq, &id, number, &account, &hash.as_ref()[..16]))
            .unwrap();
        let record = "INSERT OR REPLACE INTO record (stream, id, seq) VALUES ('accounts', ?1, ?2)";
        old.execute(record, (&id, seq)).unwrap();
        let listed = match layout {
            1 | 2 => continue,
            3..=5 => "INSERT INTO listed VALUES ('accounts', 1800000000000000000 + ?1, ?1)",
            _ => {
                "INSERT INTO listed (stream, place, stamp, seq) VALUES ('accounts', ?1, 1800000000000000000 + ?1, ?1)"
            }
        };
        old.execute(listed, [seq]).unwrap();
    }
    if layout == 4 {
        old.execute(ROWS_OF_4, [ROWS as i64]).unwrap();
    }
    if layout == 11 {
        old.execute(TRANSACTIONS_OF_11, [ROWS as i64]).unwrap();
        old.execute_batch(COUNTED_OF_11).unwrap();
    }
    old.execute_batch("COMMIT").unwrap();
    file
}

/// What an upgrade gives: how the versions are linked, what is listed, and what is remembered.
fn outcome(place: &Place) -> Vec<String> {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let mut rows = Vec::new();
    for sql in [
        "SELECT seq || ' follows ' || coalesce(previous, '-') FROM version WHERE seq <= 100 + ?1 ORDER BY seq",
        "SELECT stream || ' ' || place || ' ' || seq || ' ' || iif(stamp < 1900000000000000000, stamp, '-')
         FROM listed WHERE seq <= 100 + ?1 ORDER BY stream, place",
        "SELECT stream || ' ' || id || ' leads to ' || seq FROM record
         WHERE stream = 'transactions' AND ?1 ORDER BY id",
        "SELECT topic || ' ' || key || ' ' || seq || ' ' || coalesce(value, '-') FROM memory
         WHERE ?1 ORDER BY topic, key, seq",
        "SELECT stream || ' ' || reason || ' ' || count FROM unlisted WHERE ?1",
        "SELECT 'counted ' || kind || ' ' || part || ' ' || rows FROM counted WHERE ?1 ORDER BY kind, part",
        "SELECT name FROM sqlite_schema WHERE ?1 ORDER BY name",
    ] {
        let mut statement = state.prepare(sql).unwrap();
        let found = statement
            .query_map([ROWS as i64], |row| row.get::<_, String>(0))
            .unwrap();
        rows.extend(found.map(Result::unwrap));
    }
    rows
}

fn place_with(state: &tempfile::NamedTempFile, endpoint: &str) -> Place {
    let place = Place::new(endpoint, json!({}));
    fs::create_dir(place.state()).unwrap();
    fs::copy(state.path(), place.state().join("state.sqlite3")).unwrap();
    place
}

fn upgraded_whatever_ends_it(layout: usize) {
    // Nothing answers there.
    let endpoint = "http://127.0.0.1:1";
    let state = old_state(layout, endpoint);
    let whole = place_with(&state, endpoint);
    whole.poll();
    let expected = outcome(&whole);
    assert!(expected.len() > 2 * ROWS);
    let (versions, records) = accounts_of(&whole);
    for counted in [
        format!("counted version accounts {versions}"),
        format!("counted record accounts {records}"),
    ] {
        assert!(expected.contains(&counted), "{counted}");
    }
    // Both versions of the account whose id is too long. Since layout 6, that is decided when they are committed.
    let is_listed = |seq: &str| {
        let mut listed = expected.iter().filter(|row| row.starts_with("accounts "));
        listed.any(|row| row.split(' ').nth(2) == Some(seq))
    };
    assert!(is_listed("105") && is_listed("108"));
    if layout == 11 {
        assert!(expected.contains(&"transactions tx-5831 leads to 2".to_owned()));
    }
    if layout <= 5 {
        assert!(!is_listed("106") && !is_listed("107"));
        assert!(expected.contains(&"accounts long account id 2".to_owned()));
    }
    // Steps of two slices and of everything around them.
    for step in 1..=16 {
        let place = place_with(&state, endpoint);
        let mut command = place.command("poll");
        command.env("GENERIC_CONNECTOR_CRASH_AT", step.to_string());
        let crashed = run(command);
        assert_eq!(crashed.code, None, "step {step}: {crashed}");
        if step > 1 {
            // Older versions of this program refuse it.
            assert_eq!(layout_of(&place), 12, "step {step}");
        }
        let status = run(place.command("status"));
        assert_eq!(status.code, Some(1), "step {step}: {status}");
        let ran = place.poll();
        assert_eq!(outcome(&place), expected, "step {step}: {ran}");
    }
}

cases! { upgraded_whatever_ends_it;
    a_state_of_layout_1_is_brought_up_to_date_whatever_ends_it(1);
    a_state_of_layout_2_is_brought_up_to_date_whatever_ends_it(2);
    a_state_of_layout_3_is_brought_up_to_date_whatever_ends_it(3);
    a_state_of_layout_4_is_brought_up_to_date_whatever_ends_it(4);
    a_state_of_layout_8_is_brought_up_to_date_whatever_ends_it(8);
    a_state_of_layout_11_is_brought_up_to_date_whatever_ends_it(11);
}

/// How many versions and how many records of accounts a state has.
fn accounts_of(place: &Place) -> (i64, i64) {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let sql = "
        SELECT (SELECT count(*) FROM version WHERE stream = 'accounts'),
               (SELECT count(*) FROM record WHERE stream = 'accounts')";
    let counts = state.query_row(sql, [], |row| row.try_into());
    counts.unwrap()
}

fn layout_of(place: &Place) -> i64 {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let layout = state.query_row("PRAGMA user_version", [], |row| row.get(0));
    layout.unwrap()
}

/// `older`: makes a state that is half brought up to date one of this older layout.
fn ended_by_a_newer_version(older: &str) {
    let endpoint = "http://127.0.0.1:1";
    let state = old_state(4, endpoint);
    let whole = place_with(&state, endpoint);
    whole.poll();
    let place = place_with(&state, endpoint);
    let mut command = place.command("poll");
    // The second slice has ended.
    command.env("GENERIC_CONNECTOR_CRASH_AT", "6");
    assert_eq!(run(command).code, None);
    let half = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    half.execute_batch(
        "ALTER TABLE poll DROP COLUMN took; ALTER TABLE poll DROP COLUMN latency_p50;
         ALTER TABLE poll DROP COLUMN latency_p95; ALTER TABLE poll DROP COLUMN lag;
         DELETE FROM upgrade WHERE work = 'transactions'; PRAGMA user_version = 9",
    )
    .unwrap();
    half.execute_batch(BEFORE_12).unwrap();
    half.execute_batch(older).unwrap();
    drop(half);
    let ran = place.poll();
    assert_eq!(outcome(&place), outcome(&whole), "{ran}");
}

const LAYOUT_8: &str = "
    DROP TABLE counted; DROP INDEX urgent; DELETE FROM upgrade WHERE work IN ('versions', 'counts');
    DROP TRIGGER quarantine_added; DROP TRIGGER quarantine_removed; DROP TRIGGER quarantine_changed;
    DROP TRIGGER held_added; DROP TRIGGER held_removed; DROP TRIGGER held_changed;
    DROP TRIGGER shown_added; DROP TRIGGER shown_removed; DROP TRIGGER shown_changed;
    DROP TRIGGER initiation_added; DROP TRIGGER initiation_removed; DROP TRIGGER initiation_changed;
    DROP TRIGGER refusal_added; DROP TRIGGER refusal_removed; DROP TRIGGER refusal_changed;
    DROP TRIGGER memory_added; DROP TRIGGER memory_removed; DROP TRIGGER memory_changed;
    PRAGMA user_version = 8";

cases! { ended_by_a_newer_version;
    what_a_version_of_layout_8_has_left_half_brought_up_to_date_is_ended_by_a_newer_one(LAYOUT_8);
    what_a_version_of_layout_9_has_left_half_brought_up_to_date_is_ended_by_a_newer_one("");
}

#[test]
fn nobody_uses_a_state_that_is_half_brought_up_to_date() {
    let service = FakePsp::with_a_bank();
    let state = old_state(4, &service.url());
    let place = place_with(&state, &service.url());
    let mut command = place.command("poll");
    // The second slice has ended.
    command.env("GENERIC_CONNECTOR_CRASH_AT", "6");
    assert_eq!(run(command).code, None);
    let ran = run(place.command("status"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("is being migrated"), "{ran}");
    let ran = place.poll();
    assert!(ran.stderr.contains("the state is migrated"), "{ran}");
}

/// They were counted by their state alone.
#[test]
fn payouts_and_transfers_of_layout_10_are_counted_by_their_kind() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("poll 1 complete");
    for (path, key) in [("/payouts", "1"), ("/payouts", "2"), ("/transfers", "3")] {
        assert_eq!(listening.post(path, &payout(key, "100").to_string()).0, 201);
    }
    let Listening {
        mut process, place, ..
    } = listening;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().0, Some(0));
    let layout = include_str!("layouts/10.sql");
    let (begin, end) = (
        "CREATE TRIGGER initiation_added",
        "CREATE TRIGGER refusal_added",
    );
    let triggers = &layout[layout.find(begin).unwrap()..layout.find(end).unwrap()];
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let older = format!(
        "DROP TRIGGER initiation_added; DROP TRIGGER initiation_removed; DROP TRIGGER initiation_changed; {triggers}
         DELETE FROM counted WHERE kind = 'initiation'; INSERT INTO counted VALUES ('initiation', 'made', 3);
         PRAGMA user_version = 10"
    );
    state.execute_batch(&older).unwrap();
    state.execute_batch(BEFORE_12).unwrap();
    drop(state);
    let ran = place.poll_well();
    assert!(
        ran.stderr.contains("the state from layout 10 to 12"),
        "{ran}"
    );
    let rows = outcome(&place);
    let counted: Vec<&String> = rows
        .iter()
        .filter(|row| row.starts_with("counted initiation"))
        .collect();
    assert_eq!(
        counted,
        [
            "counted initiation payouts made 2",
            "counted initiation transfers made 1"
        ]
    );
}
