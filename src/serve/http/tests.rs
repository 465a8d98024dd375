//! The server as a network meets it: over real sockets, by clients that are good, slow, broken or hostile.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};

use super::*;

/// Longer than anything here takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

/// What the server does is told by the path.
struct Script {
    /// Responders of `/later`.
    later: Sender<Responder>,
    /// `/block` waits for a word, or for the sender to be dropped.
    gate: Receiver<()>,
    handled: AtomicUsize,
}

impl Handler for Script {
    fn admit(&self, head: &Head) -> Result<Admission, Response> {
        match head.path.as_str() {
            "/refused" => return Err(Response::error(401, "Unauthorized", "no key")),
            "/admit-panics" => panic!("on purpose"),
            // It must not; here it makes the event loop as busy as can be.
            "/admit-blocks" => {
                let _ = self.gate.recv();
            }
            _ => {}
        }
        let patience = head
            .query
            .strip_prefix("patience=")
            .map(|ms| ms.parse().unwrap());
        Ok(Admission {
            patience: patience.map_or(LONG, Duration::from_millis),
            proven: head.authorization.as_deref() == Some("Bearer key"),
        })
    }

    fn handle(&self, request: Request, responder: Responder) {
        self.handled.fetch_add(1, SeqCst);
        match request.head.path.as_str() {
            "/later" => self.later.send(responder).unwrap(),
            "/echo" => responder.answer(Response::json(200, request.body)),
            "/drop" => drop(responder),
            "/panic" => panic!("on purpose"),
            "/block" => {
                let _ = self.gate.recv();
                responder.answer(Response::json(200, b"unblocked".to_vec()));
            }
            "/big" => {
                let length = request.head.query.parse().unwrap();
                responder.answer(Response::json(200, vec![b'x'; length]));
            }
            path => responder.answer(Response::json(200, path.as_bytes().to_vec())),
        }
    }
}

/// A server, and the other ends of its script.
struct Served {
    /// Dropped first: a test that fails must not leave the server waiting at it.
    gate: Sender<()>,
    server: Option<Server>,
    address: SocketAddr,
    script: Arc<Script>,
    later: Receiver<Responder>,
}

fn serve(limits: Limits) -> Served {
    let (later, responders) = unbounded();
    let (gate, gate_end) = bounded(0);
    let script = Arc::new(Script {
        later,
        gate: gate_end,
        handled: AtomicUsize::new(0),
    });
    let server = Server::start(([127, 0, 0, 1], 0).into(), limits, script.clone()).unwrap();
    Served {
        address: server.address(),
        server: Some(server),
        script,
        later: responders,
        gate,
    }
}

impl Served {
    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// A client whose connection has shown the key.
    fn proven(&self) -> Client {
        let mut client = self.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client
    }

    fn responder(&self) -> Responder {
        self.later.recv_timeout(LONG).unwrap()
    }
}

