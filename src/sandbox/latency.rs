use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

use crate::http::{Responder, Response};
use crate::stop::Stop;

/// Holds every answer back for the same time, without a thread for each.
///
/// Since the time is the same for all, answers are due in the order in which they come in. One queue and one thread are
/// enough. The queue is as bounded as the server's connections, each of which has one request under way at most.
pub(super) struct Latency(Sender<HeldAnswer>);

struct HeldAnswer {
    since: Instant,
    responder: Responder,
    response: Response,
}

impl Latency {
    /// Starts the thread. It ends with this value; a stop ends the waiting.
    pub fn start(latency: Duration, stop: Stop) -> io::Result<Latency> {
        let (queue, held) = unbounded::<HeldAnswer>();
        let send_when_due = move || {
            for answer in held {
                stop.wait(latency.saturating_sub(answer.since.elapsed()));
                answer.responder.answer(answer.response);
            }
        };
        let thread = thread::Builder::new().name("sandbox-latency".to_owned());
        thread.spawn(send_when_due)?;
        Ok(Latency(queue))
    }

    /// Sends the answer when the latency has passed since `since`.
    pub fn answer(&self, since: Instant, responder: Responder, response: Response) {
        // If the thread is gone, the dropped responder answers 500.
        let _ = self.0.send(HeldAnswer {
            since,
            responder,
            response,
        });
    }
}
