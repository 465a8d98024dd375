//! What the tests share: a runner for the binary, a fake Integration Service, and a server that can spoil any exchange.

pub mod browser;
mod copies;
mod listening;
mod manners;
pub mod old_state;
mod psp;
mod receiver;
pub mod scrape;
mod server;
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use copies::{STATE_FILE, StateCopy};
pub use listening::{LISTEN_KEY, Listening, OBSERVE_KEY, ask, text_at};
pub use manners::{Manners, Reply};
pub use psp::{FakePsp, at_second, transaction};
pub use receiver::{Batch, Receiver, TARGET_KEY, TARGET_TOKEN};
pub use server::{Greeting, Mishap, TestAnswer, TestRequest, TestServer, http_date};

/// A connector's folder: its configuration, its state, what it delivered.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// A folder with a configuration for that endpoint, plus or minus the keys of `more`; null removes a key.
    pub fn new(endpoint: &str, more: Value) -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        place.configure(endpoint, more);
        place
    }

    pub fn configure(&self, endpoint: &str, more: Value) {
        let mut config = json!({ "name": "test", "endpoint": endpoint, "apiKey": KEY });
        for (key, value) in more.as_object().unwrap() {
            match value {
                Value::Null => config.as_object_mut().unwrap().remove(key),
                value => config
                    .as_object_mut()
                    .unwrap()
                    .insert(key.clone(), value.clone()),
            };
        }
        fs::write(self.config(), config.to_string()).unwrap();
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Whether the configuration has that key.
    pub fn has_key(&self, key: &str) -> bool {
        let text = fs::read(self.config()).unwrap_or_default();
        let config: Value = serde_json::from_slice(&text).unwrap_or_default();
        !config[key].is_null()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("generic.json")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub fn changes_file(&self) -> PathBuf {
        self.state().join("changes.ndjson")
    }

    /// A command on this configuration, not yet started.
    pub fn command(&self, command: &str) -> Command {
        let mut ready = binary();
        ready
            .args(command.split(' '))
            .arg("--config")
            .arg(self.config());
        ready
    }

    /// Dates everything that is stored so long ago that no replica can still lag behind it, every sweep is later, and what
    /// Connectivity has asked for is not new.
    pub fn age(&self) {
        let state = rusqlite::Connection::open(self.state().join("state.sqlite3")).unwrap();
        let aged = "
            UPDATE version SET observed_at = '2024-03-01T00:00:00Z';
            UPDATE quarantine SET first_seen = '2024-03-01T00:00:00Z', last_seen = '2024-03-01T00:00:00Z';
            UPDATE quarantine SET rival_seen = '2024-03-01T00:00:00Z' WHERE rival_seen IS NOT NULL;
            UPDATE older_balances SET since = '2024-03-01T00:00:00Z';
            UPDATE listing SET since = '2024-03-01T00:00:00Z' WHERE since IS NOT NULL";
        state.execute_batch(aged).unwrap();
    }

    /// Runs `poll` to its end.
    pub fn poll(&self) -> Ran {
        run(self.command("poll"))
    }

    /// Runs `poll`, which must succeed.
    pub fn poll_well(&self) -> Ran {
        let ran = self.poll();
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// The change lines delivered so far.
    pub fn changes(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.changes_file()).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "torn last line");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The ids delivered so far of one stream, in order.
    pub fn ids(&self, stream: &str) -> Vec<String> {
        let of_stream = self
            .changes()
            .into_iter()
            .filter(|change| change["stream"] == stream);
        of_stream
            .map(|change| change["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How many changes of each stream were delivered.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for change in self.changes() {
            *counts
                .entry(change["stream"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        counts
    }
}

/// The key that the fake service expects.
pub const KEY: &str = "s3cr3t-key-of-the-test";

/// The binary, without the variables of the environment that change what it does.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generic-connector"));
    for variable in [
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

pub fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// The ids of the quirks of a stream, as `status` has them.
pub fn quirk_ids(place: &Place, stream: &str) -> Vec<String> {
    quirks(place, stream, "id")
}

/// That member of each quirk of a stream in `status`.
pub fn quirks(place: &Place, stream: &str, member: &str) -> Vec<String> {
    let status: Value = serde_json::from_str(&run(place.command("status --json")).stdout).unwrap();
    let cursors = status["cursors"].as_array().unwrap().iter();
    let mut cursors = cursors.filter(|cursor| cursor["stream"] == stream);
    let found = cursors.next().unwrap()["quirks"].as_array().unwrap().iter();
    found
        .map(|quirk| quirk[member].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the condition holds; fails after 30 seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Dates in the state are whole seconds.
pub fn wait_a_second() {
    let now = || generic_connector::Timestamp::now().second();
    let before = now();
    wait_until("the next second", || now() > before);
}

/// A process that is killed when the test ends.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Running {
        Running(command.spawn().unwrap())
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    /// Waits for the process to end; its exit code, and how long that took.
    pub fn ended(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        (self.0.wait().unwrap().code(), start.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
