//! A Connectivity that has read further than a list was shown: it read the service itself before, or the state was put
//! back. The list is dated again, once, and only if that is certain.

use generic_connector::{Stream, Timestamp};
use serde_json::{Value, json};

use super::listed::{dates, listening};
use super::{Lost, Poller, poller_on};
use crate::support::{FakePsp, KEY, LISTEN_KEY, Listening, run};

/// Connectivity asks for a list until it gets it, for longer than a minute.
fn insist(listening: &Listening, poller: &mut Poller, stream: Stream) {
    assert!(poller.run(stream).unwrap_err().contains("status 503"));
    listening.place.age();
    poller.run(stream).unwrap();
}

fn bounded(stream: &str, field: &str, from: &str) -> String {
    let from = from.replace(':', "%3A");
    format!("/{stream}?page=1&pageSize=100&sort={field}%3Aasc&{field}From={from}")
}

/// Asks for the transactions from there, as Connectivity does.
fn ask(listening: &Listening, from: &str) -> (u16, Value) {
    listening.get(&bounded("transactions", "updatedAt", from))
}

/// The same bound, three times in more than a minute. The last answer.
fn ask_for_a_minute(listening: &Listening, from: &str) -> (u16, Value) {
    for _ in 0..2 {
        let (status, headers, problem) = listening.ask(
            "GET",
            &bounded("transactions", "updatedAt", from),
            Some(&format!("Bearer {LISTEN_KEY}")),
            "",
        );
        assert_eq!(
            (status, headers.contains_key("retry-after")),
            (503, true),
            "{problem}"
        );
    }
    listening.place.age();
    ask(listening, from)
}

fn listing(listening: &Listening, stream: &str) -> Value {
    let (_, status) = listening.get("/status");
    let listings = status["listings"].as_array().unwrap();
    let found = listings.iter().find(|listing| listing["stream"] == stream);
    found.cloned().unwrap_or_default()
}

#[test]
fn a_connector_that_polled_the_service_before_is_adopted_once() {
    for future in [false, true] {
        let service = FakePsp::with_a_bank();
        for number in 0..600 {
            service.add_transaction(&format!("tie-{number}"), "2024-02-03T00:00:00Z");
        }
        if future {
            service.add_transaction("future", "2124-01-01T00:00:00Z");
        }
        let mut poller = Poller::new(&service.url(), KEY);
        for stream in Stream::LISTED {
            poller.run(stream).unwrap();
        }
        assert!(Lost::of(&service, &poller).records.len() >= 500);
        let listening = listening(&service);
        poller.point_at(&listening.url, LISTEN_KEY);
        for stream in Stream::LISTED {
            if future && stream == Stream::Transactions {
                assert!(poller.run(stream).is_err());
                listening.place.age();
                // The bound of a hundred years ahead is not believed however often it comes.
                assert!(poller.run(stream).is_err());
                let ran = run(listening.place.command("listing adopt transactions"));
                assert!(ran.stdout.contains("2124-01-01T00:00:00Z"), "{ran}");
                poller.run(stream).unwrap();
            } else {
                insist(&listening, &mut poller, stream);
            }
            assert!(listing(&listening, stream.name())["adoptedAbove"].is_string());
        }
        assert_eq!(Lost::of(&service, &poller), Lost::default());
        // No later bound of a look by hand changes a date.
        let before = dates(&listening, "transactions", "updatedAt", "asc");
        assert!(before.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ask(&listening, "2125-01-01T00:00:00Z").0, 503);
        assert_eq!(
            dates(&listening, "transactions", "updatedAt", "asc"),
            before
        );
        service.add_transaction("new", "2024-02-04T00:00:00Z");
        let listening = listening.restart(&[]);
        listening.poll();
        assert_eq!(
            dates(&listening, "transactions", "updatedAt", "asc")[..before.len()],
            before
        );
        poller.point_at(&listening.url, LISTEN_KEY);
        poller.run(Stream::Transactions).unwrap();
        assert_eq!(Lost::of(&service, &poller), Lost::default());
    }
}

#[test]
fn adoption_brings_no_status_back_that_formance_never_saw() {
    let service = FakePsp::start();
    service.add_transaction("tx", "2024-02-01T00:00:00Z");
    let listening = listening(&service);
    service.change_transaction(
        "tx",
        json!({ "status": "SUCCEEDED", "updatedAt": "2024-02-01T00:01:00Z" }),
    );
    listening.poll();
    let mut poller = Poller::new(&service.url(), KEY);
    poller.run(Stream::Transactions).unwrap();
    poller.point_at(&listening.url, LISTEN_KEY);
    insist(&listening, &mut poller, Stream::Transactions);
    let payment = &poller.payments()[&("tx".to_owned(), "PAYIN".to_owned())];
    let shown: Vec<&str> = payment.iter().map(|shown| &*shown.status).collect();
    assert_eq!(shown, ["SUCCEEDED"]);
}

