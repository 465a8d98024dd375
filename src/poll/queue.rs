use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, unbounded};

use super::{Error, PollReport};

/// A poll that is asked for begins at least this long after the one before it ended.
const LEAST_REST: Duration = Duration::from_millis(100);

/// The service rests as long as the poll took, but no longer than this: a client that asks without pause keeps it busy
/// for half of the time.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Requests that may wait for a poll. Each of them holds a connection, and the lists need some, too.
const MOST_WAITERS: usize = 256;

/// What can be asked of the loop while it runs.
pub enum Ask {
    /// To poll now. While a poll runs, one more is remembered.
    Poll(Option<Waiter>),
    /// To sweep as soon as no poll runs.
    Sweep,
    /// To call this, which shows that the loop is alive.
    Alive(Box<dyn FnOnce() + Send>),
}

/// Called when a poll has ended that began after it was asked for, or with the reason why there is none.
pub type Waiter = Box<dyn FnOnce(Result<&PollReport, &Error>) + Send>;

/// When the next poll is wanted, and who waits for it.
///
/// However often a poll is asked for while one runs, one more is wanted: it sees everything that the service had when
/// any of them was asked for.
pub struct PollQueue {
    sender: Sender<Ask>,
    asked: Receiver<Ask>,
    /// From the start of one poll to the start of the next.
    period: Duration,
    /// When the timer wants the next poll; none without a timer.
    due: Option<Instant>,
    /// A poll was asked for.
    wanted: bool,
    /// The timer wants a poll, and none has begun since.
    expired: bool,
    /// The service rests until then from polls that are asked for.
    rests_until: Instant,
    /// The waiters for the poll that begins next.
    waiting: Vec<Waiter>,
    /// The waiters for the poll that runs.
    in_progress: Vec<Waiter>,
}

impl PollQueue {
    /// An empty queue without a timer.
    pub fn new(period: Duration) -> PollQueue {
        let (sender, asked) = unbounded();
        PollQueue {
            sender,
            asked,
            period,
            due: None,
            wanted: false,
            expired: false,
            rests_until: Instant::now(),
            waiting: Vec::new(),
            in_progress: Vec::new(),
        }
    }

    /// Where others ask.
    pub fn sender(&self) -> Sender<Ask> {
        self.sender.clone()
    }

    /// Where the loop takes what was asked.
    pub fn asked(&self) -> &Receiver<Ask> {
        &self.asked
    }

    /// Starts the timer. The first poll is due at once.
    pub fn start_timer(&mut self) {
        self.due = Some(Instant::now());
    }

    /// When the next poll is due: by the timer, if there is one, or because it was asked for.
    pub fn due(&self) -> Option<Instant> {
        let is_later = self.wanted && self.rests_until > Instant::now();
        let asked = is_later.then_some(self.rests_until);
        [self.due, asked].into_iter().flatten().min()
    }

    /// The timer has expired: a poll is wanted.
    pub fn timer_expired(&mut self) {
        self.restart_timer();
        self.expired = true;
    }

    /// A poll is asked for.
    pub fn want(&mut self, waiter: Option<Waiter>) {
        self.wanted = true;
        let Some(waiter) = waiter else {
            return;
        };
        if self.waiting.len() + self.in_progress.len() < MOST_WAITERS {
            self.waiting.push(waiter);
        } else {
            waiter(Err(&Error::TooManyWaiters(MOST_WAITERS)));
        }
    }

    /// Whether a poll is wanted that may begin now.
    pub fn is_ready(&self) -> bool {
        self.expired || self.wanted && self.rests_until <= Instant::now()
    }

    /// A poll begins.
    pub fn begun(&mut self) {
        self.restart_timer();
        self.wanted = false;
        self.expired = false;
        self.in_progress.append(&mut self.waiting);
    }

    /// The poll has ended.
    pub fn ended(&mut self, report: &PollReport) {
        self.rests_until = Instant::now() + report.elapsed.clamp(LEAST_REST, LONGEST_REST);
        for waiter in self.in_progress.drain(..) {
            waiter(Ok(report));
        }
    }

