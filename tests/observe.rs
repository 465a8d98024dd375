//! What operators look at, and the key that opens it: reading only, at an address of its own if that is wanted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, OBSERVE_KEY, Place, Reply, STATE_FILE, ask, run, text_at,
    wait_until,
};

/// What only operators look at.
const OBSERVED: [&str; 6] = [
    "/metrics",
    "/",
    "/quarantine",
    "/quarantine/17",
    "/quarantine/http/17",
    "/style.css",
];

/// What Connectivity asks for, and commands to the connector.
const API: [(&str, &str); 8] = [
    ("GET", "/accounts"),
    ("GET", "/accounts/acc-1/balances"),
    ("GET", "/beneficiaries"),
    ("GET", "/transactions"),
    ("POST", "/payouts"),
    ("POST", "/transfers"),
    ("POST", "/poll"),
    ("POST", "/sweep"),
];

/// How a request says who it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Nobody,
    Bearer(&'static str),
    Password(&'static str),
}

const EVERYBODY: [By; 5] = [
    By::Nobody,
    By::Bearer(LISTEN_KEY),
    By::Bearer(OBSERVE_KEY),
    By::Password(LISTEN_KEY),
    By::Password(OBSERVE_KEY),
];

impl By {
    fn header(self) -> Option<String> {
        match self {
            By::Nobody => None,
            By::Bearer(key) => Some(format!("Bearer {key}")),
            By::Password(key) => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("anyone:{key}"))
            )),
        }
    }
}

/// The status of an answer, the scheme of its challenge, and its detail.
fn asked(url: &str, method: &str, path: &str, by: By) -> (u16, String, String) {
    let (status, headers, body) = ask(url, method, path, by.header().as_deref(), "");
    let challenge = headers.get("www-authenticate");
    let challenge = challenge.map_or("", |value| value.to_str().unwrap());
    let scheme = challenge.split(' ').next().unwrap().to_owned();
    let detail = body["Detail"].as_str().unwrap_or_default().to_owned();
    (status, scheme, detail)
}

fn observing(more: Value) -> (FakePsp, Listening) {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), more);
    listening.wait_for_line("poll 1 complete");
    (service, listening)
}

