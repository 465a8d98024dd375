use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

/// An answer on its way to the client.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// Bytes of both that are written.
    pub sent: usize,
}

impl Output {
    /// Whether anything is still to be written.
    pub fn is_pending(&self) -> bool {
        self.sent < self.head.len() + self.body.len()
    }

    /// Writes once. A loop would keep the other connections waiting while a fast client reads a large answer.
    pub fn write_to(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if !self.is_pending() {
            return Ok(());
        }
        let head = self.head.get(self.sent..).unwrap_or_default();
        let body = &self.body[self.sent.saturating_sub(self.head.len())..];
        self.sent += stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
        if !self.is_pending() {
            *self = Output::default();
        }
        Ok(())
    }
}
