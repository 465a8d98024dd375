//! How every client of this program sends a request: connections, deadlines, addresses, TLS.
//!
//! ureq's defaults do not suit a program that runs for months: it has no deadlines, looks the host up for every
//! request, follows redirects with the key attached and takes a proxy from the environment. [`Transport`] sets each of
//! these on purpose. Its connections are made by a chain of connectors, some of ureq and some of this module:
//!
//! ```text
//!  proxy (passes on) | proxy of ureq (CONNECT) | TCP of ureq ─► tls ─► wire
//! ```
//!
//! [`Transport::exchange`] sends one request and returns the whole answer, or says why there is
//! none. It replaces every secret of this program in what it reads. It does not retry: its callers do that, as
//! [`Retry`] and [`RetryBudget`] decide.

mod answer_headers;
mod backoff;
mod chunk_extensions;
mod coding;
mod exchange;
mod large_body;
mod no_answer;
mod origin;
mod own_certificate;
mod proxy;
mod redirect;
mod resolver;
mod retry;
mod retry_after;
mod tls;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};

use large_body::LargeBodies;
use proxy::ForwardConnector;
use resolver::CachingResolver;
use tls::TlsConnector;
use wire::WireConnector;

pub use answer_headers::AnswerHeaders;
pub use backoff::Backoff;
pub use exchange::{Answer, Credential, OutgoingRequest, Unread};
pub use large_body::LargeBody;
pub use no_answer::NoAnswer;
pub use origin::Origin;
pub use proxy::Proxy;
pub use redirect::MOST_REDIRECTS;
pub use retry::{Decision, FailureKind, Retry, RetryBudget};
pub use retry_after::retry_after;
pub use tls::Trust;

/// How long a connection attempt may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed before common servers and proxies close them (after 60 s or more).
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(50);
/// Bytes. The first line of a request must fit, and so must each header. An id of 1000 characters takes 12,000 in a URL.
const REQUEST_BUFFER: usize = 16 * 1024;

/// How to reach one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deadline of one request, from the host look-up to the last byte of the body.
    pub request_timeout: Duration,
    /// How many connections are kept open between requests.
    pub connections: usize,
    /// Whose certificates are trusted.
    pub trust: Trust,
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
    /// How many connections to the server were made.
    connections_made: Arc<AtomicU64>,
    /// The configuration key that holds the server's address, for error messages.
    address_key: &'static str,
}

impl Transport {
    /// Does not connect yet. `address_key` is the configuration key that holds the server's address.
    pub fn new(settings: &Settings, address_key: &'static str) -> Transport {
        let resolver = CachingResolver::default();
        let connections_made = Arc::new(AtomicU64::new(0));
        let connector = ForwardConnector {
            direct: config(settings, None),
        }
        .chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(TlsConnector {
            trust: settings.trust.clone(),
        })
        .chain(WireConnector {
            proxy: settings.proxy.clone(),
            made: connections_made.clone(),
        });
        let proxy = settings.proxy.as_ref().map(|proxy| proxy.address.clone());
        Transport {
            agent: Agent::with_parts(config(settings, proxy), connector, resolver.clone()),
            resolver,
            large_bodies: LargeBodies::new(),
            request_timeout: settings.request_timeout,
            connections_made,
            address_key,
        }
    }

    /// How many connections to the server were made so far.
    pub fn connections_made(&self) -> u64 {
        self.connections_made.load(Relaxed)
    }

    /// Closes every connection, so that requests in flight fail at once.
    pub fn abandon(&self) {
        self.agent.clone().shutdown();
    }
}

fn config(settings: &Settings, proxy: Option<ureq::Proxy>) -> Config {
    Agent::config_builder()
        .user_agent(concat!("generic-connector/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .accept_encoding(coding::ACCEPTED)
        .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.request_timeout)))
        .timeout_global(Some(settings.request_timeout))
        // A key must not leave its server's origin. What stays within it is followed here.
        .max_redirects(0)
        // An error status is an answer too: callers need its body and its Retry-After.
        .http_status_as_error(false)
        .proxy(proxy)
        .max_idle_connections(settings.connections)
        .max_idle_connections_per_host(settings.connections)
        .max_idle_age(IDLE_CONNECTION_AGE)
        // The defaults, 128 KiB each, are most of a worker's memory. A header of 16 KiB must fit. With 32 KiB, 64 workers take
        // 1 MB more.
        .input_buffer_size(20_000)
        .output_buffer_size(REQUEST_BUFFER)
        .max_response_header_size(16 * 1024)
        .build()
}
