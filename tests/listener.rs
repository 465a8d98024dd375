//! The listener: who may ask, what it answers before it is ready, and that hostile clients hold nothing up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    FakePsp, KEY, LISTEN_KEY, Listening, OBSERVE_KEY, Place, Reply, Running, run, wait_until,
};

fn bearer() -> String {
    format!("Bearer {LISTEN_KEY}")
}

#[test]
fn only_health_is_for_everybody() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(listening.ask("GET", path, None, "").0, 200, "{path}");
        assert_eq!(listening.ask("HEAD", path, None, "").0, 200, "{path}");
    }
    // "x:" and the key. A browser would keep it, and send it along when a foreign page makes it POST.
    let basic = "Basic eDpsMXN0ZW4ta2V5LW9mLXRoZS10ZXN0";
    for path in [
        "/transactions",
        "/accounts/acc-1/balances",
        "/status",
        "/nothing",
        "/poll",
        "/payouts",
    ] {
        for wrong in [
            None,
            Some("Bearer wrong".to_owned()),
            Some(basic.to_owned()),
            Some(format!("Bearer {KEY}")),
        ] {
            let (status, headers, body) = listening.ask("GET", path, wrong.as_deref(), "");
            assert_eq!(
                (status, &body["Title"]),
                (401, &json!("Unauthorized")),
                "{path}"
            );
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(listening.get("/transactions").0, 200);
    assert_eq!(listening.get("/nothing").0, 404);
    let (status, headers, _) = listening.ask("POST", "/transactions", Some(&bearer()), "");
    assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "GET"));
    assert_eq!(listening.get("/payouts").0, 405);
    assert!(!listening.log().contains(LISTEN_KEY));
    assert!(!listening.get("/status").1.to_string().contains(LISTEN_KEY));
}

#[test]
fn what_a_query_must_not_say_is_named() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    for (query, said) in [
        ("page=0", "page"),
        ("pageSize=ten", "pageSize"),
        ("updatedAtFrom=yesterday", "updatedAtFrom"),
        ("sort=amount:asc", "sort"),
    ] {
        let (status, error) = listening.get(&format!("/transactions?{query}"));
        assert_eq!(
            (status, &error["Title"]),
            (400, &json!("Bad Request")),
            "{query}"
        );
        assert!(error["Detail"].as_str().unwrap().contains(said), "{error}");
    }
}

#[test]
fn pages_in_any_order_make_the_same_list() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let page = |query: &str| {
        let (status, page) = listening.get(&format!("/transactions?{query}"));
        assert_eq!(status, 200, "{query}: {page}");
        page.as_array().unwrap().clone()
    };
    for from in ["", "&updatedAtFrom=2024-02-01T00:00:20Z"] {
        let all = page(&format!("pageSize=1000{from}"));
        assert!(all.len() > 30, "{}", all.len());
        // One after the other, one again, one farther on, with another size, and past the end.
        let asked = [
            (1, 7),
            (2, 7),
            (2, 7),
            (3, 7),
            (4, 10),
            (3, 10),
            (4, 7),
            (5, 8),
            (99, 7),
            (3, 7),
        ];
        for order in ["", "&sort=updatedAt:desc"] {
            let mut ordered = all.clone();
            if !order.is_empty() {
                ordered.reverse();
            }
            for (number, size) in asked {
                let expected = ordered.iter().skip((number - 1) * size).take(size);
                let found = page(&format!("page={number}&pageSize={size}{from}{order}"));
                assert!(
                    found.iter().eq(expected),
                    "page {number} of {size}{from}{order}"
                );
            }
        }
        // A short page becomes longer.
        let last = all.len() / 7 + 1;
        page(&format!("page={}&pageSize=7{from}", last - 1));
        let before = page(&format!("page={last}&pageSize=7{from}")).len();
        service.add_transaction(&format!("new{}", from.len()), "2024-03-01T00:00:00Z");
        listening.poll();
        assert!(before < 7);
        assert_eq!(
            page(&format!("page={last}&pageSize=7{from}")).len(),
            before + 1
        );
        assert_eq!(
            page(&format!("page={}&pageSize=7{from}", last + 1)).len(),
            0
        );
    }
}

