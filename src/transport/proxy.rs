use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::Error;
use ureq::ProxyProtocol;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};
use zeroize::Zeroizing;

use super::Origin;
use crate::secret::Secret;

/// A configured proxy. Its password is a secret.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(super) address: ureq::Proxy,
    /// Held so that it is replaced if others repeat it.
    _password: Option<Secret>,
}

impl Proxy {
    /// Reads the URL of an HTTP proxy. None if it is not one.
    pub fn parse(url: &str) -> Option<Proxy> {
        let address = ureq::Proxy::new(url).ok()?;
        let is_http = matches!(
            address.protocol(),
            ProxyProtocol::Http | ProxyProtocol::Https
        );
        if !is_http || Origin::of(address.uri()).is_none() {
            return None;
        }
        let password = address.password().filter(|password| !password.is_empty());
        Some(Proxy {
            _password: password.map(|password| Secret::new(password.to_owned())),
            address,
        })
    }

    /// How requests for this unencrypted server are written.
    pub(super) fn forwarding(&self, server: &Uri) -> Option<Forwarding> {
        let (user, password) = (self.address.username(), self.address.password());
        let credentials = user.or(password).map(|_| {
            let both = format!(
                "{}:{}",
                user.unwrap_or_default(),
                password.unwrap_or_default()
            );
            let both = Zeroizing::new(both);
            Zeroizing::new(BASE64_STANDARD.encode(&*both))
        });
        Some(Forwarding {
            origin: format!("http://{}", server.authority()?),
            credentials,
        })
    }
}

/// Connects to the proxy for a server without TLS. Such requests are not tunnelled with CONNECT, which proxies allow for
/// TLS only, but passed on.
#[derive(Debug)]
pub(super) struct ForwardConnector {
    /// The configuration without the proxy, for the connection to it.
    pub direct: Config,
}

impl Connector<()> for ForwardConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(proxy) = details.config.proxy().filter(|_| !details.needs_tls()) else {
            return Ok(None);
        };
        let addrs = details
            .resolver
            .resolve(proxy.uri(), &self.direct, details.timeout)?;
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        (details.run_connector)(&to_proxy).map(Some)
    }
}

/// What a proxy needs in a request to pass it on: the whole URL, and its own credentials.
pub(super) struct Forwarding {
    /// `http://host:port`
    origin: String,
    /// In Base64.
    credentials: Option<Zeroizing<String>>,
}

impl Forwarding {
    /// The beginning of a request, which ureq has written for the server itself.
    pub fn rewritten(&self, written: &[u8]) -> Zeroizing<Vec<u8>> {
        let path = written.iter().position(|byte| *byte == b'/');
        let line_end = written.windows(2).position(|pair| pair == b"\r\n");
        let (path, headers) = match (path, line_end) {
            (Some(path), Some(line_end)) if path < line_end => (path, line_end + 2),
            _ => return Zeroizing::new(written.to_vec()),
        };
        let credentials = self.credentials.as_ref();
        let credentials = credentials.map_or(Zeroizing::default(), |credentials| {
            Zeroizing::new(format!("Proxy-Authorization: Basic {}\r\n", **credentials))
        });
        let parts: [&[u8]; 5] = [
            &written[..path],
            self.origin.as_bytes(),
            &written[path..headers],
            credentials.as_bytes(),
            &written[headers..],
        ];
        Zeroizing::new(parts.concat())
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding").finish_non_exhaustive()
    }
}
