use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::{Connection, Next, Rules};
use super::mailbox::{Destination, Inbox, Mailbox, Message};
use super::{Request, Responder, Response, TurnedAway};

/// Connections that are accepted in a row before the existing ones get their turn.
const ACCEPTED_AT_ONCE: usize = 64;

/// Pause in accepting after the system ran out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// The least time between two log lines about that.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

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

struct Ready {
    listener: bool,
    connections: Vec<u64>,
}

impl EventLoop {
    /// Serves the clients of a non-blocking listener. Sends their requests to `jobs`.
    pub fn new(
        rules: Rules,
        listener: TcpListener,
        (mailbox, inbox): (Mailbox, Inbox),
        jobs: Sender<AnswerJob>,
    ) -> EventLoop {
        EventLoop {
            rules,
            listener: Some(listener),
            inbox,
            mailbox,
            jobs,
            connections: BTreeMap::new(),
            accepted: 0,
            rests_until: None,
            complained_at: None,
            ends_at: None,
        }
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
        let listener = self
            .listener
            .as_ref()
            .filter(|_| self.rests_until.is_none());
        let mut polled = Vec::with_capacity(self.connections.len() + 2);
        polled.push(PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN));
        let mut nearest = [self.rests_until, self.ends_at].into_iter().flatten().min();
        for connection in self.connections.values() {
            polled.push(PollFd::new(connection.as_fd(), connection.wants()));
            let deadline = connection.deadline();
            nearest = Some(nearest.map_or(deadline, |nearest| nearest.min(deadline)));
        }
        polled.extend(listener.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        let timeout = nearest.map_or(PollTimeout::NONE, |nearest| {
            // poll counts whole milliseconds. Rounding down would wake the loop repeatedly just before the deadline.
            let wait = nearest.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut polled, timeout)?;

        // An event that nix does not know counts as ready: the next read or write finds out what it is.
        let is_ready = |polled: &PollFd| polled.any() != Some(false);
        let connections = self.connections.keys().zip(&polled[1..]);
        Ok(Ready {
            listener: listener.is_some() && polled.last().is_some_and(is_ready),
            connections: connections
                .filter(|(_, polled)| is_ready(polled))
                .map(|(&number, _)| number)
                .collect(),
        })
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
        self.rests_until = self.rests_until.filter(|&end| end > now);
        if ready.listener {
            self.accept(now);
        }
        let open = self.connections.len();
        self.rules.handler.has_connections(open);
    }

    fn shut_down(&mut self, end: Instant, now: Instant) {
        self.ends_at = Some(end);
        self.rules.closing = true;
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
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Ok(connection) = Connection::new(stream, &self.rules.limits, now) {
                        self.add(connection);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    // This client has already left.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        // Most likely the process has no descriptors left, or the system no memory.
                        self.complain("accept a connection", &error);
                        self.close_oldest_expendable();
                        self.rests_until = Some(now + REST);
                        return;
                    }
                },
            }
        }
    }

    /// Adds the connection. If there are too many, closes another one, or else this one.
    fn add(&mut self, connection: Connection) {
        let is_full = self.connections.len() >= self.rules.limits.connections;
        if is_full {
            self.rules.handler.turned_away(TurnedAway::Limit);
        }
        if is_full && !self.close_oldest_expendable() && !self.close_longest_idle() {
            return;
        }
        self.accepted += 1;
        self.connections.insert(self.accepted, connection);
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
