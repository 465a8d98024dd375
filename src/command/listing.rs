use super::{CommandError, Exit, print};
use crate::cli::{ListingCommand, ListingOptions};
use crate::config::Outline;
use crate::store::Listing;

/// Changes how Connectivity sees a list. The connector may be running.
pub(super) fn run(options: &ListingOptions) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config.config)?;
    let ListingCommand::Adopt { list } = options.command;
    let bound = Listing::open(&outline.state_directory)?.agree(list)?;
    print(&format!(
        "{list}: when Connectivity asks with the bound {bound} again, every entry gets a new date above it\n"
    ));
    Ok(Exit::Done)
}
