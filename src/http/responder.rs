use super::Response;
use super::mailbox::{Destination, Mailbox, Message};
use super::response::Reply;

/// Answers one request, from any thread, now or later. If it is dropped without an answer, the answer is a 500.
///
/// An answer that comes too late is dropped: the connection is gone, or the handler's patience ran out.
#[derive(Debug)]
pub struct Responder {
    mailbox: Mailbox,
    destination: Destination,
    /// Whether the answer may be compressed.
    gzip: bool,
    reply: Option<Reply>,
}

impl Responder {
    pub(super) fn new(mailbox: Mailbox, destination: Destination, gzip: bool) -> Responder {
        Responder {
            mailbox,
            destination,
            gzip,
            reply: None,
        }
    }

    /// Answers the request.
    pub fn answer(mut self, response: Response) {
        // Here, and not on the event loop: it takes time.
        let response = if self.gzip {
            response.compressed()
        } else {
            response
        };
        self.reply = Some(Reply::Response(response));
    }

    /// Writes these bytes as they are, then ends the connection. Without bytes it only ends the connection.
    ///
    /// This is how a test service breaks the protocol on purpose: a body that is cut short, a false `Content-Length`, a
    /// connection that is closed without an answer.
    pub fn answer_raw(mut self, bytes: Vec<u8>) {
        self.reply = Some(Reply::Raw(bytes));
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let reply = self.reply.take();
        let reply = reply.unwrap_or_else(|| Reply::Response(Response::failed()));
        self.mailbox.leave(Message::Answer(self.destination, reply));
    }
}
