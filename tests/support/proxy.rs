use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, setsockopt, sockopt,
};

/// Between two bytes of an answer that drips. An answer has more than a hundred.
const DRIP: Duration = Duration::from_millis(20);

/// What a [`Proxy`] does to one exchange. Where nothing else is said, the request reaches the service and its answer is
/// spoiled on the way back.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing listens when the client connects for it, until [`Proxy::listen_again`].
    Refused,
    /// The connection is reset before the answer.
    Reset,
    /// The connection ends within the answer's headers.
    CutInHeaders,
    /// The connection ends within the answer's body.
    CutInBody,
    /// The body lacks its last byte, and its length says so.
    TruncatedBody,
    /// The answer never begins.
    Silence,
    /// The last byte of the body never comes.
    StallInBody,
    /// The answer comes byte by byte, all of it in the end.
    Drip,
    /// These bytes are the answer; the service is not asked.
    Answer(Vec<u8>),
}

/// A proxy between one client, which opens one connection at a time, and a service. It numbers the exchanges from 1 and
/// does a fault to one of them.
pub struct Proxy {
    address: SocketAddrV4,
    exchanges: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    listen: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Relays every exchange.
    pub fn faultless(service: SocketAddr) -> Proxy {
        Proxy::start(service, None)
    }

    /// Relays every exchange but the one of that number.
    pub fn with_fault(service: SocketAddr, number: usize, fault: Fault) -> Proxy {
        Proxy::start(service, Some((number, fault)))
    }

    fn start(service: SocketAddr, fault: Option<(usize, Fault)>) -> Proxy {
        let reserved = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        let address: SockaddrIn = socket::getsockname(reserved.as_raw_fd()).unwrap();
        let address = SocketAddrV4::from(address);
        let exchanges = Arc::new(AtomicUsize::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let (listen, listen_again) = channel();
        let mut relay = Relay {
            address,
            service,
            fault,
            exchanges: exchanges.clone(),
            listener: None,
            _reserved: reserved,
        };
        if !relay.refuses_next() {
            relay.listener = Some(relay.listen());
        }
        let stop = stopping.clone();
        let thread = thread::spawn(move || relay.run(&stop, &listen_again));
        Proxy {
            address,
            exchanges,
            stopping,
            listen: Some(listen),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Exchanges begun so far; the refused one counts as one.
    pub fn exchanges(&self) -> usize {
        self.exchanges.load(SeqCst)
    }

    /// Ends the refusal.
    pub fn listen_again(&self) {
        let _ = self.listen.as_ref().unwrap().send(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopping.store(true, SeqCst);
        drop(self.listen.take());
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The thread's part of a [`Proxy`].
struct Relay {
    address: SocketAddrV4,
    service: SocketAddr,
    fault: Option<(usize, Fault)>,
    exchanges: Arc<AtomicUsize>,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    /// Keeps the port from others while nothing listens on it.
    _reserved: OwnedFd,
}

impl Relay {
    fn run(mut self, stopping: &AtomicBool, listen_again: &Receiver<()>) {
        loop {
            if self.listener.is_none() {
                self.exchanges.fetch_add(1, SeqCst);
                if listen_again.recv().is_err() {
                    return;
                }
            }
            let listener = self.listener.take().unwrap_or_else(|| self.listen());
            // Who stops it may have found nothing to connect to: asked only now, this does not miss it.
            if stopping.load(SeqCst) {
                return;
            }
            let (connection, _) = listener.accept().unwrap();
            if stopping.load(SeqCst) {
                return;
            }
            self.listener = Some(listener);
            self.serve(&connection);
        }
    }

    /// Relays the exchanges of a connection until one side closes it or a fault does.
    fn serve(&mut self, mut connection: &TcpStream) {
        connection.set_nodelay(true).unwrap();
        let mut requests = BufReader::new(connection);
        let mut service = BufReader::new(TcpStream::connect(self.service).unwrap());
        while let Some(request) = read_head(&mut requests) {
            let number = self.exchanges.fetch_add(1, SeqCst) + 1;
            let struck = self.fault.as_ref().filter(|(struck, _)| *struck == number);
            if let Some((_, Fault::Answer(answer))) = struck {
                let _ = connection.write_all(answer);
                continue;
            }
            let (mut head, body) = ask(&mut service, &request);
            if let Some((_, fault)) = struck {
                if spoil(connection, fault, head, body).is_break() {
                    return;
                }
            } else if self.refuses_next() {
                // The client must need a new connection, and nothing may listen once it has this answer.
                self.listener = None;
                head.truncate(head.len() - b"\r\n".len());
                head.extend(b"Connection: close\r\n\r\n");
                let _ = connection.write_all(&[head, body].concat());
                return;
            } else {
                let _ = connection.write_all(&[head, body].concat());
            }
        }
    }

    fn refuses_next(&self) -> bool {
        let next = self.exchanges.load(SeqCst) + 1;
        matches!(self.fault, Some((number, Fault::Refused)) if number == next)
    }

    fn listen(&self) -> TcpListener {
        let socket = bind(self.address);
        socket::listen(&socket, Backlog::MAXCONN).unwrap();
        TcpListener::from(socket)
    }
}

/// Answers with a fault. Breaks if the connection has ended with it.
fn spoil(
    mut connection: &TcpStream,
    fault: &Fault,
    head: Vec<u8>,
    body: Vec<u8>,
) -> ControlFlow<()> {
    let answer = [&head[..], &body].concat();
    let all_but_one = &answer[..answer.len() - 1];
    match fault {
        Fault::Refused | Fault::Answer(_) => unreachable!("met before the service is asked"),
        Fault::Reset => {
            let at_once = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(&connection, sockopt::Linger, &at_once).unwrap();
            Break(())
        }
        Fault::CutInHeaders => {
            let _ = connection.write_all(&head[..head.len() / 2]);
            Break(())
        }
        Fault::CutInBody => {
            let _ = connection.write_all(all_but_one);
            Break(())
        }
        Fault::TruncatedBody => {
            let body = &body[..body.len() - 1];
            let _ = connection.write_all(&answer_of("200 OK", &[], body));
            Continue(())
        }
        Fault::Silence => {
            wait_for_the_end(connection);
            Break(())
        }
        Fault::StallInBody => {
            let _ = connection.write_all(all_but_one);
            wait_for_the_end(connection);
            Break(())
        }
        Fault::Drip => {
            connection.set_read_timeout(Some(DRIP)).unwrap();
            for byte in answer {
                let _ = connection.write_all(&[byte]);
                // The client says nothing while it waits, so this passes the time, or notices that it has left.
                let kind = connection.read(&mut [0]).map_err(|error| error.kind());
                if kind != Err(ErrorKind::WouldBlock) {
                    return Break(());
                }
            }
            connection.set_read_timeout(None).unwrap();
            Continue(())
        }
    }
}

/// A whole answer.
pub fn answer_of(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        answer += &format!("{header}\r\n");
    }
    answer += "\r\n";
    [answer.as_bytes(), body].concat()
}

fn ask(service: &mut BufReader<TcpStream>, request: &[u8]) -> (Vec<u8>, Vec<u8>) {
    service.get_mut().write_all(request).unwrap();
    let head = read_head(service).expect("the service answers");
    let text = String::from_utf8(head.clone()).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    service.read_exact(&mut body).unwrap();
    (head, body)
}

/// A request's or answer's head with its empty line; none if the other side has closed.
fn read_head(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(head)
}

fn wait_for_the_end(mut connection: &TcpStream) {
    let _ = connection.read(&mut [0]);
}

/// A bound socket that does not listen and shares its port with others of this kind.
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
