use crate::api::Stream;
use crate::store::Quirks;

/// Logs the quirks that the service was found to have, and those that it no longer has. Each once.
pub fn log_quirks(stream: Stream, before: &Quirks, now: &Quirks) {
    let (before, now) = (before.describe(), now.describe());
    for found in &now {
        if !before.iter().any(|known| known.name == found.name) {
            log::warn!("{stream}: {found}");
        }
    }
    for gone in &before {
        if !now.iter().any(|found| found.name == gone.name) {
            log::info!("{stream}: resolved: the service {}", gone.name);
        }
    }
}
