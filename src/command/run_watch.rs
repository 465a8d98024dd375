use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::notify::{self, Beats};
use crate::poll::{self, PollReport, Watch};
use crate::status::Status;
use crate::store::SweepTimes;

/// How often the service manager gets to know how far a long poll has come.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How often the log does.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What the service manager and the log get to know of the main loop.
pub(super) struct RunWatch {
    beats: Beats,
    state_directory: PathBuf,
    polling_period: Duration,
    sweep_times: SweepTimes,
    /// When the status was last written.
    shown_at: Instant,
    /// How long the poll under way had taken when the log last had a line about it.
    logged: Duration,
    /// Whether the manager knows that the program stops.
    stops: bool,
}

impl RunWatch {
    /// Watches a connector with that configuration.
    pub fn new(config: &Config) -> RunWatch {
        RunWatch {
            beats: Beats::of_process(),
            state_directory: config.state_directory.clone(),
            polling_period: config.polling.period,
            sweep_times: config.polling.sweep_times(),
            shown_at: Instant::now(),
            logged: Duration::ZERO,
            stops: false,
        }
    }

    /// What the state says after a poll, in a few words.
    fn state(&self) -> String {
        let (period, times) = (self.polling_period, self.sweep_times);
        let status = match Status::read(&self.state_directory, period, times, 1) {
            Ok(status) => status,
            Err(error) => return format!("; {error}"),
        };
        let lists = &status.overview.lists.read;
        let is_asked = lists.iter().any(|line| line.asked.is_some());
        let unread: i64 = lists.iter().map(|line| line.unread).sum();
        let formance = is_asked.then(|| format!("; formance {unread} behind"));
        let warnings = match status.alarms.len() {
            0 => String::new(),
            1 => "; 1 warning: see generic-connector status".to_owned(),
            warnings => format!("; {warnings} warnings: see generic-connector status"),
        };
        formance.unwrap_or_default() + &warnings
    }
}

impl Watch for RunWatch {
    fn turns(&mut self) -> Option<Instant> {
        self.beats.beat()
    }

    fn progress(&mut self, report: &PollReport) {
        if self.shown_at.elapsed() >= STATUS_EVERY && notify::is_read() {
            self.shown_at = Instant::now();
            notify::status(&so_far(report));
        }
        if report.elapsed < self.logged {
            // It is another poll.
            self.logged = Duration::ZERO;
        }
        if report.elapsed >= self.logged + LOG_EVERY {
            self.logged = report.elapsed;
            log::info!("{}", so_far(report));
        }
    }

    fn ended(&mut self, report: &PollReport) {
        self.logged = Duration::ZERO;
        if notify::is_read() {
            self.shown_at = Instant::now();
            notify::status(&(ended(report) + &self.state()));
        }
    }

    fn aborted(&mut self, error: &poll::Error) {
        notify::status(&format!("poll aborted: {error}"));
    }

    fn stops(&mut self) {
        if !self.stops {
            self.stops = true;
            notify::stopping();
        }
    }
}

fn so_far(report: &PollReport) -> String {
    let new: i64 = report.versions.values().sum();
    let mut line = format!(
        "{} has {new} new versions so far, {} requests, {:.0} s",
        report.name(),
        report.requests,
        report.elapsed.as_secs_f64()
    );
    if report.accounts.of > 0 {
        let accounts = report.accounts;
        line += &format!(
            ", balances of {} of {} accounts",
            accounts.done, accounts.of
        );
    }
    if let Some(latency) = report.latency {
        let milliseconds = latency.p50.as_secs_f64() * 1e3;
        line += &format!(", answers in {milliseconds:.0} ms");
    }
    line
}

fn ended(report: &PollReport) -> String {
    let new: i64 = report.versions.values().sum();
    let mut line = format!(
        "{} {}, {new} new, {:.1} s",
        report.name(),
        report.outcome.name(),
        report.elapsed.as_secs_f64()
    );
    if let Some(failure) = &report.first_failure {
        line += &format!(": {failure}");
    }
    line
}
