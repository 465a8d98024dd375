use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::response::Reply;

/// A message from another thread to the event loop.
#[derive(Debug)]
pub(super) enum Message {
    /// The answer to a request.
    Answer(Destination, Reply),
    /// Shut down, and end at that time at the latest.
    ShutDown(Instant),
}

/// The request that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    /// The number of the connection; unique within the server.
    pub connection: u64,
    /// The number of the request on its connection.
    pub request: u64,
}

/// The sending end. Any thread may clone and use it.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    sender: Sender<Message>,
    bell: Arc<EventFd>,
}

/// The event loop's end. Its descriptor is readable while there are messages.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Receiver<Message>,
    bell: Arc<EventFd>,
}

impl Mailbox {
    /// Makes both ends. Fails if the process has no descriptors left.
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

    /// Sends a message. It is lost if the server has stopped.
    pub fn leave(&self, message: Message) {
        if self.sender.send(message).is_ok() {
            // This fails only if the counter is at its maximum, and then the bell rings already.
            let _ = self.bell.write(1);
        }
    }
}

impl Inbox {
    /// Takes the messages that have arrived. Later ones make the descriptor readable again.
    pub fn take(&self) -> Vec<Message> {
        // Reset the bell first: a message that arrives in between wakes the loop once too often rather than never. The
        // read fails only if the bell does not ring.
        let _ = self.bell.read();
        self.messages.try_iter().collect()
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
