use std::io::Write;

use super::{CommandError, Exit};
use crate::cli;
use crate::sandbox::{Sandbox, Settings};
use crate::signals;

/// Serves the sandbox until a signal comes.
pub(super) fn run(options: cli::Sandbox) -> Result<Exit, CommandError> {
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let settings = Settings {
        listen: options.listen,
        api_key: options.api_key,
        data: options.data,
        live: options.live,
        latency: options.latency,
    };
    let sandbox = Sandbox::start(settings)?;
    // The address alone on the first line, for scripts. A reader that has gone does not end the service.
    let _ =
        writeln!(std::io::stdout(), "{}", sandbox.url()).and_then(|()| std::io::stdout().flush());
    log::info!(
        "sample Integration Service at {}; press Ctrl-C to stop it",
        sandbox.url()
    );
    let _ = stop.receiver().recv();
    Ok(Exit::Done)
}
