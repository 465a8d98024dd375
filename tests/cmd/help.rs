//! The help of every command, and what a wrong command line is answered.

use super::Session;
use crate::support::{binary, run};

#[test]
fn every_command_has_its_help() {
    let mut session = Session::new();
    session.runs("-h");
    explain(&mut session, "");
    session.is("help");
}

/// The help of a command and of each command below it.
fn explain(session: &mut Session, command: &str) {
    let mut ready = binary();
    let help = format!("{command} --help");
    let ran = run({
        ready.args(help.split_whitespace());
        ready
    });
    session.ran(help.trim(), &ran);
    let below = ran
        .stdout
        .split_once("Commands:\n")
        .map_or("", |(_, below)| below);
    for line in below.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            explain(session, format!("{command} {name}").trim());
        }
    }
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let mut session = Session::new();
    for command in [
        "",
        "fly",
        "poll --fly",
        "poll --config",
        "poll --delivery-patience soon",
        "demo --for soon",
        "quarantine",
        "quarantine show",
        "quarantine show http",
        "publisher replay",
        "publisher replay ndjson --from 0",
        "publisher skip ndjson x",
        "listing adopt balances",
        "initiation settle",
        "initiation settle key",
        "initiation settle key made",
        "initiation settle key lost",
        "sandbox --listen here",
        "sandbox --listen 0.0.0.0:8090",
        "sandbox --latency soon",
        "sandbox --data /nowhere",
    ] {
        session.runs(command);
    }
    session.is("usage");
}
