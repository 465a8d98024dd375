//! A run of the checks, as the command line and the configuration want it.

use super::Exit;
use crate::check::catalogue::CatalogueEntry;
use crate::check::{self, CheckRun, Choice, Level, Modes};
use crate::cli::CheckOptions;
use crate::config::Config;
use crate::stop::Stop;

/// Bytes of each body that are kept for the report.
const KEPT: usize = 200;

/// Bytes of each body that are kept for an HTTP Archive.
const KEPT_FOR_ARCHIVE: usize = 256 * 1024;

/// Runs these checks and no others on the service of that configuration.
pub(super) fn check_only(
    config: &Config,
    only: Vec<&'static CatalogueEntry>,
    stop: Stop,
) -> CheckRun {
    check::run(settings(config, only), stop)
}

/// Runs every check that reads only, and keeps nothing of what the service sends.
pub(super) fn check_all_without_bodies(config: &Config, stop: Stop) -> CheckRun {
    let settings = check::Settings {
        kept: 0,
        ..settings(config, Vec::new())
    };
    check::run(settings, stop)
}

fn settings(config: &Config, only: Vec<&'static CatalogueEntry>) -> check::Settings {
    check::Settings {
        service: config.service.clone(),
        choice: Choice {
            only,
            skip: Vec::new(),
        },
        modes: Modes::default(),
        sample_pages: 1,
        all_balances: false,
        kept: KEPT,
    }
}

pub(super) fn check_service(
    options: &CheckOptions,
    config: &Config,
    choice: Choice,
    modes: Modes,
    stop: Stop,
) -> CheckRun {
    let settings = check::Settings {
        service: config.service.clone(),
        choice,
        modes,
        sample_pages: if options.part.all {
            u64::MAX
        } else {
            options.part.sample.div_ceil(100)
        },
        all_balances: options.part.all,
        kept: match options.har {
            Some(_) => KEPT_FOR_ARCHIVE,
            None => KEPT,
        },
    };
    check::run(settings, stop)
}

/// The exit code of a run, if there was one. `has_failures`: something else has failed.
pub(super) fn exit(service: Option<&CheckRun>, is_strict: bool, has_failures: bool) -> Exit {
    let Some(run) = service else {
        return if has_failures {
            Exit::Findings
        } else {
            Exit::Done
        };
    };
    let is_doubtful = !run.failed(Level::Should).is_empty() || !run.not_verified().is_empty();
    if run.untestable.is_some() {
        Exit::Failed
    } else if has_failures || !run.failed(Level::Must).is_empty() || is_strict && is_doubtful {
        Exit::Findings
    } else {
        Exit::Done
    }
}
