use super::connector::{Connector, publishers};
use super::run_watch::RunWatch;
use super::{CommandError, Exit};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::{notify, signals};

/// The problem with a configuration that works for `poll` only.
pub(super) const NOTHING_TO_DELIVER_TO: &str = "neither \"listen\" nor \"publish\" is set, so there is nowhere to \
    deliver to: add \
     \"listen\": \"127.0.0.1:8080\" and a \"listenKey\" for Connectivity to poll, or \"publish\": \
     [ { \"type\": \"ndjson\", \"path\": \"changes.ndjson\" } ]";

/// Polls and delivers until a signal arrives.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let config = Config::read(&options.config)?;
    if config.publish.is_none() && config.serve.listen.is_none() {
        return Err(CommandError::new(
            Exit::BadConfig,
            format!("{}: {NOTHING_TO_DELIVER_TO}", options.config.display()),
        ));
    }
    signals::ignore_hangup().map_err(CommandError::failed)?;
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let publishers = publishers(config.publish.as_deref().unwrap_or_default());
    log::info!(
        "generic-connector {} polls {} every {:#} as \"{}\", state in {}",
        env!("CARGO_PKG_VERSION"),
        config.identity.endpoint,
        jiff::SignedDuration::try_from(config.polling.period).unwrap_or(jiff::SignedDuration::ZERO),
        config.identity.name,
        config.state_directory.display()
    );
    let mut watch = RunWatch::new(&config);
    let mut connector = Connector::assemble(config, publishers, stop, &mut watch)?;
    if let Some(address) = connector.listens_on() {
        log::info!("listening on http://{address}");
    }
    if let Some(address) = connector.observed_on() {
        log::info!("observed on http://{address}");
    }
    notify::ready("started");
    let ended = connector.poller.run();
    notify::stopping();
    connector.shut_down();
    log::info!("stopped");
    ended?;
    Ok(Exit::Done)
}
