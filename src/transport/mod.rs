//! What the clients of this program send with: connections, deadlines, addresses, TLS, and words for what fails.
//!
//! ureq's defaults are not what a program wants that runs for months: no deadlines, a look-up for every request,
//! redirects that take the key along, a proxy from the environment. Here each of them is set, once for all clients.

mod resolver;
mod retry_after;

use std::io;
use std::time::Duration;

use ureq::http::Response;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use crate::api;
use resolver::CachingResolver;

pub use retry_after::retry_after;

/// How long a connection attempt may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed before common servers and proxies do so (60 s and more).
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(50);

/// How to reach one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deadline of one request, from looking up the host to the body's last byte.
    pub timeout: Duration,
    /// How many connections are kept open between requests.
    pub connections: usize,
    /// The certificates to trust instead of the Mozilla roots.
    pub root_certificates: Option<Vec<ureq::tls::Certificate<'static>>>,
    /// The proxy, if one is configured. The environment is not asked.
    pub proxy: Option<ureq::Proxy>,
    /// Whether the server is reached through TLS.
    pub is_secure: bool,
    /// The key of the configuration that has the server's address.
    pub address_key: &'static str,
}

/// The connections to one server.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    resolver: CachingResolver,
    settings: Settings,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// What happened and what to do about it, in words.
    pub cause: String,
    /// Whether the request may have reached the server.
    pub sent: bool,
}

impl Transport {
    /// Connects to nothing yet.
    pub fn new(settings: Settings) -> Transport {
        let roots = match &settings.root_certificates {
            Some(certificates) => ureq::tls::RootCerts::new_with_certs(certificates),
            None => ureq::tls::RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .user_agent(concat!("generic-connector/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.timeout)))
            .timeout_global(Some(settings.timeout))
            // A key must not leave its server's origin.
            .max_redirects(0)
            // A status is an answer: its body and its Retry-After are wanted.
            .http_status_as_error(false)
            .proxy(settings.proxy.clone())
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
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
            settings,
        }
    }

    /// What makes requests.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Cuts every connection, so that requests in flight fail at once.
    pub fn abandon(&self) {
        self.agent.clone().shutdown();
    }

    /// Why a request has no answer. If another address of the host might work, the next request looks it up.
    pub fn explain(&self, error: &ureq::Error) -> NoAnswer {
        let is_about_the_address = is_about_the_address(error);
        if is_about_the_address {
            self.resolver.forget();
        }
        NoAnswer {
            cause: self.cause(error),
            sent: !is_about_the_address && !is_about_the_name(error),
        }
    }

    fn cause(&self, error: &ureq::Error) -> String {
        let key = self.settings.address_key;
        let seconds = self.settings.timeout.as_secs_f64();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect) => {
                "no connection in time; is the host up, and does a firewall let this machine reach it?".to_owned()
            }
            ureq::Error::Timeout(ureq::Timeout::Resolve) | ureq::Error::HostNotFound => {
                format!("the host name cannot be looked up; check \"{key}\" and this machine's DNS")
            }
            ureq::Error::Timeout(_) => format!("no complete answer within {seconds} s (\"requestTimeout\")"),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("connection refused; is the service running, and is the port in \"{key}\" right?")
            }
            ureq::Error::Io(error) if error.to_string().contains("lookup address") => {
                format!("the host name cannot be looked up ({error}); check \"{key}\" and this machine's DNS")
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => tls_hint(error),
            // What rustls finds wrong in what it reads.
            ureq::Error::Io(inner) if inner.kind() == io::ErrorKind::InvalidData && self.settings.is_secure => {
                tls_hint(error)
            }
            other => api::escaped(&other.to_string()),
        }
    }
}

fn tls_hint(error: &ureq::Error) -> String {
    let error = api::escaped(&error.to_string());
    format!(
        "TLS failed ({error}); if the service's certificate is of a private authority, set \"caFile\" to it"
    )
}

/// Whether the host's name could not be looked up.
fn is_about_the_name(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Resolve) | ureq::Error::HostNotFound => true,
        // The resolver of the system says so in words only.
        ureq::Error::Io(error) => error.to_string().contains("lookup address"),
        _ => false,
    }
}

/// Whether another address of the host might work.
fn is_about_the_address(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(timeout) => *timeout == ureq::Timeout::Connect,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        ),
        ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

/// A header's value, if it is there and is text.
pub fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}
