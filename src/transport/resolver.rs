use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an address is good for.
const LIFETIME: Duration = Duration::from_secs(30);

/// Remembers where a host is. ureq alone would look it up for every request, on a thread of its own each, even when it
/// then takes a pooled connection.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver {
    known: Arc<Mutex<Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    host_and_port: String,
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl CachingResolver {
    /// Forgets every address, because a connection to one failed: the host may have moved.
    pub fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        // An entry is pushed whole or not at all.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host_and_port = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(ureq::Error::HostNotFound)?;
        // Held during the look-up, so that workers which start together look up once.
        let mut known = self.known();
        let now = Instant::now();
        known.retain(|known| known.until > now);
        if let Some(known) = known
            .iter()
            .find(|known| known.host_and_port == host_and_port)
        {
            let mut addresses = self.empty();
            known
                .addresses
                .iter()
                .for_each(|address| addresses.push(*address));
            return Ok(addresses);
        }
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        known.push(Known {
            host_and_port,
            addresses: addresses.to_vec(),
            until: now + LIFETIME,
        });
        Ok(addresses)
    }
}
