//! Signals: the first SIGTERM or SIGINT requests a stop, the second ends the process at once.

use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{SigSet, Signal};

use crate::stop::{Stop, Stopper};

/// Requests the stop that signals request, too.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<Mutex<Option<Stopper>>>);

impl Trigger {
    /// Requests it. False if it was requested before.
    pub fn stop(&self) -> bool {
        let stopper = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        stopper.map(Stopper::stop).is_some()
    }
}

/// Handles the signals from now on, and blocks SIGXFSZ. To be called once, before threads are started.
pub fn handle() -> Result<(Trigger, Stop), String> {
    ignore_file_size_limit()?;
    let (stopper, stop) = Stop::new();
    let trigger = Trigger(Arc::new(Mutex::new(Some(stopper))));
    let handler = trigger.clone();
    ctrlc::set_handler(move || {
        if !handler.stop() {
            std::process::exit(1);
        }
    })
    .map_err(|error| format!("cannot handle signals: {error}"))?;
    Ok((trigger, stop))
}

/// Lets SIGHUP do nothing: a service must not end because a terminal was closed. To be called before threads are
/// started, which inherit it.
pub fn ignore_hangup() -> Result<(), String> {
    block(Signal::SIGHUP)
}

/// Lets a file that meets its limit in size be an error of the write, as a full disk is, and not the end of the
/// process. To be called before threads are started, which inherit it.
fn ignore_file_size_limit() -> Result<(), String> {
    block(Signal::SIGXFSZ)
}

fn block(signal: Signal) -> Result<(), String> {
    let mut signals = SigSet::empty();
    signals.add(signal);
    signals
        .thread_block()
        .map_err(|error| format!("cannot block {signal}: {error}"))
}
