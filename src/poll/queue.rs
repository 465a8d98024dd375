use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, unbounded};

use super::{Error, PollReport};
use crate::api::{PerStream, Stream};

/// A poll that is asked for begins at least this long after the one before it ended.
const LEAST_REST: Duration = Duration::from_millis(100);

/// The service rests as long as the poll took, but no longer than this: a client that asks without pause keeps it busy
/// for half of the time.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Requests that may wait for a poll. Each of them holds a connection, and the lists need some, too.
const MOST_WAITERS: usize = 256;

/// What can be asked of the loop while it runs.
pub enum Ask {
    /// To poll now, everything or one list alone. While a poll runs, one more is remembered.
    Poll(Option<Stream>, Option<Waiter>),
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
    /// Lists that were asked for, each alone.
    wanted_lists: PerStream<bool>,
    /// The timer wants a poll, and none has begun since.
    expired: bool,
    /// The service rests until then from polls that are asked for.
    rests_until: Instant,
    /// The waiters for a poll that has not begun, of everything or of one list.
    waiting: Vec<(Option<Stream>, Waiter)>,
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
            wanted_lists: PerStream::default(),
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
        let is_later = self.is_wanted() && self.rests_until > Instant::now();
        let asked = is_later.then_some(self.rests_until);
        [self.due, asked].into_iter().flatten().min()
    }

    /// The time of [`due`](PollQueue::due) has come. If it is that of the timer, a poll of everything is wanted.
    pub fn timer_expired(&mut self) {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            self.restart_timer();
            self.expired = true;
        }
    }

    /// A poll is asked for, perhaps of one list alone.
    pub fn want(&mut self, list: Option<Stream>, waiter: Option<Waiter>) {
        match list {
            Some(list) => self.wanted_lists[list] = true,
            None => self.wanted = true,
        }
        let Some(waiter) = waiter else {
            return;
        };
        if self.waiting.len() + self.in_progress.len() < MOST_WAITERS {
            self.waiting.push((list, waiter));
        } else {
            waiter(Err(&Error::TooManyWaiters(MOST_WAITERS)));
        }
    }

    /// Whether a poll is wanted that may begin now.
    pub fn is_ready(&self) -> bool {
        self.expired || self.is_wanted() && self.rests_until <= Instant::now()
    }

    /// A poll begins: of everything, or of the list that is returned, if nothing but lists was asked for. The timer goes on
    /// then: the other lists wait no longer for their turn.
    pub fn begun(&mut self) -> Option<Stream> {
        let is_alone = |list: &Stream| self.wanted_lists[*list] && !self.expired && !self.wanted;
        let list = Stream::LISTED.into_iter().find(is_alone);
        match list {
            Some(list) => self.wanted_lists[list] = false,
            None => {
                self.restart_timer();
                self.forget_wanted();
            }
        }
        let (begun, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(wanted, _)| list.is_none() || *wanted == list);
        self.waiting = waiting;
        let begun: Vec<(Option<Stream>, Waiter)> = begun;
        self.in_progress
            .extend(begun.into_iter().map(|(_, waiter)| waiter));
        list
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
        self.forget_wanted();
        let waiting = self.waiting.drain(..).map(|(_, waiter)| waiter);
        for waiter in self.in_progress.drain(..).chain(waiting) {
            waiter(Err(error));
        }
    }

    /// Answers everybody who still waits, and takes no more questions.
    pub fn close(&mut self) {
        let asked = std::mem::replace(&mut self.asked, never());
        for ask in asked.try_iter() {
            if let Ask::Poll(list, waiter) = ask {
                self.waiting.extend(waiter.map(|waiter| (list, waiter)));
            }
        }
        self.aborted(&Error::Stopped);
    }

    fn is_wanted(&self) -> bool {
        self.wanted || self.wanted_lists.values().any(|wanted| *wanted)
    }

    fn forget_wanted(&mut self) {
        self.wanted = false;
        self.wanted_lists = PerStream::default();
        self.expired = false;
    }

    fn restart_timer(&mut self) {
        self.due = self.due.map(|_| Instant::now() + self.period);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Receiver;

    use super::super::WorkDone;
    use super::*;
    use crate::api::Timestamp;
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
            list: None,
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
            accounts: WorkDone::default(),
        }
    }

    #[test]
    fn who_asks_while_a_poll_runs_waits_for_the_next_one() {
        let mut queue = PollQueue::new(Duration::ZERO);
        let (first, told_first) = waiter();
        queue.want(None, Some(first));
        queue.begun();
        assert!(!queue.is_ready());
        let (second, told_second) = waiter();
        let (third, told_third) = waiter();
        queue.want(None, Some(second));
        queue.want(None, Some(third));
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
        queue.want(None, None);
        assert!(queue.is_ready() && queue.due().is_none());
        queue.begun();
        queue.want(None, None);
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
    fn a_list_is_polled_alone_unless_everything_is() {
        use Stream::{Accounts, Transactions};
        let mut queue = PollQueue::new(Duration::from_secs(60));
        queue.start_timer();
        queue.begun();
        let due = queue.due;
        let (first, told_first) = waiter();
        let (second, told_second) = waiter();
        queue.want(Some(Transactions), Some(first));
        queue.want(Some(Accounts), Some(second));
        assert_eq!(queue.begun(), Some(Accounts));
        assert_eq!(queue.due, due, "the timer goes on");
        queue.ended(&poll(2));
        assert_eq!(told_second.recv(), Ok(Ok(2)));
        assert!(told_first.is_empty());
        queue.want(None, None);
        assert_eq!(queue.begun(), None);
        queue.ended(&poll(3));
        assert_eq!(told_first.recv(), Ok(Ok(3)));
        assert!(!queue.is_wanted());
        queue.want(Some(Transactions), None);
        queue.timer_expired();
        assert!(!queue.expired, "the rest has ended, not the period");
        queue.due = Some(Instant::now());
        queue.timer_expired();
        assert_eq!(queue.begun(), None);
        assert!(!queue.is_wanted() && !queue.expired);
    }

    #[test]
    fn nobody_waits_for_a_poll_that_does_not_come() {
        let mut queue = PollQueue::new(Duration::ZERO);
        let (running, told_running) = waiter();
        queue.want(None, Some(running));
        queue.begun();
        let (waiting, told_waiting) = waiter();
        queue.want(None, Some(waiting));
        queue.aborted(&Error::WorkersLost);
        assert!(!queue.is_ready());
        let lost = Error::WorkersLost.to_string();
        assert_eq!(told_running.recv(), Ok(Err(lost.clone())));
        assert_eq!(told_waiting.recv(), Ok(Err(lost)));

        let (asking, told_asking) = waiter();
        queue.sender().send(Ask::Poll(None, Some(asking))).unwrap();
        queue.close();
        assert_eq!(told_asking.recv(), Ok(Err(Error::Stopped.to_string())));
        assert!(queue.sender().send(Ask::Poll(None, None)).is_err());
    }
}
