//! `Retry-After`, and how long it makes a request wait. Two lines: when the answer was given, then the header.
#![no_main]

use std::time::Duration;

use generic_connector::fuzzing::Timestamp;
use generic_connector::fuzzing::{Decision, FailureKind, Retry};
use generic_connector::fuzzing::retry_after;
use libfuzzer_sys::fuzz_target;

/// However often a service asks for patience, a request waits no longer for it in all.
const PATIENCE: Duration = Duration::from_secs(300);

fuzz_target!(|text: &str| {
    let (date, value) = text.split_once('\n').unwrap_or(("", text));
    let answered_at = Timestamp::parse(date)
        .unwrap_or(Timestamp::parse("2024-05-01T12:00:00.5Z").expect("a date"));
    let wait = retry_after(value, answered_at);
    assert_eq!(wait, retry_after(&format!(" {value}\t"), answered_at));

    let value = value.trim();
    let digits = value.strip_prefix('+').unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        assert_eq!(wait, value.parse().ok().map(Duration::from_secs));
    } else {
        check_date(value, answered_at, wait);
    }
    if let Some(wait) = wait {
        check_patience(wait);
    }
});

fn check_date(value: &str, answered_at: Timestamp, wait: Option<Duration>) {
    let until = Timestamp::parse_http(value);
    assert_eq!(until.is_some(), wait.is_some(), "{value:?}");
    let (Some(until), Some(wait)) = (until, wait) else {
        return;
    };
    // An HTTP date has whole seconds: the wait is that many, less what has passed of the second of the answer.
    let seconds = Duration::from_secs(until.second().since(answered_at.second()));
    assert!(wait <= seconds, "{wait:?} of {seconds:?}");
    assert!(
        seconds <= wait + Duration::from_secs(1),
        "{wait:?} of {seconds:?}"
    );
    assert_eq!(wait > Duration::ZERO, until > answered_at);
}

fn check_patience(asked: Duration) {
    let mut retry = Retry::default();
    let mut waited = Duration::ZERO;
    for _ in 0..=PATIENCE.as_secs() {
        match retry.decide(FailureKind::AskedToWait(asked), || 1.0) {
            Decision::Hold(wait) => {
                // At least a second, so that 0 makes no tight loop.
                assert!(wait <= asked.max(Duration::from_secs(1)));
                waited += wait;
                assert!(waited <= PATIENCE, "{waited:?}");
            }
            Decision::GiveUp => return,
            decision => panic!("{decision:?} for a service that said when"),
        }
    }
    panic!("a service that asks for {asked:?} each time is asked for ever");
}
