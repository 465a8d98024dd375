//! The log of `run`: start, a poll, a stop; and what keeps it from starting.

use nix::sys::signal::Signal;
use serde_json::json;

use super::Session;
use crate::support::{FakePsp, LISTEN_KEY, Listening, Place, Ran};

#[test]
fn from_start_to_stop() {
    let service = FakePsp::with_a_bank();
    let mut listening = Listening::start(&service.url(), json!({ "workers": 1 }));
    listening.wait_for_line("poll 1 complete");
    listening.process.signal(Signal::SIGTERM);
    listening.wait_for_line("stopped");
    let (code, _) = listening.process.ended();
    let ran = Ran {
        code,
        stdout: String::new(),
        stderr: listening.log(),
    };
    let mut session = Session::new();
    session.hide(listening.place.path().to_str().unwrap(), "[FOLDER]");
    session.ran("run", &ran).is("run");
}

#[test]
fn what_another_process_has() {
    let service = FakePsp::start();
    let listening = Listening::start(&service.url(), json!({}));
    let mut session = Session::new();
    session.line("# the state").on(&listening.place, "run");
    let taken = listening.url.trim_start_matches("http://");
    let place = Place::new(
        &service.url(),
        json!({ "listen": taken, "listenKey": LISTEN_KEY }),
    );
    session.line("# the port").on(&place, "run");
    session
        .line("# the sandbox's port")
        .runs(&format!("sandbox --listen {taken}"));
    session.is("run-taken");
}
