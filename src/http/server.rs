use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{Backlog, listen};

use super::connection::{Rules, after};
use super::event_loop::{AnswerJob, EventLoop};
use super::mailbox::{Mailbox, Message};
use super::{Handler, Limits, Response};

/// Open files that the process asks the system for. At most half of them are connections.
const WANTED_DESCRIPTORS: u64 = 8192;

/// A running server. Dropping it shuts it down without grace.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    mailbox: Mailbox,
    event_loop: Option<JoinHandle<()>>,
    answering: Vec<JoinHandle<()>>,
    /// Disconnected when the last answering thread ends.
    answered: Receiver<()>,
}

impl Server {
    /// Listens on the address and serves at once. Port 0 chooses a free port.
    ///
    /// Raises the process's soft limit on open files towards the hard one.
    ///
    /// Fails if the system does: the address is not available, or there are no descriptors or threads left.
    pub fn start(
        address: SocketAddr,
        limits: Limits,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Server> {
        Server::on(TcpListener::bind(address)?, limits, handler)
    }

    /// As [`start`](Server::start), at a socket that listens already. Others may have the same socket: it is never shut
    /// down, only closed here.
    pub fn on(
        listener: TcpListener,
        mut limits: Limits,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        // std's backlog is 128 connections. If more clients connect at once, Linux drops their SYNs without an answer,
        // and they retry a second later.
        listen(&listener, Backlog::MAXCONN)?;
        let half = usize::try_from(raise_descriptor_limit()? / 2).unwrap_or(usize::MAX);
        limits.connections = limits.connections.min(half);

        let (mailbox, inbox) = Mailbox::new()?;
        let (done, answered) = bounded(0);
        // Each connection has at most one request whose patience still lasts.
        let (jobs, queue) = bounded(limits.connections);
        let mut server = Server {
            address: listener.local_addr()?,
            mailbox: mailbox.clone(),
            event_loop: None,
            answering: Vec::new(),
            answered,
        };
        for _ in 0..limits.answering_threads {
            let (queue, handler, done) = (queue.clone(), handler.clone(), done.clone());
            let answering = thread::Builder::new().name("answering".to_owned());
            let answering = answering.spawn(move || answer_all(&queue, &*handler, done))?;
            server.answering.push(answering);
        }
        let rules = Rules {
            limits,
            handler,
            closing: false,
        };
        let event_loop = EventLoop::new(rules, listener, (mailbox, inbox), jobs)?;
        let thread = thread::Builder::new().name("listener".to_owned());
        server.event_loop = Some(thread.spawn(move || event_loop.run())?);
        Ok(server)
    }

    /// The address it listens on, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes the connections that have been idle for a while, and waits until the others have their
    /// answers, up to `grace`. The thread of a handler that takes longer ends when the handler returns.
    pub fn shut_down(&mut self, grace: Duration) {
        let end = after(Instant::now(), grace);
        self.mailbox.leave(Message::ShutDown(end));
        if let Some(event_loop) = self.event_loop.take() {
            // A panic has already been printed.
            let _ = event_loop.join();
        }
        // The queue ends with the event loop.
        if self.answered.recv_deadline(end) == Err(RecvTimeoutError::Disconnected) {
            for answering in self.answering.drain(..) {
                let _ = answering.join();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down(Duration::ZERO);
    }
}

/// Answers requests until the queue ends. Dropping `done` reports that to the server.
fn answer_all(queue: &Receiver<AnswerJob>, handler: &dyn Handler, done: Sender<()>) {
    for job in queue {
        let AnswerJob {
            request,
            responder,
            answer_by,
        } = job;
        if answer_by <= Instant::now() {
            // The client has already been sent a 503.
            responder.answer(Response::unavailable());
            continue;
        }
        let answer = AssertUnwindSafe(|| handler.handle(request, responder));
        // A panic has been printed, and the dropped responder has answered.
        let _ = catch_unwind(answer);
    }
    drop(done);
}

/// Raises the soft limit on open files if possible, and returns it.
fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(WANTED_DESCRIPTORS);
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
        return Ok(soft);
    }
    Ok(wanted)
}
