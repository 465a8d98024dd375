use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::list_error::{ListError, bad_request, not_ready};
use crate::api::{PerStream, Second, Stream, Timestamp};
use crate::store::{self, BoundVerdict, Listing, Stamp};

/// Seconds, a hundred years. A list cannot be stamped above a bound that lies farther in the future.
const FARTHEST_BOUND: u64 = 100 * 366 * 86_400;

/// How long a request waits for a list to be dated again. A longer list is dated while Formance asks again.
const SHORT: Duration = Duration::from_secs(2);

const BEING_DATED: &str = "This list is being dated again.";

/// What Connectivity asks each list for, compared with what it was shown.
#[derive(Debug)]
pub(super) struct Bounds {
    state_directory: PathBuf,
    lists: PerStream<ListBounds>,
}

#[derive(Debug)]
struct ListBounds {
    /// The greatest stamp that the state says was shown, as far as this process knows. Nanoseconds.
    shown: AtomicI64,
    /// Whether the state says that Connectivity has asked for the list.
    is_asked_for: AtomicBool,
    /// Whether Connectivity has asked with a bound that it was shown.
    is_followed: AtomicBool,
    /// Whether a thread dates the list again.
    is_dating: Arc<AtomicBool>,
}

impl Bounds {
    /// Those of the state in that directory.
    pub fn new(state_directory: PathBuf) -> Bounds {
        Bounds {
            state_directory,
            lists: PerStream::from_fn(|_| ListBounds {
                shown: AtomicI64::new(i64::MIN),
                is_asked_for: AtomicBool::default(),
                is_followed: AtomicBool::default(),
                is_dating: Arc::default(),
            }),
        }
    }

    /// Looks at the bound of a request with which Connectivity begins to read a list. It is an error with the answer if
    /// the list cannot be read from there.
    pub fn check(
        &self,
        listing: &mut Listing,
        stream: Stream,
        from: Option<Second>,
    ) -> Result<(), ListError> {
        let list = &self.lists[stream];
        let is_shown =
            from.is_none_or(|from| from.start().nanoseconds() <= list.shown.load(Relaxed));
        if is_shown && list.is_asked_for.load(Relaxed) {
            list.is_followed.fetch_or(from.is_some(), Relaxed);
            return Ok(());
        }
        if let Some(from) = from
            && from.since(Timestamp::now().second()) > FARTHEST_BOUND
        {
            log::error!(
                "{stream}: Connectivity thinks it has read everything up to {from}, and no date can follow that: \
                reinstall Formance's connector"
            );
            let detail = format!("No date can follow {from}; reinstall the connector.");
            return Err(ListError::Answer(bad_request(&detail)));
        }
        match listing.asked_for(stream, from)? {
            BoundVerdict::Shown { until, is_first } => {
                if is_first {
                    log::info!("{stream}: Connectivity asks for the first time");
                }
                list.is_asked_for.store(true, Relaxed);
                list.is_followed.fetch_or(from.is_some(), Relaxed);
                if let Some(until) = until {
                    list.shown.fetch_max(until.nanoseconds(), Relaxed);
                }
                Ok(())
            }
            BoundVerdict::Adopting => self.adopt(stream),
            BoundVerdict::Ahead {
                shown,
                requests,
                is_future,
            } => {
                let from = from.map_or_else(String::new, String::from);
                let problem = format!(
                    "Connectivity asks with the bound {from}, but {}",
                    ahead(stream, shown, is_future)
                );
                if requests == 1 {
                    log::warn!("{stream}: {problem}");
                }
                Err(ListError::Answer(not_ready(&problem)))
            }
        }
    }

    /// Notes that a page with that last stamp was read, before Connectivity gets it.
    ///
    /// While it follows the list, the whole list counts as shown, so that there is one commit for each batch and not for
    /// each page. Before that it may be a look by hand at a state that was put back.
    pub fn show(
        &self,
        listing: &mut Listing,
        stream: Stream,
        last: Option<Stamp>,
    ) -> Result<(), store::Error> {
        let list = &self.lists[stream];
        if let Some(last) = last
            && last.nanoseconds() > list.shown.load(Relaxed)
        {
            let is_followed = list.is_followed.load(Relaxed);
            let until = listing.show_until(stream, last, is_followed)?;
            list.shown.fetch_max(until.nanoseconds(), Relaxed);
        }
        Ok(())
    }

    /// Dates a list again, on a thread of its own, and waits for a short time. It is an error with the answer if that was
    /// too short.
    fn adopt(&self, stream: Stream) -> Result<(), ListError> {
        let is_dating = self.lists[stream].is_dating.clone();
        let being_dated = || ListError::Answer(being_dated());
        if is_dating.swap(true, Relaxed) {
            return Err(being_dated());
        }
        let directory = self.state_directory.clone();
        let (done, ended) = bounded(1);
        let work = move || {
            let result = date(&directory, stream);
            is_dating.store(false, Relaxed);
            // The request may have been answered.
            let _ = done.send(result);
        };
        let spawned = thread::Builder::new()
            .name(format!("date {stream}"))
            .spawn(work);
        if let Err(error) = spawned {
            self.lists[stream].is_dating.store(false, Relaxed);
            log::error!("{stream}: the list cannot be dated again now: {error}");
            return Err(being_dated());
        }
        match ended.recv_timeout(SHORT) {
            Ok(result) => Ok(result?),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(being_dated()),
        }
    }
}

/// The answer while a list is dated again.
pub(super) fn being_dated() -> crate::http::Response {
    not_ready(BEING_DATED)
}

/// Dates a list again. A process that ends meanwhile is continued by the next request for the list.
fn date(state_directory: &Path, stream: Stream) -> Result<(), store::Error> {
    log::warn!(
        "{stream}: Connectivity has read further than this list was ever shown, so every entry gets a new date above \
        what it has read; it gets 503 until that is done, and then reads the whole list again"
    );
    let dated = Listing::open(state_directory).and_then(|mut listing| {
        let mut dated = 0;
        loop {
            let begun = Instant::now();
            let slice = listing.adopt(stream)?;
            dated += slice.dated;
            if !slice.has_more {
                return Ok(dated);
            }
            // Others want to commit, too, and nobody wakes them.
            thread::sleep(begun.elapsed() / 2);
        }
    });
    dated
        .inspect(|dated| log::info!("{stream}: {dated} entries have new dates"))
        .inspect_err(|error| log::error!("{stream}: the list cannot be dated again: {error}"))
        .map(|_| ())
}

/// Says that Connectivity asks with a bound above everything that the list was shown.
fn ahead(stream: Stream, shown: Option<Stamp>, is_future: bool) -> String {
    let shown = match shown {
        Some(shown) => format!("only shown up to {}", shown.timestamp()),
        None => "never shown so far".to_owned(),
    };
    let what_next = if is_future {
        format!(
            "The bound lies in the future: the list is only dated again above it if you run: generic-connector listing \
             adopt {stream}"
        )
    } else {
        "If the bound still comes after a minute, the list is dated again above it".to_owned()
    };
    format!(
        "this list was {shown}, so it gets 503: it has read the service itself before, or this state was put back \
         from an older copy. {what_next}"
    )
}
