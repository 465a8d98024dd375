//! The torture test: a poll in which exactly one exchange meets exactly one fault, for every exchange of a poll and
//! every fault, and what has arrived after it: everything, once, in order.
//!
//! A fault that may pass by itself is retried within the poll, which then ends with exit code 0 and has delivered
//! everything. A fault that would come again costs its stream the rest of the poll, which ends with exit code 2; the
//! next poll completes it. A mere question about the service is asked once, and costs nothing. No single exchange can fail a whole poll (exit code 1): what is asked beside it succeeds.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{FakePsp, Mishap, Place, Ran, Running, TestAnswer, TestServer};

/// The records of a page: fewer than each list has.
const PAGE_SIZE: usize = 3;
/// The records that share one second: more than a page.
const TIE: usize = 4;
/// How long a poll may take before it counts as hanging. The longest here waits for a second.
const LIMIT: Duration = Duration::from_secs(30);
/// A request's deadline where the fault is to outlast it.
const SHORT: &str = "1s";
/// A request's deadline that a busy machine does not reach.
const AMPLE: &str = "20s";

/// What must be true of a poll that meets a fault.
struct Expected {
    code: i32,
    /// How the log calls the fault.
    said: &'static str,
    /// The poll takes at least so long.
    lasts: Duration,
}

/// Retried within the poll.
fn retried(said: &'static str) -> Expected {
    Expected {
        code: 0,
        said,
        lasts: Duration::ZERO,
    }
}

/// Retried within the poll, after that time.
fn retried_after(lasts: Duration, said: &'static str) -> Expected {
    Expected {
        lasts,
        ..retried(said)
    }
}

/// Not retried: the rest of the stream waits for the next poll.
fn waits(said: &'static str) -> Expected {
    Expected {
        code: 2,
        ..retried(said)
    }
}

/// Does the fault to each exchange of a poll, each time on a fresh state.
fn torture(fault: Mishap, request_timeout: &str, expected: Expected) {
    let psp = FakePsp::start();
    for number in 0..=PAGE_SIZE {
        let date = format!("2024-01-0{}T00:00:00Z", 1 + number);
        psp.add_account(&format!("acc-{number}"), &date);
        psp.add_beneficiary(&format!("ben-{number}"), &date);
    }
    psp.add_transaction("early", "2024-02-01T00:00:00Z");
    for number in 0..TIE {
        psp.add_transaction(&format!("tied-{number}"), "2024-02-01T00:00:01Z");
    }
    psp.add_transaction("late", "2024-02-01T00:00:02Z");

    let (direct, exchanges) = proxy(&psp, None);
    let place = place(&direct, AMPLE);
    let ran = poll(&place, &direct);
    assert_eq!(ran.code, Some(0), "{ran}");
    let reference = delivered(&place);
    assert_eq!(reference.len(), 3 * (1 + PAGE_SIZE) + 1 + TIE + 1, "{ran}");
    let exchanges = exchanges.load(SeqCst);
    assert!(exchanges >= 12, "only {exchanges} exchanges to break");

    // Side by side: most of their time is waiting.
    thread::scope(|scope| {
        for number in 1..=exchanges {
            let (proxy, _) = proxy(&psp, Some((number, fault.clone())));
            let (expected, reference) = (&expected, &reference);
            scope.spawn(move || {
                one_exchange(&proxy, number, request_timeout, expected, reference);
            });
        }
    });
}

