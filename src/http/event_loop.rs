use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::connection::{Connection, Next, Rules};
use super::mailbox::{Destination, Inbox, Mailbox, Message};
use super::{Request, Responder, Response, TurnedAway};

/// Connections that are accepted in a row before the existing ones get their turn.
const ACCEPTED_AT_ONCE: usize = 64;

/// Pause in accepting after the system ran out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// The least time between two log lines about that.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Sockets that are handled in a row before the messages get their turn.
const READY_AT_ONCE: usize = 256;

/// The epoll data of the inbox and of the listener. That of a connection is its number.
const INBOX: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// A request on its way to an answering thread.
pub(super) struct AnswerJob {
    pub request: Request,
    pub responder: Responder,
    /// When the client gets a 503 instead.
    pub answer_by: Instant,
}

/// The state of the thread that waits for every socket.
pub(super) struct EventLoop {
    rules: Rules,
    /// What is waited for.
    watched: Epoll,
    /// None during shutdown.
    listener: Option<TcpListener>,
    inbox: Inbox,
    mailbox: Mailbox,
    jobs: Sender<AnswerJob>,
    /// By number, so the oldest comes first.
    connections: BTreeMap<u64, Connection>,
    accepted: u64,
    /// When to accept again after the system ran out of descriptors or memory.
    rests_until: Option<Instant>,
    complained_at: Option<Instant>,
    /// The end of the grace, set during shutdown.
    ends_at: Option<Instant>,
}

#[derive(Default)]
struct Ready {
    listener: bool,
    connections: Vec<u64>,
}

impl EventLoop {
    /// Serves the clients of a non-blocking listener. Sends their requests to `jobs`. Fails if the process has no descriptors
    /// left.
    pub fn new(
        rules: Rules,
        listener: TcpListener,
        (mailbox, inbox): (Mailbox, Inbox),
        jobs: Sender<AnswerJob>,
    ) -> io::Result<EventLoop> {
        let watched = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
        watched
            .add(&inbox, readable(INBOX))
            .and_then(|()| watched.add(&listener, readable(LISTENER)))
            .map_err(unwatched)?;
        Ok(EventLoop {
            rules,
            watched,
            listener: Some(listener),
            inbox,
            mailbox,
            jobs,
            connections: BTreeMap::new(),
            accepted: 0,
            rests_until: None,
            complained_at: None,
            ends_at: None,
        })
    }

