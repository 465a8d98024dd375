use std::io;

use crate::exit::Exit;
use crate::{config, poll, sandbox, serve, store};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct CommandError {
    /// The code that the process ends with.
    pub exit: Exit,
    /// What is wrong, and what to do about it.
    message: String,
}

impl CommandError {
    /// An error that ends the process with that code.
    #[expect(clippy::needless_pass_by_value, reason = "this is for map_err")]
    pub fn new(exit: Exit, error: impl ToString) -> CommandError {
        CommandError {
            exit,
            message: error.to_string(),
        }
    }

    /// An error that has no code of its own.
    pub fn failed(error: impl ToString) -> CommandError {
        CommandError::new(Exit::Failed, error)
    }
}

impl From<config::Error> for CommandError {
    fn from(error: config::Error) -> CommandError {
        CommandError::new(Exit::BadConfig, error)
    }
}

impl From<store::Error> for CommandError {
    fn from(error: store::Error) -> CommandError {
        CommandError::new(exit_of(&error), error)
    }
}

impl From<poll::Error> for CommandError {
    fn from(error: poll::Error) -> CommandError {
        match error {
            poll::Error::Store(error) => error.into(),
            error => CommandError::failed(error),
        }
    }
}

impl From<serve::Error> for CommandError {
    fn from(error: serve::Error) -> CommandError {
        match error {
            serve::Error::Store(error) => error.into(),
            serve::Error::Bind { ref reason, .. } => CommandError::new(exit_of_bind(reason), error),
        }
    }
}

impl From<sandbox::Error> for CommandError {
    fn from(error: sandbox::Error) -> CommandError {
        let exit = match &error {
            sandbox::Error::NotLoopback(_) => Exit::Usage,
            sandbox::Error::Bind { reason, .. } => exit_of_bind(reason),
            _ => Exit::Failed,
        };
        CommandError::new(exit, error)
    }
}

fn exit_of_bind(reason: &io::Error) -> Exit {
    match reason.kind() {
        io::ErrorKind::AddrInUse => Exit::Busy,
        _ => Exit::Failed,
    }
}

fn exit_of(error: &store::Error) -> Exit {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    use store::Error as E;
    match error {
        E::Locked(_) | E::BackupRuns(_) => Exit::Busy,
        error if error.is_final() => Exit::BadState,
        E::OtherIdentity { .. } | E::Newer { .. } | E::NotOurs(_) | E::NotACopy { .. } => {
            Exit::BadState
        }
        // There may be room again when systemd retries.
        E::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
            Exit::Failed
        }
        E::Io { .. } | E::NoJournal { .. } => Exit::NoState,
        _ => Exit::Failed,
    }
}
