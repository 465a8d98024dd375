//! An HTTP/1.1 server that faces a network: strict, small, and without a thread for each connection.
//!
//! One thread owns every socket and waits for all of them in one `poll`. It accepts, reads heads and bodies, writes
//! answers and keeps the deadlines, and never blocks on a client. A few answering threads run the [`Handler`], which
//! may hand its [`Responder`] on and have the answer sent later, from any thread.
//!
//! ```text
//!             bytes                  Request, Responder
//!   clients ────────► event loop ────────────────────────► answering threads ──► Handler
//!           ◄────────     ▲                                                         │
//!             bytes       └───────────────── mailbox: answers ◄─────────────────────┘
//! ```
//!
//! So an idle or half-open connection costs a descriptor and a few hundred bytes, and a client that is slow, silent or
//! hostile holds nothing that another one waits for:
//!
//! * Every wait for a client has a deadline from its beginning, however many bytes trickle in meanwhile ([`Limits`]).
//! * One request of a connection is answered at a time, and nothing is read meanwhile: no queue grows.
//! * When there are too many connections, those that have not shown the right key make room first.
//! * What is ambiguous is refused: two lengths, two hosts, a length beside a transfer coding.
//!
//! | file | what it is |
//! |---|---|
//! | `head` | the bytes of a request's head, parsed and checked |
//! | `response` | an answer, and its bytes |
//! | `connection` | one connection from the first byte to the last, without the waiting |
//! | `responder` | what a handler answers through |
//! | `mailbox` | how that gets to the event loop |
//! | `event_loop` | the one thread that waits, and who makes room for whom |
//! | `server` | starting and stopping the threads |

mod connection;
mod event_loop;
mod head;
mod mailbox;
mod responder;
mod response;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use head::Head;
pub use responder::Responder;
pub use response::Response;
pub use server::Server;

/// A request that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// Its body; empty if it has none.
    pub body: Vec<u8>,
}

/// What is decided as soon as a head is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// How long the handler may take before the request is answered 503 in its place.
    pub patience: Duration,
    /// The request carried the right key: its connection is the last to be closed when there are too many.
    pub proven: bool,
}

/// What is served.
///
/// A `HEAD` request is to be answered as a `GET` is: the server leaves the body out.
pub trait Handler: Send + Sync + 'static {
    /// Called once a head is complete and well formed. It runs on the thread that serves everybody: it must not block.
    ///
    /// An error is sent as the answer, and the body is not read.
    fn admit(&self, head: &Head) -> Result<Admission, Response>;

    /// Called on an answering thread with an admitted request. It may answer now or later.
    ///
    /// Dropping the responder, or a panic, answers 500. A request whose patience ran out before a thread was free for
    /// it does not get here.
    fn handle(&self, request: Request, responder: Responder);
}

/// What a client may take of the server. Each time runs from the beginning of what it limits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time. Never more than half of the file descriptors that the process may open.
    pub connections: usize,
    /// Bytes of a head, from the request line to the empty line.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// From the first byte of a request to the end of its head.
    pub head_time: Duration,
    /// From the end of the head to the end of the body.
    pub body_time: Duration,
    /// From one answer to the next request, or from the beginning of the connection to its first byte.
    pub idle_time: Duration,
    /// From the first byte of an answer to the last one.
    pub write_time: Duration,
    /// From the last byte of the last answer to the end of the connection: the time that a client has to read it.
    pub linger_time: Duration,
    /// Threads that run the handler.
    pub answering_threads: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            head_bytes: 8 * 1024,
            body_bytes: 64 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            // Formance's client keeps its idle connections for 90 s. It has to be the one that closes them: a server
            // that does may meet a request that is under way.
            idle_time: Duration::from_secs(120),
            write_time: Duration::from_secs(30),
            linger_time: Duration::from_secs(2),
            answering_threads: 4,
        }
    }
}
