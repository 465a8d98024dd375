//! The command `check`, asked about Integration Services: good ones, and some with one thing wrong.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use generic_connector::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    FakePsp, KEY, LISTEN_KEY, Listening, Manners, Place, Ran, Reply, Running, at_second, binary,
    run,
};

/// The ids of the checks with one of these results in the JSON of a run.
pub fn ids(document: &Value, results: &[&str]) -> BTreeSet<String> {
    let checks = document["checks"].as_array().unwrap().iter();
    let wanted = checks.filter(|check| results.contains(&check["result"].as_str().unwrap()));
    wanted
        .map(|check| check["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The JSON that `check --json` prints, after it was compared with its schema.
pub fn document(place: &Place, options: &str) -> (Value, Ran) {
    let ran = run(place.command(format!("check --json {options}").trim()));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let schema = include_str!("../packaging/check.schema.json");
    conforms(&document, &serde_json::from_str(schema).unwrap(), "$");
    assert!(!ran.to_string().contains(KEY), "{ran}");
    (document, ran)
}

/// Compares a value with a schema that has the keywords of `check.schema.json`.
fn conforms(value: &Value, schema: &Value, place: &str) {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} in the schema"),
    };
    match &schema["type"] {
        Value::Null => {}
        Value::String(name) => assert!(is(name), "{place} is no {name}: {value}"),
        names => {
            let mut names = names.as_array().unwrap().iter();
            assert!(
                names.any(|name| is(name.as_str().unwrap())),
                "{place}: {value}"
            );
        }
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{place}: {value}");
    }
    if !schema["const"].is_null() {
        assert_eq!(value, &schema["const"], "{place}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(
            !value[required.as_str().unwrap()].is_null()
                || value.get(required.as_str().unwrap()).is_some(),
            "{place} lacks {required}"
        );
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let known = &schema["properties"][name];
        let schema = if known.is_null() {
            &schema["additionalProperties"]
        } else {
            known
        };
        assert_ne!(schema, &json!(false), "{place}.{name} is not in the schema");
        conforms(member, schema, &format!("{place}.{name}"));
    }
    for (number, element) in value.as_array().into_iter().flatten().enumerate() {
        conforms(element, &schema["items"], &format!("{place}[{number}]"));
    }
}

fn service(manners: Manners) -> (FakePsp, Place) {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        knows_its_accounts: true,
        ..manners
    });
    let place = Place::new(&psp.url(), json!({}));
    (psp, place)
}

/// A service with that quirk fails that check, and no other must.
fn fails_only(manners: Manners, id: &str) {
    let (_psp, place) = service(manners);
    let (document, ran) = document(&place, "");
    let failed: Vec<String> = ids(&document, &["fail"]).into_iter().collect();
    assert_eq!(failed, [id], "{ran}");
    assert_eq!(ran.code, Some(2), "{ran}");
    assert_eq!(document["verdict"], "not conformant");
}

cases! { fails_only;
    a_cap(Manners { cap: Some(50), ..Manners::default() }, "P1");
    newest_first(Manners { newest_first: true, ..Manners::default() }, "O1");
    no_order(Manners { shuffles: true, ..Manners::default() }, "O1");
    no_filter(Manners { ignores_filter: true, ..Manners::default() }, "F2");
    an_excluded_bound(Manners { excludes_bound: true, ..Manners::default() }, "F1");
    a_bound_in_another_zone(Manners { shifts_bound: 5 * 3_600, ..Manners::default() }, "F4");
    a_bound_of_a_day(Manners { coarse: 86_400, ..Manners::default() }, "F3");
    no_pages(Manners { ignores_page: true, ..Manners::default() }, "P2");
    an_end_that_is_refused(Manners { refuses_past_end: true, ..Manners::default() }, "P3");
}

#[test]
fn a_good_service_passes_and_nothing_is_written() {
    let (psp, place) = service(Manners::default());
    let (document, ran) = document(&place, "");
    assert_eq!(ids(&document, &["fail"]), BTreeSet::new(), "{ran}");
    assert_eq!(ran.code, Some(0), "{ran}");
    let mut files = std::fs::read_dir(place.path()).unwrap();
    assert!(files.all(|file| file.unwrap().file_name() == "generic.json"));
    let requests = psp.requests();
    let of = |list: &str| {
        requests
            .iter()
            .filter(|path| path.split(['?', '/']).nth(1) == Some(list))
            .count()
    };
    assert!(
        requests.len() < 200 && of("transactions") < 70,
        "{} requests",
        requests.len()
    );
    // Nothing but a request without a key may change anything.
    assert_eq!(psp.posts(), []);
}

/// It was read for eight pages, and what lies behind them was called lost.
#[test]
fn a_tie_of_many_pages_is_read_to_its_end() {
    let (psp, place) = service(Manners::default());
    psp.remove_transactions();
    for number in 0..1_020 {
        let second = if number < 950 { 0 } else { number - 900 };
        psp.add_transaction(&format!("tx-{number:04}"), &at_second(second));
    }
    let (document, ran) = document(&place, "--only O2");
    assert_eq!(ids(&document, &["fail"]), BTreeSet::new(), "{ran}");
    assert!(ids(&document, &["pass"]).contains("O2"), "{ran}");
}

