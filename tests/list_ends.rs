//! Complete, although a list hides its beginning, its end or a part of itself: what the filter does not show, pages that count
//! from 0, lists without an end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{
    FakePsp, Manners, Place, Reply, Running, at_second, binary, quirk_ids, run, transaction,
};

/// A service of this many transactions, a second apart.
fn service(count: usize, manners: Manners) -> FakePsp {
    let psp = FakePsp::start();
    for number in 0..count {
        psp.add_transaction(&format!("tx-{number:03}"), &at_second(number));
    }
    psp.behave(manners);
    psp
}

fn hides_all() -> Manners {
    Manners {
        hides_all: true,
        ..Manners::default()
    }
}

fn filters_by_creation() -> Manners {
    Manners {
        filters_by_creation: true,
        ..Manners::default()
    }
}

/// The position of transactions, as `status` has it.
fn read_until(place: &Place) -> String {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    let cursors = status["cursors"].as_array().unwrap().clone();
    let cursor = cursors
        .into_iter()
        .find(|cursor| cursor["stream"] == "transactions");
    cursor.unwrap()["position"].as_str().unwrap().to_owned()
}

/// Formance's own test service answers each request with a filter with an empty list. What appears there was found by the
/// daily sweep only, and polls said that they were complete.
#[test]
fn what_a_filter_hides_is_found_between_two_polls() {
    let psp = service(30, hides_all());
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let first = place.poll_well();
    assert!(
        first.stderr.contains(
            "WARN] transactions: the service hides records from the filter: such as \"tx-0"
        ),
        "{first}"
    );
    assert_eq!(place.ids("transactions").len(), 30);
    assert_eq!(quirk_ids(&place, "transactions"), ["F10"]);
    let until = read_until(&place);
    psp.add_transaction("new-1", &at_second(40));
    let ran = place.poll_well();
    assert!(!ran.stderr.contains("WARN"), "said once: {ran}");
    assert!(ran.stderr.contains("only sweeps find them"), "{ran}");
    assert!(
        place.ids("transactions").contains(&"new-1".to_owned()),
        "{ran}"
    );
    assert_eq!(
        until,
        at_second(29),
        "the poll has read the list without the filter"
    );
    assert_eq!(read_until(&place), at_second(40), "the sweep has");

    psp.forget_requests();
    place.poll_well();
    let filtered = psp
        .requests()
        .into_iter()
        .filter(|path| path.contains("updatedAtFrom="));
    assert!(filtered.count() <= 1 + 3, "{:?}", psp.requests());

    psp.behave(Manners::default());
    let better = place.poll_well();
    assert!(
        better
            .stderr
            .contains("resolved: the service hides records"),
        "{better}"
    );
    assert!(quirk_ids(&place, "transactions").is_empty());
    assert!(
        place
            .poll_well()
            .stderr
            .lines()
            .all(|line| !line.contains("sweep"))
    );
}

/// A filter that compares `createdAt` shows what is new and hides what changes.
#[test]
fn what_changes_is_found_where_the_filter_compares_another_date() {
    let psp = service(30, filters_by_creation());
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    place.poll_well();
    assert!(
        quirk_ids(&place, "transactions").is_empty(),
        "nothing shows it yet"
    );
    psp.change_transaction(
        "tx-003",
        json!({ "status": "SUCCEEDED", "updatedAt": at_second(600) }),
    );
    psp.add_transaction("later", &at_second(700));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 31, "it is hidden");
    run(place.command("poll --sweep"));
    assert_eq!(quirk_ids(&place, "transactions"), ["F10"]);
    psp.change_transaction(
        "tx-004",
        json!({ "status": "SUCCEEDED", "updatedAt": at_second(800) }),
    );
    place.poll_well();
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 33);
    assert_eq!(quirk_ids(&place, "transactions"), ["F10"], "it is still so");

    // What the filter shows is read at once, but says nothing about what it hides.
    psp.script(|path| match path {
        path if path.contains("From=") => Reply::Usual,
        _ => Reply::status(503),
    });
    let until = read_until(&place);
    psp.add_transaction("last", &at_second(900));
    place.poll();
    assert_eq!(place.ids("transactions").len(), 34);
    assert_eq!(read_until(&place), until);
    psp.heal();
    place.poll();
    assert_eq!(read_until(&place), at_second(900));
}

