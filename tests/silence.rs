//! No silent stall: what stands still is said, in the log and in `status`.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{
    FakePsp, KEY, Listening, OBSERVE_KEY, Place, Reply, Running, run, text_at, wait_until,
};

fn warnings(place: &Place) -> Vec<String> {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings
        .map(|warning| warning.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_service_that_is_down_costs_one_line_a_poll_and_is_reported_once_after_three_periods() {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let place = Place::new(
        &psp.url(),
        json!({ "pollingPeriod": "300ms", "publish": publish }),
    );
    place.poll_well();
    // Refused for good, so that no retry takes time.
    psp.always("/", Reply::status(401));
    let log = place.path().join("log");
    let mut command = place.command("run");
    command.stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut running = Running::start(command);
    let lines = |part: &str| {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains(part)).count()
    };
    wait_until("five polls fail", || lines(" failed: 0 new versions") >= 5);
    assert_eq!(lines("no poll has succeeded since"), 1);
    assert_eq!(
        lines("ERROR"),
        lines(" failed: 0 new versions"),
        "one line a poll"
    );
    assert!(
        warnings(&place)
            .iter()
            .any(|warning| warning.contains("no poll has succeeded since")),
        "{:?}",
        warnings(&place)
    );
    psp.heal();
    psp.add_transaction("next", "2024-02-01T00:05:00Z");
    wait_until("it catches up by itself", || {
        std::fs::read_to_string(place.path().join("changes"))
            .unwrap()
            .contains("\"next\"")
    });
    wait_until("the warning is gone", || warnings(&place).is_empty());
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

/// What `status --check` ends with.
fn checked(place: &Place) -> Option<i32> {
    run(place.command("status --check")).code
}

fn execute(place: &Place, sql: &str) {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    state.execute_batch(sql).unwrap();
}

const AN_HOUR_AGO: &str = "
    UPDATE poll SET started_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour'),
        ended_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour')";

#[test]
fn a_connector_that_is_gone_is_an_alarm_and_polls_that_cron_begins_are_none() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    execute(&place, AN_HOUR_AGO);
    assert_eq!(checked(&place), Some(0));

    let mut listening = Listening::start(&psp.url(), json!({ "pollingPeriod": "5m" }));
    listening.poll();
    listening.kill();
    assert_eq!(checked(&listening.place), Some(0));
    execute(&listening.place, AN_HOUR_AGO);
    assert_eq!(checked(&listening.place), Some(2));
    let said = warnings(&listening.place).concat();
    assert!(said.contains("no poll has succeeded since"), "{said}");
}

#[test]
fn a_good_poll_of_the_future_hides_no_failures() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.always("/", Reply::status(401));
    place.poll();
    execute(&place, AN_HOUR_AGO);
    execute(
        &place,
        "UPDATE poll SET ended_at = '2099-01-01T00:00:00Z' WHERE number = 1",
    );
    let said = warnings(&place).concat();
    assert!(said.contains("no poll has succeeded since 20"), "{said}");
    assert!(!said.contains("2099"), "{said}");
}

