use super::{CommandError, Exit, print};
use crate::cli::ConfigFile;
use crate::config::Outline;
use crate::store::{SweepAsked, ask_for_sweep};

/// Asks for a sweep. The connector may be running.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let directory = Outline::read(&options.config)?.state_directory;
    print(&match ask_for_sweep(&directory)? {
        SweepAsked::New(number) => format!(
            "sweep {number} will begin after the next poll if the connector is running, otherwise when it starts\n"
        ),
        SweepAsked::UnderWay(number) => format!("sweep {number} is under way\n"),
    });
    Ok(Exit::Done)
}
