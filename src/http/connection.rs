use std::io::{self, ErrorKind, Read};
use std::mem;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::EpollFlags;

use super::head::Framing;
use super::output::Output;
use super::response::{CONTINUE, Reply, Terms};
use super::{Handler, Limits, Request, RequestHead, Response, TurnedAway};

/// Bytes that one connection may read before it is another one's turn.
const READ_BYTES: usize = 16 * 1024;

/// The longest wait. It keeps the computation of deadlines from overflowing.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How long a request that a client has just sent may take to arrive while the server shuts down.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// One connection, from accepting to closing. It never waits itself. Its owner waits for what the connection
/// [`wants`](Connection::wants), until its [`deadline`](Connection::deadline).
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: IpAddr,
    state: ConnectionState,
    deadline: Instant,
    /// What it wanted when its owner last asked.
    wanted: EpollFlags,
    /// Whether a request on it has carried the right key.
    proven: bool,
    /// What the answer to an admitted request is counted as.
    label: Option<&'static str>,
    requests: u64,
    /// Bytes of the request that is being read. Never more than the limits allow for a head or a body.
    input: Vec<u8>,
    output: Output,
}

/// Settings that all connections share.
pub(super) struct Rules {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    /// The server is shutting down: every answer is the last on its connection.
    pub closing: bool,
}

/// The owner's next step after a connection has gone as far as it could.
#[derive(Debug)]
pub(super) enum Next {
    /// Wait for what the connection wants.
    Wait,
    /// Drop the connection.
    Close,
    /// Pass the request to the handler, and wait. The number identifies the request on this connection.
    Answer { number: u64, request: Request },
}

#[derive(Debug)]
enum ConnectionState {
    /// Between requests.
    Idle,
    /// Part of a head has arrived.
    Head,
    /// The request was admitted; its body is not complete yet.
    Body {
        head: RequestHead,
        framing: Framing,
        patience: Duration,
    },
    /// The request was not admitted, and the answer is to be sent later.
    Delaying(Response, Terms),
    /// The handler is at work.
    Answering(Terms),
    /// The answer is being written.
    Writing { keep_open: bool },
    /// Everything is written. Bytes that the client still sends are thrown away. Closing a socket with unread bytes
    /// resets the connection, and the client could lose the answer.
    Lingering,
}

/// The instant `wait` after `now`.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(LONGEST_WAIT)
}