fn with_status(url: &str, by: By) -> u16 {
    asked(url, "GET", "/status", by).0
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

/// Asks for everything as everybody, and compares who is let in. A right key never gets a 401, and nobody else gets
/// anything but that.
fn lets_in(url: &str, observed: &[By], status: &[By], api: &[By]) {
    let is_open = |path: &str, method: &str, by: By| {
        let (status, scheme, detail) = asked(url, method, path, by);
        let browsers = OBSERVED.contains(&path) && path != "/metrics";
        let challenge = match status {
            401 if browsers => "Basic",
            401 => "Bearer",
            _ => "",
        };
        assert_eq!(scheme, challenge, "{method} {path} by {by:?}: {detail}");
        status != 401
    };
    std::thread::scope(|scope| {
        for by in EVERYBODY {
            scope.spawn(move || {
                for path in OBSERVED {
                    assert_eq!(
                        is_open(path, "GET", by),
                        observed.contains(&by),
                        "{path} by {by:?}"
                    );
                }
                assert_eq!(
                    is_open("/status", "GET", by),
                    status.contains(&by),
                    "by {by:?}"
                );
                for (method, path) in API {
                    assert_eq!(
                        is_open(path, method, by),
                        api.contains(&by),
                        "{path} by {by:?}"
                    );
                }
                assert_eq!(asked(url, "GET", "/healthz", by).0, 200);
                assert_eq!(asked(url, "GET", "/readyz", by).0, 200);
            });
        }
    });
}

#[test]
fn each_key_opens_what_it_is_for() {
    let (_service, listening) = observing(json!({ "observeKey": OBSERVE_KEY }));
    let operators = [
        By::Bearer(OBSERVE_KEY),
        By::Password(OBSERVE_KEY),
        By::Bearer(LISTEN_KEY),
    ];
    lets_in(
        &listening.url,
        &operators,
        &operators,
        &[By::Bearer(LISTEN_KEY)],
    );
}

#[test]
fn an_address_of_their_own_takes_what_operators_look_at_away_from_the_other() {
    let (_service, listening) =
        observing(json!({ "observeKey": OBSERVE_KEY, "observe": "127.0.0.1:0" }));
    let operators = [By::Bearer(OBSERVE_KEY), By::Password(OBSERVE_KEY)];
    // There, a key opens no list and no payout, whichever it is: they are not there.
    for (method, path) in API {
        for by in operators {
            let (status, _, detail) = asked(&listening.observe_url, method, path, by);
            assert_eq!(status, 404, "{method} {path}: {detail}");
        }
    }
    lets_in(&listening.observe_url, &operators, &operators, &operators);
    for path in OBSERVED {
        for by in EVERYBODY {
            let (status, _, detail) = asked(&listening.url, "GET", path, by);
            assert_eq!(status, 404, "{path}");
            assert!(detail.contains("\"observe\""), "{detail}");
        }
    }
    assert_eq!(with_status(&listening.url, By::Bearer(LISTEN_KEY)), 200);
    assert_eq!(with_status(&listening.url, By::Bearer(OBSERVE_KEY)), 401);
    assert_eq!(with_status(&listening.url, By::Password(OBSERVE_KEY)), 401);
}

#[test]
fn without_a_key_there_is_only_the_status() {
    let (_service, listening) = observing(json!({}));
    for path in OBSERVED {
        for by in EVERYBODY {
            let (status, _, detail) = asked(&listening.url, "GET", path, by);
            assert_eq!(status, 404, "{path}");
            assert!(detail.contains("\"observeKey\""), "{detail}");
        }
    }
    assert_eq!(with_status(&listening.url, By::Bearer(LISTEN_KEY)), 200);
    assert_eq!(with_status(&listening.url, By::Password(LISTEN_KEY)), 401);
}

#[test]
fn operators_need_no_listener() {
    let service = FakePsp::with_a_bank();
    let more = json!({
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "pollingPeriod": "1h",
        "publish": [{ "type": "ndjson", "path": "changes.ndjson" }],
    });
    let listening = Listening::on(Place::new(&service.url(), more), &[]);
    listening.wait_for_line("poll 1 complete");
    assert_eq!(listening.url, "");
    let url = &listening.observe_url;
    for (path, by) in [
        ("/healthz", By::Nobody),
        ("/readyz", By::Nobody),
        ("/status", By::Password(OBSERVE_KEY)),
    ] {
        assert_eq!(asked(url, "GET", path, by).0, 200, "{path}");
    }
    let bearer = By::Bearer(OBSERVE_KEY).header();
    let (_, _, status) = ask(url, "GET", "/status", bearer.as_deref(), "");
    assert_eq!(status["listener"]["keys"], Value::Null);
    assert_eq!(status["listener"]["observeKeys"]["valid"], 1);
}

#[test]
fn the_key_is_replaced_without_a_restart_and_is_never_that_of_the_listener() {
    let service = FakePsp::with_a_bank();
    let more = json!({
        "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "observeKeyFile": "key", "pollingPeriod": "1h",
    });
    let place = Place::new(&service.url(), more);
    let file = place.path().join("key");
    write(&file, OBSERVE_KEY);
    let listening = Listening::on(place, &[]);
    let next = "next-0bserve-key-of-the-test";
    write(&file, &format!("{next}\n{OBSERVE_KEY}\n"));
    wait_until("both count", || {
        let (_, status) = listening.get("/status");
        status["listener"]["observeKeys"]
            == json!({ "valid": 2, "read": "when their file changes" })
    });
    for key in [next, OBSERVE_KEY] {
        assert_eq!(with_status(&listening.url, By::Bearer(key)), 200);
    }
    write(&file, LISTEN_KEY);
    wait_until("it is refused", || {
        assert_eq!(with_status(&listening.url, By::Bearer(next)), 200);
        listening.log().contains("observeKey has changed and cannot be used, so the keys before it stay valid: the key opens something else already")
    });
    assert_eq!(
        asked(&listening.url, "GET", "/", By::Password(LISTEN_KEY)).0,
        401
    );
}

/// It stayed unused until its file was touched again.
#[test]
fn a_key_that_was_taken_counts_once_it_is_free() {
    let service = FakePsp::with_a_bank();
    let more = json!({
        "listen": "127.0.0.1:0", "listenKeyFile": "listen", "observeKeyFile": "observe", "pollingPeriod": "1h",
    });
    let place = Place::new(&service.url(), more);
    let (listen, observe) = (place.path().join("listen"), place.path().join("observe"));
    write(&listen, LISTEN_KEY);
    write(&observe, OBSERVE_KEY);
    let listening = Listening::on(place, &[]);
    let opens = |key| asked(&listening.url, "GET", "/style.css", By::Password(key)).0 == 200;
    let refused = "observeKey has changed and cannot be used";
    write(&observe, LISTEN_KEY);
    wait_until("it is refused", || {
        opens(OBSERVE_KEY) && listening.log().contains(refused)
    });
    write(&listen, "next-l1sten-key-of-the-test");
    wait_until("it counts", || opens(LISTEN_KEY));
    assert_eq!(listening.log().matches(refused).count(), 1, "said once");
}

#[test]
fn a_credential_is_the_key_if_there_is_one() {
    let service = FakePsp::with_a_bank();
    let more = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h" });
    let credentials = tempfile::tempdir().unwrap();
    let folder = credentials.path().to_str().unwrap().to_owned();
    let variables = [("CREDENTIALS_DIRECTORY", folder)];
    let listening = Listening::on(Place::new(&service.url(), more), &variables);
    let page = |listening: &Listening| asked(&listening.url, "GET", "/metrics", By::Nobody).0;
    assert_eq!(page(&listening), 404);
    write(&credentials.path().join("observeKey"), OBSERVE_KEY);
    let listening = listening.restart(&variables);
    assert_eq!(page(&listening), 401);
    assert_eq!(with_status(&listening.url, By::Password(OBSERVE_KEY)), 200);
    let (_, status) = listening.get("/status");
    let keys = json!({ "valid": 1, "read": "at the start" });
    assert_eq!(status["listener"]["observeKeys"], keys);
}

#[test]
fn only_the_answer_to_a_wrong_key_is_late() {
    let (_service, listening) = observing(json!({ "observeKey": OBSERVE_KEY }));
    let start = Instant::now();
    // A browser sends the first request without a key, and asks for icons with it.
    let (status, _, detail) = asked(&listening.url, "GET", "/", By::Nobody);
    assert_eq!(status, 401);
    assert!(
        detail.contains("as the password") && !detail.contains("Bearer"),
        "a person reads it: {detail}"
    );
    let icon = asked(
        &listening.url,
        "GET",
        "/favicon.ico",
        By::Password(OBSERVE_KEY),
    );
    assert_eq!(icon.0, 404);
    assert_eq!(with_status(&listening.url, By::Password(OBSERVE_KEY)), 200);
    let (_, status) = listening.get("/status");
    assert_eq!(status["listener"]["wrongKeys"], 0);
    let early = start.elapsed();
    let start = Instant::now();
    assert_eq!(
        asked(&listening.url, "GET", "/", By::Password("wrong")).0,
        401
    );
    assert!(start.elapsed() >= Duration::from_secs(1) && early < start.elapsed());
    let (_, status) = listening.get("/status");
    assert_eq!(status["listener"]["wrongKeys"], 1);
    let line = listening.wait_for_line("requests with a wrong key");
    assert!(line.ends_with("must be the \"observeKey\""), "{line}");
}

#[test]
fn the_key_is_shown_nowhere() {
    let service = FakePsp::with_a_bank();
    let basic = By::Password(OBSERVE_KEY).header().unwrap();
    let echo = json!({ "Title": OBSERVE_KEY, "Detail": basic });
    let headers = vec![];
    let refusal = Reply::With(400, headers, echo.to_string().into_bytes());
    service.always("/transactions", refusal);
    let more = json!({ "observeKey": OBSERVE_KEY, "observe": "127.0.0.1:0" });
    let listening = Listening::start(&service.url(), more);
    listening.poll();
    let wrong = asked(&listening.observe_url, "GET", "/", By::Bearer("wrong"));
    let status = listening.get("/status").1.to_string();
    let printed = run(listening.place.command("status")).to_string();
    let encoded = &basic["Basic ".len() + 12..basic.len() - 4];
    for text in [&listening.log(), &wrong.2, &status, &printed] {
        assert!(!text.contains(OBSERVE_KEY), "{text}");
        assert!(!text.contains(encoded), "{text}");
    }
    assert!(status.contains("[redacted]"), "{status}");
}

fn execute(listening: &Listening, sql: &str) {
    let state = listening.place.state().join(STATE_FILE);
    let state = rusqlite::Connection::open(state).unwrap();
    state.execute_batch(sql).unwrap();
}

/// The page said "None yet" of polls, and the connector was ready.
#[test]
fn a_state_that_takes_nothing_from_the_start_is_seen() {
    let service = FakePsp::with_a_bank();
    let more = json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "observeKey": OBSERVE_KEY, "pollingPeriod": "1h" });
    let listening = Listening::on(Place::new(&service.url(), more), &[]);
    listening.wait_for_line("poll 1 complete");
    execute(
        &listening,
        "DELETE FROM poll; CREATE TRIGGER full BEFORE INSERT ON poll BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
    );
    let bearer = By::Bearer(OBSERVE_KEY).header();
    let page = |path| text_at(&listening.url, path, bearer.as_deref().unwrap());
    assert_eq!(page("/readyz").0, 200);
    let (status, aborted) = listening.post("/poll?wait=true", "");
    assert_eq!(status, 503, "{aborted}");
    let line = listening.wait_for_line("poll aborted: SQLite cannot commit a batch");
    let (_, alarm) = line.split_once("[ERROR] ").unwrap();
    assert!(
        alarm.contains("the disk is full; no poll was stored since 2"),
        "{alarm}"
    );
    let (status, ready) = listening.get("/readyz");
    assert_eq!((status, ready["Detail"].as_str()), (503, Some(alarm)));
    let (_, status) = listening.get("/status");
    assert_eq!(status["warnings"], json!([alarm]));
    let (_, _, text) = page("/");
    for part in [
        "One thing to look at",
        "poll aborted: ",
        "None could be stored.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    execute(&listening, "DROP TRIGGER full");
    listening.poll();
    assert_eq!(page("/readyz").0, 200);
    assert_eq!(listening.get("/status").1["warnings"], json!([]));
}

