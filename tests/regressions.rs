//! Bugs that were found once. Each test has the name of what must hold, and a line that says what was wrong.

use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    FakePsp, Manners, Place, Ran, Reply, Running, run, transaction, wait_a_second, wait_until,
};

fn status(place: &Place) -> Value {
    serde_json::from_str(&run(place.command("status --json")).stdout).unwrap()
}

fn quarantine(place: &Place, action: &str) -> Ran {
    run(place.command(&format!("quarantine {action}")))
}

fn listed(place: &Place) -> Vec<Value> {
    serde_json::from_str(&quarantine(place, "list --json").stdout).unwrap()
}

/// Starts a command without its output.
fn start(place: &Place, command: &str) -> Running {
    let mut command = place.command(command);
    command.stderr(Stdio::null()).stdout(Stdio::null());
    Running::start(command)
}

/// Runs a command, which must end.
fn ends(place: &Place, command: &str) {
    let mut running = start(place, command);
    wait_until("the command ends", || {
        running.0.try_wait().unwrap().is_some()
    });
}

/// Runs this many sweeps, each long after the stored records were read.
fn sweeps(place: &Place, count: usize) -> String {
    let swept = (0..count).map(|_| {
        place.age();
        run(place.command("poll --sweep")).to_string()
    });
    swept.collect()
}