    /// Serves until a message asks it to shut down.
    pub fn run(mut self) {
        while !self.is_done() {
            match self.wait() {
                Ok(ready) => self.turn(&ready),
                Err(Errno::EINTR) => {}
                Err(error) => {
                    self.complain("wait for its connections", &error.into());
                    std::thread::sleep(REST);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.ends_at
            .is_some_and(|end| self.connections.is_empty() || end <= Instant::now())
    }

    /// Waits until a socket is ready, a message arrives or a deadline passes.
    fn wait(&self) -> Result<Ready, Errno> {
        let deadlines = self.connections.values().map(Connection::deadline);
        let others = [self.rests_until, self.ends_at].into_iter().flatten();
        let timeout = deadlines
            .chain(others)
            .min()
            .map_or(EpollTimeout::NONE, |nearest| {
                // epoll counts whole milliseconds. Rounding down would wake the loop repeatedly just before the deadline.
                let wait =
                    nearest.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
            });
        let mut events = [EpollEvent::empty(); READY_AT_ONCE];
        let count = self.watched.wait(&mut events, timeout)?;
        let mut ready = Ready::default();
        for event in &events[..count] {
            match event.data() {
                INBOX => {}
                LISTENER => ready.listener = true,
                number => ready.connections.push(number),
            }
        }
        Ok(ready)
    }

    /// Handles everything that is ready, without waiting.
    fn turn(&mut self, ready: &Ready) {
        let now = Instant::now();
        // First, while each connection is still in the state that the wait was for.
        for &number in &ready.connections {
            self.advance(number, |connection, rules| connection.ready(rules, now));
        }
        for message in self.inbox.take() {
            match message {
                Message::Answer(to, reply) => self.advance(to.connection, |connection, rules| {
                    connection.answer(to.request, reply, rules, now)
                }),
                Message::ShutDown(end) => self.shut_down(end, now),
            }
        }
        let connections = self.connections.iter();
        let expired: Vec<u64> = connections
            .filter(|(_, connection)| connection.deadline() <= now)
            .map(|(&number, _)| number)
            .collect();
        for number in expired {
            self.advance(number, |connection, rules| connection.expire(rules, now));
        }
        if self.rests_until.is_some_and(|end| end <= now) {
            self.go_on_accepting(now);
        }
        if ready.listener {
            self.accept(now);
        }
        let open = self.connections.len();
        self.rules.handler.has_connections(open);
    }

    fn shut_down(&mut self, end: Instant, now: Instant) {
        self.ends_at = Some(end);
        self.rules.closing = true;
        self.leave_listener();
        self.listener = None;
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            self.advance(number, |connection, rules| connection.catch_up(rules, now));
        }
        let idle_time = self.rules.limits.idle_time;
        self.connections
            .retain(|_, connection| connection.stays(idle_time, now));
    }

    fn advance(&mut self, number: u64, go_on: impl FnOnce(&mut Connection, &Rules) -> Next) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        match go_on(connection, &self.rules) {
            Next::Wait => {}
            Next::Close => {
                self.connections.remove(&number);
                return;
            }
            Next::Answer {
                number: nth,
                request,
            } => {
                let destination = Destination {
                    connection: number,
                    request: nth,
                };
                let gzip = request.head.accepts_gzip;
                let job = AnswerJob {
                    request,
                    responder: Responder::new(self.mailbox.clone(), destination, gzip),
                    answer_by: connection.deadline(),
                };
                // A full queue holds requests whose clients already have their 503.
                if let Err(full) = self.jobs.try_send(job) {
                    full.into_inner().responder.answer(Response::unavailable());
                }
            }
        }
        if let Some(wants) = connection.take_changed_wants() {
            let mut event = EpollEvent::new(wants, number);
            if let Err(error) = self.watched.modify(&*connection, &mut event) {
                self.connections.remove(&number);
                self.complain("wait for its connections", &unwatched(error));
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = &self.listener else {
                return;
            };
            let accepted = match listener.accept() {
                Ok((stream, _)) => match Connection::new(stream, &self.rules.limits, now) {
                    Ok(connection) => self.add(connection),
                    // This client has already left.
                    Err(_) => continue,
                },
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => return self.rest(&error, now),
                }
            }
        }
    }

    /// Accepts no connections for a short time: most likely the process has no descriptors left, or the system no memory.
    fn rest(&mut self, error: &io::Error, now: Instant) {
        self.complain("accept a connection", error);
        self.close_oldest_expendable();
        self.leave_listener();
        self.rests_until = Some(now + REST);
    }

    /// Adds the connection. If there are too many, closes another one, or else this one.
    fn add(&mut self, connection: Connection) -> io::Result<()> {
        let number = self.accepted + 1;
        let event = EpollEvent::new(connection.wants(), number);
        self.watched.add(&connection, event).map_err(unwatched)?;
        let is_full = self.connections.len() >= self.rules.limits.connections;
        if is_full {
            self.rules.handler.turned_away(TurnedAway::Limit);
        }
        if is_full && !self.close_oldest_expendable() && !self.close_longest_idle() {
            return Ok(());
        }
        self.accepted = number;
        self.connections.insert(number, connection);
        Ok(())
    }

    /// Waits for connections again.
    fn go_on_accepting(&mut self, now: Instant) {
        self.rests_until = None;
        let Some(listener) = &self.listener else {
            return;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        if let Err(error) = self.watched.add(listener, event) {
            self.rest(&unwatched(error), now);
        }
    }

    /// Waits for no more connections. It is not enough to close the listener: while others have it, its events would go on.
    fn leave_listener(&self) {
        if let Some(listener) = &self.listener {
            // It fails only during a rest, and then nothing waits for it.
            let _ = self.watched.delete(listener);
        }
    }

    /// Returns false if every connection has shown the key or is being answered.
    fn close_oldest_expendable(&mut self) -> bool {
        let mut connections = self.connections.iter();
        let found = connections.find(|(_, connection)| connection.is_expendable());
        let found = found.map(|(&number, _)| number);
        found.is_some_and(|number| self.connections.remove(&number).is_some())
    }

    /// Returns false if none of the connections that have shown the key is idle.
    fn close_longest_idle(&mut self) -> bool {
        let connections = self.connections.iter();
        let idle = connections
            .filter_map(|(&number, connection)| Some((connection.proven_idle()?, number)));
        idle.min()
            .is_some_and(|(_, number)| self.connections.remove(&number).is_some())
    }

    fn complain(&mut self, about: &str, error: &io::Error) {
        let now = Instant::now();
        let is_due = |at: Instant| now.duration_since(at) >= COMPLAINT_INTERVAL;
        if self.complained_at.is_none_or(is_due) {
            self.complained_at = Some(now);
            log::warn!(
                "the listener cannot {about}: {error}; retrying. If this continues, raise the limit on open files \
                 (LimitNOFILE), or the memory"
            );
        }
    }
}

/// Why a socket is not watched. The system calls its limit on them a full device.
fn unwatched(error: Errno) -> io::Error {
    match error {
        Errno::ENOSPC => io::Error::other(
            "this user's limit on watched sockets is reached (sysctl fs.epoll.max_user_watches)",
        ),
        error => error.into(),
    }
}
