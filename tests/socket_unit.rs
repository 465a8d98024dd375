//! Sockets that systemd has opened: nobody is refused while the program restarts, and a fault is answered.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{FakePsp, LISTEN_KEY, OBSERVE_KEY, Place, Running, ask, wait_until};

/// The socket of a socket unit.
struct SocketUnit {
    socket: TcpListener,
    name: &'static str,
}

impl SocketUnit {
    fn open(name: &'static str) -> SocketUnit {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        SocketUnit { socket, name }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Passes the socket, as standard input, where tests can put it.
    fn pass(&self, command: &mut Command) {
        let socket: OwnedFd = self.socket.try_clone().unwrap().into();
        command.stdin(Stdio::from(socket));
        command.envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0")]);
        command.env("LISTEN_FDNAMES", self.name);
    }

    fn start(&self, place: &Place) -> Running {
        let mut command = place.command("run");
        self.pass(&mut command);
        let log = std::fs::File::options();
        let log = log
            .clone()
            .append(true)
            .create(true)
            .open(place.path().join("log"));
        command.stderr(Stdio::from(log.unwrap()));
        Running::start(command)
    }
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("log")).unwrap_or_default()
}

fn stop(mut running: Running) -> Option<i32> {
    running.signal(Signal::SIGTERM);
    running.ended().0
}

fn config(listen: &str) -> Value {
    json!({ "listen": listen, "listenKey": LISTEN_KEY, "pollingPeriod": "1h", "sweepPeriod": "1000h" })
}

/// What Formance asks for.
const PATH: &str = "/accounts?page=1&pageSize=100&sort=createdAt:asc";

