//! `check` and `poll` have one opinion about records: what `check` passes, `poll` does not put into quarantine, and vice versa.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use generic_connector::sandbox::Fault;
use serde_json::Value;

use crate::check_faults::sandbox;
use crate::check_service::document;
use crate::support::{Place, run};

/// Services that are run at the same time.
const AT_ONCE: usize = 6;
/// Faults with which a poll does not end in the time of a test.
const WITHOUT_END: [&str; 1] = ["endless"];

/// The records that a poll puts into quarantine.
fn quarantined(place: &Place) -> usize {
    place.poll();
    let listed = run(place.command("quarantine list --json"));
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    listed.as_array().unwrap().len()
}

/// The failed musts that cost a record's place in Formance.
fn rejected(place: &Place) -> Vec<String> {
    let (document, _) = document(place, "--only R");
    let checks = document["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|check| {
        check["result"] == "fail" && check["cost"].as_str().unwrap().contains("quarantine")
    });
    failed
        .map(|check| check["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_check_passes_is_not_put_into_quarantine_and_vice_versa() {
    let faults = Mutex::new(Fault::ALL.iter());
    let differ = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = faults.lock().unwrap().next();
                    let Some((_, name, id, _)) = next else {
                        return;
                    };
                    if WITHOUT_END.contains(name) {
                        continue;
                    }
                    let (_running, place) = sandbox(&["--fault", name]);
                    let (rejected, quarantined) = (rejected(&place), quarantined(&place));
                    if rejected.is_empty() != (quarantined == 0) {
                        differ
                            .lock()
                            .unwrap()
                            .insert(*name, (*id, rejected, quarantined));
                    }
                }
            });
        }
    });
    assert_eq!(differ.into_inner().unwrap(), BTreeMap::new());
}
