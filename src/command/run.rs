use super::connector::{Connector, publishers};
use super::{Exit, Failure};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::signals;

/// Polls and delivers until a signal comes.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, Failure> {
    let config = Config::read(&options.config)?;
    let Some(targets) = &config.publish else {
        return Err(Failure::Config(format!(
            "{}: \"publish\" is missing, so there is nothing to deliver to: add \"publish\": \
             [ {{ \"type\": \"ndjson\", \"path\": \"changes.ndjson\" }} ]",
            options.config.display()
        )));
    };
    signals::ignore_hangup().map_err(Failure::Other)?;
    let (_trigger, stop) = signals::handle().map_err(Failure::Other)?;
    let publishers = publishers(targets);
    log::info!(
        "generic-connector {} polls {} every {:#} as \"{}\", state in {}",
        env!("CARGO_PKG_VERSION"),
        config.identity.endpoint,
        jiff::SignedDuration::try_from(config.polling.period).unwrap_or(jiff::SignedDuration::ZERO),
        config.identity.name,
        config.state_directory.display()
    );
    let mut watch = ();
    let mut connector = Connector::assemble(config, publishers, stop, &mut watch)?;
    let ended = connector.poller.run();
    connector.shut_down();
    log::info!("stopped");
    ended.map(|()| Exit::Done).map_err(Failure::other)
}
