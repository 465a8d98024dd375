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

/// Handles the signals from now on. To be called once, before threads are started.
pub fn handle() -> Result<(Trigger, Stop), String> {
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
    let mut hangup = SigSet::empty();
    hangup.add(Signal::SIGHUP);
    hangup
        .thread_block()
        .map_err(|error| format!("cannot block SIGHUP: {error}"))
}