/// Three transactions of one second as a page.
fn tie(first: usize) -> Reply {
    let records =
        (first..first + 3).map(|number| transaction(&format!("tie-{number}"), &at_second(0)));
    Reply::body(&json!(records.collect::<Vec<Value>>()).to_string())
}

/// What the filter leaves out is no evidence if it may be on the next page, or was deleted meanwhile.
fn is_no_evidence(filtered: Reply, afterwards: Reply) {
    let psp = FakePsp::start();
    let mut is_asked = false;
    psp.script(move |path| {
        is_asked |= path.contains("updatedAtFrom=");
        match path {
            path if !path.starts_with("/transactions") => Reply::Usual,
            path if path.contains("page=0&") => Reply::status(500),
            path if path.contains("page=2&") => Reply::body("[]"),
            path if path.contains("updatedAtFrom=") => filtered.clone(),
            _ if is_asked => afterwards.clone(),
            _ => tie(0),
        }
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": 3 }));
    place.poll();
    let ids = quirk_ids(&place, "transactions");
    assert!(!ids.contains(&"F10".to_owned()), "{ids:?}");
}

cases! { is_no_evidence;
    a_full_page_of_a_tie_is_no_evidence(tie(3), tie(0));
    a_record_that_was_deleted_is_no_evidence(Reply::body("[]"), tie(3));
}

/// A question that gets no answer is none.
#[test]
fn a_service_that_fails_when_asked_about_its_filter_is_not_suspected() {
    let psp = service(30, hides_all());
    psp.script(|path| match path {
        path if path.contains("updatedAtFrom=") => Reply::status(503),
        path if !path.contains("page=") => Reply::status(500),
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": 40 }));
    let ran = place.poll_well();
    assert!(ran.stderr.contains(" 0 retries"), "{ran}");
    assert_eq!(place.ids("transactions").len(), 30);
    assert!(quirk_ids(&place, "transactions").is_empty());
}

/// The first page, number 0, was never read.
fn pages_from_zero(count: usize, manners: Manners) {
    let psp = service(
        count,
        Manners {
            counts_from_zero: true,
            ..manners
        },
    );
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let first = place.poll_well();
    assert!(
        first
            .stderr
            .contains("WARN] transactions: the service counts pages from 0"),
        "{first}"
    );
    assert_eq!(place.ids("transactions").len(), count, "{first}");
    let is_known = || quirk_ids(&place, "transactions").contains(&"P8".to_owned());
    assert!(is_known());
    psp.add_transaction("new", &at_second(count));
    place.poll_well();
    let swept = run(place.command("poll --sweep"));
    assert_eq!(swept.code, Some(0), "{swept}");
    assert_eq!(place.ids("transactions").len(), count + 1);
    assert!(is_known(), "{swept}");
    psp.behave(Manners::default());
    let better = run(place.command("poll --sweep"));
    assert!(
        better
            .stderr
            .contains("resolved: the service counts pages from 0"),
        "{better}"
    );
    psp.add_transaction("newer", &at_second(count + 1));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), count + 2);
    assert!(quirk_ids(&place, "transactions").is_empty());
}

cases! { pages_from_zero;
    several_pages_from_zero(35, Manners::default());
    a_single_page_from_zero(5, Manners::default());
    pages_from_zero_that_need_a_number(35, Manners { needs_page: true, ..Manners::default() });
    pages_from_zero_without_a_filter(35, Manners { ignores_filter: true, ..Manners::default() });
}

/// Page 0 is only requested where something shows that it may be the first one.
#[test]
fn a_good_service_is_not_asked_for_page_0() {
    let psp = service(35, Manners::default());
    psp.add_account("acc-1", &at_second(0));
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    place.poll_well();
    run(place.command("poll --sweep"));
    place.poll_well();
    let zero = psp
        .requests()
        .into_iter()
        .find(|path| path.contains("page=0&"));
    assert_eq!(zero, None);
}

/// Accounts that do not end kept the transactions from being read.
#[test]
fn lists_do_not_wait_for_one_without_an_end() {
    let sandbox = Sandbox::start("endless");
    let place = sandbox.place(json!({ "pageSize": 2, "pollingPeriod": "10ms" }));
    let first = place.poll();
    assert_eq!(first.code, Some(2), "{first}");
    assert_eq!(place.counts()["transactions"], 400, "{first}");
    let accounts = place.counts()["accounts"];
    assert!(accounts > 100);
    let said = "accounts: the service has a list that does not end within a poll: ";
    assert!(first.stderr.contains(said), "{first}");
    let status = run(place.command("status"));
    assert!(
        status.stdout.contains("the list did not end within "),
        "{status}"
    );
    assert_eq!(quirk_ids(&place, "accounts"), ["P9"]);
    let second = place.poll();
    assert!(!second.stderr.contains(said), "said once: {second}");
    let ids = place.ids("accounts");
    assert!(ids.len() > accounts, "it continues: {second}");
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{second}");
    // It reads on, as a first import does that takes many polls.
    for _ in 0..3 {
        let ran = place.poll();
        assert!(!ran.stderr.contains("polls in a row"), "{ran}");
    }
    let status = run(place.command("status"));
    assert!(!status.stdout.contains("polls in a row"), "{status}");
    let swept = run(place.command("poll --sweep"));
    assert!(
        swept
            .stderr
            .contains("accounts: skipped in this sweep: polls have not come to the end"),
        "{swept}"
    );
}

/// Ten transactions, dated later on each page.
fn again_and_again(psp: &FakePsp, answers: impl Fn(&str) -> bool + Send + 'static) {
    let mut answered = 0;
    psp.script(move |path| {
        if !path.starts_with("/transactions") || !answers(path) {
            return Reply::Usual;
        }
        answered += 1;
        let again = (0..10)
            .map(|number| transaction(&format!("tx-{number:03}"), &at_second(100 + answered)));
        Reply::body(&json!(again.collect::<Vec<Value>>()).to_string())
    });
}

#[test]
fn a_poll_ends_that_reads_the_same_records_again_and_again() {
    let psp = FakePsp::start();
    again_and_again(&psp, |_| true);
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("transactions: the list does not end: it gave "),
        "{ran}"
    );
    let status = run(place.command("status"));
    assert!(
        status.stdout.contains("the list does not end: it gave "),
        "{status}"
    );
}

#[test]
fn a_sweep_ends_that_reads_the_same_records_again_and_again() {
    let psp = service(10, Manners::default());
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    place.poll_well();
    again_and_again(&psp, |path| !path.contains("From="));
    let ran = run(place.command("poll --sweep"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("transactions: skipped in this sweep: the list does not end"),
        "{ran}"
    );
}

/// A running `sandbox` with a fault.
struct Sandbox {
    _running: Running,
    url: String,
}

impl Sandbox {
    fn start(fault: &str) -> Sandbox {
        let mut command = binary();
        command
            .args([
                "sandbox",
                "--listen",
                "127.0.0.1:0",
                "--api-key",
                "k",
                "--fault",
                fault,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(command);
        let mut url = String::new();
        let stdout = running.0.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut url).unwrap();
        Sandbox {
            _running: running,
            url: url.trim().to_owned(),
        }
    }

    fn place(&self, mut more: Value) -> Place {
        more["apiKey"] = json!("k");
        Place::new(&self.url, more)
    }
}

/// `status` names each fault of the sandbox by its id, and everything is delivered.
fn fault_is_shown(fault: &str, stream: &str, id: &str) {
    let sandbox = Sandbox::start(fault);
    let place = sandbox.place(json!({}));
    place.poll_well();
    run(place.command("poll --sweep"));
    place.poll_well();
    let shown = quirk_ids(&place, stream);
    assert!(shown.contains(&id.to_owned()), "{shown:?}");
    let table = run(place.command("status"));
    assert!(table.stdout.contains(&format!("({id})")), "{table}");
    let counts = place.counts();
    assert_eq!((counts["transactions"], counts["balances"]), (400, 6));
}

cases! { fault_is_shown;
    past404_is_shown("past404", "transactions", "P3");
    pastnull_is_shown("pastnull", "transactions", "L1");
    redirect_is_shown("redirect", "transactions", "A6");
    hides_is_shown("hides", "transactions", "F10");
    pages0_is_shown("pages0", "transactions", "P8");
    deep_is_shown("deep", "transactions", "P7");
    replicas_is_shown("replicas", "balances", "B5");
}
