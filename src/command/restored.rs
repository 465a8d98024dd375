use super::{CommandError, Exit, print};
use crate::cli::ConfigFile;
use crate::config::StateOwner;
use crate::store::Store;

/// Does what follows from a state that was put back, where nothing but the operator can know it.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let owner = StateOwner::read(&options.config)?;
    Store::open(&owner.state_directory, &owner.identity)?.put_back()?;
    print("the state counts as put back from an older copy; start the connector now\n");
    Ok(Exit::Done)
}
