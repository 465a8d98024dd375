use std::io::Read;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ureq::{Body, Error, Timeout};

use super::coding::DecodedBody;

/// Bytes. A body that is longer waits until no other one of this kind is in memory.
const LARGE: u64 = 1 << 20;

/// Lets one large body at a time into memory, however many requests are in flight.
#[derive(Debug)]
pub(super) struct LargeBodies {
    permits: Receiver<()>,
    returned: Sender<()>,
}

/// The permit to keep a large body, or what was made of it, in memory. Dropping it lets the next one in.
#[derive(Debug)]
pub struct LargeBody(Sender<()>);

impl LargeBodies {
    pub fn new() -> LargeBodies {
        let (returned, permits) = bounded(1);
        let bodies = LargeBodies { permits, returned };
        drop(LargeBody(bodies.returned.clone()));
        bodies
    }

    /// Reads a body of at most `limit` bytes after decompression, and waits for at most `patience` if it is large. `coding`
    /// is its `Content-Encoding`.
    pub fn read(
        &self,
        body: &mut Body,
        coding: &str,
        limit: u64,
        patience: Duration,
    ) -> Result<(Vec<u8>, Option<LargeBody>), Error> {
        let body = body.with_config().limit(u64::MAX).reader();
        // One byte more shows that it is too long.
        let mut reader = DecodedBody::new(body, coding)?.take(limit.saturating_add(1));
        let mut bytes = Vec::new();
        reader.by_ref().take(LARGE).read_to_end(&mut bytes)?;
        let permit = match bytes.len() as u64 {
            LARGE.. => Some(self.wait(patience)?),
            _ => None,
        };
        reader.read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(Error::BodyExceedsLimit(limit));
        }
        Ok((bytes, permit))
    }

    fn wait(&self, patience: Duration) -> Result<LargeBody, Error> {
        match self.permits.recv_timeout(patience) {
            Ok(()) => Ok(LargeBody(self.returned.clone())),
            Err(_) => Err(Error::Timeout(Timeout::Global)),
        }
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        // There is room: the permit that this one is was taken out.
        let _ = self.0.try_send(());
    }
}
