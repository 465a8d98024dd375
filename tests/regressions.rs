//! Bugs that were found once, each under the name of what must hold.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    FakePsp, Place, Ran, Reply, Running, run, transaction, wait_a_second, wait_until,
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
fn param(target: &str, name: &str) -> Option<String> {
    let (_, q) = target.split_once('?')?;
    q.split('&')
        .find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
        .map(|v| v.replace("%3A", ":"))
}
/// Serves a sorted list with page/size; pages are then thinned: page n lacks its first `hide(n)` elements.
fn thinned(
    records: Vec<Value>,
    hide: impl Fn(usize) -> usize + Send + 'static,
) -> impl FnMut(&str) -> Reply + Send {
    move |target: &str| {
        if !target.starts_with("/transactions") {
            return Reply::Usual;
        }
        let from = param(target, "updatedAtFrom");
        let page: usize = param(target, "page").unwrap().parse().unwrap();
        let size: usize = param(target, "pageSize").unwrap().parse().unwrap();
        let l: Vec<&Value> = records
            .iter()
            .filter(|r| {
                from.as_deref()
                    .is_none_or(|f| r["updatedAt"].as_str().unwrap() >= f)
            })
            .collect();
        let p: Vec<&Value> = l.into_iter().skip((page - 1) * size).take(size).collect();
        let p: Vec<&Value> = p.iter().skip(hide(page)).copied().collect();
        Reply::body(&serde_json::to_string(&p).unwrap())
    }
}
/// Runs a command, which must end.
fn ends(place: &Place, command: &str) {
    let mut command = place.command(command);
    command.stderr(Stdio::null()).stdout(Stdio::null());
    let mut running = Running::start(command);
    wait_until("the command ends", || {
        running.0.try_wait().unwrap().is_some()
    });
}

fn ts(n: usize) -> String {
    format!(
        "2024-02-01T{:02}:{:02}:{:02}Z",
        n / 3600,
        n / 60 % 60,
        n % 60
    )
}

#[test]
fn a_tie_whose_pages_have_any_length_is_read_to_its_end() {
    let psp = FakePsp::start();
    let records: Vec<Value> = (0..250)
        .map(|n| transaction(&format!("tx-{n:03}"), &ts(0)))
        .collect();
    psp.script(thinned(records, |page| {
        [0, 3, 1, 2].get(page).copied().unwrap_or(0)
    }));
    let place = Place::new(&psp.url(), json!({}));
    ends(&place, "poll");
    assert!(psp.requests().len() < 60);
}

#[test]
fn a_sweep_of_pages_of_any_length_ends() {
    let psp = FakePsp::start();
    let records: Vec<Value> = (0..250)
        .map(|n| transaction(&format!("tx-{n:03}"), &ts(n)))
        .collect();
    psp.script(thinned(records, |page| {
        [0, 3, 1, 2].get(page).copied().unwrap_or(0)
    }));
    let place = Place::new(&psp.url(), json!({}));
    ends(&place, "poll");
    ends(&place, "poll --sweep");
    assert!(psp.requests().len() < 60);
}

#[test]
fn an_unsorted_list_whose_pages_have_any_length_is_read_to_its_end() {
    let psp = FakePsp::start();
    let records: Vec<Value> = (0..250)
        .rev()
        .map(|n| transaction(&format!("tx-{n:03}"), &ts(n)))
        .collect();
    psp.script(thinned(records, |page| {
        [0, 3, 1, 2].get(page).copied().unwrap_or(0)
    }));
    let place = Place::new(&psp.url(), json!({}));
    ends(&place, "poll");
    assert!(psp.requests().len() < 60);
}

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

