//! Signals. The first SIGTERM or SIGINT requests a stop. A second one ends the process immediately, unless it comes with the
//! first one: `timeout` and some supervisors send a signal to the process and to its group.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use crate::stop::{Stop, Stopper};
use crate::sync::lock;

/// Signals within this time of the first one are one wish to stop.
const TOGETHER: Duration = Duration::from_secs(1);

/// Requests the same stop as the signals do.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<Mutex<Option<Stopper>>>);

impl Trigger {
    /// Requests the stop. False if it was requested before.
    pub fn stop(&self) -> bool {
        lock(&self.0).take().map(Stopper::stop).is_some()
    }
}

/// Handles the signals from now on, and blocks SIGXFSZ. Call it once, before starting threads.
pub fn handle() -> Result<(Trigger, Stop), String> {
    // A file at its size limit fails a write, as a full disk does, instead of ending the process.
    block(Signal::SIGXFSZ)?;
    let (stopper, stop) = Stop::new();
    let trigger = Trigger(Arc::new(Mutex::new(Some(stopper))));
    let handler = trigger.clone();
    let mut first = None;
    ctrlc::set_handler(move || {
        handler.stop();
        let first = *first.get_or_insert_with(Instant::now);
        if first.elapsed() >= TOGETHER {
            log::warn!("a second signal: ending at once; what is not committed is read again");
            std::process::exit(1);
        }
    })
    .map_err(|error| format!("cannot handle signals: {error}"))?;
    Ok((trigger, stop))
}

/// Blocks SIGHUP, because a service must not end when a terminal is closed. Call it before starting threads, which
/// inherit the mask.
pub fn ignore_hangup() -> Result<(), String> {
    block(Signal::SIGHUP)
}

fn block(signal: Signal) -> Result<(), String> {
    let mut signals = SigSet::empty();
    signals.add(signal);
    signals
        .thread_block()
        .map_err(|error| format!("cannot block {signal}: {error}"))
}
