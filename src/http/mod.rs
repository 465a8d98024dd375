//! An HTTP/1.1 server that is safe to expose to a network: strict, small, and without a thread per connection.
//!
//! One thread, the event loop, owns every socket and waits for all of them at once, with epoll. It accepts connections, reads
//! requests, writes answers and enforces deadlines. It never blocks on a client. A few answering threads run the
//! [`Handler`]. The handler answers at once, or keeps its [`Responder`] and answers later from any thread.
//!
//! ```text
//!             bytes                  Request, Responder
//!   clients ────────► event loop ────────────────────────► answering threads ──► Handler
//!           ◄────────     ▲                                                         │
//!             bytes       └───────────────── mailbox: answers ◄─────────────────────┘
//! ```
//!
//! An idle or half-open connection costs one descriptor and a few hundred bytes. A slow, silent or hostile client delays
//! nobody else:
//!
//! * Every wait for a client has a deadline, counted from the start of the wait. Trickling bytes do not extend it
//!   ([`Limits`]).
//! * A connection has one request under way at a time and reads nothing meanwhile, so no queue grows.
//! * If there are too many connections, those that have not shown the right key are closed first.
//! * An ambiguous request is rejected: two lengths, two hosts, a length beside a transfer coding.
//!
//! | file | contents |
//! |---|---|
//! | `head` | the head of a request: parsing and checks |
//! | `body` | the end of its body: a length, or chunks |
//! | `response` | an answer and its bytes |
//! | `connection` | one connection as a state machine that never waits |
//! | `output` | what it still has to write |
//! | `responder` | the handler's way to answer |
//! | `mailbox` | the channel from the responders to the event loop |
//! | `event_loop` | the thread that waits, and the choice of connections to close |
//! | `server` | starting and stopping the threads |

mod body;
mod connection;
mod event_loop;
mod head;
mod mailbox;
mod output;
mod responder;
mod response;
mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

pub use head::RequestHead;
pub use responder::Responder;
pub use response::Response;
pub use server::Server;

/// A complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The head.
    pub head: RequestHead,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

/// The handler's decision about a request, made when its head is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// If the handler takes longer than this, the server answers 503 in its place.
    pub patience: Duration,
    /// The request carried the right key. Its connection is among the last to be closed if there are too many.
    pub proven: bool,
    /// What its answer is counted as.
    pub label: &'static str,
}

/// Why a client is turned away before the handler hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// There are too many connections.
    Limit,
    /// What it sends is not a request, or does not come to its end.
    Malformed,
}

/// Answers the requests of a [`Server`].
///
/// Answer a `HEAD` request like a `GET`: the server omits the body.
pub trait Handler: Send + Sync + 'static {
    /// Decides about a request whose head is complete and well formed. Runs on the event loop, so it must not block.
    ///
    /// `peer` is the address of the client, or of a proxy before it. An error is sent as the answer; the body is not read.
    fn admit(&self, head: &RequestHead, peer: IpAddr) -> Result<Admission, Response>;

    /// Answers an admitted request, now or later. Runs on an answering thread.
    ///
    /// If the responder is dropped or this panics, the answer is a 500. A request whose patience ran out before a
    /// thread was free is never handled.
    fn handle(&self, request: Request, responder: Responder);

    /// The answer to an admitted request is being sent. Runs on the event loop, as what follows.
    fn answered(&self, _label: &'static str, _status: u16) {}

    /// A client was turned away.
    fn turned_away(&self, _reason: TurnedAway) {}

    /// So many connections are open now.
    fn has_connections(&self, _open: usize) {}
}

/// The limits on clients. Each time counts from the start of the phase that it limits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Simultaneous connections. The server lowers this to half of the process's limit on open files.
    pub connections: usize,
    /// Bytes of a request's head, including the empty line.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// From the first byte of a request to the end of its head.
    pub head_time: Duration,
    /// From the end of the head to the end of the body.
    pub body_time: Duration,
    /// From an answer, or from accepting the connection, to the first byte of the next request.
    pub idle_time: Duration,
    /// From the first byte of an answer to the last one.
    pub write_time: Duration,
    /// From the last byte of a connection's last answer until the connection is closed. The client needs this time to
    /// read the answer.
    pub linger_time: Duration,
    /// Number of threads that run the handler.
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
            // Formance's client, Go's net/http, closes idle connections after 90 s. The client has to close first: a
            // server that closes may cut off a request that is already under way.
            idle_time: Duration::from_secs(120),
            write_time: Duration::from_secs(30),
            linger_time: Duration::from_secs(2),
            answering_threads: 4,
        }
    }
}
