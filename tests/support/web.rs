use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use generic_connector::Timestamp;

/// A request that a [`Web`] was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
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

/// What a [`Web`] answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Answer {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What happens to one exchange.
#[derive(Clone, Debug)]
pub enum Mishap {
    None,
    /// This is answered, and nothing is done.
    Instead(Answer),
    /// What was asked is done, and the connection is cut before the answer.
    LostAnswer,
    /// The connection is cut before anything is done.
    Cut,
    /// Nothing is done, and nothing is answered.
    Silence,
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;
type Script = dyn FnMut(&Asked) -> Mishap + Send;

/// An HTTP server of the test: a thread for each connection, which is kept open.
pub struct Web {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    handler: Box<Handler>,
    script: Mutex<Box<Script>>,
    latency: Mutex<Duration>,
    connections: Mutex<Vec<TcpStream>>,
    has_ended: AtomicBool,
}

impl Web {
    /// Serves on a free port.
    pub fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Web {
        Web::start_at((Ipv4Addr::LOCALHOST, 0).into(), handler)
    }

    pub fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Web {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            script: Mutex::new(Box::new(|_| Mishap::None)),
            latency: Mutex::default(),
            connections: Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.has_ended.load(SeqCst) {
                        return;
                    }
                    stream.set_nodelay(true).unwrap();
                    let Ok(other) = stream.try_clone() else {
                        continue;
                    };
                    shared.connections.lock().unwrap().push(other);
                    let shared = shared.clone();
                    thread::spawn(move || converse(stream, &shared));
                }
            }
        });
        Web {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides about each exchange from now on.
    pub fn script(&self, script: impl FnMut(&Asked) -> Mishap + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Holds each answer back so long.
    pub fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap() = latency;
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in &*self.shared.connections.lock().unwrap() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Answers the requests of one connection, until it ends.
fn converse(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let asked = receive(&mut stream, &mut received)?;
        let mishap = (shared.script.lock().unwrap())(&asked);
        let latency = *shared.latency.lock().unwrap();
        if latency > Duration::ZERO {
            thread::sleep(latency);
        }
        let answer = match mishap {
            Mishap::None => (shared.handler)(&asked),
            Mishap::Instead(answer) => answer,
            Mishap::LostAnswer => {
                (shared.handler)(&asked);
                return stream.shutdown(Shutdown::Both).ok();
            }
            Mishap::Cut => return stream.shutdown(Shutdown::Both).ok(),
            Mishap::Silence => {
                // Until one of the two ends.
                let _ = stream.read(&mut [0]);
                return None;
            }
        };
        let mut head = format!(
            "HTTP/1.1 {} Status\r\nContent-Length: {}\r\n",
            answer.status,
            answer.body.len()
        );
        if !answer.headers.iter().any(|(name, _)| *name == "Date") {
            head += &format!("Date: {}\r\n", http_date(Timestamp::now()));
        }
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut whole = (head + "\r\n").into_bytes();
        if asked.method != "HEAD" {
            whole.extend(&answer.body);
        }
        stream.write_all(&whole).ok()?;
    }
}

/// The next whole request. What follows it stays in `received`.
fn receive(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Asked> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = request.parse(received).unwrap() {
            let headers: Vec<(String, String)> = request
                .headers
                .iter()
                .map(|header| {
                    let value = String::from_utf8_lossy(header.value).into_owned();
                    (header.name.to_owned(), value)
                })
                .collect();
            let mut asked = Asked {
                method: request.method.unwrap().to_owned(),
                path: request.path.unwrap().to_owned(),
                headers,
                body: Vec::new(),
            };
            assert!(
                asked.header("transfer-encoding").is_none(),
                "the length of a body is known"
            );
            let length = asked
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            while received.len() < head + length {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return None,
                    Ok(read) => received.extend(&buffer[..read]),
                }
            }
            asked.body = received[head..head + length].to_vec();
            received.drain(..head + length);
            return Some(asked);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.extend(&buffer[..read]),
        }
    }
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
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ][month - 1];
    format!("{weekday}, {day:02} {month} {year} {} GMT", &text[11..19])
}
