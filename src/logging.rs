//! The log: one line an event, on standard error.

use std::io::{self, IsTerminal, Write};

use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

use crate::secret::redaction;

/// Returns to the line's start and erases it.
pub const ERASE_LINE: &str = "\r\x1b[K";

/// Starts logging. Lines carry the time, unless they go to systemd's journal, which adds its own.
pub fn start(level: LevelFilter) {
    let mut config = ConfigBuilder::new();
    config
        // The HTTP stack's own trace prints paths and redirect targets.
        .add_filter_allow_str("generic_connector")
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Its formats need another crate for milliseconds.
        .set_time_level(LevelFilter::Off);
    let lines = Lines {
        line: Vec::new(),
        on_terminal: io::stderr().is_terminal(),
        with_time: std::env::var_os("JOURNAL_STREAM").is_none(),
    };
    // It fails if a logger is running already, as in tests.
    let _ = WriteLogger::init(level, config.build(), lines);
    std::panic::set_hook(Box::new(|panic| log::error!("panic: {panic}")));
}

/// Writes whole lines to standard error, each with one system call.
struct Lines {
    line: Vec<u8>,
    on_terminal: bool,
    with_time: bool,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            if self.on_terminal {
                // There may be a progress line.
                self.line.extend_from_slice(ERASE_LINE.as_bytes());
            }
            if self.with_time {
                // To the millisecond.
                write!(self.line, "{:.3} ", jiff::Timestamp::now())?;
            }
        }
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            // Whatever shows a secret, it ends here at the latest.
            let redacted = redaction::in_records(&self.line);
            let written = io::stderr().write_all(redacted.as_ref().unwrap_or(&self.line));
            self.line.clear();
            written?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
