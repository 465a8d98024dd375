//! Exit codes, in one place: systemd units and cron jobs depend on them.

use std::process::ExitCode;

/// The codes as `--help` lists them.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  the work could not be done, or delivery did not finish
   2  done, and there is something to look at: a stream or a check failed, or a record was put into quarantine
  64  wrong command line
  65  the state is damaged, belongs to another connector, or was written by a newer version
  73  the state cannot be made in its directory
  75  another process has the state or the port; trying again later can help
  78  bad configuration";

/// How the process ends. The codes from 64 on are those of `sysexits.h`.
///
/// If several apply, the first one of 64, 78, 65 to 75, 1 and 2 wins. A restart can help only after 1 and 75, so the
/// systemd unit lists the others in `RestartPreventExitStatus=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done, or a signal stopped it in order.
    Done = 0,
    /// The work could not be done, or not all of it in the time given.
    Failed = 1,
    /// The work was done, and found something that an operator has to look at.
    Findings = 2,
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_DATAERR`: the state cannot be used as it is.
    BadState = 65,
    /// `EX_CANTCREAT`: the state cannot be made.
    NoState = 73,
    /// `EX_TEMPFAIL`: another process has what this one needs.
    Busy = 75,
    /// `EX_CONFIG`: the configuration is wrong.
    BadConfig = 78,
}

impl Exit {
    /// Whether a restart cannot help, and only an operator can.
    pub fn is_for_operators(self) -> bool {
        matches!(
            self,
            Exit::Usage | Exit::BadState | Exit::NoState | Exit::BadConfig
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
