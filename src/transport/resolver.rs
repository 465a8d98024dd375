use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::sync::lock;

/// How long an address is remembered.
const LIFETIME: Duration = Duration::from_secs(30);

/// Remembers the addresses of a host. ureq alone looks the host up for every request, each time on a new thread, even
/// when it then takes a pooled connection.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver {
    known: Arc<Mutex<Vec<KnownAddresses>>>,
}

#[derive(Debug)]
struct KnownAddresses {
    host_and_port: String,
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl CachingResolver {
    /// Forgets every address. Called when a connection to one failed, because the host may have moved.
    pub fn forget(&self) {
        lock(&self.known).clear();
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
        // The lock is held during the look-up, so that workers which start together look the host up once.
        let mut known = lock(&self.known);
        let now = Instant::now();
        known.retain(|known| known.until > now);
        if let Some(known) = known
            .iter()
            .find(|known| known.host_and_port == host_and_port)
        {
            let mut addresses = self.empty();
            for address in &known.addresses {
                addresses.push(*address);
            }
            return Ok(addresses);
        }
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        known.push(KnownAddresses {
            host_and_port,
            addresses: addresses.to_vec(),
            until: now + LIFETIME,
        });
        Ok(addresses)
    }
}
