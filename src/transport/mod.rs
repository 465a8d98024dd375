//! How every client of this program sends a request: connections, deadlines, addresses, TLS.
//!
//! ureq's defaults do not suit a program that runs for months: it has no deadlines, looks the host up for every
//! request, follows redirects with the key attached and takes a proxy from the environment. [`Transport`] sets each of
//! these on purpose. [`Transport::exchange`] sends one request and returns the whole answer, or says why there is
//! none. It replaces every secret of this program in what it reads. It does not retry: its callers decide that, with
//! [`Backoff`] between the tries.

mod backoff;
mod exchange;
mod large_body;
mod no_answer;
mod proxy;
mod resolver;
mod retry_after;

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

use large_body::LargeBodies;
use resolver::CachingResolver;

pub use backoff::Backoff;
pub use exchange::{Answer, Credential, OutgoingRequest, Unread};
pub use large_body::LargeBody;
pub use no_answer::NoAnswer;
pub use proxy::Proxy;
pub use retry_after::retry_after;

/// How long a connection attempt may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed before common servers and proxies close them (after 60 s or more).
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(50);

/// How to reach one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deadline of one request, from the host look-up to the last byte of the body.
    pub request_timeout: Duration,
    /// How many connections are kept open between requests.
    pub connections: usize,
    /// The certificates to trust instead of the Mozilla roots.
    pub root_certificates: Option<Vec<Certificate<'static>>>,
    /// The configured proxy. The environment is ignored.
    pub proxy: Option<Proxy>,
}

/// The connections to one server.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    resolver: CachingResolver,
    large_bodies: LargeBodies,
    request_timeout: Duration,
    /// The configuration key that holds the server's address, for error messages.
    address_key: &'static str,
}

impl Transport {
    /// Does not connect yet. `address_key` is the configuration key that holds the server's address.
    pub fn new(settings: &Settings, address_key: &'static str) -> Transport {
        let roots = match &settings.root_certificates {
            Some(certificates) => RootCerts::new_with_certs(certificates),
            None => RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .user_agent(concat!("generic-connector/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.request_timeout)))
            .timeout_global(Some(settings.request_timeout))
            // A key must not leave its server's origin.
            .max_redirects(0)
            // An error status is an answer too: callers need its body and its Retry-After.
            .http_status_as_error(false)
            .proxy(settings.proxy.as_ref().map(|proxy| proxy.address.clone()))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .max_idle_connections(settings.connections)
            .max_idle_connections_per_host(settings.connections)
            .max_idle_age(IDLE_CONNECTION_AGE)
            // The defaults, 128 KiB each, are most of a worker's memory. A header of 16 KiB must fit.
            .input_buffer_size(32 * 1024)
            .output_buffer_size(8 * 1024)
            .max_response_header_size(16 * 1024)
            .build();
        let resolver = CachingResolver::default();
        Transport {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver.clone()),
            resolver,
            large_bodies: LargeBodies::new(),
            request_timeout: settings.request_timeout,
            address_key,
        }
    }

    /// Closes every connection, so that requests in flight fail at once.
    pub fn abandon(&self) {
        self.agent.clone().shutdown();
    }
}