/// This many seconds after the start of 2024-02-01.
fn at(second: usize) -> String {
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("2024-02-01T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// A transaction with another value of a field.
fn with(id: &str, updated_at: &str, field: &str, value: Value) -> Value {
    let mut transaction = transaction(id, updated_at);
    transaction[field] = value;
    transaction
}

/// A service of these transactions.
fn service(transactions: impl IntoIterator<Item = Value>) -> FakePsp {
    let psp = FakePsp::start();
    for transaction in transactions {
        psp.add_raw_transaction(transaction);
    }
    psp
}

/// A service of this many transactions, a second apart.
fn seconds(count: usize) -> FakePsp {
    service((0..count).map(|number| transaction(&format!("tx-{number}"), &at(number))))
}

/// A service that lists two contents of one transaction under one date.
fn twins(date: &str, field: &str, values: [&str; 2]) -> FakePsp {
    service(values.map(|value| with("t", date, field, json!(value))))
}

fn cap(psp: &FakePsp, cap: usize) {
    psp.behave(Manners {
        cap: Some(cap),
        ..Manners::default()
    });
}

/// Answers lists without a filter in this way. These are what a sweep asks for.
fn plain_lists(psp: &FakePsp, reply: Reply) {
    psp.script(move |target| {
        if !target.contains("From=") && !target.contains("/balances") {
            reply.clone()
        } else {
            Reply::Usual
        }
    });
}

/// A connector that sweeps without a pause.
fn sweeping(psp: &FakePsp, polling_period: &str) -> Place {
    Place::new(
        &psp.url(),
        json!({
            "sweepPeriod": "1ms", "pollingPeriod": polling_period,
            "publish": [{ "type": "ndjson", "path": "state/changes.ndjson" }],
        }),
    )
}

/// The values of a field in the versions of a transaction, in the order of their delivery.
fn versions(place: &Place, id: &str, field: &str) -> Vec<Value> {
    let changes = place.changes().into_iter();
    let versions = changes.filter(|change| change["id"] == id);
    versions
        .map(|change| change["record"][field].clone())
        .collect()
}

/// Reads a service whose pages have any length: the records are paged, and pages 1 to 3 then lack the first few.
fn is_read_to_its_end(records: Vec<Value>, commands: &[&str]) {
    let psp = FakePsp::start();
    psp.script(move |target| {
        if !target.starts_with("/transactions") {
            return Reply::Usual;
        }
        let parameter = |name: &str| {
            let (_, query) = target.split_once('?')?;
            let mut pairs = query.split('&');
            let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.replace("%3A", ":"))
        };
        let from = parameter("updatedAtFrom").unwrap_or_default();
        let number = |name| parameter(name).map_or(1, |text| text.parse::<usize>().unwrap());
        let (page, size) = (number("page"), number("pageSize"));
        if page == 0 {
            return Reply::status(400);
        }
        let hidden = [0, 3, 1, 2].get(page).copied().unwrap_or(0);
        let passing = records
            .iter()
            .filter(|record| record["updatedAt"].as_str().unwrap() >= &*from);
        let page = passing.skip((page - 1) * size).take(size).skip(hidden);
        Reply::body(&json!(page.collect::<Vec<_>>()).to_string())
    });
    let place = Place::new(&psp.url(), json!({}));
    for command in commands {
        ends(&place, command);
    }
    assert!(psp.requests().len() < 60);
}

/// 250 records, dated by their number.
fn dated(date: impl Fn(usize) -> String) -> Vec<Value> {
    let numbers = 0..250;
    numbers
        .map(|number| transaction(&format!("tx-{number:03}"), &date(number)))
        .collect()
}

// A page of another length than the one before made the walk start again, forever.
cases! { is_read_to_its_end;
    a_tie_whose_pages_have_any_length_is_read_to_its_end(dated(|_| at(0)), &["poll"]);
    a_sweep_of_pages_of_any_length_ends(dated(at), &["poll", "poll --sweep"]);
    an_unsorted_list_whose_pages_have_any_length_is_read_to_its_end(
        dated(at).into_iter().rev().collect(), &["poll"]);
}

/// A list that failed held up the sweep of the others.
#[test]
fn a_stream_that_fails_does_not_keep_the_sweep_from_the_others() {
    let psp = FakePsp::with_a_bank();
    psp.always("/beneficiaries", Reply::status(404));
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    psp.add_transaction("late", "2024-01-29T00:01:40Z");
    let mut last = String::new();
    for _ in 0..3 {
        last = run(place.command("poll --sweep")).to_string();
    }
    assert!(
        place.ids("transactions").contains(&"late".to_owned()),
        "{last}\n{}",
        status(&place)["sweep"]
    );
}

/// A content in quarantine stayed there although the other content was gone.
#[test]
fn the_only_content_left_is_delivered_though_it_was_a_duplicate_once() {
    let date = "2024-01-01T00:00:00Z";
    let psp = twins(date, "status", ["PENDING", "SUCCEEDED"]);
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    // The service is fixed: only the true content is left.
    psp.remove_transaction("t");
    psp.add_raw_transaction(with("t", date, "status", json!("SUCCEEDED")));
    let mut last = String::new();
    for _ in 0..4 {
        wait_a_second();
        last = sweeps(&place, 1);
    }
    let changes = place.changes();
    assert_eq!(
        changes.last().unwrap()["record"]["status"],
        "SUCCEEDED",
        "{last}\n{:?}",
        listed(&place)
    );
}

/// Contents on two pages were delivered again by each sweep.
#[test]
fn two_contents_over_the_pages_of_a_tie_make_no_version_in_every_sweep() {
    let record = |id: &str, amount: &str| with(id, "2024-01-01T00:00:00Z", "amount", json!(amount));
    let psp = service([
        record("t", "1"),
        record("x0", "1"),
        record("x1", "1"),
        record("x2", "1"),
        record("x3", "1"),
        record("t", "2"),
    ]);
    let place = Place::new(&psp.url(), json!({ "pageSize": 3 }));
    place.poll();
    sweeps(&place, 3);
    let versions = place.ids("transactions").len();
    sweeps(&place, 3);
    assert_eq!(place.ids("transactions").len(), versions);
}

/// A sweep got no turn beside polls that took longer than their period.
#[test]
fn a_sweep_comes_although_polls_take_longer_than_their_period() {
    let psp = FakePsp::with_a_bank();
    let place = sweeping(&psp, "100ms");
    place.poll();
    psp.script(|target| {
        if target.contains("/balances") {
            Reply::After(Duration::from_millis(120))
        } else {
            Reply::Usual
        }
    });
    let _running = start(&place, "run");
    wait_until("a sweep ends", || {
        status(&place)["sweep"]["endedAt"] != Value::Null
    });
}

/// A sweep got nowhere when its pages took longer than the time between polls.
#[test]
fn a_sweep_gets_on_although_its_pages_take_longer_than_the_time_between_polls() {
    let psp = FakePsp::with_a_bank();
    let place = sweeping(&psp, "200ms");
    place.poll();
    plain_lists(&psp, Reply::After(Duration::from_millis(300)));
    let _running = start(&place, "run");
    wait_until("it reads some pages", || {
        status(&place)["sweep"]["seen"].as_i64() > Some(2)
    });
}

/// A retry that came while a sweep ran was lost.
#[test]
fn a_retry_is_not_forgotten_while_a_sweep_runs() {
    let psp = FakePsp::with_a_bank();
    for amount in ["1", "2"] {
        psp.add_raw_transaction(with("t", "2024-02-01T00:00:20Z", "amount", json!(amount)));
    }
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    let (asked, was_asked) = channel();
    psp.script(move |target| {
        if target.starts_with("/transactions") && !target.contains("From=") {
            let _ = asked.send(());
            Reply::After(Duration::from_millis(1500))
        } else {
            Reply::Usual
        }
    });
    let mut sweep = start(&place, "poll --sweep");
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    let said = quarantine(&place, "retry 1");
    assert!(said.stdout.contains("the next poll retries number 1"));
    sweep.ended();
    psp.heal();
    place.poll();
    let versions = versions(&place, "t", "amount");
    assert_eq!(versions.len(), 2, "{:?}", listed(&place));
}

/// A retry delivered the answer as the balances of the account that it names.
#[test]
fn a_retried_answer_about_another_account_is_not_delivered_as_that_one() {
    let psp = FakePsp::with_a_bank();
    let wrong = r#"{"id":"b","accountID":"acc-2","at":"2024-03-01T00:00:00Z","balances":[{"amount":"1","currency":"EUR/2"}]}"#;
    psp.always("/accounts/acc-1/balances", Reply::body(wrong));
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    quarantine(&place, "retry 1");
    psp.always("/accounts/acc-2/balances", Reply::status(404));
    place.poll();
    let last: Vec<Value> = place
        .changes()
        .into_iter()
        .filter(|c| c["stream"] == "balances" && c["id"] == "acc-2")
        .collect();
    assert_eq!(last.len(), 1, "{}", json!(last));
}

/// The exit code of a sweep did not count what it put into quarantine.
#[test]
fn a_sweep_that_puts_something_into_quarantine_ends_with_code_2() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    psp.add_raw_transaction(with("bad", "2024-01-20T00:00:20Z", "amount", json!(1)));
    let ran = run(place.command("poll --sweep"));
    assert_eq!(listed(&place).len(), 1);
    assert_eq!(ran.code, Some(2), "{ran}");
}

