use std::io::Write;

use super::{Exit, Failure};
use crate::cli;
use crate::config;
use crate::store::Publishers;

/// Asks a publisher for something, beside a connector that may be running.
pub(super) fn run(action: &cli::Publisher) -> Result<Exit, Failure> {
    let cli::Publisher::Replay { name, from, config } = action;
    let directory = config::state_directory(&config.config)?;
    let publishers = Publishers::open(&directory).map_err(Failure::other)?;
    publishers.replay(name, from - 1).map_err(Failure::other)?;
    // A reader that has gone has seen enough.
    let _ = writeln!(
        std::io::stdout(),
        "the publisher \"{name}\" delivers everything from seq {from} on again: with the next poll if the connector runs, else \
         when it does"
    );
    Ok(Exit::Done)
}
