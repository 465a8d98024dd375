//! The commands of the command line, one a file.

mod backup;
mod check;
mod check_pay;
mod check_run;
mod check_watch;
mod closed;
mod connector;
mod demo;
mod error;
mod explain;
mod healthcheck;
mod init;
mod initiation;
mod listing;
mod migrate;
mod poll;
mod progress_line;
mod publisher;
mod quarantine;
mod report_files;
mod restored;
mod run;
mod run_watch;
mod sandbox;
mod status;
mod support_bundle;
mod sweep;
mod table;
mod targets;
mod terminal;
mod verify;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::{dump, logging, notify};
use error::CommandError;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    dump::forbid();
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            // The reader may have closed the pipe, as `head` does.
            let _ = error.print();
            // clap also returns `--help` and `--version` as errors, but prints them on standard output.
            if error.use_stderr() {
                closed::answer_usage(&error.to_string()).unwrap_or(Exit::Usage)
            } else {
                Exit::Done
            }
        }
    };
    exit.into()
}

fn run(cli: Cli) -> Exit {
    let level = match cli.command {
        _ if cli.verbose => LevelFilter::Debug,
        Command::Demo(_) => LevelFilter::Warn,
        _ => LevelFilter::Info,
    };
    logging::start(level);
    let ended = match cli.command {
        Command::Demo(options) => demo::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Poll(options) => poll::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Publisher(options) => publisher::run(&options),
        Command::Initiation(options) => initiation::run(&options),
        Command::Quarantine(options) => quarantine::run(&options),
        Command::Listing(options) => listing::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Migrate(options) => migrate::run(&options),
        Command::Restored(options) => restored::run(&options),
        Command::SupportBundle(options) => support_bundle::run(&options),
        Command::Sandbox(options) => sandbox::run(options),
    };
    ended.unwrap_or_else(|error| {
        log::error!("{error}");
        // It is shown for as long as the unit has failed.
        notify::status(&error.to_string());
        error.exit
    })
}

/// Writes to standard output. It is no error if the reader has closed the pipe, as `head` does. If the text cannot be written
/// otherwise, the process ends, because it would be missed.
fn print(text: &str) {
    is_read_on(text);
}

/// As [`print()`]. Whether the reader has not closed the pipe.
fn is_read_on(text: &str) -> bool {
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            log::error!("cannot write to standard output: {error}");
            std::process::exit(Exit::Failed as i32)
        }
    }
}