/// A sweep trusted its page number after a pause, although records had moved to other pages.
#[test]
fn a_sweep_finds_a_late_record_although_others_moved_between_its_slices() {
    let psp = seconds(1200);
    let place = Place::new(&psp.url(), json!({ "sweepPeriod": "1ms", "pageSize": 2 }));
    place.poll_well();
    let before = status(&place);
    assert_eq!(before["sweep"]["endedAt"], Value::Null);
    // Just behind the place that the sweep has reached.
    psp.add_transaction("late", &at(1000));
    for number in 0..10 {
        let moved = json!({ "updatedAt": at(2000 + number) });
        psp.change_transaction(&format!("tx-{number}"), moved);
    }
    let ran = place.poll_well();
    assert!(
        place.ids("transactions").contains(&"late".to_owned()),
        "{} {ran} {}",
        before["sweep"],
        status(&place)["sweep"]
    );
}

/// Sweeps replaced a content that had been accepted by the other one, and back.
#[test]
fn an_accepted_duplicate_stays_the_newest_version() {
    let psp = twins("2024-01-01T00:00:00Z", "amount", ["1", "2"]);
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    quarantine(&place, "retry 1");
    place.poll();
    assert_eq!(place.changes().len(), 2);
    sweeps(&place, 3);
    assert_eq!(
        place.changes().len(),
        2,
        "{:?} {:?}",
        place.changes(),
        listed(&place)
    );
}

