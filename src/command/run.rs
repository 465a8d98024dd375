use super::connector::{Connector, publishers};
use super::run_watch::RunWatch;
use super::{CommandError, Exit, closed};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::sockets::Sockets;
use crate::stop::Stop;
use crate::{notify, signals};

/// The problem with a configuration that works for `poll` only.
pub(super) const NOTHING_TO_DELIVER_TO: &str = "neither \"listen\" nor \"publish\" is set, so there is nowhere to \
    deliver to: add \
     \"listen\": \"127.0.0.1:8080\" and a \"listenKey\" for Connectivity to poll, or \"publish\": \
     [ { \"type\": \"ndjson\", \"path\": \"changes.ndjson\" } ]";

/// Polls and delivers until a signal arrives.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    signals::ignore_hangup().map_err(CommandError::failed)?;
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let (sockets, problem) = Sockets::take();
    let bad_socket = |problem: String| Err(CommandError::new(Exit::BadConfig, problem));
    if sockets.is_empty() {
        return problem.map_or_else(|| connect(options, sockets, stop), bad_socket);
    }
    let kept = sockets.try_clone().map_err(CommandError::failed)?;
    let ended = match problem {
        Some(problem) => bad_socket(problem),
        None => connect(options, sockets, stop.clone()),
    };
    match ended {
        Err(error) if error.exit.is_for_operators() => closed::answer(kept, &error, &stop),
        ended => ended,
    }
}

/// Those sockets can be used with that configuration.
fn check(sockets: &Sockets, config: &Config) -> Result<(), String> {
    let observe = config.serve.observe.as_ref();
    let has_observe = observe.is_some_and(|observe| observe.address.is_some());
    for (key, socket, is_set) in [
        ("listen", &sockets.listen, config.serve.listen.is_some()),
        ("observe", &sockets.observe, has_observe),
    ] {
        let address = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        if let Some(address) = address.filter(|_| !is_set) {
            return Err(format!(
                "systemd passes a socket at {address}, but \"{key}\" is not set: set it to \"{address}\", with a \"{key}Key\""
            ));
        }
    }
    Ok(())
}

fn connect(options: &ConfigFile, sockets: Sockets, stop: Stop) -> Result<Exit, CommandError> {
    let config = Config::read(&options.config)?;
    check(&sockets, &config).map_err(|problem| {
        let file = options.config.display();
        CommandError::new(Exit::BadConfig, format!("{file}: {problem}"))
    })?;
    if config.publish.is_none() && config.serve.listen.is_none() {
        return Err(CommandError::new(
            Exit::BadConfig,
            format!("{}: {NOTHING_TO_DELIVER_TO}", options.config.display()),
        ));
    }
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
    let mut connector = Connector::assemble_on(sockets, config, publishers, stop, &mut watch)?;
    connector.poller.store().poll_by_period(true)?;
    if let Some(address) = connector.listens_on() {
        log::info!("listening on http://{address}");
    }
    if let Some(address) = connector.observed_on() {
        log::info!("observed on http://{address}");
    }
    notify::ready("started");
    let ended = connector.poller.run();
    if ended.is_err() {
        notify::stopping();
    }
    connector.shut_down();
    log::info!("stopped");
    ended?;
    Ok(Exit::Done)
}
