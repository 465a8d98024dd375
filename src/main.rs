//! The binary: reads the command line, starts logging, runs the command.

use std::process::ExitCode;

use clap::Parser;
use generic_connector::cli::Cli;
use generic_connector::command;

fn main() -> ExitCode {
    command::run(Cli::parse())
}
