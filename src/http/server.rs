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
use super::event_loop::{EventLoop, Job};
use super::mailbox::{Mailbox, Message};
use super::{Handler, Limits, Response};

/// File descriptors that the process asks for. Half of them are connections at most.
const WANTED_DESCRIPTORS: u64 = 8192;

/// A server that runs. Dropping it shuts it down without grace.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    mailbox: Mailbox,
    event_loop: Option<JoinHandle<()>>,
    answering: Vec<JoinHandle<()>>,
    /// Disconnected when no answering thread is left.
    answered: Receiver<()>,
}

impl Server {
    /// Listens on that address, and serves at once. Port 0 chooses a free one.
    ///
    /// Raises the process's soft limit on open files towards the hard one.
    ///
    /// An error is the system's: the address cannot be listened on, or there are no descriptors or threads left.
    pub fn start(
        address: SocketAddr,
        mut limits: Limits,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // std lets 128 clients wait to be accepted. A crowd that comes at once would be told nothing, and try again a
        // second later, and so would the good client behind it.
        listen(&listener, Backlog::MAXCONN)?;
        let half = usize::try_from(raise_descriptor_limit()? / 2).unwrap_or(usize::MAX);
        limits.connections = limits.connections.min(half);

        let (mailbox, inbox) = Mailbox::new()?;
        let (done, answered) = bounded(0);
        // As long as patience lasts, each connection has one request at most.
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
        let event_loop = EventLoop::new(rules, listener, (mailbox, inbox), jobs);
        let thread = thread::Builder::new().name("listener".to_owned());
        server.event_loop = Some(thread.spawn(move || event_loop.run())?);
        Ok(server)
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes the connections that have no request under way, and gives the others that long to get
    /// their answers. A handler that takes longer is left alone: its thread ends when it returns.
    pub fn shut_down(mut self, grace: Duration) {
        self.end(grace);
    }

    fn end(&mut self, grace: Duration) {
        let end = after(Instant::now(), grace);
        self.mailbox.leave(Message::ShutDown(end));
        if let Some(event_loop) = self.event_loop.take() {
            // A panic has been reported by its own thread.
            let _ = event_loop.join();
        }
        // The end of the event loop is the end of the queue.
        if self.answered.recv_deadline(end) == Err(RecvTimeoutError::Disconnected) {
            for answering in self.answering.drain(..) {
                let _ = answering.join();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Answers requests until there are no more. `done` is dropped at the end, which tells the server.
fn answer_all(queue: &Receiver<Job>, handler: &dyn Handler, done: Sender<()>) {
    for job in queue {
        let Job {
            request,
            responder,
            answer_by,
        } = job;
        if answer_by <= Instant::now() {
            // What nobody waits for any more had better not be done.
            responder.answer(Response::unavailable());
            continue;
        }
        let answer = AssertUnwindSafe(|| handler.handle(request, responder));
        // The panic has been reported, and the responder has answered.
        let _ = catch_unwind(answer);
    }
    drop(done);
}

/// Gives the soft limit on open files, which is raised if it can be.
fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(WANTED_DESCRIPTORS);
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
        return Ok(soft);
    }
    Ok(wanted)
}
