use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Verifies certificates as usual, and accepts a certificate that is trusted itself although nobody vouches for it. Such are
/// self-signed ones: `openssl req -x509` marks them as those of an authority, which are not for servers.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    /// It also checks the dates of a certificate, before it asks who has issued it.
    pub usual: Arc<WebPkiServerVerifier>,
    /// The certificates that are trusted themselves.
    pub trusted: Vec<CertificateDer<'static>>,
    /// When the certificate that was accepted last expires. Unix seconds; 0 if none was, or if it never does.
    pub expiry: Arc<AtomicU64>,
}

/// A certificate is renewed two weeks before it expires, or forgotten.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A time at which every certificate of today has expired, in the year 2286.
const ALL_EXPIRED: Duration = Duration::from_secs(9_999_999_999);

impl ServerCertVerifier for OwnCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify =
            |when| self.verify_at(end_entity, intermediates, server_name, ocsp_response, when);
        let verified = verify(now)?;
        // rustls names the date only of a certificate that has expired: in two weeks any of the chain, later the server's.
        let later = [Duration::from_secs(now.as_secs()) + SOON, ALL_EXPIRED];
        let mut expiry =
            later
                .into_iter()
                .filter_map(|when| match verify(UnixTime::since_unix_epoch(when)) {
                    Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                        not_after,
                        ..
                    })) => Some(not_after.as_secs()),
                    _ => None,
                });
        self.expiry.store(expiry.next().unwrap_or(0), Relaxed);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

impl OwnCertificate {
    fn verify_at(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(Error::InvalidCertificate(error))
                if lacks_authority(&error) && self.trusted.contains(end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }
}

/// Whether nothing else is wrong with a certificate than that no trusted authority has issued it.
pub(super) fn lacks_authority(error: &CertificateError) -> bool {
    match error {
        CertificateError::UnknownIssuer => true,
        other => is_of_an_authority(other),
    }
}

/// Whether a server has the certificate of an authority.
pub(super) fn is_of_an_authority(error: &CertificateError) -> bool {
    // rustls passes on this error of webpki as it is, and webpki's type is not public here.
    matches!(error, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}