#[test]
fn a_page_of_any_size_and_the_order_of_the_specifications_example_are_answered() {
    let service = FakePsp::with_a_bank();
    for number in 0..800 {
        service.add_transaction(&format!("more-{number}"), "2024-03-01T00:00:00Z");
    }
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let length = |query: &str| {
        let (status, page) = listening.get(&format!("/transactions?{query}"));
        assert_eq!(status, 200, "{query}: {page}");
        page.as_array().unwrap().len()
    };
    assert_eq!(length("pageSize=5000"), 1_000);
    assert_eq!(length("pageSize=99999999999999999999&page=2"), 50);
    let example = "page=1&pageSize=100&sort=createdAt:asc&updatedAtFrom=2024-02-01T00:00:00Z";
    assert_eq!(length(example), 100);
    // This is not how Connectivity asks.
    let (_, status) = listening.get("/status");
    assert_eq!(status["listings"][0]["asked_at"], Value::Null, "{status}");
}

#[test]
fn a_poll_can_be_asked_for_and_waited_for() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("poll 1 complete");
    assert_eq!(
        listening.post("/poll", ""),
        (200, json!({ "status": "ok" }))
    );
    listening.wait_for_line("poll 2 complete");
    // One that is asked for while another one runs begins after that.
    let (release, released) = crossbeam_channel::bounded(0);
    service.always("/beneficiaries", Reply::When(released));
    listening.post("/poll", "");
    let asked = service.requests().len();
    wait_until("the poll runs", || service.requests().len() > asked);
    let waiting = listening.polling();
    assert_eq!(listening.ask("GET", "/healthz", None, "").0, 200);
    service.add_transaction("new", "2024-03-01T00:00:00Z");
    drop(release);
    let (status, summary) = waiting.join().unwrap();
    assert_eq!((status, &summary["outcome"]), (200, &json!("complete")));
    assert!(summary["number"].as_i64().unwrap() >= 4, "{summary}");
}

#[test]
fn status_is_what_the_command_prints() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let (_, mut served) = listening.get("/status");
    let of_the_listener = served.as_object_mut().unwrap().remove("listener");
    let keys = json!({ "valid": 1, "read": "when their file changes" });
    assert_eq!(
        of_the_listener,
        Some(json!({ "keys": keys, "observeKeys": null, "wrongKeys": 0 }))
    );
    let printed: Value =
        serde_json::from_str(&run(listening.place.command("status --json")).stdout).unwrap();
    let stable = |status: &Value| {
        let mut status = status.clone();
        status.as_object_mut().unwrap().remove("warnings");
        status
    };
    assert_eq!(stable(&served), stable(&printed));
}

#[test]
fn a_configuration_that_cannot_listen_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (keys, code, said) in [
        (json!({ "listen": "127.0.0.1:0" }), 78, "set \"listenKey\""),
        (
            json!({ "listen": "localhost", "listenKey": LISTEN_KEY }),
            78,
            "\"127.0.0.1:8080\"",
        ),
        (
            json!({ "listen": "127.0.0.1:0", "listenKey": "" }),
            78,
            "is empty",
        ),
        (
            json!({ "listen": "127.0.0.1:0", "listenKey": "a", "listenKeyFile": "b" }),
            78,
            "keep one",
        ),
        (json!({ "listenKey": LISTEN_KEY }), 78, "\"listen\" is not"),
        (
            json!({ "listen": taken, "listenKey": LISTEN_KEY }),
            75,
            "set \"listen\" to an address of this machine and a free port",
        ),
        (
            json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "observe": taken, "observeKey": OBSERVE_KEY }),
            75,
            "set \"observe\" to an address of this machine and a free port",
        ),
    ] {
        let ran = run(Place::new("http://127.0.0.1:1", keys.clone()).command("run"));
        assert_eq!(ran.code, Some(code), "{keys} {ran}");
        assert!(
            ran.stderr.contains(said) && !ran.stderr.contains(LISTEN_KEY),
            "{ran}"
        );
    }
}

