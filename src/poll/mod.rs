//! Polling: the main loop, and what it decides, asks for, takes and commits.
//!
//! # Who sends what to whom
//!
//! ```text
//!  timer ──────────►┐             ┌── Job ──────►┐
//!  listener ─ Ask ─►├─ main loop ─┤              ├─ workers ──► service
//!  signal ── Stop ─►┘      │      └◄── Outcome ──┘
//!                          └─► Store::commit ──► publishers wake up
//! ```
//!
//! The loop (`main_loop`) is one thread. It waits in one place, for one event: a worker took a job, a worker did one,
//! the timer expired, somebody asks for something, or stopping is requested. Then it acts on the event and waits again.
//! It is idle, or it polls (`cycle`), or it sweeps (`sweep`), never two of them, so nothing is polled twice at once. The
//! workers (`workers`) share the client and nothing else. Only the loop touches the store.
//!
//! # What may block, and why nothing deadlocks
//!
//! * Jobs go over a channel without room. The loop offers a job in the same `select` in which it takes outcomes, so it
//!   never waits for a worker that waits for it. It also decides what comes next at the moment when a worker is free: a
//!   page need not wait behind balances.
//! * Outcomes go over an unbounded channel, so no worker waits for the loop. The channel holds at most one outcome for
//!   each job that was handed out.
//! * To ask for a poll is to leave a callback (`queue`), so nobody blocks the loop. Publishers are woken by a signal
//!   that is dropped if they are awake.
//! * A commit blocks the loop. If it fails, as on a full disk, the poll is aborted and the next period tries again.
//! * Stopping waits a few seconds for the requests in flight, then cuts their connections.
//! * A lost channel is a bug. It ends the loop with an error.
//!
//! # A poll
//!
//! `cycle` lists accounts and beneficiaries side by side, asks for the balances of every known account and of a new one
//! as soon as its page is in (`accounts`), and lists transactions once the list of accounts has ended. `reading` reads
//! one list; the cursor walk (`cursor`) decides which page comes next and how far the list is complete. Each record is
//! judged (`judge`): a new version, a known one, an older one, or another record under the same id. New versions
//! (`versions`) and changes of the quarantine (`quarantine`) are `pending` until the batch is full or the poll ends. Then
//! they are committed together with the cursors that they allow. `tally` counts, `failing` says of each
//! stream whether it was read completely. `report` is what the log, the state and
//! the listener show of the poll.
//!
//! A long list of transactions is read `ahead`: idle workers ask for pages before the walk comes to them, and hold them until
//! it does. What is held is taken when nothing else happens. It counts as any other page then.
//!
//! A list that does not end within its `share` of a poll continues in the next one, so that the others get their turn. One
//! that gives the same records again and again is left.
//!
//! A request that fails costs its account or its stream until the next poll; the rest goes on. A key that the service
//! refuses from the start ends the poll. When the balances of one account after the other fail, the other accounts wait
//! for the next poll.
//!
//! # A sweep
//!
//! Between polls, `sweep` reads the lists from their beginning, one page at a time, with the same `reading`. A poll that
//! falls due does not wait for it: what the sweep has read is committed, and an answer that is still to come is kept for
//! the next slice. So a poll and a sweep never have anything pending together.

mod accounts;
mod activity;
mod ahead;
mod alarms;
mod clock;
mod cursor;
mod cycle;
mod failing;
mod judge;
mod main_loop;
mod missing;
mod older_balances;
mod pending;
mod quarantine;
mod queue;
mod quirk_log;
mod reading;
mod report;
mod retry;
mod share;
mod sweep;
mod sweep_end;
mod tally;
mod versions;
mod watch;
mod workers;

use std::time::Duration;

use crate::store::{self, Retention, SweepTimes};
use cursor::PageSizes;

pub use crate::store::PollOutcome;
pub use main_loop::Poller;
pub use queue::{Ask, Waiter};
pub use report::{PollReport, SliceReport, WorkDone};
pub use watch::Watch;

/// The result of reading or writing the state.
type StoreResult<T> = Result<T, store::Error>;

/// How to poll.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records asked for on a page.
    pub page_size: u32,
    /// Records asked for on a page of a list that is known to be long. No more than `page_size`: the same as there.
    pub larger_page_size: u32,
    /// How many requests run at once.
    pub workers: usize,
    /// How many larger pages may be read ahead at once; 0 turns that off.
    pub pages_ahead: u32,
    /// New versions after which a batch is committed.
    pub batch_records: usize,
    /// How far a walk's first request goes back behind the cursor. Seconds.
    pub lookback: u64,
    /// From the start of one poll to the start of the next.
    pub period: Duration,
    /// How long a list may take of a poll, if the next one continues where it is left.
    pub share: Duration,
    /// From the start of one sweep to the start of the next.
    pub sweep_period: Duration,
    /// Between two polls that ask for the balances of every account.
    pub balances_period: Duration,
    /// What is kept of the change log.
    pub retention: Retention,
}

impl Settings {
    /// What decides when a sweep is due.
    pub fn sweep_times(&self) -> SweepTimes {
        SweepTimes {
            period: self.sweep_period.as_secs(),
            lookback: self.lookback,
        }
    }

    fn page_sizes(&self) -> PageSizes {
        PageSizes {
            configured: self.page_size,
            larger: self.larger_page_size,
        }
    }
}

/// Why polling cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system gives no threads.
    #[error(
        "cannot start the worker threads: {0}; lower \"workers\" or raise the limit on processes"
    )]
    Threads(#[from] std::io::Error),
    /// Every worker thread has ended, which is a bug.
    #[error("the worker threads have ended: this is a bug, please report it")]
    WorkersLost,
    /// Nobody can ask the loop for anything any more, which is a bug: it holds a sender itself.
    #[error("the channel of poll requests is closed: this is a bug, please report it")]
    AskersLost,
    /// Too many wait for a poll. The poll comes all the same.
    #[error("a poll is coming, but {0} requests wait for it already; ask again without \"wait\"")]
    TooManyWaiters(usize),
    /// The loop stopped before the poll that was asked for began.
    #[error("generic-connector is shutting down; try again when it is running")]
    Stopped,
}
