use std::time::Instant;

use super::{PollOutcome, PollReport, WorkDone, quarantine};
use crate::api::{PerStream, Second, Stream, Timestamp};
use crate::psp::ServiceClient;
use crate::store::ServiceLatency;

/// Failures of a stream that are logged one by one in a poll. The others are counted.
const FAILURES_LOGGED: usize = 3;
/// Records newly in quarantine that are logged one by one for each stream in a poll. The others are counted.
const QUARANTINED_LOGGED: usize = 10;

/// What a poll counts, and what it has logged.
///
/// Failures are held back until the first request succeeds. While the whole service is down, the poll's last line says
/// so once; a line for each stream would only repeat it.
#[derive(Debug)]
pub struct Tally {
    number: i64,
    started_at: Second,
    started: Instant,
    /// What the client had counted by then.
    requests_before: u64,
    retries_before: u64,
    streams: PerStream<StreamTally>,
    /// Whether a request has succeeded.
    succeeded: bool,
    /// Why nothing more is asked in this poll.
    abandoned: Option<String>,
    /// Whether the poll was stopped.
    interrupted: bool,
}

#[derive(Debug, Default)]
struct StreamTally {
    versions: i64,
    quarantined: usize,
    /// Bytes of the texts of those that were quarantined.
    quarantined_bytes: usize,
    failed: usize,
    /// The first failures.
    failures: Vec<String>,
}

impl Tally {
    /// A poll begins.
    pub fn new(number: i64, client: &ServiceClient) -> Tally {
        Tally {
            number,
            started_at: Timestamp::now().second(),
            started: Instant::now(),
            requests_before: client.requests(),
            retries_before: client.retries(),
            streams: PerStream::default(),
            succeeded: false,
            abandoned: None,
            interrupted: false,
        }
    }

    /// Counts a new version.
    pub fn new_version(&mut self, stream: Stream) {
        self.streams[stream].versions += 1;
    }

    /// Counts a record that was newly put into quarantine.
    pub fn quarantined(&mut self, stream: Stream, id: Option<&str>, reason: &str, json: &str) {
        let tally = &mut self.streams[stream];
        tally.quarantined += 1;
        // The state keeps a limited number of those without an id.
        tally.quarantined_bytes += id.map_or(0, |_| json.len());
        if tally.quarantined <= QUARANTINED_LOGGED {
            quarantine::log_new(stream, id, reason);
        }
    }

    /// Bytes of the texts that were newly put into quarantine.
    pub fn quarantined_bytes(&self, stream: Stream) -> usize {
        self.streams[stream].quarantined_bytes
    }

    /// Counts a request that failed for good.
    pub fn failure(&mut self, stream: Stream, failure: String) {
        let tally = &mut self.streams[stream];
        tally.failed += 1;
        if tally.failed <= FAILURES_LOGGED {
            if self.succeeded {
                log::error!("{stream}: {failure}");
            }
            tally.failures.push(failure);
        }
    }

    /// Counts a list that cannot be read completely. The log said so when it was found out.
    pub fn incomplete(&mut self, stream: Stream, reason: &str) {
        self.unfinished(
            stream,
            format!("the list cannot be read completely: {reason}"),
        );
    }

    /// Counts a list that was left before its end. The log said so as of a quirk.
    pub fn unfinished(&mut self, stream: Stream, reason: String) {
        let tally = &mut self.streams[stream];
        tally.failed += 1;
        tally.failures.push(reason);
    }

    /// A request has succeeded: the failures so far are not those of the whole service.
    pub fn success(&mut self) {
        if self.succeeded {
            return;
        }
        self.succeeded = true;
        for (stream, tally) in self.streams.iter() {
            for failure in &tally.failures {
                log::error!("{stream}: {failure}");
            }
        }
    }

    /// Whether a request has succeeded.
    pub fn has_succeeded(&self) -> bool {
        self.succeeded
    }

    /// Nothing more is asked in this poll, for a reason that holds for every request. These streams were still to read.
    pub fn abandon(&mut self, reason: String, unread: impl Iterator<Item = Stream>) {
        if self.abandoned.is_some() {
            return;
        }
        self.abandoned = Some(reason);
        for stream in unread {
            self.streams[stream].failed += 1;
        }
    }

    /// Nothing more is asked in this poll, because stopping is requested.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// How many requests of a stream failed for good, and what went wrong first, if one did.
    pub fn failure_of(&self, stream: Stream) -> Option<(usize, &str)> {
        let tally = &self.streams[stream];
        let reason = tally.failures.first().or(self.abandoned.as_ref());
        let reason = reason.map_or("", String::as_str);
        (tally.failed > 0).then_some((tally.failed, reason))
    }

    /// When the poll began.
    pub fn started_at(&self) -> Second {
        self.started_at
    }

    /// Whether the poll was stopped.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether more may be asked in this poll.
    pub fn goes_on(&self) -> bool {
        self.abandoned.is_none() && !self.interrupted
    }

    /// What the poll did so far.
    pub fn report(&self, client: &ServiceClient) -> PollReport {
        let total = |count: fn(&StreamTally) -> usize| self.streams.values().map(count).sum();
        let (quarantined, failed) = (total(|one| one.quarantined), total(|one| one.failed));
        let outcome = if self.interrupted {
            PollOutcome::Interrupted
        } else if !self.succeeded {
            PollOutcome::Failed
        } else if failed + quarantined == 0 {
            PollOutcome::Complete
        } else {
            PollOutcome::Partial
        };
        let mut failures = self.streams.values().flat_map(|one| &one.failures);
        let first_failure = self.abandoned.as_ref().or_else(|| failures.next());
        PollReport {
            number: self.number,
            list: None,
            started_at: self.started_at,
            outcome,
            versions: PerStream::from_fn(|stream| self.streams[stream].versions),
            requests: client.requests() - self.requests_before,
            retries: client.retries() - self.retries_before,
            quarantined,
            failed,
            first_failure: first_failure.cloned(),
            elapsed: self.started.elapsed(),
            latency: latency(client),
            accounts: WorkDone::default(),
        }
    }

    /// Logs how many more there were of what was logged one by one.
    pub fn log_the_rest(&self) {
        for (stream, tally) in self.streams.iter() {
            let rest = tally.quarantined.saturating_sub(QUARANTINED_LOGGED);
            if rest > 0 {
                log::warn!("{stream}: {rest} more records put into quarantine");
            }
        }
        for (stream, tally) in self.streams.iter() {
            let rest = tally.failed.saturating_sub(FAILURES_LOGGED);
            if rest > 0 {
                log::error!("{stream}: {rest} more requests failed");
            }
        }
    }
}

fn latency(client: &ServiceClient) -> Option<ServiceLatency> {
    Some(ServiceLatency {
        p50: client.latency(50)?,
        p95: client.latency(95)?,
    })
}
