use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::own_certificate::OwnCertificate;
use crate::api::Timestamp;

/// Whose certificates are trusted.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    expiry: Arc<AtomicU64>,
}

impl Trust {
    /// Trusts the authorities that Mozilla trusts.
    pub fn in_public_authorities() -> Result<Trust, String> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Trust::new(roots, Vec::new()).map_err(|error| error.to_string())
    }

    /// Trusts the certificates of a PEM file and nothing else: authorities, or certificates of servers themselves. The
    /// error goes behind the name of the file.
    pub fn in_certificates(pem: &[u8]) -> Result<Trust, String> {
        // Editors on Windows begin a file with a byte order mark.
        let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
        let certificates: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| format!("is not a PEM file: {error}"))?;
        if certificates.is_empty() {
            return Err(
                "contains no certificate in PEM format (-----BEGIN CERTIFICATE-----)".to_owned(),
            );
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        Trust::new(roots, certificates)
            .map_err(|error| format!("contains no certificate that can be used: {error}"))
    }

    fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Result<Trust, Box<dyn std::error::Error>> {
        let expiry = Arc::new(AtomicU64::new(0));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OwnCertificate {
                usual,
                trusted,
                expiry: expiry.clone(),
            }))
            .with_no_client_auth();
        Ok(Trust {
            config: Arc::new(config),
            expiry,
        })
    }

    /// When the certificate expires that a server has shown last, if it does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.expiry.load(Relaxed))
            .ok()
            .filter(|seconds| *seconds > 0)?;
        Some(Timestamp::from_nanoseconds(
            seconds.checked_mul(1_000_000_000)?,
        ))
    }
}

/// Speaks TLS on connections to servers that want it.
#[derive(Debug)]
pub(super) struct TlsConnector {
    pub trust: Trust,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let name = ServerName::try_from(host.trim_matches(['[', ']']))
            .map_err(|_| Error::Tls("the host is neither a name nor an address"))?
            .to_owned();
        let conn = ClientConnection::new(self.trust.config.clone(), name);
        let mut conn = conn.map_err(|error| Error::Other(Box::new(error)))?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        sock.set_timeout(left(details));
        conn.complete_io(&mut sock).map_err(tls_error)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        let stream = StreamOwned { conn, sock };
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(tls_error)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(tls_error)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

/// What is left of the time for a connection attempt, which began with the look-up of the host.
fn left(details: &ConnectionDetails) -> NextTimeout {
    let after = match (details.timeout.after, details.now) {
        (Duration::Exact(after), Instant::Exact(since)) => {
            Duration::Exact(after.saturating_sub(since.elapsed()))
        }
        (after, _) => after,
    };
    NextTimeout {
        after,
        ..details.timeout
    }
}

/// rustls hides its errors among those of the connection.
fn tls_error(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(error) => Error::Other(Box::new(error)),
        Err(error) => Error::from(error),
    }
}
