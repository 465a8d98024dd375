use super::{CommandError, Exit, print};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::store::Store;

/// Does what follows from a state that was put back, where nothing but the operator can know it.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let config = Config::read(&options.config)?;
    Store::open(&config.state_directory, &config.identity)?.put_back()?;
    print("the state counts as put back from an older copy; start the connector now\n");
    Ok(Exit::Done)
}