#[test]
fn a_cursor_that_stands_still_although_there_are_newer_records_is_reported() {
    let psp = FakePsp::start();
    psp.add_transaction("now", "2024-01-01T00:00:00Z");
    psp.add_transaction("future", "2199-01-01T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    let said: Vec<bool> = (0..6)
        .map(|_| place.poll_well().stderr.contains("the cursor has been at"))
        .collect();
    // The first poll moves it.
    assert_eq!(said, [false, false, false, true, false, false]);
    assert!(warnings(&place)[0].contains("transactions: the cursor has been at"));
    let table = run(place.command("status"));
    assert!(table.stdout.contains("WARNING    transactions"), "{table}");
    psp.add_transaction("next", "2024-01-01T00:05:00Z");
    place.poll_well();
    assert!(warnings(&place).is_empty());
    assert_eq!(place.ids("transactions"), ["now", "future", "next"]);
}

/// Such polls are good ones, and the connector seemed well for days.
fn a_stream_that_polls_do_not_read_is_an_alarm(
    failing: &'static str,
    was_read: bool,
    said: &str,
    reason: &str,
) {
    let psp = FakePsp::with_a_bank();
    let publish = json!([{ "type": "ndjson", "path": "changes" }]);
    let more = json!({
        "pollingPeriod": "300ms", "publish": publish, "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY,
    });
    let place = Place::new(&psp.url(), more);
    if was_read {
        place.poll_well();
    }
    psp.always(failing, Reply::status(400));
    let listening = Listening::on(place, &[]);
    let line = listening.wait_for_line(" polls in a row have not read ");
    let bearer = format!("Bearer {OBSERVE_KEY}");
    for text in [&line, &warnings(&listening.place)[0]] {
        assert!(text.contains(" polls in a row have not read "), "{text}");
        assert!(text.contains(said) && text.contains(reason), "{text}");
        assert!(text.ends_with("; run: generic-connector check"), "{text}");
    }
    let (_, _, page) = text_at(&listening.observe_url, "/", &bearer);
    for part in [
        "One thing to look at",
        said,
        reason,
        "generic-connector check</code>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let polls = |outcome: &str| listening.log().matches(&format!(" {outcome}: ")).count();
    let so_far = polls("partial");
    wait_until("more polls fail", || polls("partial") > so_far + 2);
    assert_eq!(
        listening.log().matches("polls in a row").count(),
        1,
        "said once"
    );
    psp.heal();
    wait_until("the warning is gone", || {
        warnings(&listening.place).is_empty()
    });
}

cases! { a_stream_that_polls_do_not_read_is_an_alarm;
    a_list_that_fails("/beneficiaries", true, "beneficiaries: ", "which was last read at 2");
    a_list_that_was_never_read("/transactions", false, "transactions: ", "none ever has");
    balances_that_fail("/accounts/acc-1/balances", true, "balances: ", "1 requests failed in the last one");
    the_last_reason_of_a_list("/transactions", true, "transactions: ", "answered 400");
}

#[test]
fn a_rotated_key_is_read_again_when_the_service_refuses_the_old_one() {
    for in_a_file in [true, false] {
        let psp = FakePsp::with_a_bank();
        let publish = json!([{ "type": "ndjson", "path": "changes" }]);
        let more = json!({ "pollingPeriod": "100ms", "publish": publish });
        let place = Place::new(&psp.url(), more.clone());
        let key_file = place.path().join("key");
        let write_key = |key: &str| {
            use std::os::unix::fs::PermissionsExt;
            let mut more = more.clone();
            if in_a_file {
                std::fs::write(&key_file, key).unwrap();
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&key_file, mode).unwrap();
                more["apiKey"] = Value::Null;
                more["apiKeyFile"] = json!("key");
            } else {
                more["apiKey"] = json!(key);
            }
            place.configure(&psp.url(), more);
        };
        write_key("old-key");
        // Refused until the right key is there.
        let refused = Arc::new(Mutex::new(0));
        let mut command = place.command("run");
        let log = place.path().join("log");
        command.stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
        let mut running = Running::start(command);
        let has_said = |words: &str| std::fs::read_to_string(&log).unwrap().contains(words);
        wait_until("the key is refused", || {
            *refused.lock().unwrap() += psp.requests().len();
            has_said("the service refuses the key")
        });
        if in_a_file {
            // As the manual says of the listener's keys.
            write_key(&format!("{KEY}\nold-key"));
            wait_until("it says why the file does not help", || {
                has_said("the key that was read before is still used")
            });
        }
        write_key(KEY);
        wait_until("everything arrives without a restart", || {
            std::fs::read_to_string(place.path().join("changes"))
                .is_ok_and(|text| text.lines().count() == 255)
        });
        running.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(running.ended().0, Some(0));
        let log = std::fs::read_to_string(&log).unwrap();
        assert_eq!(
            log.matches("using the new key from its file").count(),
            1,
            "{log}"
        );
        assert!(!log.contains(KEY) && !log.contains("old-key"), "{log}");
    }
}

#[test]
fn the_requests_of_a_poll_to_a_service_that_fails_are_bounded() {
    let psp = FakePsp::start();
    for number in 0..200 {
        psp.add_account(&format!("acc-{number}"), "2024-01-01T00:00:00Z");
    }
    let place = Place::new(&psp.url(), json!({ "workers": 2 }));
    place.poll_well();
    psp.always("/", Reply::status(503));
    psp.forget_requests();
    assert_eq!(place.poll().code, Some(1));
    // Three lists, eight accounts until they are given up, 32 retries for all of them.
    let asked = psp.requests().len();
    assert!(asked <= 3 + 10 + 32, "{asked} requests");
}