    /// There is no poll now, neither the one that ran nor the one that was wanted.
    pub fn aborted(&mut self, error: &Error) {
        self.wanted = false;
        self.expired = false;
        for waiter in self.in_progress.drain(..).chain(self.waiting.drain(..)) {
            waiter(Err(error));
        }
    }

    /// Answers everybody who still waits, and takes no more questions.
    pub fn close(&mut self) {
        let asked = std::mem::replace(&mut self.asked, never());
        for ask in asked.try_iter() {
            if let Ask::Poll(waiter) = ask {
                self.waiting.extend(waiter);
            }
        }
        self.aborted(&Error::Stopped);
    }

    fn restart_timer(&mut self) {
        self.due = self.due.map(|_| Instant::now() + self.period);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Receiver;

    use super::*;
    use crate::api::{PerStream, Timestamp};
    use crate::poll::PollOutcome;

    /// A waiter, and where it says what it was called with.
    fn waiter() -> (Waiter, Receiver<Result<i64, String>>) {
        let (sender, receiver) = unbounded();
        let waiter: Waiter = Box::new(move |ended| {
            let answer = ended.map(|report| report.number);
            sender.send(answer.map_err(Error::to_string)).unwrap();
        });
        (waiter, receiver)
    }

    fn poll(number: i64) -> PollReport {
        PollReport {
            number,
            started_at: Timestamp::now().second(),
            outcome: PollOutcome::Complete,
            versions: PerStream::default(),
            requests: 0,
            retries: 0,
            quarantined: 0,
            failed: 0,
            first_failure: None,
            elapsed: Duration::ZERO,
            latency: None,
        }
    }

    #[test]
    fn who_asks_while_a_poll_runs_waits_for_the_next_one() {
        let mut queue = PollQueue::new(Duration::ZERO);
        let (first, told_first) = waiter();
        queue.want(Some(first));
        queue.begun();
        assert!(!queue.is_ready());
        let (second, told_second) = waiter();
        let (third, told_third) = waiter();
        queue.want(Some(second));
        queue.want(Some(third));
        queue.ended(&poll(1));
        assert_eq!(told_first.recv(), Ok(Ok(1)));
        assert!(queue.wanted && told_second.is_empty());
        queue.begun();
        assert!(!queue.is_ready());
        queue.ended(&poll(2));
        assert_eq!(
            (told_second.recv(), told_third.recv()),
            (Ok(Ok(2)), Ok(Ok(2)))
        );
    }

    #[test]
    fn the_service_rests_between_polls_that_are_asked_for() {
        let mut queue = PollQueue::new(Duration::from_secs(60));
        queue.want(None);
        assert!(queue.is_ready() && queue.due().is_none());
        queue.begun();
        queue.want(None);
        let took = Duration::from_secs(7);
        let ended_after = Instant::now();
        queue.ended(&PollReport {
            elapsed: took,
            ..poll(1)
        });
        assert!(!queue.is_ready());
        assert!(queue.due().unwrap() >= ended_after + took);
        queue.rests_until = ended_after;
        assert!(queue.is_ready() && queue.due().is_none());
        queue.ended(&PollReport {
            elapsed: Duration::from_secs(3_600),
            ..poll(2)
        });
        assert!(queue.due().unwrap() <= Instant::now() + LONGEST_REST);
    }

    #[test]
    fn nobody_waits_for_a_poll_that_does_not_come() {
        let mut queue = PollQueue::new(Duration::ZERO);
        let (running, told_running) = waiter();
        queue.want(Some(running));
        queue.begun();
        let (waiting, told_waiting) = waiter();
        queue.want(Some(waiting));
        queue.aborted(&Error::WorkersLost);
        assert!(!queue.is_ready());
        let lost = Error::WorkersLost.to_string();
        assert_eq!(told_running.recv(), Ok(Err(lost.clone())));
        assert_eq!(told_waiting.recv(), Ok(Err(lost)));

        let (asking, told_asking) = waiter();
        queue.sender().send(Ask::Poll(Some(asking))).unwrap();
        queue.close();
        assert_eq!(told_asking.recv(), Ok(Err(Error::Stopped.to_string())));
        assert!(queue.sender().send(Ask::Poll(None)).is_err());
    }
}