#[test]
fn a_stop_answers_what_is_in_flight() {
    let service = FakePsp::with_a_bank();
    let mut listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("poll 1 complete");
    service.always("/accounts", Reply::After(Duration::from_millis(700)));
    let asked = service.requests().len();
    let waiting = listening.polling();
    wait_until("the poll runs", || service.requests().len() > asked);
    let next = listening.polling();
    // Nothing shows that the question has arrived.
    std::thread::sleep(Duration::from_millis(200));
    let begun = std::time::Instant::now();
    listening.process.signal(Signal::SIGTERM);
    let (status, summary) = waiting.join().unwrap();
    assert_eq!((status, &summary["outcome"]), (200, &json!("interrupted")));
    // The one that would have come next does not.
    let (status, error) = next.join().unwrap();
    assert_eq!((status, &error["Title"]), (503, &json!("Poll Aborted")));
    assert_eq!(listening.process.ended().0, Some(0));
    assert!(
        begun.elapsed() < Duration::from_millis(2_500),
        "nothing was waited for"
    );
}

#[test]
fn clients_that_wait_for_a_poll_leave_room_for_others() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    listening.wait_for_line("poll 1 complete");
    let (release, released) = crossbeam_channel::bounded(0);
    service.always("/beneficiaries", Reply::When(released));
    let address = listening.url.strip_prefix("http://").unwrap();
    let request = format!(
        "POST /poll?wait=true HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 0\r\n\r\n",
        bearer()
    );
    // As many as the listener has connections, but a few.
    let clients: Vec<TcpStream> = (0..1_000)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            client.set_nonblocking(true).unwrap();
            client
        })
        .collect();
    let answered = || {
        clients
            .iter()
            .filter(|client| client.peek(&mut [0]).is_ok())
    };
    wait_until("all but 256 have an answer", || {
        answered().count() >= 1_000 - 256
    });
    assert_eq!(listening.ask("GET", "/healthz", None, "").0, 200);
    assert_eq!(listening.get("/accounts").0, 200);
    assert_eq!(answered().count(), 1_000 - 256);
    let mut answer = [0; 1_000];
    let length = answered().next().unwrap().peek(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("256 requests wait for it already"),
        "{answer}"
    );
    drop(release);
    wait_until("the others have an answer", || answered().count() == 1_000);
}

#[test]
fn clients_that_take_every_descriptor_stop_neither_polling_nor_good_clients() {
    let service = FakePsp::with_a_bank();
    let keys =
        json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "200ms" });
    let place = Place::new(&service.url(), keys);
    let log = place.path().join("log");
    let mut command = std::process::Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 100; exec \"$0\" run --config \"$1\" 2>\"$2\"",
        ])
        .arg(env!("CARGO_BIN_EXE_generic-connector"))
        .arg(place.config())
        .arg(&log);
    let _connector = Running::start(command);
    let mut address = String::new();
    wait_until("it listens", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.split_once("listening on http://"));
        address = line
            .map(|(_, address)| address.to_owned())
            .unwrap_or_default();
        !address.is_empty()
    });
    wait_until("there is something to serve", || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("poll 1 complete")
    });
    let mut idle = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(&address).unwrap();
        // Half of them say a little, and never the rest.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /transactions HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        }
        idle.push(stream);
    }
    let polls = |path: &str| {
        service
            .requests()
            .iter()
            .filter(|asked| asked.starts_with(path))
            .count()
    };
    let before = polls("/transactions");
    wait_until("polling goes on", || polls("/transactions") > before + 2);
    let mut good = TcpStream::connect(&address).unwrap();
    let request = format!(
        "GET /accounts HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        bearer()
    );
    good.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    good.read_to_string(&mut answer).unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}\n{said}");
    drop(idle);
}

#[test]
fn a_huge_length_is_refused_and_nothing_ends() {
    let service = FakePsp::with_a_bank();
    let listening = Listening::start(&service.url(), json!({}));
    let address = listening.url.trim_start_matches("http://");
    for length in ["9999999999999999", "99999999999999999999999999", "65537"] {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /payouts HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {length}\r\n\r\n",
            bearer()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    assert_eq!(listening.ask("GET", "/healthz", None, "").0, 200);
}
