//! What systemd gets to know: readiness, a status, signs of life, priorities of lines in the journal.

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Place, Reply, Running, ask, old_state, run, wait_until,
};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn at_path() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        Manager {
            socket: UnixDatagram::bind(&path).unwrap(),
            name: path.to_str().unwrap().to_owned(),
            _folder: folder,
        }
    }

    /// As in containers of systemd: the name is in no folder.
    fn without_path() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap().replace('/', "-");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Manager {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
            _folder: folder,
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("NOTIFY_SOCKET", self.name.clone())]
    }

    /// With a watchdog.
    fn watching(&self, interval: Duration) -> Vec<(&'static str, String)> {
        let mut variables = self.variables();
        variables.push(("WATCHDOG_USEC", interval.as_micros().to_string()));
        variables
    }

    /// The next message, which comes within that time.
    fn message_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut bytes = [0; 65_536];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Waits for a message that contains the text. What came before it is in front.
    fn messages_until(&self, text: &str) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let message = self.message_within(Duration::from_secs(30));
            let message = message.unwrap_or_else(|| panic!("no {text:?} after {messages:#?}"));
            messages.push(message);
            if messages.last().unwrap().contains(text) {
                return messages;
            }
        }
    }

    /// How often the watchdog is fed in that time.
    fn beats_in(&self, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut beats = 0;
        while let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            let message = self.message_within(left);
            beats += usize::from(message.is_some_and(|message| message == "WATCHDOG=1"));
        }
        beats
    }
}

fn place(endpoint: &str, more: Value) -> Place {
    let mut keys = json!({
        "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h", "sweepPeriod": "1000h",
    });
    let given = more.as_object().unwrap().clone();
    keys.as_object_mut().unwrap().extend(given);
    Place::new(endpoint, keys)
}

fn readiness_status_and_stop(manager: &Manager) {
    let service = FakePsp::with_a_bank();
    let listening = Listening::on(place(&service.url(), json!({})), &manager.variables());
    assert_eq!(
        manager.messages_until("READY=1"),
        ["READY=1\nSTATUS=started"]
    );
    // Whoever was waiting for that is answered.
    assert_eq!(ask(&listening.url, "GET", "/healthz", None, "").0, 200);
    let messages = manager.messages_until("STATUS=poll 1 complete, 255 new, ");
    assert!(
        !messages.last().unwrap().contains("formance"),
        "{messages:?}"
    );
    // Formance has read the accounts and beneficiaries, and not the transactions.
    listening.get("/accounts?page=1&pageSize=1000&sort=createdAt:asc");
    listening.get("/transactions?page=1&pageSize=10&sort=updatedAt:asc");
    listening.poll();
    let messages = manager.messages_until("STATUS=poll 2 complete, 0 new, ");
    assert!(
        messages.last().unwrap().contains("; formance "),
        "{messages:?}"
    );
    service.always("/", Reply::status(500));
    listening.post("/poll?wait=true", "");
    let messages = manager.messages_until("STATUS=poll 3 failed, 0 new, ");
    assert!(messages.last().unwrap().contains("500"), "{messages:?}");
    let mut listening = listening;
    listening.process.signal(Signal::SIGTERM);
    manager.messages_until("STOPPING=1\nSTATUS=stopping");
    assert_eq!(listening.process.ended().0, Some(0));
}

#[test]
fn the_service_manager_gets_to_know_of_readiness_polls_and_the_stop() {
    readiness_status_and_stop(&Manager::at_path());
}

#[test]
fn its_socket_may_have_no_path() {
    readiness_status_and_stop(&Manager::without_path());
}

#[test]
fn a_service_that_is_down_keeps_nothing_from_being_ready() {
    let manager = Manager::at_path();
    let place = place("http://127.0.0.1:1", json!({}));
    let _listening = Listening::on(place, &manager.variables());
    manager.messages_until("READY=1");
    let messages = manager.messages_until("STATUS=poll 1 failed");
    let said = "1 warning: see generic-connector status";
    assert!(messages.last().unwrap().contains(said), "{messages:?}");
}