/// A retry put an old content above a newer version.
#[test]
fn a_retried_duplicate_does_not_replace_a_newer_version() {
    let psp = twins("2024-01-01T00:00:00Z", "amount", ["1", "2"]);
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    psp.remove_transaction("t");
    psp.add_raw_transaction(with("t", "2024-01-05T00:00:00Z", "amount", json!("3")));
    psp.add_transaction("z", "2024-03-01T00:00:00Z");
    place.poll();
    quarantine(&place, "retry 1");
    place.poll();
    place.poll();
    let amounts = versions(&place, "t", "amount");
    assert_eq!(amounts.last().unwrap(), "3", "{amounts:?}");
}

/// A sweep trusted its page number after a pause, although pages had become longer.
#[test]
fn a_cap_that_is_raised_between_two_slices_hides_nothing_from_the_sweep() {
    let psp = seconds(1200);
    cap(&psp, 2);
    let place = Place::new(&psp.url(), json!({ "sweepPeriod": "1ms" }));
    place.poll_well();
    let before = status(&place);
    psp.add_transaction("late", &at(1000));
    cap(&psp, 4);
    let ran = place.poll_well();
    assert!(
        place.ids("transactions").contains(&"late".to_owned()),
        "{} {ran} {}",
        before["sweep"],
        status(&place)["sweep"]
    );
}

/// A content that returned while a sweep ran was taken for the older of two.
#[test]
fn a_content_that_changes_and_returns_during_a_sweep_is_not_kept_out() {
    let psp = seconds(1200);
    let place = Place::new(&psp.url(), json!({ "pageSize": 2 }));
    place.poll_well();
    place.configure(&psp.url(), json!({ "pageSize": 2, "sweepPeriod": "1ms" }));
    psp.change_transaction("tx-995", json!({ "status": "FAILED" }));
    let mut out = place.poll_well().to_string();
    out += &status(&place)["sweep"].to_string();
    psp.change_transaction("tx-995", json!({ "status": "PENDING" }));
    out += &place.poll().to_string();
    out += &sweeps(&place, 3);
    assert_eq!(
        versions(&place, "tx-995", "status").last().unwrap(),
        "PENDING",
        "{out} {:?}",
        listed(&place)
    );
}

/// A sweep of a list that shows the newest first put the older of two versions above the newer one.
#[test]
fn a_sweep_does_not_put_an_older_version_above_a_newer_one_that_is_still_listed() {
    let psp = service([
        with("t", "2024-01-01T00:00:00Z", "status", json!("PENDING")),
        with("t", "2024-01-02T00:00:00Z", "status", json!("SUCCEEDED")),
        transaction("z", "2024-03-02T00:00:00Z"),
    ]);
    psp.behave(Manners {
        newest_first: true,
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    let mut out = sweeps(&place, 1);
    out += &place.poll().to_string();
    assert_eq!(
        versions(&place, "t", "status").last().unwrap(),
        "SUCCEEDED",
        "{out} {}",
        json!(place.changes())
    );
}

/// A sweep took records that it had passed over for gone, and released them from quarantine.
#[test]
fn a_cap_that_is_raised_between_two_slices_releases_nothing_that_is_still_listed() {
    let psp = seconds(1200);
    psp.add_raw_transaction(with("bad", &at(1100), "amount", json!(1)));
    cap(&psp, 2);
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    wait_a_second();
    place.configure(&psp.url(), json!({ "sweepPeriod": "1ms" }));
    place.poll();
    let before = listed(&place).len();
    cap(&psp, 4);
    let ran = place.poll();
    assert_eq!(listed(&place).len(), before, "{ran}");
}

/// A service that asked the sweep to wait made the polls wait.
#[test]
fn a_sweep_that_is_asked_to_wait_does_not_hold_up_polls() {
    let psp = FakePsp::with_a_bank();
    let place = sweeping(&psp, "500ms");
    place.poll();
    let wait = vec![("Retry-After", "10".to_owned())];
    plain_lists(&psp, Reply::With(429, wait, vec![]));
    let _running = start(&place, "run");
    let start = Instant::now();
    wait_until("polls go on", || {
        status(&place)["polls"][0]["number"].as_i64() > Some(4)
    });
    assert!(start.elapsed() < Duration::from_secs(9));
}
