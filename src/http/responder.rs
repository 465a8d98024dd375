use super::Response;
use super::mailbox::{Destination, Mailbox, Message};

/// Answers one request, from any thread, now or later. Dropped without an answer, it answers 500.
///
/// An answer comes too late, and is dropped, when the connection is gone or the handler's patience ran out.
#[derive(Debug)]
pub struct Responder {
    mailbox: Mailbox,
    destination: Destination,
    response: Option<Response>,
}

impl Responder {
    pub(super) fn new(mailbox: Mailbox, destination: Destination) -> Responder {
        Responder {
            mailbox,
            destination,
            response: None,
        }
    }

    /// Answers the request.
    pub fn answer(mut self, response: Response) {
        self.response = Some(response);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let response = self.response.take().unwrap_or_else(Response::failed);
        let message = Message::Answer(self.destination, response);
        self.mailbox.leave(message);
    }
}
