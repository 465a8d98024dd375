//! The server over real sockets, with clients that are good, slow, broken or hostile.

mod answers;
mod hostile;
mod requests;
mod room;

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
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

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A handler whose behaviour depends on the path.
struct Script {
    /// Receives the responders of `/later`.
    later: Sender<Responder>,
    /// `/block` waits for a message, or until the sender is dropped.
    gate: Receiver<()>,
    handled: AtomicUsize,
}

impl Handler for Script {
    fn admit(&self, head: &RequestHead, _: IpAddr) -> Result<Admission, Response> {
        match head.path.as_str() {
            "/rejected" => return Err(Response::error(401, "Unauthorized", "no key")),
            "/rejected-late" => {
                let delay = milliseconds(head.query.parse().unwrap());
                return Err(Response::error(401, "Unauthorized", "wrong key").after(delay));
            }
            "/admit-panics" => panic!("on purpose"),
            // A handler must not block here. This one simulates a very busy event loop.
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
            label: "",
        })
    }

    fn handle(&self, request: Request, responder: Responder) {
        self.handled.fetch_add(1, SeqCst);
        match request.head.path.as_str() {
            "/later" => self.later.send(responder).unwrap(),
            "/echo" => responder.answer(Response::json(200, request.body)),
            "/drop" => drop(responder),
            "/raw" => responder.answer_raw(request.body),
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

/// A server and the other ends of its script.
struct Served {
    /// Dropped first, so that a failing test does not leave the handler blocked.
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
    fn client(&self) -> TestClient {
        TestClient::connect(self.address).unwrap()
    }

    /// A client whose connection has shown the key.
    fn proven(&self) -> TestClient {
        let mut client = self.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client
    }

    fn responder(&self) -> Responder {
        self.later.recv_timeout(LONG).unwrap()
    }
}

struct TestClient(TcpStream);

#[derive(Debug)]
struct RawAnswer {
    status: u16,
    head: String,
    body: String,
}

impl TestClient {
    fn connect(address: SocketAddr) -> io::Result<TestClient> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(TestClient(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, path: &str) -> RawAnswer {
        self.send(&get(path));
        self.answer()
    }

    fn answer(&mut self) -> RawAnswer {
        self.try_answer().unwrap()
    }

    fn try_answer(&mut self) -> io::Result<RawAnswer> {
        let head = self.head()?;
        let length = head.split_once("Content-Length: ").unwrap().1;
        let length = length.split_once('\r').unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(RawAnswer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Reads up to the empty line, and not beyond.
    fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8(head).unwrap())
    }

    /// Whether the server closes cleanly and sends nothing more.
    fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap() == 0
    }

    /// Resets the connection, as a firewall or a crash does.
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
