use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::head::Framing;
use super::response::{CONTINUE, Terms};
use super::{Handler, Head, Limits, Request, Response};

/// Bytes that are read at a time: one connection's turn.
const READ_BYTES: usize = 16 * 1024;

/// No wait is longer. It keeps every deadline computable.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// One connection, from its first byte to its last. It never waits: whoever owns it does, for what it
/// [`wants`](Connection::wants) and until its [`deadline`](Connection::deadline).
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    deadline: Instant,
    /// Whether one of its requests carried the right key.
    proven: bool,
    /// Requests that were handed on.
    requests: u64,
    /// What was read and belongs to no finished request. Never more than a head or a body may have.
    input: Vec<u8>,
    output: Output,
}

/// What all connections have in common.
pub(super) struct Rules {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    /// The server is being shut down: every answer is its connection's last.
    pub closing: bool,
}

/// What a connection waits for, beside its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Input,
    Output,
    /// Only its request's answer.
    Nothing,
}

/// What is to be done after a connection has gone as far as it could.
#[derive(Debug)]
pub(super) enum Next {
    /// Wait for what it wants.
    Wait,
    /// Drop it.
    Close,
    /// Have the request answered, and wait. The number is the request's on this connection.
    Answer { number: u64, request: Request },
}

#[derive(Debug)]
enum State {
    /// Between requests.
    Idle,
    /// A part of a head is there.
    Head,
    /// The head is there, and admitted; its body is not complete.
    Body {
        head: Head,
        framing: Framing,
        patience: Duration,
    },
    /// The request is being answered.
    Answering(Terms),
    /// The answer is being written.
    Writing { keep_open: bool },
    /// Everything is written; what the client still sends is thrown away, so that it gets to read the answer. Closing
    /// at once would tell it of unread bytes, and it would forget what it has received.
    Lingering,
}

/// Bytes to be written.
#[derive(Debug, Default)]
struct Output {
    head: Vec<u8>,
    body: Vec<u8>,
    sent: usize,
}

/// The instant so long after `now`.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(LONGEST_WAIT)
}

