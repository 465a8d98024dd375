use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::terminal::width_of;
use crate::api::span;
use crate::logging::ERASE_LINE;
use crate::poll::{PollReport, Watch, WorkDone};

/// Often enough to look smooth.
const BETWEEN: Duration = Duration::from_millis(100);

/// How often the line is drawn while nothing happens.
const WHILE_WAITING: Duration = Duration::from_secs(1);

/// How long an answer may take before the line says so.
const SLOW: Duration = Duration::from_secs(2);

/// On a terminal, one line that shows how far the poll has come, and then a sweep. Nothing elsewhere.
pub(super) struct ProgressLine {
    on_terminal: bool,
    /// How far it has come, the most important part first.
    so_far: Vec<String>,
    /// When it last came further, or when the poll ended.
    answered: Instant,
    /// Whether the poll has ended. A sweep comes after it.
    is_over: bool,
    /// The work whose amount is known.
    known_work: KnownWork,
    drawn: Instant,
}

/// Work whose amount is known, since it is watched.
struct KnownWork {
    began: Instant,
    /// What was done by then.
    before: WorkDone,
}

impl ProgressLine {
    /// A line that is not drawn yet.
    pub fn new() -> ProgressLine {
        ProgressLine {
            on_terminal: io::stderr().is_terminal(),
            so_far: Vec::new(),
            answered: Instant::now(),
            is_over: false,
            known_work: KnownWork::new(WorkDone::default()),
            drawn: Instant::now(),
        }
    }

    /// Puts the figures of the whole poll in its place.
    pub fn close(&self, report: &PollReport) {
        if !self.on_terminal {
            return;
        }
        let mut text = ERASE_LINE.to_owned();
        for (stream, new) in report.versions.iter() {
            text += &format!("{:<14}{new:>12} new\n", stream.name());
        }
        text += &format!("{:<14}{:>12}\n", "requests", report.requests);
        text += &format!("{:<14}{:>10.1} s\n", "time", report.elapsed.as_secs_f64());
        if let Some(latency) = report.latency {
            text += &format!(
                "{:<14}{:>9.1} ms\n",
                "median answer",
                latency.p50.as_secs_f64() * 1e3
            );
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn draw(&mut self) {
        self.drawn = Instant::now();
        let line = self.line(self.answered.elapsed(), width_of(&io::stderr()));
        let _ = io::stderr().write_all(format!("{ERASE_LINE}{line}").as_bytes());
    }

    /// The line on a terminal of that width. `silent`: how long ago the service last answered.
    fn line(&self, silent: Duration, width: usize) -> String {
        let silence = (silent >= SLOW).then(|| format!("no answer for {}", span(silent.as_secs())));
        let begins = (self.is_over && self.so_far.is_empty()).then(|| "sweep".to_owned());
        let parts = silence.iter().chain(&begins).chain(&self.so_far);
        let mut line = String::new();
        for part in parts {
            let gap = if line.is_empty() { "" } else { ", " };
            // A line that breaks would not be erased as a whole.
            if line.chars().count() + gap.len() + part.chars().count() >= width {
                break;
            }
            line += gap;
            line += part;
        }
        line
    }

    /// The service has answered.
    fn answered(&mut self, so_far: Vec<String>) {
        self.so_far = so_far;
        self.answered = Instant::now();
        if self.drawn.elapsed() >= BETWEEN {
            self.draw();
        }
    }

    /// The share of the work that is done, and how long the rest takes if it goes on like this.
    fn share(&mut self, name: &str, work: WorkDone) -> Vec<String> {
        if self.known_work.before == WorkDone::default() {
            self.known_work = KnownWork::new(work);
        }
        if work.of == 0 {
            return Vec::new();
        }
        let percent = (work.done * 100 / work.of).min(99);
        let mut parts = vec![format!("{name} {percent} %")];
        if let Some(left) = self.known_work.left(work, self.known_work.began.elapsed()) {
            parts.push(format!("{} left", span(left.as_secs())));
        }
        parts
    }
}

impl KnownWork {
    fn new(before: WorkDone) -> KnownWork {
        KnownWork {
            began: Instant::now(),
            before,
        }
    }

    /// How long the rest takes if it goes on as it did in the time `took`. None while that says too little.
    fn left(&self, work: WorkDone, took: Duration) -> Option<Duration> {
        let done = u32::try_from(work.done - self.before.done).ok()?;
        let rest = u32::try_from(work.of - work.done).ok()?;
        (took >= SLOW && done > 0).then(|| took.mul_f64(f64::from(rest) / f64::from(done)))
    }
}

impl Watch for ProgressLine {
    fn turns(&mut self) -> Option<Instant> {
        if !self.on_terminal {
            return None;
        }
        if self.drawn.elapsed() >= WHILE_WAITING {
            self.draw();
        }
        Some(self.drawn + WHILE_WAITING)
    }

    fn progress(&mut self, report: &PollReport) {
        if !self.on_terminal {
            return;
        }
        let new: i64 = report.versions.values().sum();
        let rate = new as f64 / report.elapsed.as_secs_f64().max(0.001);
        let mut parts = Vec::new();
        if report.accounts.done < report.accounts.of {
            parts = self.share("balances", report.accounts);
        }
        parts.push(format!("{new} new versions"));
        if new > 0 {
            parts.push(format!("{rate:.0} a second"));
        }
        parts.push(span(report.elapsed.as_secs()));
        parts.push(format!("{} requests", report.requests));
        if report.retries > 0 {
            parts.push(format!("{} retries", report.retries));
        }
        if let Some(latency) = report.latency {
            parts.push(format!("{:.0} ms each", latency.p50.as_secs_f64() * 1e3));
        }
        self.answered(parts);
    }

    fn swept(&mut self, progress: WorkDone) {
        if !self.on_terminal {
            return;
        }
        let mut parts = self.share("sweep", progress);
        parts.push(format!("{} records read", progress.done));
        parts.push(span(self.known_work.began.elapsed().as_secs()));
        self.answered(parts);
    }

    fn ended(&mut self, _: &PollReport) {
        self.is_over = true;
        self.so_far.clear();
        self.answered = Instant::now();
        self.known_work = KnownWork::new(WorkDone::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_service_that_hangs_is_named_and_a_narrow_terminal_is_enough() {
        let mut line = ProgressLine::new();
        assert_eq!(line.line(seconds(1), 80), "");
        assert_eq!(line.line(seconds(75), 80), "no answer for 1 min 15 s");
        line.so_far = vec!["7 new versions".to_owned(), "5 requests".to_owned()];
        assert_eq!(line.line(seconds(0), 80), "7 new versions, 5 requests");
        assert_eq!(line.line(seconds(0), 27), "7 new versions, 5 requests");
        assert_eq!(line.line(seconds(0), 26), "7 new versions");
        let waiting = "no answer for 2 s, 7 new versions";
        assert_eq!(line.line(seconds(2), 40), waiting);
        line.so_far.clear();
        line.is_over = true;
        assert_eq!(line.line(seconds(0), 80), "sweep");
    }

    #[test]
    fn the_rest_takes_as_long_as_what_was_watched() {
        let work = KnownWork::new(WorkDone {
            done: 100,
            of: 1_000,
        });
        let left = |done, took| {
            let now = WorkDone { done, of: 1_000 };
            work.left(now, seconds(took))
        };
        assert_eq!(left(400, 10), Some(seconds(20)));
        assert_eq!(left(1_000, 10), Some(seconds(0)));
        // Too early, nothing done, and more done than there was.
        assert_eq!([left(400, 1), left(100, 10), left(1_001, 10)], [None; 3]);
    }
}
