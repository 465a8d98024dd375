use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::terminal::width_of;
use crate::api::span;
use crate::logging::ERASE_LINE;
use crate::poll::{PollReport, Watch};

/// Often enough to look smooth.
const BETWEEN: Duration = Duration::from_millis(100);

/// How often the line is drawn while nothing happens.
const WHILE_WAITING: Duration = Duration::from_secs(1);

/// How long an answer may take before the line says so.
const SLOW: Duration = Duration::from_secs(2);

/// On a terminal, one line that shows how far the poll has come. Nothing elsewhere.
pub(super) struct ProgressLine {
    on_terminal: bool,
    /// How far the poll had come when it last came further.
    so_far: String,
    /// When that was, or when the poll ended.
    answered: Instant,
    /// Whether the poll has ended. What comes then is a sweep.
    is_over: bool,
    drawn: Instant,
}

impl ProgressLine {
    /// A line that is not drawn yet.
    pub fn new() -> ProgressLine {
        ProgressLine {
            on_terminal: io::stderr().is_terminal(),
            so_far: String::new(),
            answered: Instant::now(),
            is_over: false,
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
            text += &format!("{stream:<14}{new:>12} new\n");
        }
        text += &format!("{:<14}{:>12}\n", "requests", report.requests);
        text += &format!("{:<14}{:>10.1} s\n", "time", report.elapsed.as_secs_f64());
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn draw(&mut self) {
        self.drawn = Instant::now();
        let line = self.line(self.answered.elapsed(), width_of(&io::stderr()));
        let _ = io::stderr().write_all(format!("{ERASE_LINE}{line}").as_bytes());
    }

    /// The line on a terminal of that width. `silent`: how long ago a poll was last answered, or ended.
    fn line(&self, silent: Duration, width: usize) -> String {
        let mut line = self.so_far.clone();
        if self.is_over {
            line = format!("sweeping for {}", span(silent.as_secs()));
        } else if silent >= SLOW {
            let gap = if line.is_empty() { "" } else { "; " };
            line += &format!("{gap}no answer for {}", span(silent.as_secs()));
        }
        // One that breaks would not be erased as a whole.
        line.chars().take(width.saturating_sub(1)).collect()
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
        self.answered = Instant::now();
        let new: i64 = report.versions.values().sum();
        let rate = new as f64 / report.elapsed.as_secs_f64().max(0.001);
        let retries = match report.retries {
            0 => String::new(),
            retries => format!(" ({retries} retries)"),
        };
        self.so_far = format!(
            "{new} new versions, {rate:.0} a second, {} requests{retries}, {}",
            report.requests,
            span(report.elapsed.as_secs())
        );
        if self.drawn.elapsed() >= BETWEEN {
            self.draw();
        }
    }

    fn ended(&mut self, _: &PollReport) {
        self.is_over = true;
        self.answered = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_hangs_is_named_and_a_narrow_terminal_is_enough() {
        let mut line = ProgressLine::new();
        let seconds = Duration::from_secs;
        assert_eq!(line.line(seconds(1), 80), "");
        assert_eq!(line.line(seconds(75), 80), "no answer for 1 min 15 s");
        line.so_far = "7 new versions".to_owned();
        assert_eq!(line.line(seconds(0), 80), "7 new versions");
        let waiting = "7 new versions; no answer for 2 s";
        assert_eq!(line.line(seconds(2), 80), waiting);
        assert_eq!(line.line(seconds(2), 20), waiting[..19]);
        line.is_over = true;
        assert_eq!(line.line(seconds(75), 80), "sweeping for 1 min 15 s");
    }
}