impl Connection {
    /// Takes over an accepted connection. Fails if the socket cannot be configured, or the client has left.
    pub fn new(stream: TcpStream, limits: &Limits, now: Instant) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        // Otherwise the end of an answer waits for the client's acknowledgement of its beginning, which is delayed.
        stream.set_nodelay(true)?;
        Ok(Connection {
            peer: stream.peer_addr()?.ip(),
            stream,
            state: ConnectionState::Idle,
            deadline: after(now, limits.idle_time),
            wanted: EpollFlags::EPOLLIN,
            proven: false,
            label: None,
            requests: 0,
            input: Vec::new(),
            output: Output::default(),
        })
    }

    /// The event it waits for, besides its deadline. Empty while the answer is made or delayed.
    pub fn wants(&self) -> EpollFlags {
        match self.state {
            _ if self.output.is_pending() => EpollFlags::EPOLLOUT,
            ConnectionState::Answering(_) | ConnectionState::Delaying(..) => EpollFlags::empty(),
            _ => EpollFlags::EPOLLIN,
        }
    }

    /// What it wants, if it wanted something else when its owner last asked.
    pub fn take_changed_wants(&mut self) -> Option<EpollFlags> {
        let wants = self.wants();
        (mem::replace(&mut self.wanted, wants) != wants).then_some(wants)
    }

    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// If it is idle and has shown the key: a time by which to compare how long connections have been idle.
    pub fn proven_idle(&self) -> Option<Instant> {
        // All idle connections have the same time limit, so the earliest deadline is the longest wait.
        (self.proven && matches!(self.state, ConnectionState::Idle)).then_some(self.deadline)
    }

    /// Whether it has shown no key and the handler is not at work for it. A client that does not read its answer counts
    /// as expendable: to one that reads, the kernel sends the answer at once.
    pub fn is_expendable(&self) -> bool {
        !self.proven && !matches!(self.state, ConnectionState::Answering(_))
    }

    /// Whether it stays while the server shuts down: a request or an answer is under way, or one may be, because it was not
    /// idle for long. A request gets no more than [`LAST_REQUEST`] to come. Nobody waits for the answer to a wrong key.
    pub fn stays(&mut self, idle_time: Duration, now: Instant) -> bool {
        let is_idle = matches!(self.state, ConnectionState::Idle);
        if is_idle && self.deadline + LAST_REQUEST <= now + idle_time {
            return false;
        }
        if is_idle || matches!(self.state, ConnectionState::Head) {
            self.deadline = self.deadline.min(now + LAST_REQUEST);
        }
        !matches!(self.state, ConnectionState::Delaying(..))
    }

    /// Goes on after its socket became ready or broke.
    pub fn ready(&mut self, rules: &Rules, now: Instant) -> Next {
        match self.wants() {
            EpollFlags::EPOLLOUT => self.proceed(rules, now),
            EpollFlags::EPOLLIN => self.receive(rules, now),
            _ => Next::Close,
        }
    }

    /// Reads what has arrived, although nothing has said so yet: on a busy machine, only this thread may be late.
    pub fn catch_up(&mut self, rules: &Rules, now: Instant) -> Next {
        match self.wants() {
            EpollFlags::EPOLLIN => self.receive(rules, now),
            _ => Next::Wait,
        }
    }

    /// Goes on after its deadline has passed.
    pub fn expire(&mut self, rules: &Rules, now: Instant) -> Next {
        let detail = "The request did not arrive in time.";
        let late = || Response::error(408, "Request Timeout", detail);
        match self.catch_up(rules, now) {
            Next::Wait if self.deadline <= now => {}
            next => return next,
        }
        match &self.state {
            ConnectionState::Answering(terms) => {
                self.send(Response::unavailable(), *terms, rules, now)
            }
            ConnectionState::Delaying(answer, terms) => {
                self.send(answer.clone(), *terms, rules, now)
            }
            ConnectionState::Head if !rules.closing => {
                let terms = self.terms_of_head();
                self.reject(late(), terms, rules, now)
            }
            ConnectionState::Body { framing, .. } if !self.output.is_pending() => {
                let terms = framing.terms;
                self.reject(late(), terms, rules, now)
            }
            _ => Next::Close,
        }
    }

    /// Sends the reply to the request with that number, unless that request has been answered already.
    pub fn answer(&mut self, number: u64, reply: Reply, rules: &Rules, now: Instant) -> Next {
        let ConnectionState::Answering(terms) = self.state else {
            return Next::Wait;
        };
        if number != self.requests {
            return Next::Wait;
        }
        match reply {
            Reply::Response(response) => self.send(response, terms, rules, now),
            Reply::Raw(bytes) => {
                self.write((bytes, Vec::new()), false, rules, now);
                self.proceed(rules, now)
            }
        }
    }

    fn receive(&mut self, rules: &Rules, now: Instant) -> Next {
        let room = match &self.state {
            ConnectionState::Body { framing, .. } => {
                framing.body.most_bytes(&rules.limits) - self.input.len()
            }
            ConnectionState::Lingering => READ_BYTES,
            _ => rules.limits.head_bytes - self.input.len(),
        };
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes[..room.min(READ_BYTES)]) {
            Ok(0) => Next::Close,
            Ok(_) if matches!(self.state, ConnectionState::Lingering) => Next::Wait,
            Ok(length) => {
                self.input.extend_from_slice(&bytes[..length]);
                self.proceed(rules, now)
            }
            Err(error) => wait_if_temporary(&error),
        }
    }

    /// Writes, parses and admits until it has to wait.
    fn proceed(&mut self, rules: &Rules, now: Instant) -> Next {
        loop {
            match self.output.write_to(&mut self.stream) {
                Ok(()) if !self.output.is_pending() => {}
                Ok(()) => return Next::Wait,
                Err(error) => return wait_if_temporary(&error),
            }
            match mem::replace(&mut self.state, ConnectionState::Idle) {
                ConnectionState::Idle if self.input.is_empty() => {
                    // An idle connection keeps no buffer.
                    self.input = Vec::new();
                    return Next::Wait;
                }
                ConnectionState::Idle => {
                    self.enter(ConnectionState::Head, rules.limits.head_time, now);
                }
                ConnectionState::Head => match RequestHead::parse(&self.input, &rules.limits) {
                    Ok(Some((head, framing))) => self.admit(head, framing, rules, now),
                    Ok(None) => {
                        self.state = ConnectionState::Head;
                        return Next::Wait;
                    }
                    Err(answer) => {
                        let terms = self.terms_of_head();
                        return self.reject(answer, terms, rules, now);
                    }
                },
                ConnectionState::Body {
                    head,
                    framing,
                    patience,
                } => return self.take_body(head, framing, patience, rules, now),
                ConnectionState::Writing { keep_open: true } => {
                    self.enter(ConnectionState::Idle, rules.limits.idle_time, now);
                }
                ConnectionState::Writing { keep_open: false } => {
                    if self.stream.shutdown(Shutdown::Write).is_err() {
                        return Next::Close;
                    }
                    self.input = Vec::new();
                    self.enter(ConnectionState::Lingering, rules.limits.linger_time, now);
                }
                waiting @ (ConnectionState::Delaying(..)
                | ConnectionState::Answering(_)
                | ConnectionState::Lingering) => {
                    self.state = waiting;
                    return Next::Wait;
                }
            }
        }
    }

    /// Passes on an admitted request whose body is complete.
    fn take_body(
        &mut self,
        head: RequestHead,
        framing: Framing,
        patience: Duration,
        rules: &Rules,
        now: Instant,
    ) -> Next {
        match framing.body.take(&mut self.input, &rules.limits) {
            Ok(Some(body)) => {
                self.input.shrink_to_fit();
                self.enter(ConnectionState::Answering(framing.terms), patience, now);
                self.requests += 1;
                Next::Answer {
                    number: self.requests,
                    request: Request { head, body },
                }
            }
            Ok(None) => {
                self.state = ConnectionState::Body {
                    head,
                    framing,
                    patience,
                };
                Next::Wait
            }
            Err(answer) => self.reject(answer, framing.terms, rules, now),
        }
    }

    /// Asks the handler about a request whose head is complete.
    fn admit(&mut self, head: RequestHead, framing: Framing, rules: &Rules, now: Instant) {
        self.input.drain(..framing.head_length);
        // A panic on this thread would end all connections.
        let admitted = catch_unwind(AssertUnwindSafe(|| rules.handler.admit(&head, self.peer)))
            .unwrap_or_else(|_| Err(Response::failed()));
        match admitted {
            Ok(admission) => {
                self.proven |= admission.proven;
                self.label = Some(admission.label);
                if framing.expects_continue && framing.body.is_wanted() {
                    self.output = Output {
                        head: CONTINUE.to_vec(),
                        ..Output::default()
                    };
                }
                let patience = admission.patience;
                let body = ConnectionState::Body {
                    head,
                    framing,
                    patience,
                };
                self.enter(body, rules.limits.body_time, now);
            }
            Err(answer) => {
                let mut terms = framing.terms;
                // The body is not read, so the start of the next request is unknown.
                terms.keep_open &= framing.body.is_empty();
                if answer.delay.is_zero() {
                    self.write_response(answer, terms, rules, now);
                } else {
                    let delay = answer.delay;
                    self.enter(ConnectionState::Delaying(answer, terms), delay, now);
                }
            }
        }
    }

    /// The form of the answer to a head that cannot be read.
    fn terms_of_head(&self) -> Terms {
        Terms {
            without_body: self.input.starts_with(b"HEAD "),
            keep_open: false,
            old: false,
        }
    }

    /// Answers bytes that are not a whole request.
    fn reject(&mut self, answer: Response, terms: Terms, rules: &Rules, now: Instant) -> Next {
        rules.handler.turned_away(TurnedAway::Malformed);
        let terms = Terms {
            keep_open: false,
            ..terms
        };
        self.send(answer, terms, rules, now)
    }

    fn send(&mut self, response: Response, terms: Terms, rules: &Rules, now: Instant) -> Next {
        self.write_response(response, terms, rules, now);
        self.proceed(rules, now)
    }

    fn write_response(
        &mut self,
        response: Response,
        mut terms: Terms,
        rules: &Rules,
        now: Instant,
    ) {
        if let Some(label) = self.label.take() {
            rules.handler.answered(label, response.status());
        }
        terms.keep_open &= !rules.closing;
        let bytes = response.into_bytes(terms, jiff::Timestamp::now());
        self.write(bytes, terms.keep_open, rules, now);
    }

    fn write(
        &mut self,
        (head, body): (Vec<u8>, Vec<u8>),
        keep_open: bool,
        rules: &Rules,
        now: Instant,
    ) {
        self.output = Output {
            head,
            body,
            sent: 0,
        };
        self.enter(
            ConnectionState::Writing { keep_open },
            rules.limits.write_time,
            now,
        );
    }

    fn enter(&mut self, state: ConnectionState, time: Duration, now: Instant) {
        self.state = state;
        self.deadline = after(now, time);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn wait_if_temporary(error: &io::Error) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Next::Wait,
        _ => Next::Close,
    }
}

#[cfg(test)]
mod tests;