fn one_exchange(
    proxy: &TestServer,
    number: usize,
    request_timeout: &str,
    expected: &Expected,
    reference: &Delivered,
) {
    let place = place(proxy, request_timeout);
    let start = Instant::now();
    let ran = poll(&place, proxy);
    let is_question = ran
        .stderr
        .contains("it was a question about the service only");
    // Nothing listens until this test has read the log, so the request after the question may be refused as well.
    let may_retry = expected.said == "connection refused";
    let expected = if is_question { &retried("") } else { expected };
    let (said, lasts) = (expected.said, expected.lasts);
    assert_eq!(ran.code, Some(expected.code), "exchange {number}: {ran}");
    assert!(
        !is_question || may_retry || ran.stderr.contains(" 0 retries"),
        "exchange {number}: {ran}"
    );
    assert!(
        ran.stderr.contains(said),
        "exchange {number}: {said:?} is not said: {ran}"
    );
    assert!(
        start.elapsed() >= lasts,
        "exchange {number}: not waited for: {ran}"
    );
    let so_far = delivered(&place);
    match expected.code {
        0 => assert_eq!(&so_far, reference, "exchange {number}: {ran}"),
        _ => assert!(so_far.is_subset(reference), "exchange {number}: {ran}"),
    }
    for clean in 1..=2 {
        let ran = poll(&place, proxy);
        assert_eq!(ran.code, Some(0), "exchange {number}: {ran}");
        assert_eq!(
            &delivered(&place),
            reference,
            "exchange {number}, after clean poll {clean}: {ran}"
        );
    }
}

/// The exchange finds nothing that listens: the one before it was the last. The log's line lets the proxy listen again.
const REFUSED: Mishap = Mishap::LastAnswer;

/// A proxy between the service and the connector, which opens one connection at a time. It counts the exchanges, and
/// spoils the one of that number.
fn proxy(service: &FakePsp, fault: Option<(usize, Mishap)>) -> (TestServer, Arc<AtomicUsize>) {
    let service = service.url();
    let config = ureq::Agent::config_builder().proxy(None);
    let agent: ureq::Agent = config.http_status_as_error(false).build().into();
    let server = TestServer::start(move |request| {
        let mut relayed = agent.get(format!("{service}{}", request.path));
        for (name, value) in &request.headers {
            if !name.eq_ignore_ascii_case("host") {
                relayed = relayed.header(name, value);
            }
        }
        let mut answer = relayed.call().unwrap();
        TestAnswer::new(
            answer.status().as_u16(),
            answer.body_mut().read_to_vec().unwrap(),
        )
    });
    let fault = fault.map(|(number, mishap)| match mishap {
        Mishap::LastAnswer => (number - 1, mishap),
        mishap => (number, mishap),
    });
    if matches!(fault, Some((0, Mishap::LastAnswer))) {
        server.stop_listening();
    }
    let exchanges = Arc::new(AtomicUsize::new(0));
    let count = exchanges.clone();
    server.script(move |_| {
        let number = count.fetch_add(1, SeqCst) + 1;
        match &fault {
            Some((struck, mishap)) if *struck == number => mishap.clone(),
            _ => Mishap::None,
        }
    });
    (server, exchanges)
}

fn place(proxy: &TestServer, request_timeout: &str) -> Place {
    // One worker: the exchanges come in the same order in every poll of a fresh state.
    let more = json!({
        "workers": 1, "pageSize": PAGE_SIZE, "requestTimeout": request_timeout, "maxBodyBytes": 10_000,
    });
    Place::new(&proxy.url(), more)
}

/// Runs `poll` to its end, which must come in time and without a panic.
fn poll(place: &Place, proxy: &TestServer) -> Ran {
    let mut command = place.command("poll --verbose");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let log = BufReader::new(running.0.stderr.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + LIMIT;
    let mut stderr = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if line.contains("connection refused") {
                    proxy.listen_again();
                }
                stderr += &format!("{line}\n");
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("the poll hangs:\n{stderr}"),
        }
    }
    let (code, _) = running.ended();
    let ran = Ran {
        code,
        stdout: String::new(),
        stderr,
    };
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    ran
}

/// Stream, id and content of every change.
type Delivered = BTreeSet<[String; 3]>;