/// Nobody else reads that part of the state, and whoever scrapes keeps no log.
#[test]
fn damage_that_only_operators_meet_is_logged_once() {
    let (_service, listening) = observing(json!({ "observeKey": OBSERVE_KEY }));
    execute(&listening, "UPDATE poll SET outcome = 'nonsense'");
    for path in ["/metrics", "/", "/status", "/metrics"] {
        let (status, _, detail) = asked(&listening.url, "GET", path, By::Bearer(OBSERVE_KEY));
        assert_eq!(status, 503, "{path}");
        assert!(
            detail.contains("is damaged or not a state file"),
            "{detail}"
        );
        assert!(
            !detail.contains("unchanged"),
            "the connector goes on: {detail}"
        );
    }
    assert_eq!(
        listening
            .log()
            .matches("the state cannot be shown: ")
            .count(),
        1
    );
    execute(&listening, "UPDATE poll SET outcome = 'complete'");
    assert_eq!(with_status(&listening.url, By::Bearer(OBSERVE_KEY)), 200);
}

/// Some of them were reset.
#[test]
fn two_hundred_scrapes_at_once_are_answered() {
    let (_service, listening) =
        observing(json!({ "observeKey": OBSERVE_KEY, "observe": "127.0.0.1:0" }));
    let at_once = Barrier::new(200);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                at_once.wait();
                let asked = asked(
                    &listening.observe_url,
                    "GET",
                    "/metrics",
                    By::Bearer(OBSERVE_KEY),
                );
                assert_eq!(asked.0, 200);
            });
        }
    });
}
