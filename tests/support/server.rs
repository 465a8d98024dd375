//! The HTTP server of the tests: a thread for each connection, which stays open.
//!
//! A handler answers. A [`Mishap`] spoils one exchange, a [`Greeting`] a whole connection. The fake Integration Service
//! is not one of these: see `psp`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use generic_connector::Timestamp;
use nix::libc;
use nix::sys::socket::{
    self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, setsockopt, sockopt,
};

/// Between two bytes of an answer that drips. An answer has more than a hundred.
const DRIP: Duration = Duration::from_millis(20);

/// A request as the server received it.
#[derive(Clone, Debug)]
pub struct TestRequest {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl TestRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer, without its `Content-Length`.
#[derive(Clone, Debug)]
pub struct TestAnswer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl TestAnswer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> TestAnswer {
        TestAnswer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> TestAnswer {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What happens to one exchange. Unless the variant says otherwise, the handler runs and its answer is spoiled.
#[derive(Clone, Debug)]
pub enum Mishap {
    None,
    /// This is the answer; the handler does not run.
    Instead(TestAnswer),
    /// The handler does not run, and the connection ends.
    Cut,
    /// The handler does not run, and no answer comes.
    Silence,
    /// The connection ends before the answer.
    LostAnswer,
    /// The connection is reset before the answer.
    Reset,
    /// The connection ends within the answer's head.
    CutInHead,
    /// The connection ends before the last byte of the body.
    CutInBody,
    /// The body lacks its last byte, and `Content-Length` agrees.
    TruncatedBody,
    /// The last byte of the body never comes.
    StallInBody,
    /// The answer comes byte by byte, complete in the end.
    Drip,
    /// The answer comes with `Connection: close`, and nothing listens any more, as after [`TestServer::stop_listening`].
    LastAnswer,
}

/// How a server treats a new connection.
#[derive(Clone)]
pub enum Greeting {
    /// It answers the requests.
    Serve,
    /// It reads the head of a request, sends these bytes and closes.
    Reply(Vec<u8>),
    /// It sends these bytes without reading, and then nothing.
    Stall(Vec<u8>),
    /// It closes without reading, so the client sees a reset or an end.
    Close,
}

type Handler = dyn Fn(&TestRequest) -> TestAnswer + Send + Sync;
type Script = dyn FnMut(&TestRequest) -> Mishap + Send;

/// A running server. It stops when it is dropped.
pub struct TestServer {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddrV4,
    listener: TcpListener,
    /// Keeps the port while the listener is closed: the kernel then releases a port that it has chosen itself.
    _reserved: OwnedFd,
    phase: Mutex<Phase>,
    phase_changed: Condvar,
    greeting: Greeting,
    handler: Box<Handler>,
    script: Mutex<Box<Script>>,
    latency: Mutex<Duration>,
    /// All so far. Those that have ended are gone.
    connections: Mutex<Vec<Weak<TcpStream>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Listening,
    Down,
    Ended,
}

impl TestServer {
    /// Serves on a free port.
    pub fn start(handler: impl Fn(&TestRequest) -> TestAnswer + Send + Sync + 'static) -> Self {
        TestServer::launch(Greeting::Serve, Box::new(handler))
    }

    /// A server that treats every connection in this way.
    pub fn greeting(greeting: Greeting) -> Self {
        TestServer::launch(greeting, Box::new(|_| TestAnswer::new(404, "")))
    }

    fn launch(greeting: Greeting, handler: Box<Handler>) -> Self {
        let reserved = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        let address: SockaddrIn = socket::getsockname(reserved.as_raw_fd()).unwrap();
        let address = SocketAddrV4::from(address);
        let listener = bind(address);
        socket::listen(&listener, Backlog::MAXCONN).unwrap();
        let shared = Arc::new(Shared {
            address,
            listener: listener.into(),
            _reserved: reserved,
            phase: Mutex::new(Phase::Listening),
            phase_changed: Condvar::new(),
            greeting,
            handler,
            script: Mutex::new(Box::new(|_| Mishap::None)),
            latency: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        TestServer {
            shared,
            accepting: Some(thread::spawn(move || accept(&accepting))),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address.into()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Decides about each exchange from now on.
    pub fn script(&self, script: impl FnMut(&TestRequest) -> Mishap + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Delays each answer.
    pub fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap() = latency;
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// Refuses new connections.
    pub fn stop_listening(&self) {
        self.shared.stop_listening(Phase::Down);
    }

    /// Refuses new connections and ends the open ones.
    pub fn go_down(&self) {
        self.stop_listening();
        self.shared.end_connections();
    }

    /// Accepts connections again, on the same port.
    pub fn listen_again(&self) {
        socket::listen(&self.shared.listener, Backlog::MAXCONN).unwrap();
        self.shared.set_phase(Phase::Listening);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shared.stop_listening(Phase::Ended);
        let _ = self.accepting.take().unwrap().join();
        self.shared.end_connections();
    }
}

impl Shared {
    fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap() = phase;
        self.phase_changed.notify_all();
    }

    /// Shutting a listening socket down wakes the thread that accepts on it.
    fn stop_listening(&self, phase: Phase) {
        self.set_phase(phase);
        let _ = socket::shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }

    fn end_connections(&self) {
        for connection in self
            .connections
            .lock()
            .unwrap()
            .iter()
            .filter_map(Weak::upgrade)
        {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn accept(shared: &Arc<Shared>) {
    loop {
        let phase = shared.phase.lock().unwrap();
        let is_down = |phase: &mut Phase| *phase == Phase::Down;
        let phase = shared.phase_changed.wait_while(phase, is_down).unwrap();
        if *phase == Phase::Ended {
            return;
        }
        drop(phase);
        // An error is a change of the phase, or a client that has left.
        let Ok((stream, _)) = shared.listener.accept() else {
            continue;
        };
        // Under the lock, so that `go_down` does not miss the connection.
        let phase = shared.phase.lock().unwrap();
        if *phase != Phase::Listening {
            continue;
        }
        stream.set_nodelay(true).unwrap();
        let stream = Arc::new(stream);
        let connection = Arc::downgrade(&stream);
        shared.connections.lock().unwrap().push(connection);
        let shared = shared.clone();
        thread::spawn(move || greet(&stream, &shared));
    }
}

fn greet(mut stream: &TcpStream, shared: &Shared) {
    match &shared.greeting {
        Greeting::Serve => {
            converse(stream, shared);
        }
        Greeting::Reply(bytes) => {
            receive(stream, &mut Vec::new());
            let _ = stream.write_all(bytes);
        }
        Greeting::Stall(bytes) => {
            let _ = stream.write_all(bytes);
            // Until the test ends.
            let phase = shared.phase.lock().unwrap();
            let goes_on = |phase: &mut Phase| *phase != Phase::Ended;
            let _ended = shared.phase_changed.wait_while(phase, goes_on);
        }
        Greeting::Close => {}
    }
}

/// Answers the requests of one connection, until it ends.
fn converse(mut stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let request = receive(stream, &mut received)?;
        let mishap = (shared.script.lock().unwrap())(&request);
        let latency = *shared.latency.lock().unwrap();
        if latency > Duration::ZERO {
            thread::sleep(latency);
        }
        let mut answer = match &mishap {
            Mishap::Cut => return None,
            Mishap::Silence => {
                wait_for_the_end(stream);
                return None;
            }
            Mishap::Instead(answer) => answer.clone(),
            _ => (shared.handler)(&request),
        };
        match mishap {
            Mishap::TruncatedBody => drop(answer.body.pop()),
            Mishap::LastAnswer => {
                // The client must need a new connection, and nothing may listen once it has this answer.
                shared.stop_listening(Phase::Down);
                answer = answer.with("Connection", "close");
            }
            _ => {}
        }
        let (head, whole) = answer.bytes(&request);
        let (_, all_but_one) = whole.split_last().unwrap();
        match mishap {
            Mishap::LostAnswer => return None,
            Mishap::Reset => return reset(stream),
            Mishap::CutInHead => return stream.write_all(&whole[..head / 2]).err().map(drop),
            Mishap::CutInBody => return stream.write_all(all_but_one).err().map(drop),
            Mishap::StallInBody => {
                stream.write_all(all_but_one).ok()?;
                wait_for_the_end(stream);
                return None;
            }
            Mishap::Drip => drip(stream, &whole)?,
            _ => stream.write_all(&whole).ok()?,
        }
    }
}

impl TestAnswer {
    /// The length of the head, and the whole answer as it goes over the wire.
    fn bytes(&self, request: &TestRequest) -> (usize, Vec<u8>) {
        let length = self.body.len();
        let mut head = format!(
            "HTTP/1.1 {} Status\r\nContent-Length: {length}\r\n",
            self.status
        );
        if !self.headers.iter().any(|(name, _)| *name == "Date") {
            head += &format!("Date: {}\r\n", http_date(Timestamp::now()));
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let body: &[u8] = if request.method == "HEAD" {
            b""
        } else {
            &self.body
        };
        (head.len(), [head.as_bytes(), body].concat())
    }
}

/// Lets the close of the connection be a reset.
fn reset(connection: &TcpStream) -> Option<()> {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&connection, sockopt::Linger, &at_once).unwrap();
    None
}

/// Sends byte by byte. None if the client has left.
fn drip(mut connection: &TcpStream, bytes: &[u8]) -> Option<()> {
    connection.set_read_timeout(Some(DRIP)).unwrap();
    for byte in bytes {
        connection.write_all(&[*byte]).ok()?;
        // The client sends nothing while it waits, so this passes the time, or notices that it has left.
        let kind = connection.read(&mut [0]).map_err(|error| error.kind());
        if kind != Err(ErrorKind::WouldBlock) {
            return None;
        }
    }
    connection.set_read_timeout(None).unwrap();
    Some(())
}

fn wait_for_the_end(mut connection: &TcpStream) {
    let _ = connection.read(&mut [0]);
}

/// A bound socket that does not listen yet and shares its port with others of this kind.
fn bind(address: SocketAddrV4) -> OwnedFd {
    let socket = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    setsockopt(&socket, sockopt::ReusePort, &true).unwrap();
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
    socket
}

/// The next whole request. What follows it stays in `received`.
fn receive(stream: &TcpStream, received: &mut Vec<u8>) -> Option<TestRequest> {
    let (head, mut request) = loop {
        match parse(received) {
            Some(parsed) => break parsed,
            None => read_more(stream, received)?,
        }
    };
    assert!(
        request.header("transfer-encoding").is_none(),
        "the length of a body is known"
    );
    let length = request.header("content-length");
    let length = length.map_or(0, |length| length.parse().unwrap());
    while received.len() < head + length {
        read_more(stream, received)?;
    }
    request.body = received[head..head + length].to_vec();
    received.drain(..head + length);
    Some(request)
}

/// The length of a request's head, and the request without its body. None if the head is not complete.
fn parse(received: &[u8]) -> Option<(usize, TestRequest)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(received).unwrap() else {
        return None;
    };
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_owned(), value)
    });
    let request = TestRequest {
        method: parsed.method.unwrap().to_owned(),
        path: parsed.path.unwrap().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    Some((head, request))
}

/// None if the client sends nothing more.
fn read_more(mut stream: &TcpStream, received: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
    received.extend(&buffer[..read]);
    Some(())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(date: Timestamp) -> String {
    let text = date.to_string();
    let (year, month, day): (i64, usize, i64) = (
        text[..4].parse().unwrap(),
        text[5..7].parse().unwrap(),
        text[8..10].parse().unwrap(),
    );
    let days = date.nanoseconds().div_euclid(86_400_000_000_000);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        [usize::try_from(days.rem_euclid(7)).unwrap()];
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ][month - 1];
    format!("{weekday}, {day:02} {month} {year} {} GMT", &text[11..19])
}
