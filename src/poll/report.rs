use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{PerStream, Second, Stream};
use crate::store::{PollOutcome, PollRow, ServiceLatency};

/// How much of a known amount of work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkDone {
    /// What is done.
    pub done: i64,
    /// What there is to do, as far as it is known.
    pub of: i64,
}

/// What a poll did, so far or in all.
#[derive(Debug, Clone)]
pub struct PollReport {
    /// Which poll, from 1.
    pub number: i64,
    /// The list, if it was polled alone. The state has no row of such a poll, and the next one has its number.
    pub list: Option<Stream>,
    /// When it began.
    pub started_at: Second,
    /// How it ended, or would end now.
    pub outcome: PollOutcome,
    /// New versions.
    pub versions: PerStream<i64>,
    /// HTTP requests, retries included.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
    /// Records newly put into quarantine.
    pub quarantined: usize,
    /// Requests that failed for good.
    pub failed: usize,
    /// What went wrong first.
    pub first_failure: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
    /// How fast the service has answered; none if it has not.
    pub latency: Option<ServiceLatency>,
    /// The accounts whose balances were asked for, of those that the poll has to ask for. Nothing before all are listed.
    pub accounts: WorkDone,
}

/// What a slice of a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SliceReport {
    /// Records newly put into quarantine.
    pub quarantined: usize,
    /// Why it did not get as far as it should.
    pub failure: Option<String>,
    /// The lists that a sweep left out because they cannot be read, if the slice completed it.
    pub left_out: usize,
}

impl PollReport {
    /// For the state. Without `ended_at` the poll still runs.
    pub fn row(&self, ended_at: Option<Second>) -> PollRow {
        PollRow {
            number: self.number,
            started_at: self.started_at,
            ended_at,
            outcome: ended_at.map(|_| self.outcome),
            requests: self.requests as i64,
            retries: self.retries as i64,
            versions: self.versions,
            quarantined: self.quarantined as i64,
            error: self.first_failure.clone(),
            took: ended_at.map(|_| self.elapsed),
            latency: self.latency.filter(|_| ended_at.is_some()),
            lag: None,
        }
    }

    /// For programs.
    pub fn in_json(&self) -> Value {
        json!({
            "number": self.number,
            "stream": self.list.map(Stream::name),
            "outcome": self.outcome.name(),
            "newVersions": self.versions,
            "requests": self.requests,
            "retries": self.retries,
            "quarantined": self.quarantined,
            "failed": self.failed,
            "error": self.first_failure,
            "seconds": self.elapsed.as_secs_f64(),
        })
    }

    /// What the poll is called.
    pub fn name(&self) -> String {
        match self.list {
            Some(list) => format!("poll of {list}"),
            None => format!("poll {}", self.number),
        }
    }

    /// The line in the log.
    pub fn log(&self) {
        let new: i64 = self.versions.values().sum();
        let by_stream: Vec<String> = self
            .versions
            .iter()
            .map(|(stream, new)| format!("{stream} {new}"))
            .collect();
        let mut line = format!(
            "{} {}: {new} new versions ({}), {} requests, {} retries, {:.1} s",
            self.name(),
            self.outcome.name(),
            by_stream.join(", "),
            self.requests,
            self.retries,
            self.elapsed.as_secs_f64()
        );
        if self.quarantined > 0 {
            line += &format!(", {} put into quarantine", self.quarantined);
        }
        match (self.outcome, &self.first_failure) {
            (PollOutcome::Failed, Some(failure)) => log::error!("{line}: {failure}"),
            _ => log::info!("{line}"),
        }
    }
}
