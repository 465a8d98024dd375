//! What a run found, as people and programs read it.

mod har;
mod json;
mod junit;
mod terminal;

use std::time::Duration;

use super::runner::{CheckFinding, CheckRun, Skipped};
use super::verdict::Level;

pub use super::layout::wrapped;
pub use har::in_har;
pub use json::in_json;
pub use junit::in_junit;
pub use terminal::{Style, in_words};

/// A result in a word.
pub fn word(finding: &CheckFinding) -> &'static str {
    match finding {
        CheckFinding::Passed => "pass",
        CheckFinding::Wrong {
            level: Level::Must, ..
        } => "FAIL",
        CheckFinding::Wrong {
            level: Level::Should,
            ..
        } => "warn",
        CheckFinding::Wrong {
            level: Level::Info, ..
        } => "info",
        CheckFinding::Skipped(_) => "skip",
    }
}

/// Why a check was skipped.
pub(super) fn reason(skipped: &Skipped) -> String {
    match skipped {
        Skipped::Needs(what) => format!("needs {what}"),
        Skipped::Because(id) => format!("because {id} failed"),
        Skipped::Asked(reason) => format!("asked: {reason}"),
    }
}

/// The verdict on the service, for programs.
pub(super) fn verdict(run: &CheckRun) -> &'static str {
    if run.untestable.is_some() {
        "not tested"
    } else if !run.failed(Level::Must).is_empty() {
        "not conformant"
    } else if run.not_verified().is_empty() {
        "conformant"
    } else {
        "not verified"
    }
}

/// The time that this share of the answers took at most; none without an answer. `times` ascend.
pub(super) fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let last = times.len().checked_sub(1)?;
    times.get((times.len() * percent / 100).min(last)).copied()
}
