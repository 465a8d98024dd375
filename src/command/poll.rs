use std::time::Duration;

use super::connector::{Connector, default_target, publishers};
use super::progress_line::ProgressLine;
use super::{CommandError, Exit};
use crate::cli::PollOptions;
use crate::config::Config;
use crate::poll::{PollOutcome, SliceReport};
use crate::serve;
use crate::signals;

/// How long delivery may continue after a signal.
const LAST_DELIVERIES: Duration = Duration::from_secs(1);

/// Polling periods that a list may take, an hour by default.
const SHARE: u32 = 30;

/// Polls until caught up and delivers everything.
pub(super) fn run(options: &PollOptions) -> Result<Exit, CommandError> {
    let mut config = Config::read(&options.config.config)?;
    // What Connectivity reads is in the state.
    let without_targets = match config.serve.listen {
        Some(_) => Vec::new(),
        None => vec![default_target(&config)],
    };
    // A process that exits when it has caught up answers nobody.
    config.serve = serve::Settings::default();
    // No poll follows it soon.
    config.polling.share = config.polling.period * SHARE;
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let targets = config.publish.clone().unwrap_or(without_targets);
    let mut watch = ProgressLine::new();
    let mut connector =
        Connector::assemble(config, publishers(&targets), stop.clone(), &mut watch)?;
    connector.poller.store().poll_by_period(false)?;
    let polled = connector.poller.poll_once().and_then(|report| {
        let slice = match report.outcome {
            PollOutcome::Failed | PollOutcome::Interrupted => SliceReport::default(),
            _ => connector.poller.sweep_once(options.sweep)?,
        };
        Ok((report, slice))
    });
    let interrupted = stop.requested();
    let remaining = if interrupted {
        // The signal stops polling. What is committed gets a moment to arrive.
        connector.deliver_last(LAST_DELIVERIES)
    } else {
        connector.deliver_all(options.delivery_patience, &stop)
    };
    let refused = connector.refused();
    connector.shut_down();
    let (report, slice) = polled?;
    if let Some(error) = &slice.failure {
        log::error!("the sweep continues in the next run: {error}");
    }
    let remaining = remaining?;
    for message in &remaining {
        log::error!("not delivered in time: {message}; the next run continues there");
    }
    watch.close(&report);
    Ok(match report.outcome {
        // Whoever goes on with what was read must know that it is not all.
        PollOutcome::Interrupted => Exit::Failed,
        _ if !remaining.is_empty() => Exit::Failed,
        PollOutcome::Complete if slice != SliceReport::default() || refused > 0 => Exit::Findings,
        PollOutcome::Complete => Exit::Done,
        PollOutcome::Partial => Exit::Findings,
        PollOutcome::Failed => Exit::Failed,
    })
}