#[test]
fn the_only_content_left_is_delivered_though_it_was_a_duplicate_once() {
    let psp = FakePsp::start();
    let mut a = transaction("t", "2024-01-01T00:00:00Z");
    a["status"] = json!("PENDING");
    let mut b = transaction("t", "2024-01-01T00:00:00Z");
    b["status"] = json!("SUCCEEDED");
    psp.add_raw_transaction(a);
    psp.add_raw_transaction(b.clone());
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    // The service is mended: only the true content is left.
    psp.remove_transaction("t");
    psp.add_raw_transaction(b);
    let mut last = String::new();
    for _ in 0..4 {
        place.age();
        wait_a_second();
        last = run(place.command("poll --sweep")).to_string();
    }
    let changes = place.changes();
    assert_eq!(
        changes.last().unwrap()["record"]["status"],
        "SUCCEEDED",
        "{last}\n{:?}",
        listed(&place)
    );
}

#[test]
fn two_contents_over_the_pages_of_a_tie_make_no_version_in_every_sweep() {
    let psp = FakePsp::start();
    let r = |id: &str, s: &str| {
        let mut t = transaction(id, "2024-01-01T00:00:00Z");
        t["amount"] = json!(s);
        t
    };
    psp.add_raw_transaction(r("t", "1"));
    for n in 0..4 {
        psp.add_raw_transaction(r(&format!("x{n}"), "1"));
    }
    psp.add_raw_transaction(r("t", "2"));
    let place = Place::new(&psp.url(), json!({ "pageSize": 3 }));
    place.poll();
    for _ in 0..3 {
        place.age();
        run(place.command("poll --sweep"));
    }
    let versions = place.ids("transactions").len();
    for _ in 0..3 {
        place.age();
        run(place.command("poll --sweep"));
    }
    assert_eq!(place.ids("transactions").len(), versions);
}

#[test]
fn a_sweep_comes_although_polls_take_longer_than_their_period() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(
        &psp.url(),
        json!({ "sweepPeriod": "1ms", "pollingPeriod": "100ms",
        "publish": [{"type":"ndjson","path":"state/changes.ndjson"}] }),
    );
    place.poll();
    psp.script(|t| {
        if t.contains("/balances") {
            Reply::After(Duration::from_millis(120))
        } else {
            Reply::Usual
        }
    });
    let mut c = place.command("run");
    c.stderr(Stdio::null());
    let _r = Running::start(c);
    wait_until("a sweep ends", || {
        status(&place)["sweep"]["endedAt"] != Value::Null
    });
}

#[test]
fn a_sweep_gets_on_although_its_pages_take_longer_than_the_time_between_polls() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(
        &psp.url(),
        json!({ "sweepPeriod": "1ms", "pollingPeriod": "200ms",
        "publish": [{"type":"ndjson","path":"state/changes.ndjson"}] }),
    );
    place.poll();
    // A plain list is slow there, one with a filter is not.
    psp.script(|t| {
        if !t.contains("From=") && !t.contains("/balances") {
            Reply::After(Duration::from_millis(300))
        } else {
            Reply::Usual
        }
    });
    let mut c = place.command("run");
    c.stderr(Stdio::null());
    let _r = Running::start(c);
    wait_until("it reads some pages", || {
        status(&place)["sweep"]["seen"].as_i64() > Some(2)
    });
}

#[test]
fn a_retry_is_not_forgotten_while_a_sweep_runs() {
    let psp = FakePsp::with_a_bank();
    let mut a = transaction("t", "2024-02-01T00:00:20Z");
    a["amount"] = json!("1");
    let mut b = transaction("t", "2024-02-01T00:00:20Z");
    b["amount"] = json!("2");
    psp.add_raw_transaction(a);
    psp.add_raw_transaction(b);
    let place = Place::new(&psp.url(), json!({}));
    assert_eq!(place.poll().code, Some(2));
    let asked = Arc::new(Mutex::new(0));
    let seen = asked.clone();
    psp.script(move |t| {
        if t.starts_with("/transactions") && !t.contains("From=") {
            *seen.lock().unwrap() += 1;
            Reply::After(Duration::from_millis(1500))
        } else {
            Reply::Usual
        }
    });
    let mut c = place.command("poll --sweep");
    c.stderr(Stdio::null());
    let mut r = Running::start(c);
    wait_until("the sweep", || *asked.lock().unwrap() > 0);
    let said = quarantine(&place, "retry 1");
    assert!(said.stdout.contains("the next poll retries number 1"));
    r.ended();
    psp.heal();
    place.poll();
    let n = place
        .ids("transactions")
        .iter()
        .filter(|id| *id == "t")
        .count();
    assert_eq!(n, 2, "{:?}", listed(&place));
}

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

