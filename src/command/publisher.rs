use std::io::Write;

use super::{Exit, Failure};
use crate::cli;
use crate::config::Outline;
use crate::store::Publishers;

/// Asks a publisher for something, beside a connector that may be running.
pub(super) fn run(action: &cli::Publisher) -> Result<Exit, Failure> {
    let (cli::Publisher::Replay { config, .. }
    | cli::Publisher::Skip { config, .. }
    | cli::Publisher::Remove { config, .. }) = action;
    let outline = Outline::read(&config.config)?;
    let publishers = Publishers::open(&outline.state_directory).map_err(Failure::other)?;
    let done = match action {
        cli::Publisher::Replay { name, from, .. } => {
            publishers.replay(name, from - 1).map_err(Failure::other)?;
            format!(
                "the publisher \"{name}\" delivers everything from seq {from} on again: with the next poll if the connector runs, \
                 else when it does"
            )
        }
        cli::Publisher::Skip { name, seq, .. } => {
            publishers.skip(name, *seq).map_err(Failure::other)?;
            format!(
                "the publisher \"{name}\" goes on behind seq {seq}, with its next try; to deliver it after all: quarantine retry \
                 {name}/{seq}"
            )
        }
        cli::Publisher::Remove { name, .. } => {
            if outline.publishers.contains(name) {
                return Err(Failure::Other(format!(
                    "the publisher \"{name}\" is in the configuration: take its entry out of \"publish\" and restart the \
                     connector first"
                )));
            }
            publishers.remove(name).map_err(Failure::other)?;
            format!("the publisher \"{name}\" is forgotten")
        }
    };
    // A reader that has gone has seen enough.
    let _ = writeln!(std::io::stdout(), "{done}");
    Ok(Exit::Done)
}