#[test]
fn what_comes_into_an_empty_list_is_dated_above_the_bound_it_was_asked_with() {
    let service = FakePsp::start();
    service.add_account("acc-1", "2024-01-01T00:00:00Z");
    let listening = listening(&service);
    let from = "2024-02-01T00:00:00Z";
    assert_eq!(ask_for_a_minute(&listening, from), (200, json!([])));
    service.add_transaction("older", "2024-01-01T00:00:00Z");
    listening.poll();
    let (_, listed) = ask(&listening, from);
    assert_eq!(listed[0]["id"], "older");
    // A date that none can follow is refused, and nothing ends.
    let never = bounded("accounts", "createdAt", "9999-12-30T00:00:00Z");
    assert_eq!(listening.get(&never).0, 400);
    service.add_account("acc-2", "2024-01-01T00:00:00Z");
    assert_eq!(listening.poll()["outcome"], "complete");
    // Whatever nanosecond of that second the bound was cut from.
    assert!(listed[0]["updatedAt"].as_str().unwrap() >= "2024-02-01T00:00:01");
}

/// One request by hand dated a whole list in 2030 for good.
#[test]
fn a_look_by_hand_dates_nothing() {
    let service = FakePsp::with_a_bank();
    let listening = listening(&service);
    for from in ["2030-01-01T00:00:00Z", "2024-06-01T00:00:00Z"] {
        for _ in 0..5 {
            assert_eq!(ask(&listening, from).0, 503);
        }
    }
    listening.place.age();
    // Another bound begins from the start, and one in the future is never believed.
    for _ in 0..3 {
        assert_eq!(ask(&listening, "2030-01-01T00:00:00Z").0, 503);
        listening.place.age();
    }
    listening.wait_for_line("run: generic-connector listing adopt transactions");
    let (_, status) = listening.get("/status");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("listing adopt transactions"),
        "{warnings}"
    );
    let listed = dates(&listening, "transactions", "updatedAt", "asc");
    assert!(*listed.last().unwrap() < Timestamp::now());
    // Connectivity, which reads from the beginning, is not disturbed.
    let mut poller = poller_on(&listening);
    for _ in 0..2 {
        poller.run(Stream::Transactions).unwrap();
    }
    assert_eq!(Lost::of(&service, &poller).records.len(), 0);
    let ran = run(listening.place.command("listing adopt accounts"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("nothing to agree to"), "{ran}");
}

/// Entries above what was shown are listed again with every version: the amounts follow from all of them.
#[test]
fn what_a_list_was_not_shown_comes_with_every_version() {
    let service = FakePsp::start();
    let change = |id: &str, minute: u8, status: &str| {
        let at = format!("2024-02-01T00:0{minute}:00Z");
        service.change_transaction(id, json!({ "status": status, "updatedAt": at }));
    };
    service.add_transaction("old", "2024-02-01T00:00:00Z");
    let listening = listening(&service);
    change("old", 1, "SUCCEEDED");
    listening.poll();
    let mut poller = poller_on(&listening);
    poller.run(Stream::Transactions).unwrap();
    // Again, so that it is known to read from what it was shown.
    poller.run(Stream::Transactions).unwrap();
    service.add_transaction("new", "2024-02-01T00:02:00Z");
    listening.poll();
    change("new", 3, "SUCCEEDED");
    listening.poll();
    let (status, listed) = ask_for_a_minute(&listening, "2024-06-01T00:00:00Z");
    let listed = listed.as_array().unwrap();
    let listed: Vec<(&str, &str)> = listed
        .iter()
        .map(|shown| {
            assert!(shown["updatedAt"].as_str().unwrap() >= "2024-06-01T00:00:01");
            (
                shown["id"].as_str().unwrap(),
                shown["status"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("old", "SUCCEEDED"),
        ("new", "PENDING"),
        ("new", "SUCCEEDED"),
    ];
    assert_eq!((status, &listed[..]), (200, &expected[..]));
}

/// All of it was one transaction, which other writers waited for, with a temporary table on the disk.
#[test]
fn a_list_is_dated_in_slices_and_the_next_process_goes_on() {
    let service = FakePsp::start();
    for number in 0..2_300 {
        service.add_transaction(&format!("tx-{number}"), "2024-02-01T00:00:00Z");
    }
    let listening = listening(&service);
    let from = "2024-06-01T00:00:00Z";
    let before = dates(&listening, "transactions", "updatedAt", "desc").len();
    let file = listening.place.state().join("state.sqlite3");
    let state = || rusqlite::Connection::open(&file).unwrap();
    // The disk fails within the second slice.
    let fail = "CREATE TRIGGER fail BEFORE UPDATE ON listed WHEN NEW.place = 1500
                BEGIN SELECT raise(ABORT, 'no more'); END";
    state().execute_batch(fail).unwrap();
    assert_eq!(ask_for_a_minute(&listening, from).0, 503);
    listening.wait_for_line("the list cannot be dated again: SQLite cannot date a list again");
    let dated = || -> Option<i64> {
        let progress = "SELECT dated FROM listing WHERE stream = 'transactions'";
        state().query_row(progress, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(dated(), Some(1_000));
    // Nobody reads a list of which a part is new, and polls go on.
    assert_eq!(listening.get("/transactions").0, 503);
    assert_eq!(listening.get("/accounts").0, 200);
    service.add_transaction("meanwhile", "2024-02-01T00:00:00Z");
    listening.poll();
    state().execute_batch("DROP TRIGGER fail").unwrap();
    let listening = listening.restart(&[]);
    assert_eq!(listening.get("/transactions").0, 503);
    assert_eq!(ask(&listening, from).0, 200);
    let listed = dates(&listening, "transactions", "updatedAt", "asc");
    assert_eq!(listed.len(), before + 1);
    assert!(listed.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(listed[0] > Timestamp::parse(from).unwrap());
}
