use std::time::Duration;

use crate::api::span;
use crate::store::SweepRow;

/// The longest lookback that is worth proposing: a poll reads everything within it again.
const LONGEST_LOOKBACK: Duration = Duration::from_secs(366 * 86_400);

/// Logs the closing line of a sweep, with what the figures mean. `hides`: a filter is known to hide records.
pub fn log(row: &SweepRow, hides: bool) {
    let ended_at = row.ended_at.unwrap_or(row.started_at);
    let mut line = format!(
        "sweep {} {}: {} records seen, {} of them missed before, {} changed without a newer date, {} s",
        row.number,
        if row.unread.is_empty() {
            "complete"
        } else {
            "ended"
        },
        row.seen,
        row.missed,
        row.changed,
        ended_at.since(row.started_at)
    );
    if !row.unread.is_empty() {
        line += &format!("; skipped: {}", row.unread.join(", "));
    }
    if row.always_changing > 0 {
        line += &format!("; {} change this way in every sweep", row.always_changing);
    }
    if row.missed == 0 {
        log::info!("{line}");
        return;
    }
    if hides {
        log::info!(
            "{line}; the service hides such records from its filter, so only sweeps find them (F10)"
        );
        return;
    }
    if row.lateness == 0 {
        log::warn!(
            "{line}; polls ask for what is dated since the cursor and did not get them: does the service's filter compare \
            another date than the one in the records? Until it is corrected, only sweeps find such records; a shorter \
            \"sweepPeriod\" finds them sooner"
        );
        return;
    }
    let lateness = Duration::from_secs(row.lateness.unsigned_abs());
    line += &format!(
        "; the latest one was {} behind the cursor",
        span(lateness.as_secs())
    );
    match jiff::SignedDuration::try_from(lateness) {
        Ok(lookback) if lateness <= LONGEST_LOOKBACK => {
            log::warn!("{line}; \"lookback\": \"{lookback:#}\" would have caught it");
        }
        _ => log::warn!(
            "{line}; a lookback of more than a year would read too much in each poll, so leave such records to sweeps"
        ),
    }
}