#[test]
fn of_a_long_list_the_end_is_observed() {
    let (psp, place) = service(Manners::default());
    psp.remove_transactions();
    for number in 0..2_010 {
        psp.add_transaction(&format!("tx-{number:04}"), &at_second(number));
    }
    let now = Timestamp::now().to_string();
    psp.add_transaction("tx-new", &now);
    let (document, ran) = document(&place, "--only V1,V3 --observe 1s");
    let checks = document["checks"].as_array().unwrap();
    assert!(
        checks.iter().all(|check| check["result"] == "pass"),
        "{ran}"
    );
    let window = |path: &String| {
        path.starts_with("/transactions?page=1&pageSize=100&sort=updatedAt%3Aasc&updatedAtFrom=")
    };
    assert!(
        psp.requests().iter().filter(|path| window(path)).count() >= 2,
        "{ran}"
    );
}

#[test]
fn what_cannot_be_tested_is_an_error_of_its_own() {
    let (psp, place) = service(Manners::default());
    psp.always("/", Reply::status(401));
    let (document, ran) = document(&place, "");
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(document["verdict"], "not tested");
    assert_eq!(document["checks"].as_array().unwrap().len(), 1);
    let nowhere = Place::new("http://127.0.0.1:9", json!({}));
    let ran = run(nowhere.command("check"));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stdout
            .contains("Nothing could be tested: the service does not answer: "),
        "{ran}"
    );
    assert_eq!(run(nowhere.command("check --offline")).code, Some(0));
}

#[test]
fn the_own_listener_fails_no_must() {
    let psp = FakePsp::with_a_bank();
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    let keys = json!({ "apiKey": LISTEN_KEY });
    let place = Place::new(&listening.url, keys);
    let (document, ran) = document(&place, "");
    assert_eq!(ids(&document, &["fail"]), BTreeSet::new(), "{ran}");
    assert!(document["requests"].as_u64().unwrap() < 200, "{ran}");
    assert_eq!(listening.get("/transactions").0, 200);
}

#[test]
fn files_have_every_exchange_and_no_key() {
    let (psp, place) = service(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    psp.change_account("acc-1", json!({ "accountName": format!("key {KEY}") }));
    let file = |name: &str| place.path().join(name).display().to_string();
    let mut command = place.command("check --json");
    command.args(["--junit", &file("check.xml"), "--har", &file("check.har")]);
    let ran = run(command);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(ids(&document, &["fail"]).contains("A4"), "{ran}");
    let [xml, har] =
        ["check.xml", "check.har"].map(|name| std::fs::read_to_string(file(name)).unwrap());
    for text in [&ran.to_string(), &xml, &har] {
        assert!(!text.contains(KEY), "{text}");
    }
    // It has records of customers.
    let mode = std::fs::metadata(file("check.har"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let har: Value = serde_json::from_str(&har).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len() as u64, document["requests"].as_u64().unwrap());
    assert!(
        entries
            .iter()
            .any(|entry| entry["response"]["content"]["text"].as_str().unwrap().len() > 1_000)
    );
    let failure = "<testcase classname=\"check.P1\" name=\"P1 pageSize up to 100 is honoured (transactions)\">\n      <failure";
    assert!(xml.contains(failure), "{xml}");
    let mut command = place.command("check --only A5");
    command.args(["--har", "/nowhere/check.har"]);
    let ran = run(command);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("cannot write /nowhere/check.har"),
        "{ran}"
    );
}

#[test]
fn checks_can_be_selected_and_skipped() {
    let (_psp, place) = service(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    let (document, ran) = document(&place, "--only P1,Key");
    let found = ids(&document, &["pass", "fail", "warn", "skip"]);
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["A1", "A2", "A3", "A4", "A5", "A6", "P1"],
        "{ran}"
    );
    let mut command = place.command("check --only P1");
    command.args(["--skip", "P1=the bank allows 50"]);
    let skipped = run(command);
    assert_eq!(skipped.code, Some(0), "{skipped}");
    assert!(
        skipped.stdout.contains("skip  P1") && skipped.stdout.contains("asked: the bank allows 50"),
        "{skipped}"
    );
    let mut command = place.command("check --strict --only P1");
    command.args(["--skip", "P1=the bank allows 50"]);
    assert_eq!(run(command).code, Some(2));
    assert_eq!(run(place.command("check --only X9")).code, Some(64));
}

#[test]
fn a_watch_shows_what_changed() {
    let (psp, place) = service(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    let mut command = place.command("check --watch 10ms");
    command.stdout(Stdio::piped());
    let mut running = Running::start(command);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut until = |text: &str| {
        let found = lines.by_ref().map(Result::unwrap).any(|line| {
            assert!(!line.contains(KEY), "{line}");
            line.contains(text)
        });
        assert!(found, "no {text}");
    };
    until("step 4 of 8, pages and order: ");
    until("Next: P1");
    psp.behave(Manners::default());
    until("P1 of transactions: FAIL, now pass");
    until("step 6 of 8, balances: ");
    until("FAIL  B3");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_watch_ends_when_nobody_reads_it() {
    let (psp, place) = service(Manners::default());
    let mut command = place.command("check --watch 10ms");
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    // It has something to say again.
    psp.behave(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let mut command = binary();
    command.args(["check", "--list"]).stderr(Stdio::piped());
    command.stdout(
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write to standard output"), "{said}");
}