/// Asks on a connection of its own. The whole answer.
fn answer_on_a_new_connection(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {LISTEN_KEY}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Its status; none if there is no whole head.
fn asked_anew(address: SocketAddr) -> Option<u16> {
    let answer = answer_on_a_new_connection(address).ok()?;
    answer.get(9..12)?.parse().ok()
}

/// Clients that ask without a pause, half of them on connections that stay open.
struct Load {
    ends: AtomicBool,
    answered: AtomicUsize,
    /// What came back instead of an answer with status 200.
    failures: Mutex<Vec<String>>,
}

impl Load {
    fn ask(&self, address: SocketAddr) {
        while !self.ends.load(SeqCst) {
            self.count(&answer_on_a_new_connection(address));
        }
    }

    /// As Go's client does: where a connection turns out to be closed that was used before, it asks once more on a new one.
    fn ask_on_one_connection(&self, url: &str, address: SocketAddr) {
        let agent = ureq::agent();
        while !self.ends.load(SeqCst) {
            let request = agent.get(format!("{url}{PATH}"));
            let answer = request
                .header("Authorization", format!("Bearer {LISTEN_KEY}"))
                .call();
            let answer = answer.map(|answer| format!("HTTP/1.1 {}", answer.status()));
            self.count(&answer.or_else(|_| answer_on_a_new_connection(address)));
        }
    }

    fn count(&self, answer: &io::Result<String>) {
        if matches!(answer, Ok(answer) if answer.starts_with("HTTP/1.1 200 ")) {
            self.answered.fetch_add(1, SeqCst);
        } else {
            self.failures.lock().unwrap().push(format!("{answer:?}"));
        }
    }
}

#[test]
fn restarts_refuse_nobody_and_leave_nobody_without_an_answer() {
    let service = FakePsp::with_a_bank();
    let unit = SocketUnit::open("listen");
    let place = Place::new(&service.url(), config(&unit.address().to_string()));
    let load = Load {
        ends: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
        failures: Mutex::default(),
    };
    let first = unit.start(&place);
    wait_until("there is something to list", || {
        asked_anew(unit.address()) == Some(200)
    });
    assert_eq!(stop(first), Some(0));
    let last = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load.ask(unit.address()));
            scope.spawn(|| load.ask_on_one_connection(&unit.url(), unit.address()));
        }
        for _ in 0..10 {
            let running = unit.start(&place);
            let before = load.answered.load(SeqCst);
            wait_until("it answers", || load.answered.load(SeqCst) > before + 50);
            assert_eq!(stop(running), Some(0), "{}", log(&place));
        }
        // Those that wait get an answer, too: the clients end before the program does.
        load.ends.store(true, SeqCst);
        unit.start(&place)
    });
    assert_eq!(stop(last), Some(0), "{}", log(&place));
    let failures = load.failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{failures:?}, beside {} answers",
        load.answered.load(SeqCst)
    );
    assert!(
        !log(&place).contains("systemd has opened"),
        "{}",
        log(&place)
    );
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_stop() {
    let service = FakePsp::with_a_bank();
    let unit = SocketUnit::open("listen");
    let place = Place::new(&service.url(), config(&unit.address().to_string()));
    let mut running = unit.start(&place);
    wait_until("it answers", || asked_anew(unit.address()) == Some(200));
    // One has sent a part of its head, one nothing yet.
    let mut begun = TcpStream::connect(unit.address()).unwrap();
    begun.write_all(b"GET /readyz HTTP/1.1\r\nHo").unwrap();
    let mut silent = TcpStream::connect(unit.address()).unwrap();
    thread::sleep(Duration::from_millis(100));
    running.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(100));
    begun.write_all(b"st: a\r\n\r\n").unwrap();
    silent
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    for stream in [&mut begun, &mut silent] {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn clients_that_send_nothing_do_not_delay_the_stop() {
    let service = FakePsp::with_a_bank();
    let unit = SocketUnit::open("listen");
    let place = Place::new(&service.url(), config(&unit.address().to_string()));
    let running = unit.start(&place);
    wait_until("it answers", || asked_anew(unit.address()) == Some(200));
    let _idle = TcpStream::connect(unit.address()).unwrap();
    let began = Instant::now();
    assert_eq!(stop(running), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_socket_goes_before_listen_and_a_difference_is_said() {
    let service = FakePsp::with_a_bank();
    let unit = SocketUnit::open("generic-connector.socket");
    let place = Place::new(&service.url(), config("127.0.0.1:9"));
    let running = unit.start(&place);
    wait_until("it answers", || asked_anew(unit.address()) == Some(200));
    let said = format!(
        "\"listen\" is 127.0.0.1:9, but systemd has opened {}",
        unit.address()
    );
    assert!(log(&place).contains(&said), "{}", log(&place));
    assert_eq!(stop(running), Some(0));
}

#[test]
fn operators_have_a_socket_of_their_own() {
    let service = FakePsp::with_a_bank();
    let unit = SocketUnit::open("observe");
    let mut keys = config("127.0.0.1:0");
    keys["observe"] = unit.address().to_string().into();
    keys["observeKey"] = OBSERVE_KEY.into();
    let place = Place::new(&service.url(), keys);
    let running = unit.start(&place);
    wait_until("it answers", || asked_anew(unit.address()).is_some());
    let bearer = format!("Bearer {OBSERVE_KEY}");
    assert_eq!(
        ask(&unit.url(), "GET", "/metrics", Some(&bearer), "").0,
        200
    );
    assert_eq!(stop(running), Some(0));
}

/// What only an operator can put right is answered, until the program is stopped.
fn is_answered_with(unit: &SocketUnit, place: &Place, reason: &str) {
    let running = unit.start(place);
    wait_until("it answers", || asked_anew(unit.address()) == Some(503));
    let bearer = format!("Bearer {LISTEN_KEY}");
    let (status, _, answer) = ask(&unit.url(), "GET", "/accounts", Some(&bearer), "");
    assert_eq!(status, 503, "{answer}");
    let detail = answer["Detail"].as_str().unwrap();
    assert!(detail.contains(reason), "{detail}");
    assert!(log(place).contains(reason), "{}", log(place));
    assert_eq!(stop(running), Some(0), "{}", log(place));
}

#[test]
fn what_only_an_operator_can_repair_is_answered_instead_of_a_restart() {
    let unit = SocketUnit::open("listen");
    let nowhere = "http://127.0.0.1:1";
    let mut keys = config("127.0.0.1:0");
    keys["endpont"] = "x".into();
    is_answered_with(&unit, &Place::new(nowhere, keys), "\"endpont\"");

    let without = json!({ "publish": [{ "type": "ndjson", "path": "x" }] });
    is_answered_with(
        &unit,
        &Place::new(nowhere, without),
        "but \"listen\" is not set",
    );

    let damaged = Place::new(nowhere, config("127.0.0.1:0"));
    std::fs::create_dir(damaged.state()).unwrap();
    std::fs::write(damaged.state().join("state.sqlite3"), "no database").unwrap();
    is_answered_with(&unit, &damaged, "state.sqlite3");
}

#[test]
fn a_socket_whose_use_is_not_known_is_answered_as_well() {
    let place = Place::new("http://127.0.0.1:1", config("127.0.0.1:0"));
    let unit = SocketUnit::open("http");
    is_answered_with(&unit, &place, "FileDescriptorName=");
}