/// What was delivered, each once and numbered without a gap.
fn delivered(place: &Place) -> Delivered {
    let changes = place.changes();
    let text = |name: &str| {
        let texts = changes
            .iter()
            .map(|change| change[name].as_str().unwrap().to_owned());
        texts.collect::<Vec<String>>()
    };
    let seqs: Vec<u64> = changes
        .iter()
        .map(|change| change["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=changes.len() as u64).collect::<Vec<u64>>());
    let keys: BTreeSet<String> = text("idempotencyKey").into_iter().collect();
    assert_eq!(keys.len(), changes.len(), "a key twice: {changes:?}");
    let contents = changes.iter().map(|change| change["record"].to_string());
    let delivered: Delivered = text("stream")
        .into_iter()
        .zip(text("id"))
        .zip(contents)
        .map(|((stream, id), content)| [stream, id, content])
        .collect();
    assert_eq!(
        delivered.len(),
        changes.len(),
        "a record twice: {changes:?}"
    );
    delivered
}

const DEADLINE_MISSED: &str = "no complete answer within 1 s";

/// A fault that outlasts a request's deadline.
fn outlasting(fault: Mishap) {
    let deadline = Duration::from_secs(1);
    torture(fault, SHORT, retried_after(deadline, DEADLINE_MISSED));
}

/// An answer that the service itself does not give.
fn answered(answer: TestAnswer, expected: Expected) {
    torture(Mishap::Instead(answer), AMPLE, expected);
}

cases! { torture;
    a_refused_connection_is_retried(REFUSED, AMPLE, retried("connection refused"));
    a_reset_before_the_headers_is_retried(Mishap::Reset, AMPLE, retried("reset"));
    a_cut_in_the_headers_is_retried(Mishap::CutInHead, AMPLE, retried("Peer disconnected"));
    a_cut_in_the_body_is_retried(Mishap::CutInBody, AMPLE, retried("Peer disconnected"));
    truncated_json_is_retried(Mishap::TruncatedBody, AMPLE, retried("EOF while parsing"));
}

cases! { outlasting;
    silence_instead_of_headers_is_retried_after_the_deadline(Mishap::Silence);
    a_stall_in_the_body_is_retried_after_the_deadline(Mishap::StallInBody);
    an_answer_that_drips_is_retried_after_the_deadline(Mishap::Drip);
}

cases! { answered;
    status_429_with_seconds_to_wait_is_retried_after_them(
        TestAnswer::new(429, "").with("Retry-After", "1"),
        retried_after( Duration::from_secs(1), "all requests wait 1 s, as the service asked", ));
    status_500_is_retried(TestAnswer::new(500, "oops"), retried("answered 500"));
    status_503_is_retried(TestAnswer::new(503, ""), retried("answered 503"));
    html_with_status_200_is_retried(
        TestAnswer::new(200, b"<html>Please log in</html>").with("Content-Type", "text/html"),
        retried("<html>Please log in"));
    an_empty_body_is_retried(TestAnswer::new(200, ""), retried("the body is empty"));
    gzip_garbage_is_retried(TestAnswer::new(200, b"no gzip").with("Content-Encoding", "gzip"), retried("gzip"));
}

#[test]
fn status_429_with_a_date_to_wait_for_is_retried_after_it() {
    // The service's clock is what counts, however wrong it is.
    let answer = TestAnswer::new(429, "")
        .with("Date", "Sun, 06 Nov 1994 08:49:36 GMT")
        .with("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT");
    answered(
        answer,
        retried_after(
            Duration::from_secs(1),
            "all requests wait 1 s, as the service asked",
        ),
    );
}

#[test]
fn a_body_over_the_limit_waits_for_the_next_poll() {
    let body = format!("[{}]", " ".repeat(10_000));
    let answer = TestAnswer::new(200, body.as_bytes());
    answered(answer, waits("more than 10000 bytes"));
}

#[test]
fn a_redirect_is_not_followed_and_waits_for_the_next_poll() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("http://{}/", elsewhere.local_addr().unwrap());
    let answer = TestAnswer::new(302, "").with("Location", &location);
    answered(answer, waits("a redirect to"));
    assert!(
        elsewhere.accept().is_err(),
        "the key may have left the endpoint"
    );
}
