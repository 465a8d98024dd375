//! Messages to the service manager, as systemd's `sd_notify(3)` describes them. Without a manager they are nothing.
//!
//! Nothing waits here for long, no thread runs, and a message that cannot be sent ends nothing.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::secret::redaction;
use crate::sync::lock;

/// How often a start that takes long asks for more time.
const EXTEND_EVERY: Duration = Duration::from_secs(20);

/// The time that it asks for each time: a step that cannot be interrupted, such as the sync of a large file, fits into it.
const EXTEND_BY: Duration = Duration::from_secs(120);

/// How long a message may wait for a manager that reads none.
const PATIENCE: Duration = Duration::from_secs(1);

static MANAGER: LazyLock<Option<Manager>> = LazyLock::new(Manager::find);

/// The program does its work from now on.
pub fn ready(status: &str) {
    send(&format!("READY=1\n{}", status_line(status)));
}

/// The program has begun to stop.
pub fn stopping() {
    send("STOPPING=1\nSTATUS=stopping");
}

/// What the program does, in words.
pub fn status(text: &str) {
    send(&status_line(text));
}

/// Whether anybody reads the messages.
pub fn is_read() -> bool {
    MANAGER.is_some()
}

/// The signs of life that the manager's watchdog wants.
#[derive(Debug)]
pub struct Beats {
    /// None without a watchdog.
    every: Option<Duration>,
    next: Instant,
}

impl Beats {
    /// Those of this process.
    pub fn of_process() -> Beats {
        let of_process = |pid: String| pid == std::process::id().to_string();
        let is_ours = is_read() && env::var("WATCHDOG_PID").map_or(true, of_process);
        let interval = env::var("WATCHDOG_USEC").ok().filter(|_| is_ours);
        let interval = interval.and_then(|interval| interval.parse().ok());
        Beats {
            // A beat may be late, and another one lost.
            every: interval
                .filter(|interval| *interval > 0)
                .map(|interval| Duration::from_micros(interval) / 3),
            next: Instant::now(),
        }
    }

    /// Sends a sign if one is due. When the next one is.
    pub fn beat(&mut self) -> Option<Instant> {
        let every = self.every?;
        let now = Instant::now();
        if self.next <= now {
            send("WATCHDOG=1");
            self.next = now + every;
        }
        Some(self.next)
    }
}

/// A start that may take long. Its clones are the same start.
#[derive(Debug, Clone)]
pub struct LongStart(Arc<Mutex<StartStep>>);

/// What a start does.
#[derive(Debug)]
struct StartStep {
    doing: Option<String>,
    /// When to ask for more time.
    due: Instant,
}

impl LongStart {
    /// It begins.
    pub fn begin() -> LongStart {
        LongStart(Arc::new(Mutex::new(StartStep {
            doing: None,
            due: Instant::now() + EXTEND_EVERY,
        })))
    }

    /// It does this, which may take long. The manager gets to know of the first such step at once: how much time the start
    /// has is the manager's to say.
    pub fn is_doing(&self, what: String) {
        let mut step = lock(&self.0);
        if step.doing.replace(what).is_none() {
            step.due = Instant::now();
        }
        drop(step);
        self.goes_on();
    }

    /// It goes on. Asks for more time when that is due.
    pub fn goes_on(&self) {
        let mut step = lock(&self.0);
        let now = Instant::now();
        if step.due <= now {
            step.due = now + EXTEND_EVERY;
            let status = status_line(step.doing.as_deref().unwrap_or("starting"));
            send(&format!(
                "EXTEND_TIMEOUT_USEC={}\n{status}",
                EXTEND_BY.as_micros()
            ));
        }
    }
}

/// Whoever started the process and wants to know how it is.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    has_failed: AtomicBool,
}

impl Manager {
    fn find() -> Option<Manager> {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let connect = || -> io::Result<Manager> {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                _ => SocketAddr::from_pathname(&name)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Manager {
                socket,
                address,
                has_failed: AtomicBool::new(false),
            })
        };
        let manager = connect();
        manager
            .inspect_err(|error| complain(&error.to_string()))
            .ok()
    }

    fn send(&self, message: &str) {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        if let Err(error) = sent
            && !self.has_failed.swap(true, Relaxed)
        {
            complain(&error.to_string());
        }
    }
}

fn send(message: &str) {
    if let Some(manager) = &*MANAGER {
        manager.send(message);
    }
}

/// A line is a statement of its own, so the text must be one line.
fn status_line(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    let redacted = redaction::in_records(line.as_bytes());
    let redacted = redacted.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    format!("STATUS={}", redacted.unwrap_or(line))
}

fn complain(error: &str) {
    log::warn!(
        "cannot send to the service manager: {error}; it may take this program for one that does not start or hangs \
         (NOTIFY_SOCKET, in systemd Type=notify and WatchdogSec=)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_statement() {
        let status = status_line("the service says: \nMAINPID=1\r\n\u{85}READY=1");
        assert_eq!(status.lines().count(), 1);
        assert!(status.starts_with("STATUS=the service says: "));
    }
}