#[test]
fn nothing_is_ready_that_cannot_start_and_the_status_says_why() {
    let manager = Manager::at_path();
    let place = place("http://127.0.0.1:1", json!({ "listenKey": null }));
    let mut command = place.command("run");
    command.envs(manager.variables());
    assert_eq!(run(command).code, Some(78));
    let messages = manager.messages_until("STATUS=");
    assert!(
        messages
            .last()
            .unwrap()
            .contains("no key: set \"listenKey\""),
        "{messages:?}"
    );
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[test]
fn the_watchdog_is_fed_by_the_loop_three_times_in_its_interval() {
    const INTERVAL: Duration = Duration::from_millis(1_200);
    let service = FakePsp::with_a_bank();
    let manager = Manager::at_path();
    let listening = Listening::on(
        place(&service.url(), json!({})),
        &manager.watching(INTERVAL),
    );
    manager.messages_until("poll 1 complete");
    let beats = manager.beats_in(INTERVAL * 3);
    assert!((5..=10).contains(&beats), "{beats}");

    // A loop that is stuck feeds nothing: here it waits for a commit of somebody else.
    let state = rusqlite::Connection::open(listening.place.state().join("state.sqlite3")).unwrap();
    state.execute_batch("BEGIN IMMEDIATE").unwrap();
    service.add_transaction("new", "2024-03-01T00:00:00Z");
    let polling = listening.polling();
    wait_until("the loop is stuck", || manager.beats_in(INTERVAL) == 0);
    assert_eq!(manager.beats_in(INTERVAL), 0);
    state.execute_batch("ROLLBACK").unwrap();
    assert_eq!(polling.join().unwrap().0, 200);
    manager.messages_until("WATCHDOG=1");
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let service = FakePsp::with_a_bank();
    let manager = Manager::at_path();
    let mut variables = manager.watching(Duration::from_millis(300));
    variables.push(("WATCHDOG_PID", "1".to_owned()));
    let _listening = Listening::on(place(&service.url(), json!({})), &variables);
    manager.messages_until("poll 1 complete");
    assert_eq!(manager.beats_in(Duration::from_secs(1)), 0);
}

#[test]
fn a_migration_asks_for_time_before_the_program_is_ready() {
    let service = FakePsp::with_a_bank();
    let old = old_state::polled_with_layout(&service, include_str!("layouts/8.sql"));
    let manager = Manager::at_path();
    old.configure(
        &service.url(),
        json!({ "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY }),
    );
    let _listening = Listening::on(old, &manager.variables());
    let messages = manager.messages_until("READY=1");
    let first =
        "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=keeping a copy of the state, which has layout 8";
    assert!(messages[0].starts_with(first), "{messages:?}");
}

#[test]
fn a_manager_that_is_gone_is_said_once_and_ends_nothing() {
    let service = FakePsp::with_a_bank();
    let variables = [("NOTIFY_SOCKET", "/nonexistent/notify".to_owned())];
    let listening = Listening::on(place(&service.url(), json!({})), &variables);
    listening.poll();
    listening.poll();
    let log = listening.log();
    assert_eq!(
        log.matches("cannot send to the service manager").count(),
        1,
        "{log}"
    );
}

/// What a command logs into a file. `in_journal`: it gets to know that the file is the journal.
fn logged(place: &Place, in_journal: bool) -> String {
    let path = place.path().join("journal");
    let file = File::create(&path).unwrap();
    let found = file.metadata().unwrap();
    let inode = if in_journal {
        found.ino()
    } else {
        found.ino() + 1
    };
    let mut command = place.command("poll");
    command.env("JOURNAL_STREAM", format!("{}:{inode}", found.dev()));
    command.stderr(Stdio::from(file));
    Running::start(command).ended();
    fs::read_to_string(path).unwrap()
}

#[test]
fn lines_in_the_journal_have_a_priority_and_no_time() {
    let service = FakePsp::with_a_bank();
    let well = Place::new(&service.url(), json!({}));
    let line = logged(&well, true);
    assert!(
        line.starts_with("<6>[INFO] poll 1 complete: 255 new"),
        "{line}"
    );

    service.always("/", Reply::status(401));
    let warned = json!({ "apiKey": "short", "name": "a" });
    let failing = Place::new(&service.url(), warned);
    fs::set_permissions(
        failing.config(),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let lines = logged(&failing, true);
    assert!(
        lines.contains("\n<3>[ERROR] ") || lines.starts_with("<3>[ERROR] "),
        "{lines}"
    );
    assert!(lines.contains("<4>[WARN] "), "{lines}");
    for line in lines.lines() {
        assert!(
            line.starts_with('<') && line.as_bytes()[2] == b'>',
            "{lines}"
        );
    }
}

#[test]
fn what_the_journal_does_not_get_carries_the_time() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({}));
    let line = logged(&place, false);
    let (time, rest) = line.split_once(' ').unwrap();
    // 2026-11-26T18:00:00.123Z
    assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{line}");
    assert!(rest.starts_with("[INFO] poll 1 complete"), "{line}");
}
