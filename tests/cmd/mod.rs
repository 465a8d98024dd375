//! What users see, word for word: help, tables, logs, errors. Each session is compared with a file in `snapshots`, so that
//! a change of words is a diff to review. `SNAPSHOTS=overwrite cargo test --test promises cmd::` rewrites the files.

mod check;
mod configuration;
mod demo;
mod explain;
mod help;
mod initiation;
mod listener;
pub mod poll;
mod publisher;
mod quarantine;
mod run;
mod status;
mod terminal;
mod verify;

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use snapbox::{Assert, Data};

use crate::support::{Place, Ran, binary, run};

/// Commands and what they print, as in a terminal. Lines of standard error begin with `2> `.
#[derive(Default)]
pub struct Session {
    text: String,
    /// Texts that differ from run to run, and what is written instead.
    hidden: Vec<(String, &'static str)>,
}

impl Session {
    pub fn new() -> Session {
        Session::default()
    }

    /// Runs a command on the configuration of that place.
    pub fn on(&mut self, place: &Place, command: &str) -> &mut Session {
        self.hide(place.path().to_str().unwrap(), "[FOLDER]");
        let ran = run(place.command(command));
        self.ran(command, &ran)
    }

    /// Runs a command that needs no configuration.
    pub fn runs(&mut self, command: &str) -> &mut Session {
        let mut ready = binary();
        ready.args(command.split_whitespace());
        self.ran(command, &run(ready))
    }

    /// Adds a command that has run.
    pub fn ran(&mut self, command: &str, ran: &Ran) -> &mut Session {
        self.line(format!("$ generic-connector {command}").trim_end());
        self.text += &ran.stdout;
        self.log(&ran.stderr);
        match ran.code {
            Some(0) => self.line(""),
            code => self.line(&format!("exit code {}\n", code.unwrap())),
        }
    }

    /// Adds lines of standard error.
    pub fn log(&mut self, lines: &str) -> &mut Session {
        for line in lines.lines() {
            self.line(format!("2> {line}").trim_end());
        }
        self
    }

    pub fn line(&mut self, line: &str) -> &mut Session {
        self.text += line;
        self.text.push('\n');
        self
    }

    /// Adds what another session has.
    pub fn append(&mut self, other: Session) {
        self.text += &other.text;
        self.hidden.extend(other.hidden);
    }

    pub fn hide(&mut self, text: &str, placeholder: &'static str) {
        self.hidden.push((text.to_owned(), placeholder));
    }

    /// Compares the session with the snapshot of that name.
    #[track_caller]
    pub fn is(&self, name: &str) {
        let mut text = self.text.clone();
        for (hidden, placeholder) in &self.hidden {
            text = text.replace(hidden, placeholder);
        }
        for (pattern, placeholder) in &*VOLATILE {
            text = pattern.replace_all(&text, *placeholder).into_owned();
        }
        let file = format!(
            "{}/tests/cmd/snapshots/{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        let expected = Data::read_from(Path::new(&file), None).raw();
        Assert::new()
            .action_env("SNAPSHOTS")
            .eq(text.trim_end().to_owned() + "\n", expected);
    }
}

/// Times, ports, ids and durations.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        // As wide as the time, so that columns stay aligned. The dates that the tests make up are of 2024.
        (
            r"20(2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
            "[TIME______________]",
        ),
        (r"(127\.0\.0\.1:)[1-6]\d{4}\b", "${1}[PORT]"),
        (r"\b[0-9a-f]{32}\b", "[ID]"),
        // How long a poll, a sweep and a wait took.
        (
            r"(retries, |without a newer date, |requests in |checks? in |balances take about |import takes about )\d+(\.\d)? s\b",
            "${1}[SECONDS] s",
        ),
        (r"\b\d+ ms\b", "[MS] ms"),
        // How many a state has depends on when it was checkpointed.
        (r"(?m)^(pages +)\d+ ", "${1}[N] "),
        (r#"("seconds": )[\d.e-]+"#, "${1}[SECONDS]"),
        (r#"("p(?:50|95)": )[\d.e-]+"#, "${1}[SECONDS]"),
        // The last columns of the polls in `status`. The last two have no figure if the service did not answer.
        (
            r"(?m)((?:complete|partial|failed|interrupted)(?: +\d+){4}) +[\d.]+( +-)( +-)$",
            "${1}  [SECONDS]${2}${3}",
        ),
        (
            r"(?m)((?:complete|partial|failed|interrupted)(?: +\d+){4}) +[\d.]+ +[\d.]+ +[\d.]+$",
            "${1}  [SECONDS]  [MS]  [MS]",
        ),
    ];
    patterns
        .map(|(pattern, placeholder)| (Regex::new(pattern).unwrap(), placeholder))
        .into()
});