impl Connection {
    /// A connection that was just accepted. An error if its socket cannot be set up.
    pub fn new(stream: TcpStream, limits: &Limits, now: Instant) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        // Otherwise the end of an answer waits until the client has acknowledged its beginning, which it delays.
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            state: State::Idle,
            deadline: after(now, limits.idle_time),
            proven: false,
            requests: 0,
            input: Vec::new(),
            output: Output::default(),
        })
    }

    /// What it waits for.
    pub fn wants(&self) -> Wants {
        match self.state {
            _ if self.output.is_pending() => Wants::Output,
            State::Answering(_) => Wants::Nothing,
            _ => Wants::Input,
        }
    }

    /// When it has waited long enough.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When it became idle, for comparison with others, if it is idle and proven.
    pub fn proven_idle(&self) -> Option<Instant> {
        // Every idle connection has the same time.
        (self.proven && matches!(self.state, State::Idle)).then_some(self.deadline)
    }

    /// Whether it has shown no key, and nobody is at work for it. A client that leaves its answer unread counts: the
    /// kernel takes what a good client is sent at once.
    pub fn is_expendable(&self) -> bool {
        !self.proven && !matches!(self.state, State::Answering(_))
    }

    /// Whether it has a request that was admitted, or an answer that was not read to its end.
    pub fn is_in_flight(&self) -> bool {
        !matches!(self.state, State::Idle | State::Head)
    }

    /// Its socket has what it wants, or is broken.
    pub fn ready(&mut self, rules: &Rules, now: Instant) -> Next {
        match self.wants() {
            Wants::Output => self.proceed(rules, now),
            Wants::Input => self.receive(rules, now),
            Wants::Nothing => Next::Close,
        }
    }

    /// Its deadline has passed.
    pub fn expire(&mut self, rules: &Rules, now: Instant) -> Next {
        let late = || {
            Response::error(
                408,
                "Request Timeout",
                "The request did not arrive in time.",
            )
        };
        match &self.state {
            State::Answering(terms) => self.send(Response::unavailable(), *terms, rules, now),
            State::Head => self.refuse(late(), rules, now),
            State::Body { head, framing, .. } if !self.output.is_pending() => {
                let mut terms = terms(head, *framing);
                terms.keep_open = false;
                self.send(late(), terms, rules, now)
            }
            _ => Next::Close,
        }
    }

    /// The answer to its request of that number. It comes too late if the request has been answered.
    pub fn answer(&mut self, number: u64, response: Response, rules: &Rules, now: Instant) -> Next {
        match self.state {
            State::Answering(terms) if number == self.requests => {
                self.send(response, terms, rules, now)
            }
            _ => Next::Wait,
        }
    }

    /// Reads once.
    fn receive(&mut self, rules: &Rules, now: Instant) -> Next {
        let room = match &self.state {
            State::Body { framing, .. } => framing.body_length - self.input.len(),
            State::Lingering => READ_BYTES,
            _ => rules.limits.head_bytes - self.input.len(),
        };
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes[..room.min(READ_BYTES)]) {
            Ok(0) => Next::Close,
            Ok(_) if matches!(self.state, State::Lingering) => Next::Wait,
            Ok(length) => {
                self.input.extend_from_slice(&bytes[..length]);
                self.proceed(rules, now)
            }
            Err(error) => wait_if_temporary(&error),
        }
    }

    /// Goes on until there is something to wait for.
    fn proceed(&mut self, rules: &Rules, now: Instant) -> Next {
        loop {
            match self.output.write_to(&mut self.stream) {
                Ok(()) if !self.output.is_pending() => {}
                Ok(()) => return Next::Wait,
                Err(error) => return wait_if_temporary(&error),
            }
            match mem::replace(&mut self.state, State::Idle) {
                State::Idle if self.input.is_empty() => {
                    // An idle connection costs no buffer.
                    self.input = Vec::new();
                    return Next::Wait;
                }
                State::Idle => self.enter(State::Head, rules.limits.head_time, now),
                State::Head => match Head::parse(&self.input, &rules.limits) {
                    Ok(Some((head, framing))) => self.admit(head, framing, rules, now),
                    Ok(None) => {
                        self.state = State::Head;
                        return Next::Wait;
                    }
                    Err(refusal) => return self.refuse(refusal, rules, now),
                },
                State::Body {
                    head,
                    framing,
                    patience,
                } if self.input.len() >= framing.body_length => {
                    let body = self.input.drain(..framing.body_length).collect();
                    self.input.shrink_to_fit();
                    let terms = terms(&head, framing);
                    self.enter(State::Answering(terms), patience, now);
                    self.requests += 1;
                    return Next::Answer {
                        number: self.requests,
                        request: Request { head, body },
                    };
                }
                State::Writing { keep_open: true } => {
                    self.enter(State::Idle, rules.limits.idle_time, now);
                }
                State::Writing { keep_open: false } => {
                    if self.stream.shutdown(Shutdown::Write).is_err() {
                        return Next::Close;
                    }
                    self.input = Vec::new();
                    self.enter(State::Lingering, rules.limits.linger_time, now);
                }
                waiting @ (State::Body { .. } | State::Answering(_) | State::Lingering) => {
                    self.state = waiting;
                    return Next::Wait;
                }
            }
        }
    }

    /// A head is complete: it decides on what follows.
    fn admit(&mut self, head: Head, framing: Framing, rules: &Rules, now: Instant) {
        self.input.drain(..framing.head_length);
        // A panic on this thread would be the end of all connections.
        let admitted = catch_unwind(AssertUnwindSafe(|| rules.handler.admit(&head)))
            .unwrap_or_else(|_| Err(Response::failed()));
        match admitted {
            Ok(admission) => {
                self.proven |= admission.proven;
                if framing.expects_continue && framing.body_length > 0 {
                    self.output = Output {
                        head: CONTINUE.to_vec(),
                        ..Output::default()
                    };
                }
                let patience = admission.patience;
                let body = State::Body {
                    head,
                    framing,
                    patience,
                };
                self.enter(body, rules.limits.body_time, now);
            }
            Err(refusal) => {
                let mut terms = terms(&head, framing);
                // The body is not read, so the next request cannot be found.
                terms.keep_open &= framing.body_length == 0;
                self.write(refusal, terms, rules, now);
            }
        }
    }

    /// Answers what is no request.
    fn refuse(&mut self, refusal: Response, rules: &Rules, now: Instant) -> Next {
        let terms = Terms {
            without_body: self.input.starts_with(b"HEAD "),
            keep_open: false,
            old: false,
        };
        self.send(refusal, terms, rules, now)
    }

    fn send(&mut self, response: Response, terms: Terms, rules: &Rules, now: Instant) -> Next {
        self.write(response, terms, rules, now);
        self.proceed(rules, now)
    }

    fn write(&mut self, response: Response, mut terms: Terms, rules: &Rules, now: Instant) {
        terms.keep_open &= !rules.closing;
        let (head, body) = response.into_bytes(terms, jiff::Timestamp::now());
        self.output = Output {
            head,
            body,
            sent: 0,
        };
        let keep_open = terms.keep_open;
        self.enter(State::Writing { keep_open }, rules.limits.write_time, now);
    }

    fn enter(&mut self, state: State, time: Duration, now: Instant) {
        self.state = state;
        self.deadline = after(now, time);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Output {
    fn is_pending(&self) -> bool {
        self.sent < self.head.len() + self.body.len()
    }

    /// Writes once, so that a client which reads as fast as it is written to does not keep the others waiting.
    fn write_to(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if !self.is_pending() {
            return Ok(());
        }
        let head = self.head.get(self.sent..).unwrap_or_default();
        let body = &self.body[self.sent.saturating_sub(self.head.len())..];
        self.sent += stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
        if !self.is_pending() {
            *self = Output::default();
        }
        Ok(())
    }
}

fn terms(head: &Head, framing: Framing) -> Terms {
    Terms {
        without_body: head.method == "HEAD",
        keep_open: framing.keep_alive,
        old: framing.old,
    }
}

fn wait_if_temporary(error: &io::Error) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Next::Wait,
        _ => Next::Close,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::http::{Admission, Responder};

    struct Admits;

    impl Handler for Admits {
        fn admit(&self, _: &Head) -> Result<Admission, Response> {
            Ok(Admission {
                patience: Duration::MAX,
                proven: false,
            })
        }

        fn handle(&self, _: Request, _: Responder) {}
    }

    fn pair(rules: &Rules) -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let connection = Connection::new(stream, &rules.limits, Instant::now()).unwrap();
        (client, connection)
    }

    fn rules() -> Rules {
        Rules {
            limits: Limits::default(),
            handler: Arc::new(Admits),
            closing: false,
        }
    }

    #[test]
    fn a_client_that_sends_and_does_not_read_fills_no_memory() {
        let rules = rules();
        let (mut client, mut connection) = pair(&rules);
        client.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        let mut answers = 0;
        while connection.wants() != Wants::Output {
            while client.write(requests.as_bytes()).is_ok() {}
            let mut next = connection.ready(&rules, now);
            while let Next::Answer { number, .. } = next {
                assert_eq!(connection.wants(), Wants::Nothing);
                let response = Response::json(200, vec![b'x'; 10_000]);
                next = connection.answer(number, response, &rules, now);
                answers += 1;
            }
            assert!(matches!(next, Next::Wait));
            assert!(connection.input.capacity() <= 2 * rules.limits.head_bytes);
        }
        assert!(answers > 10);
    }

    #[test]
    fn an_idle_connection_has_no_buffer_and_delays_nothing() {
        let rules = rules();
        let (mut client, mut connection) = pair(&rules);
        assert!(connection.stream.nodelay().unwrap());
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&[b'x'; 50_000]).unwrap();
        let now = Instant::now();
        let number = loop {
            if let Next::Answer { number, request } = connection.ready(&rules, now) {
                assert_eq!(request.body.len(), 50_000);
                break number;
            }
        };
        let next = connection.answer(number, Response::json(200, vec![b'x'; 5000]), &rules, now);
        assert!(matches!(next, Next::Wait));
        assert_eq!(connection.wants(), Wants::Input);
        let Output { head, body, .. } = &connection.output;
        let buffers = [&connection.input, head, body];
        assert_eq!(buffers.map(Vec::capacity), [0, 0, 0]);
    }
}
