use super::{CommandError, Exit, print};
use crate::cli::SandboxOptions;
use crate::sandbox::{Sandbox, Settings};
use crate::signals;

/// Serves the sandbox until a signal arrives.
pub(super) fn run(options: SandboxOptions) -> Result<Exit, CommandError> {
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let settings = Settings {
        listen: options.listen,
        api_key: options.api_key,
        data: options.data,
        live: options.live,
        latency: options.latency,
        fault: options.fault,
    };
    let sandbox = Sandbox::start(settings)?;
    // Scripts read the address from the first line.
    print(&format!("{}\n", sandbox.url()));
    log::info!(
        "sample Integration Service at {}; press Ctrl-C to stop it",
        sandbox.url()
    );
    let _ = stop.receiver().recv();
    Ok(Exit::Done)
}
