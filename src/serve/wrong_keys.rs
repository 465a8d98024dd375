use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::keys::Opener;
use crate::sync::lock;

/// The least time between two log lines about wrong keys.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts the requests with a wrong key.
#[derive(Debug, Default)]
pub(super) struct WrongKeys(Mutex<WrongKeyCount>);

#[derive(Debug, Default)]
struct WrongKeyCount {
    total: u64,
    /// Those since the last log line.
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl WrongKeys {
    /// Counts one from that address, where a request must carry that key.
    pub fn count(&self, from: IpAddr, opener: Opener) {
        let mut count = lock(&self.0);
        count.total += 1;
        count.unlogged += 1;
        let is_recent = |at: Instant| at.elapsed() < LOG_INTERVAL;
        if count.logged_at.is_some_and(is_recent) {
            return;
        }
        log::warn!(
            "requests with a wrong key since the last such line: {}, the last one from {} (behind a proxy, its own log has \
            the address): the key of whoever asks must be the \"{}\"",
            count.unlogged,
            from.to_canonical(),
            opener.name()
        );
        count.unlogged = 0;
        count.logged_at = Some(Instant::now());
    }

    /// How many there were since the start.
    pub fn total(&self) -> u64 {
        lock(&self.0).total
    }
}
