//! The commands of the command line, one a file.

mod check;
mod connector;
mod demo;
mod poll;
mod publisher;
mod quarantine;
mod run;
mod sandbox;
mod status;

use std::process::ExitCode;

use log::LevelFilter;

use crate::cli::{Cli, Command};
use crate::{config, logging};

/// How a command ended, as its exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: nothing could be done, or delivery did not finish.
    Nothing,
    /// 2: done, but a stream failed or a record was put into quarantine.
    Partly,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// 78 (EX_CONFIG of sysexits.h): starting again will not help until someone edits the configuration.
    #[error("{0}")]
    Config(String),
    /// 1.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    fn other(error: impl std::fmt::Display) -> Failure {
        Failure::Other(error.to_string())
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::Config(error.to_string())
    }
}

/// Runs the command that the command line names.
pub fn run(cli: Cli) -> ExitCode {
    let quiet = matches!(cli.command, Command::Demo(_));
    logging::start(match (cli.verbose, quiet) {
        (true, _) => LevelFilter::Debug,
        (false, true) => LevelFilter::Warn,
        (false, false) => LevelFilter::Info,
    });
    let ended = match cli.command {
        Command::Demo(options) => demo::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Poll(options) => poll::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Publisher(options) => publisher::run(&options),
        Command::Quarantine(options) => quarantine::run(&options),
        Command::Sandbox(options) => sandbox::run(options),
    };
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Nothing) => ExitCode::from(1),
        Ok(Exit::Partly) => ExitCode::from(2),
        Err(failure) => {
            log::error!("{failure}");
            ExitCode::from(if matches!(failure, Failure::Config(_)) {
                78
            } else {
                1
            })
        }
    }
}
