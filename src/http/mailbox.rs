use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Response;

/// What the event loop is told by other threads.
#[derive(Debug)]
pub(super) enum Message {
    /// The answer to a request.
    Answer(Destination, Response),
    /// Stop, and be done at that time.
    ShutDown(Instant),
}

/// The request that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    /// The number of the connection; no two have the same.
    pub connection: u64,
    /// The number of the request on its connection.
    pub request: u64,
}

/// Where messages to the event loop are left.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    sender: Sender<Message>,
    bell: Arc<EventFd>,
}

/// Where the event loop finds them. Its descriptor becomes readable when there is a message.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Receiver<Message>,
    bell: Arc<EventFd>,
}

impl Mailbox {
    /// The two ends. An error if there are no descriptors left.
    pub fn new() -> io::Result<(Mailbox, Inbox)> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (sender, messages) = unbounded();
        let inbox = Inbox {
            messages,
            bell: bell.clone(),
        };
        Ok((Mailbox { sender, bell }, inbox))
    }

    /// Leaves the message. Nobody reads it if the server has stopped.
    pub fn leave(&self, message: Message) {
        if self.sender.send(message).is_ok() {
            // It can fail only when it has rung 2^64 times without being heard: it rings.
            let _ = self.bell.write(1);
        }
    }
}

impl Inbox {
    /// The messages that are there. A later one makes the descriptor readable again.
    pub fn take(&self) -> Vec<Message> {
        // Silenced first: a message that comes in between is announced once too often, not once too rarely. It can
        // fail only when it does not ring.
        let _ = self.bell.read();
        self.messages.try_iter().collect()
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
