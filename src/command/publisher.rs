use super::{CommandError, Exit, print};
use crate::cli::{PublisherCommand, PublisherOptions};
use crate::config::Outline;
use crate::publish;
use crate::store::Publishers;

/// Changes what a publisher delivers next. The connector may be running.
pub(super) fn run(options: &PublisherOptions) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config.config)?;
    let publishers = Publishers::open(&outline.state_directory)?;
    let done = match &options.command {
        PublisherCommand::Replay { name, from } => {
            let kind = publishers.kind(name)?;
            if *from > 1 && !publish::replays_from_anywhere(&kind) {
                return Err(CommandError::failed(format!(
                    "the publisher \"{name}\" can only begin at the beginning, because what it tells of a payment builds on \
                     what came before; leave --from out: what Formance has already stays as it is"
                )));
            }
            publishers.replay(name, from - 1)?;
            let lack = publish::lacks_balances(&kind, publishers.dropped_after(from - 1)?);
            format!(
                "the publisher \"{name}\" will deliver everything from seq {from} again: at the next poll if the \
                connector is running, otherwise when it starts{}",
                lack.map_or(String::new(), |lack| format!("; {lack}"))
            )
        }
        PublisherCommand::Skip { name, seq } => {
            publishers.skip(name, *seq)?;
            format!(
                "publisher \"{name}\" will skip seq {seq} at its next attempt; to deliver it after all, run: \
                quarantine retry {name}/{seq}"
            )
        }
        PublisherCommand::Remove { name } => {
            if outline.publishers.contains(name) {
                return Err(CommandError::failed(format!(
                    "the publisher \"{name}\" is in the configuration: remove its entry from \"publish\" and restart \
                    the connector first"
                )));
            }
            publishers.remove(name)?;
            format!("the publisher \"{name}\" is forgotten")
        }
    };
    print(&format!("{done}\n"));
    Ok(Exit::Done)
}
