//! `check` on the sandbox: without a fault it passes, and each fault fails the one check that it is made for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;

use generic_connector::sandbox::Fault;
use serde_json::{Value, json};

use crate::check_service::{document, ids};
use crate::support::{KEY, Place, Running, binary, run};

/// Runs that wait at the same time. Each waits for two seconds.
const AT_ONCE: usize = 8;

/// Checks that no fault of the sandbox fails: `tls` fails A5, the bank R11 without any fault, `check_pay` I5, `check_change` X.
const ELSEWHERE: [&str; 7] = ["A5", "R11", "I5", "X1", "X2", "X3", "X4"];
/// Makes payouts.
const PAY: &str = "--pay payouts --from acc-eur-operating --to ben-vauban --amount 1 --currency EUR/2 --yes 127.0.0.1";
/// Observes long enough for what happens when the same is asked often.
const OBSERVE: &str = "--observe 16s";

/// A sandbox process and a configuration for it.
pub fn sandbox(options: &[&str]) -> (Running, Place) {
    let mut command = binary();
    command.args(["sandbox", "--listen", "127.0.0.1:0", "--api-key", KEY]);
    command
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start(command);
    let mut url = String::new();
    let output = running.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut url).unwrap();
    let place = Place::new(url.trim(), json!({}));
    (running, place)
}

#[test]
fn a_good_service_passes_everything() {
    let (_running, place) = sandbox(&[]);
    let (document, ran) = document(&place, "--strict");
    assert_eq!(ids(&document, &["fail", "warn"]), BTreeSet::new(), "{ran}");
    assert_eq!(
        ids(&document, &["info"]),
        BTreeSet::from(["R11".to_owned()]),
        "{ran}"
    );
    assert_eq!(document["verdict"], "conformant", "{ran}");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(document["seconds"].as_f64().unwrap() < 20.0, "{ran}");
    assert!(document["requests"].as_u64().unwrap() <= 200, "{ran}");
}

#[test]
fn a_good_service_passes_what_has_to_be_asked_for() {
    let (_running, place) = sandbox(&[]);
    let (document, ran) = document(&place, &format!("--strict --only I,V --observe 5s {PAY}"));
    let checks = document["checks"].as_array().unwrap();
    assert!(
        checks.iter().all(|check| check["result"] == "pass"),
        "{ran}"
    );
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn each_fault_fails_its_own_check_and_no_other() {
    let faults = Mutex::new(Fault::ALL.iter());
    let wrong = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = faults.lock().unwrap().next();
                    let Some((_, name, id, _)) = next else {
                        return;
                    };
                    let (_running, place) = sandbox(&["--fault", name]);
                    let options = match &id[..1] {
                        "I" => PAY,
                        "V" => OBSERVE,
                        _ => "",
                    };
                    let (document, _) = document(&place, options);
                    let mut found = ids(&document, &["fail", "warn", "info"]);
                    // The bank has postings at midnight, with every fault.
                    found.remove("R11");
                    if found != BTreeSet::from([(*id).to_owned()]) {
                        wrong
                            .lock()
                            .unwrap()
                            .insert(*name, (*id, found, got(&document)));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A check that nothing fails may find nothing.
#[test]
fn each_check_has_a_fault() {
    let listed = run({
        let mut command = binary();
        command.args(["check", "--list"]);
        command
    });
    let lines = listed.stdout.lines().skip(1);
    let checks: BTreeSet<&str> = lines
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    let with_a_fault = Fault::ALL.iter().map(|(_, _, id, _)| *id);
    let covered: BTreeSet<&str> = with_a_fault.chain(ELSEWHERE).collect();
    assert_eq!(checks, covered);
}

/// What was seen where something is not right.
fn got(document: &Value) -> Vec<String> {
    let checks = document["checks"].as_array().unwrap().iter();
    let got =
        checks.filter_map(|check| Some(format!("{}: {}", check["id"], check["got"].as_str()?)));
    got.collect()
}