struct Client(TcpStream);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(Client(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send(&get(path));
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    fn try_answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let length = head.split_once("Content-Length: ").unwrap().1;
        let length = length.split_once('\r').unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Reads to the empty line, and not beyond.
    fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8(head).unwrap())
    }

    /// Whether the server closes in good order and sends nothing more.
    fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap() == 0
    }

    /// Closes without a goodbye, as a client that crashes or a firewall does.
    fn reset(self) {
        let abort = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&self.0, sockopt::Linger, &abort).unwrap();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn what_is_not_strictly_right_is_refused_with_a_reason_and_the_connection_ends() {
    let served = serve(Limits::default());
    let long = "x".repeat(9000);
    let many = (0..65).fold(String::new(), |mut headers, number| {
        write!(headers, "X-{number}: x\r\n").unwrap();
        headers
    });
    let post = |headers: &str| format!("POST /echo HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    for (status, request) in [
        (505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned()),
        (505, "GET / HTTP/1.2\r\nHost: x\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
        ),
        (
            400,
            post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        ),
        (
            400,
            post("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
        ),
        (411, post("Transfer-Encoding: chunked\r\n")),
        (411, post("Transfer-Encoding: gzip\r\n")),
        (400, post("Content-Length: 1\r\nContent-Length: 1\r\n")),
        (400, post("Content-Length: 1\r\nContent-Length: 2\r\n")),
        (400, post("Content-Length: 1, 1\r\n")),
        (400, post("Content-Length: +1\r\n")),
        (400, post("Content-Length: -1\r\n")),
        (400, post("Content-Length: 0x1\r\n")),
        (400, post("Content-Length: 1 1\r\n")),
        (400, post("Content-Length: abc\r\n")),
        (400, post("Content-Length:\r\n")),
        (413, post("Content-Length: 65537\r\n")),
        (413, post("Content-Length: 9999999999999999\r\n")),
        (413, post("Content-Length: 99999999999999999999999999\r\n")),
        (417, post("Content-Length: 1\r\nExpect: 200-ok\r\n")),
        (
            417,
            post("Content-Length: 1\r\nExpect: 100-continue, x\r\n"),
        ),
        (400, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (400, "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (400, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (431, format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
        ),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}")),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\nHost: x\n\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n".to_owned(),
        ),
        (400, "G(T / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned()),
        (400, post("Authorization: a\r\nAuthorization: a\r\n")),
    ] {
        let mut client = served.client();
        client.send(&request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert!(
            answer.head.contains("\r\nConnection: close\r\n"),
            "{request:?}"
        );
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(
            body["Title"].is_string() && body["Detail"].is_string(),
            "{request:?}"
        );
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(served.script.handled.load(SeqCst), 0);
}

#[test]
fn a_refused_client_gets_to_read_why_although_it_sent_more_than_was_read() {
    let served = serve(Limits::default());
    for head in [
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n",
        "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n",
    ] {
        let mut client = served.client();
        client.send(head);
        // More than the sockets' buffers hold: it cannot be written unless the server reads it.
        client.send(&"x".repeat(30_000_000));
        let answer = client.answer();
        assert!(matches!(answer.status, 413 | 401), "{answer:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_lingers_after_its_last_answer_is_cut() {
    let served = serve(Limits {
        linger_time: milliseconds(200),
        ..Limits::default()
    });
    let mut client = served.client();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.is_closed());
    let start = Instant::now();
    while client.0.write_all(b"x").is_ok() {
        thread::sleep(milliseconds(10));
        assert!(start.elapsed() < LONG);
    }
    assert!(start.elapsed() > milliseconds(100));
}

#[test]
fn a_connection_answers_one_request_after_another() {
    let served = serve(Limits::default());
    let mut client = served.client();
    assert_eq!(client.get("/one").body, "/one");
    let answer = client.get("/two?query");
    assert_eq!((answer.status, answer.body.as_str()), (200, "/two"));
    assert!(!answer.head.contains("Connection"), "{answer:?}");
    assert!(answer.head.contains("\r\nDate: "), "{answer:?}");
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
    client.send("56789GET /three HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().body, "0123456789");
    assert_eq!(client.answer().body, "/three");
    let whole = "x".repeat(65_536);
    client.send(&format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n{whole}"
    ));
    assert_eq!(client.answer().body, whole);
    client.send("HEAD /four HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.head().unwrap().contains("\r\nContent-Length: 5\r\n"));
    assert_eq!(client.get("/refused").status, 401);
    assert_eq!(
        client.get("/five").status,
        200,
        "a refusal without a body ends nothing"
    );
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(
        client
            .answer()
            .head
            .contains("\r\nConnection: keep-alive\r\n")
    );
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.answer().head.contains("\r\nConnection: close\r\n"));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_has_finished_sending_is_answered() {
    let served = serve(Limits::default());
    let mut client = served.client();
    client.send(&get("/later"));
    client.0.shutdown(Shutdown::Write).unwrap();
    served
        .responder()
        .answer(Response::json(200, b"late".to_vec()));
    assert_eq!(client.answer().body, "late");
    assert!(client.is_closed());
}

#[test]
fn a_body_is_asked_for_only_when_its_request_is_admitted() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n"
        )
    };
    client.send(&head("/echo"));
    assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.answer().body, "body");
    client.send(&head("/refused"));
    assert_eq!(client.answer().status, 401);
    assert!(client.is_closed());
}

#[test]
fn a_thousand_silent_and_a_thousand_half_open_connections_hold_nobody_up() {
    let served = serve(Limits {
        connections: 2048,
        head_time: LONG,
        ..Limits::default()
    });
    // The server has raised the limit; the clients live in the same process.
    let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        descriptors >= 5000,
        "the hard limit on open files is too low for this test"
    );
    let mut good = served.client();
    assert_eq!(good.get("/").status, 200);
    let mut crowd: Vec<Client> = (0..2000).map(|_| served.client()).collect();
    for half_open in &mut crowd[1000..] {
        half_open.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    }
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(good.get("/").status, 200);
        assert_eq!(served.client().get("/").status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    for half_open in &mut crowd[1000..] {
        half_open.send("x\r\n\r\n");
    }
    for client in &mut crowd[1000..] {
        assert_eq!(client.answer().status, 200);
    }
    for client in &mut crowd[..1000] {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_crowd_that_comes_while_the_server_is_busy_is_not_turned_away() {
    let served = serve(Limits::default());
    let mut first = served.client();
    first.send(&get("/admit-blocks"));
    // std alone lets 128 wait; the next one would try again after a second.
    let waiting: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect_timeout(&served.address, milliseconds(800)).unwrap())
        .collect();
    served.gate.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    assert_eq!(served.client().get("/").status, 200);
    drop(waiting);
}

/// Sends a byte of the endless text every now and then until there is an answer.
fn drip(client: &mut Client, byte: &str) -> (Duration, Answer) {
    client.0.set_nonblocking(true).unwrap();
    let start = Instant::now();
    while client.0.peek(&mut [0]).is_err() {
        client.send(byte);
        thread::sleep(milliseconds(10));
        assert!(start.elapsed() < LONG);
    }
    client.0.set_nonblocking(false).unwrap();
    (start.elapsed(), client.answer())
}

#[test]
fn a_head_and_a_body_that_trickle_in_are_cut_at_the_deadline() {
    let served = serve(Limits {
        head_time: milliseconds(300),
        body_time: milliseconds(300),
        ..Limits::default()
    });
    for beginning in [
        "GET / HTTP/1.1\r\nHost: x\r\nX: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
    ] {
        let mut client = served.client();
        client.send(beginning);
        let (time, answer) = drip(&mut client, "x");
        assert_eq!(answer.status, 408, "{beginning}");
        assert!(time >= milliseconds(250), "{time:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_while_others_are_served() {
    let served = serve(Limits {
        write_time: milliseconds(300),
        answering_threads: 1,
        ..Limits::default()
    });
    let size = 30_000_000;
    let mut lazy: Vec<Client> = (0..5).map(|_| served.client()).collect();
    for client in &mut lazy {
        client.send(&get(&format!("/big?{size}")));
    }
    let mut good = served.client();
    let start = Instant::now();
    while start.elapsed() < milliseconds(1500) {
        assert_eq!(good.get("/").status, 200);
    }
    assert_eq!(
        good.get(&format!("/big?{size}")).body.len(),
        size,
        "a big answer is no fault"
    );
    for client in &mut lazy {
        let mut received = Vec::new();
        let _ = client.0.read_to_end(&mut received);
        assert!(received.starts_with(b"HTTP/1.1 200") && received.len() < size);
    }
}

#[test]
fn thousands_of_requests_sent_without_reading_are_answered_in_order() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let mut sender = client.0.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let all: String = (0..20_000)
            .map(|number| get(&format!("/{number}")))
            .collect();
        sender.write_all(all.as_bytes()).unwrap();
    });
    // Nothing is read until the server has stopped reading as well: what it takes has an end.
    let mut before = usize::MAX;
    while served.script.handled.load(SeqCst) != before {
        before = served.script.handled.load(SeqCst);
        thread::sleep(milliseconds(100));
    }
    for number in 0..20_000 {
        assert_eq!(client.answer().body, format!("/{number}"));
    }
    sending.join().unwrap();
}

#[test]
fn connections_that_are_reset_at_any_moment_do_no_harm() {
    let served = serve(Limits::default());
    for round in 0..600 {
        let mut client = served.client();
        match round % 4 {
            0 => {}
            1 => client.send("GET / HT"),
            2 => client.send(&get("/")),
            _ => client.send(&get("/big?1000000")),
        }
        client.reset();
    }
    assert_eq!(served.client().get("/").status, 200);
}

#[test]
fn a_client_that_is_gone_frees_its_place_while_its_answer_is_awaited() {
    let served = serve(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut client = served.proven();
    client.send(&get("/later"));
    let responder = served.responder();
    let mut refused = served.client();
    assert!(
        refused.is_closed(),
        "nobody makes room while all are being answered"
    );
    client.reset();
    let start = Instant::now();
    loop {
        let mut next = served.client();
        if next.0.write_all(get("/").as_bytes()).is_ok() && next.try_answer().is_ok() {
            break;
        }
        // Its patience would end as well, in time.
        assert!(start.elapsed() < LONG / 2);
    }
    responder.answer(Response::json(200, Vec::new()));
}

#[test]
fn an_answer_may_come_later_from_another_thread() {
    let served = serve(Limits {
        answering_threads: 1,
        ..Limits::default()
    });
    let mut clients: Vec<Client> = (0..3).map(|_| served.client()).collect();
    let responders: Vec<Responder> = clients
        .iter_mut()
        .map(|client| {
            client.send(&get("/later"));
            served.responder()
        })
        .collect();
    assert_eq!(
        served.client().get("/").status,
        200,
        "waiting holds no thread"
    );
    thread::spawn(move || {
        for (number, responder) in responders.into_iter().enumerate().rev() {
            let body = number.to_string().into_bytes();
            responder.answer(Response::json(202, body));
        }
    });
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert_eq!((answer.status, answer.body), (202, number.to_string()));
    }
}

#[test]
fn when_patience_ends_the_client_is_told_to_come_again_and_the_late_answer_is_dropped() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let answer = client.get("/later?patience=200");
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("\r\nRetry-After: "), "{answer:?}");
    let late = served.responder();
    // The second request is being answered when the first one's answer arrives.
    client.send(&get("/later"));
    let second = served.responder();
    late.answer(Response::json(200, b"first".to_vec()));
    second.answer(Response::json(200, b"second".to_vec()));
    assert_eq!(client.answer().body, "second");
    assert_eq!(client.get("/third").body, "/third");
}