#[test]
fn a_sweep_that_puts_something_into_quarantine_ends_with_code_2() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    place.poll_well();
    let mut bad = transaction("bad", "2024-01-20T00:00:20Z");
    bad["amount"] = json!(1);
    psp.add_raw_transaction(bad);
    let ran = run(place.command("poll --sweep"));
    assert_eq!(listed(&place).len(), 1);
    assert_eq!(ran.code, Some(2), "{ran}");
}

#[test]
fn a_sweep_finds_a_late_record_although_others_moved_between_its_slices() {
    let psp = FakePsp::start();
    for n in 0..1200 {
        psp.add_transaction(&format!("tx-{n}"), &ts(n));
    }
    let place = Place::new(&psp.url(), json!({ "sweepPeriod": "1ms", "pageSize": 2 }));
    place.poll_well();
    let s = status(&place);
    assert_eq!(s["sweep"]["endedAt"], Value::Null);
    // Just behind where the sweep stands.
    psp.add_transaction("late", &ts(1000));
    for n in 0..10 {
        psp.change_transaction(&format!("tx-{n}"), json!({"updatedAt": ts(2000 + n)}));
    }
    let ran = place.poll_well();
    assert!(
        place.ids("transactions").contains(&"late".to_owned()),
        "{} {ran} {}",
        s["sweep"],
        status(&place)["sweep"]
    );
}

#[test]
fn an_accepted_duplicate_stays_the_newest_version() {
    let psp = FakePsp::start();
    let mut a = transaction("t", "2024-01-01T00:00:00Z");
    a["amount"] = json!("1");
    let mut b = transaction("t", "2024-01-01T00:00:00Z");
    b["amount"] = json!("2");
    psp.add_raw_transaction(a);
    psp.add_raw_transaction(b);
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    quarantine(&place, "retry 1");
    place.poll();
    assert_eq!(place.changes().len(), 2);
    for _ in 0..3 {
        place.age();
        run(place.command("poll --sweep"));
    }
    assert_eq!(
        place.changes().len(),
        2,
        "{:?} {:?}",
        place.changes(),
        listed(&place)
    );
}

#[test]
fn a_retried_duplicate_does_not_replace_a_newer_version() {
    let psp = FakePsp::start();
    let mut a = transaction("t", "2024-01-01T00:00:00Z");
    a["amount"] = json!("1");
    let mut b = transaction("t", "2024-01-01T00:00:00Z");
    b["amount"] = json!("2");
    psp.add_raw_transaction(a);
    psp.add_raw_transaction(b);
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    psp.remove_transaction("t");
    let mut c = transaction("t", "2024-01-05T00:00:00Z");
    c["amount"] = json!("3");
    psp.add_raw_transaction(c);
    psp.add_transaction("z", "2024-03-01T00:00:00Z");
    place.poll();
    quarantine(&place, "retry 1");
    place.poll();
    place.poll();
    let t: Vec<Value> = place
        .changes()
        .into_iter()
        .filter(|c| c["id"] == "t")
        .map(|c| c["record"]["amount"].clone())
        .collect();
    assert_eq!(t.last().unwrap(), "3", "{t:?}");
}

#[test]
fn a_cap_that_is_raised_between_two_slices_hides_nothing_from_the_sweep() {
    let psp = FakePsp::start();
    for n in 0..1200 {
        psp.add_transaction(&format!("tx-{n}"), &ts(n));
    }
    psp.behave(crate::support::Manners {
        cap: Some(2),
        ..Default::default()
    });
    let place = Place::new(&psp.url(), json!({ "sweepPeriod": "1ms" }));
    place.poll_well();
    let s = status(&place);
    psp.add_transaction("late", &ts(1000));
    psp.behave(crate::support::Manners {
        cap: Some(4),
        ..Default::default()
    });
    let ran = place.poll_well();
    assert!(
        place.ids("transactions").contains(&"late".to_owned()),
        "{} {ran} {}",
        s["sweep"],
        status(&place)["sweep"]
    );
}
/// A contract-breaking twin of a good record.

