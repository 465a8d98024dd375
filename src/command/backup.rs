use super::{CommandError, Exit, print};
use crate::cli::{BackupOptions, RestoreOptions};
use crate::config::{Outline, StateOwner};
use crate::store::{self, Snapshot, SweepTimes};

/// Copies the state to a new file. The connector may be running.
pub(super) fn backup(options: &BackupOptions) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config.config)?;
    let made = store::backup(&outline.state_directory, &options.to, options.keep.into()).map_err(
        |error| match error {
            // It is about the copy, not about the state directory.
            store::Error::Io { .. } => CommandError::failed(error),
            error => error.into(),
        },
    )?;
    let removed = match made.removed {
        0 => String::new(),
        removed => format!("; {removed} older ones removed"),
    };
    print(&format!(
        "{}: {} KB{removed}\n",
        made.file.display(),
        made.size.div_ceil(1_000)
    ));
    Ok(Exit::Done)
}

/// Puts a copy in the place of the state, and says who sees what then.
pub(super) fn restore(options: &RestoreOptions) -> Result<Exit, CommandError> {
    let owner = StateOwner::read(&options.config.config)?;
    let directory = &owner.state_directory;
    let done = store::put_back(directory, &owner.identity, &options.file)?;
    let overview = Snapshot::open(directory)?.overview(0, SweepTimes::default())?;
    let mut text = format!("{} is the state now\n", options.file.display());
    if let Some(aside) = done.aside {
        text += &format!("the state before is {}\n", aside.display());
    }
    text += "Formance: the next poll reads what the copy does not know, and Formance gets it under later dates. If Formance \
             has read further than the copy knows, it gets 503 for about a minute, and then reads the lists again\n";
    for publisher in &overview.publishers {
        text += &format!(
            "publisher \"{}\": gets everything after seq {} that is in the copy, {} versions, and what is read from now on\n",
            publisher.name, publisher.offset, publisher.lag
        );
    }
    print(&text);
    Ok(Exit::Done)
}
