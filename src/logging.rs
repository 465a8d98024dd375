//! The log: one line an event, on standard error.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::secret::redaction;

/// Returns to the line's start and erases it.
pub const ERASE_LINE: &str = "\r\x1b[K";

/// How lines begin in the journal, by their level. The numbers are those of syslog: error, warning, informational, debug.
const PRIORITIES: [(&[u8], &[u8]); 5] = [
    (b"[ERROR]", b"<3>"),
    (b"[WARN]", b"<4>"),
    (b"[INFO]", b"<6>"),
    (b"[DEBUG]", b"<7>"),
    (b"[TRACE]", b"<7>"),
];

/// Starts logging. Lines carry the time, unless they go to systemd's journal, which adds its own. There, they carry their
/// priority.
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
        in_journal: is_in_journal(),
    };
    let logger = OneLine(WriteLogger::new(level, config.build(), lines));
    // It fails if a logger is running already, as in tests.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
    std::panic::set_hook(Box::new(|panic| log::error!("panic: {panic}")));
}

/// Whether standard error is the journal's. The variable alone says that of the process that systemd has started, whose
/// children may write elsewhere.
fn is_in_journal() -> bool {
    let wanted = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|found| wanted == format!("{}:{}", found.dev(), found.ino()))
}

/// Keeps an event on one line: a second one would have neither time nor priority.
struct OneLine(Box<WriteLogger<Lines>>);

impl Log for OneLine {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let text = text.trim_end().replace('\r', "\\r").replace('\n', "\\n");
        let mut line = Record::builder();
        line.metadata(record.metadata().clone());
        self.0.log(&line.args(format_args!("{text}")).build());
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Writes whole lines to standard error, each with one system call.
struct Lines {
    line: Vec<u8>,
    on_terminal: bool,
    in_journal: bool,
}

impl Lines {
    /// What is before the level.
    fn begin(&mut self, level: &[u8]) -> io::Result<()> {
        if self.on_terminal {
            // There may be a progress line.
            self.line.extend_from_slice(ERASE_LINE.as_bytes());
        }
        if self.in_journal {
            let mut priorities = PRIORITIES.iter();
            let found = priorities.find(|(name, _)| level.starts_with(name));
            self.line
                .extend_from_slice(found.map_or(b"".as_slice(), |(_, priority)| priority));
            return Ok(());
        }
        // To the millisecond.
        write!(self.line, "{:.3} ", jiff::Timestamp::now())
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            self.begin(bytes)?;
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
