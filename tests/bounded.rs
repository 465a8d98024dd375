//! Bounded: nothing is polled twice at once, batches are committed as they fill, connections are used again.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{FakePsp, KEY, Place, Reply, run};

#[test]
fn a_first_import_is_committed_in_batches() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({ "batchRecords": 20, "pageSize": 10 }));
    // The list breaks off in the middle: what was committed before is delivered and not read again.
    psp.script(|path| match path {
        path if path.starts_with("/transactions?page=5&") => Reply::status(410),
        _ => Reply::Usual,
    });
    assert_eq!(place.poll().code, Some(2));
    let delivered = place.ids("transactions").len();
    assert!((100..250).contains(&delivered), "{delivered}");
    psp.heal();
    psp.forget_requests();
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 250);
    assert!(
        psp.requests().iter().all(|path| !path
            .starts_with("/transactions?page=1&pageSize=10&sort=updatedAt%3Aasc")
            || path.contains("updatedAtFrom=")),
        "the list was read from its beginning again"
    );
}

#[test]
fn requests_a_second_are_limited_across_workers() {
    let psp = FakePsp::start();
    for number in 0..40 {
        psp.add_account(&format!("acc-{number}"), "2024-01-01T00:00:00Z");
    }
    let place = Place::new(
        &psp.url(),
        json!({ "maxRequestsPerSecond": 50, "workers": 8 }),
    );
    let start = Instant::now();
    place.poll_well();
    let least = Duration::from_secs_f64((psp.requests().len() - 1) as f64 / 50.0);
    assert!(
        start.elapsed() >= least,
        "{:?} for {} requests",
        start.elapsed(),
        psp.requests().len()
    );
}

#[test]
fn workers_share_the_work_and_no_more_requests_run_than_there_are_workers() {
    let psp = FakePsp::start();
    for number in 0..60 {
        psp.add_account(&format!("acc-{number}"), "2024-01-01T00:00:00Z");
    }
    // The first six requests for balances are held back until the sixth is there.
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let mut release = Some(release);
    let mut asked = 0;
    psp.script(move |path| {
        if !path.ends_with("/balances") {
            return Reply::Usual;
        }
        asked += 1;
        if asked == 6 {
            drop(release.take());
        }
        Reply::When(released.clone())
    });
    let place = Place::new(&psp.url(), json!({ "workers": 6 }));
    place.poll_well();
    assert_eq!(psp.most_under_way(), 6);
}

fn gzipped(body: &[u8]) -> Reply {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    Reply::With(
        200,
        vec![("Content-Encoding", "gzip".to_owned())],
        encoder.finish().unwrap(),
    )
}

#[test]
fn an_answer_may_be_compressed_and_its_limit_is_that_of_what_it_becomes() {
    let psp = FakePsp::start();
    let list = br#"[{"id":"ben-9","ownerName":"N","createdAt":"2024-01-01T00:00:00Z"}]"#;
    psp.script(|path| match path {
        path if path.starts_with("/beneficiaries?page=1") => gzipped(list),
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({ "maxBodyBytes": 100_000 }));
    place.poll_well();
    assert_eq!(place.ids("beneficiaries"), ["ben-9"]);
    psp.script(|path| match path {
        path if path.starts_with("/beneficiaries") => gzipped(&[b' '; 10_000_000]),
        _ => Reply::Usual,
    });
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stderr.contains("more than 100000 bytes"), "{ran}");
}

#[test]
fn a_request_says_who_asks() {
    let psp = FakePsp::with_a_bank();
    Place::new(&psp.url(), json!({})).poll_well();
    let agent = concat!("generic-connector/", env!("CARGO_PKG_VERSION"));
    assert_eq!(psp.last_header("User-Agent").unwrap(), agent);
    assert_eq!(
        psp.last_header("Authorization").unwrap(),
        format!("Bearer {KEY}")
    );
    assert_eq!(psp.last_header("Accept-Encoding").unwrap(), "gzip");
}

#[test]
fn a_proxy_from_the_environment_is_not_used() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let mut command = place.command("poll");
    command
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9");
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran}");
}