#[test]
fn a_request_that_waited_too_long_for_a_thread_is_not_handled_at_all() {
    let served = serve(Limits {
        answering_threads: 1,
        connections: 2,
        ..Limits::default()
    });
    let mut blocking = served.client();
    blocking.send(&get("/block"));
    while served.script.handled.load(SeqCst) == 0 {
        thread::yield_now();
    }
    let mut client = served.client();
    assert_eq!(client.get("/?patience=50").status, 503);
    assert_eq!(client.get("/?patience=50").status, 503);
    // The queue has room for one request a connection, and they stand in it. This one's patience would last.
    assert_eq!(client.get("/").status, 503);
    served.gate.send(()).unwrap();
    assert_eq!(blocking.answer().body, "unblocked");
    while client.get("/").status == 503 {
        thread::yield_now();
    }
    assert_eq!(served.script.handled.load(SeqCst), 2);
}

#[test]
fn a_handler_that_forgets_to_answer_or_panics_answers_500() {
    let served = serve(Limits::default());
    let mut client = served.client();
    for path in ["/drop", "/panic", "/admit-panics"] {
        // More often than there are threads.
        for _ in 0..5 {
            assert_eq!(client.get(path).status, 500, "{path}");
        }
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_no_earlier() {
    let served = serve(Limits {
        idle_time: milliseconds(600),
        ..Limits::default()
    });
    let start = Instant::now();
    let mut silent = served.client();
    assert!(silent.is_closed());
    assert!(
        start.elapsed() >= milliseconds(550),
        "{:?}",
        start.elapsed()
    );
    let mut client = served.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
        thread::sleep(milliseconds(100));
    }
    let start = Instant::now();
    assert!(client.is_closed());
    assert!(
        start.elapsed() >= milliseconds(400),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn shutting_down_answers_what_is_in_flight() {
    let mut served = serve(Limits::default());
    let (mut idle, mut half_open, mut busy) = (served.proven(), served.client(), served.client());
    half_open.send("GET / HTTP/1.1\r\n");
    busy.send(&get("/later"));
    let responder = served.responder();
    let server = served.server.take().unwrap();
    let shutting_down = thread::spawn(move || server.shut_down(LONG));
    assert!(idle.is_closed());
    assert!(half_open.is_closed());
    while TcpStream::connect(served.address).is_ok() {
        thread::yield_now();
    }
    assert!(!shutting_down.is_finished());
    responder.answer(Response::json(200, b"done".to_vec()));
    let answer = busy.answer();
    assert_eq!(answer.body, "done");
    assert!(answer.head.contains("\r\nConnection: close\r\n"));
    assert!(busy.is_closed());
    drop(busy);
    shutting_down.join().unwrap();
}

#[test]
fn shutting_down_takes_no_longer_than_its_grace() {
    let mut served = serve(Limits::default());
    let mut clients: Vec<Client> = (0..2).map(|_| served.client()).collect();
    clients[0].send(&get("/later"));
    clients[1].send(&get("/block"));
    let _held = served.responder();
    while served.script.handled.load(SeqCst) < 2 {
        thread::yield_now();
    }
    let start = Instant::now();
    served.server.take().unwrap().shut_down(milliseconds(200));
    assert!(start.elapsed() >= milliseconds(200) && start.elapsed() < LONG / 2);
    for client in &mut clients {
        assert!(client.is_closed());
    }
}

#[test]
fn those_who_have_shown_the_key_stay_when_there_are_too_many() {
    let served = serve(Limits {
        connections: 4,
        ..Limits::default()
    });
    let mut first_proven = served.proven();
    let mut second_proven = served.proven();
    let mut idle = served.client();
    assert_eq!(idle.get("/").status, 200);
    let mut waiting = served.client();
    waiting.send(&get("/later"));
    let responder = served.responder();
    // The oldest that has shown no key goes, although the proven ones are older; then the flood makes room for itself.
    let mut flood: Vec<Client> = Vec::new();
    for _ in 0..20 {
        let mut client = served.client();
        client.send("GET / HTT");
        flood.push(client);
    }
    assert!(idle.is_closed());
    for client in &mut flood[..19] {
        assert!(!matches!(client.0.read(&mut [0]), Ok(1..)));
    }
    assert_eq!(first_proven.get("/").status, 200);
    assert_eq!(second_proven.get("/").status, 200);
    responder.answer(Response::json(200, Vec::new()));
    assert_eq!(waiting.answer().status, 200);
    // Four that have shown it: the one that has been idle the longest goes. Everybody else is older.
    let third_proven = served.proven();
    let fourth_proven = served.proven();
    assert_eq!(first_proven.get("/").status, 200);
    let mut last = served.client();
    assert_eq!(last.get("/").status, 200);
    assert!(second_proven.is_closed());
    assert_eq!(first_proven.get("/").status, 200);
    drop((third_proven, fourth_proven));
}

/// The process of the test below that may exhaust its file descriptors without taking them from other tests.
const EXHAUSTED: &str = "GENERIC_CONNECTOR_TEST_EXHAUSTED";

#[test]
fn without_file_descriptors_the_server_waits_for_better_times() {
    if std::env::var_os(EXHAUSTED).is_some() {
        return exhaust_descriptors();
    }
    let name = "serve::http::tests::without_file_descriptors_the_server_waits_for_better_times";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(EXHAUSTED, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.contains("1 passed"), "{printed}");
}

fn exhaust_descriptors() {
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
    let served = serve(Limits::default());
    let mut proven = served.proven();
    let mut idle: Vec<Client> = (0..2).map(|_| served.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(hoard.len() > 20);
    // Each one takes the descriptor that the server would need to accept it.
    let mut waiting = Vec::new();
    for client in &mut idle {
        drop(hoard.pop());
        waiting.push(served.client());
        assert!(
            client.is_closed(),
            "the oldest one that has shown no key makes room"
        );
    }
    assert_eq!(proven.get("/").status, 200);
    drop(hoard);
    for client in &mut waiting {
        assert_eq!(client.get("/").status, 200);
    }
}