#[test]
fn a_content_that_changes_and_returns_during_a_sweep_is_not_kept_out() {
    let psp = FakePsp::start();
    for n in 0..1200 {
        psp.add_transaction(&format!("tx-{n}"), &ts(n));
    }
    let place = Place::new(&psp.url(), json!({ "pageSize": 2 }));
    place.poll_well();
    place.configure(&psp.url(), json!({ "pageSize": 2, "sweepPeriod": "1ms" }));
    psp.change_transaction("tx-995", json!({"status": "FAILED"}));
    let mut out = place.poll_well().to_string();
    out += &status(&place)["sweep"].to_string();
    psp.change_transaction("tx-995", json!({"status": "PENDING"}));
    out += &place.poll().to_string();
    for _ in 0..3 {
        place.age();
        out += &run(place.command("poll --sweep")).to_string();
    }
    let last = place
        .changes()
        .into_iter()
        .rfind(|c| c["id"] == "tx-995")
        .unwrap();
    assert_eq!(
        last["record"]["status"],
        "PENDING",
        "{out} {:?}",
        listed(&place)
    );
}

#[test]
fn a_sweep_does_not_put_an_older_version_above_a_newer_one_that_is_still_listed() {
    let psp = FakePsp::start();
    psp.behave(crate::support::Manners {
        newest_first: true,
        ..Default::default()
    });
    let mut a = transaction("t", "2024-01-01T00:00:00Z");
    a["status"] = json!("PENDING");
    let mut b = transaction("t", "2024-01-02T00:00:00Z");
    b["status"] = json!("SUCCEEDED");
    psp.add_raw_transaction(a);
    psp.add_raw_transaction(b);
    psp.add_transaction("z", "2024-03-02T00:00:00Z");
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    place.age();
    let mut out = run(place.command("poll --sweep")).to_string();
    out += &place.poll().to_string();
    let last = place
        .changes()
        .into_iter()
        .rfind(|c| c["id"] == "t")
        .unwrap();
    assert_eq!(
        last["record"]["status"],
        "SUCCEEDED",
        "{out} {}",
        json!(place.changes())
    );
}

#[test]
fn a_cap_that_is_raised_between_two_slices_releases_nothing_that_is_still_listed() {
    let psp = FakePsp::start();
    for n in 0..1200 {
        psp.add_transaction(&format!("tx-{n}"), &ts(n));
    }
    let mut bad = transaction("bad", &ts(1100));
    bad["amount"] = json!(1);
    psp.add_raw_transaction(bad);
    psp.behave(crate::support::Manners {
        cap: Some(2),
        ..Default::default()
    });
    let place = Place::new(&psp.url(), json!({}));
    place.poll();
    wait_a_second();
    place.configure(&psp.url(), json!({ "sweepPeriod": "1ms" }));
    place.poll();
    let before = listed(&place).len();
    psp.behave(crate::support::Manners {
        cap: Some(4),
        ..Default::default()
    });
    let ran = place.poll();
    assert_eq!(listed(&place).len(), before, "{ran}");
}

#[test]
fn a_sweep_that_is_asked_to_wait_does_not_hold_up_polls() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(
        &psp.url(),
        json!({ "sweepPeriod": "1ms", "pollingPeriod": "500ms",
        "publish": [{"type":"ndjson","path":"state/changes.ndjson"}] }),
    );
    place.poll();
    psp.script(|t| {
        if !t.contains("From=") && !t.contains("/balances") {
            Reply::With(429, vec![("Retry-After", "10".to_owned())], vec![])
        } else {
            Reply::Usual
        }
    });
    let mut c = place.command("run");
    c.stderr(Stdio::null());
    let _r = Running::start(c);
    let start = Instant::now();
    wait_until("polls go on", || {
        status(&place)["polls"][0]["number"].as_i64() > Some(4)
    });
    assert!(start.elapsed() < Duration::from_secs(9));
}
