use std::io::ErrorKind;

use rustls::CertificateError;
use ureq::{Error, Timeout};

use super::Transport;
use super::own_certificate::{is_of_an_authority, lacks_authority};
use crate::api::escaped;
use crate::secret::redaction;

/// A request failed before its whole answer arrived.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{request}: {cause}")]
pub struct NoAnswer {
    /// The request, as errors name it.
    pub request: String,
    /// What happened and what to do about it.
    pub cause: String,
    /// Whether the request may have reached the server.
    pub sent: bool,
    /// Whether another try would end in the same way.
    pub is_final: bool,
}

/// A request has a part that is too long to be sent. Lengths are in bytes.
#[derive(Debug, thiserror::Error)]
#[error(
    "the request was not sent: its {part} has {length} bytes, more than the {most} that can be sent"
)]
pub(super) struct TooLong {
    /// Which part, in words.
    pub part: String,
    pub length: usize,
    pub most: usize,
}

impl Transport {
    /// Explains an error of ureq. If another address of the host might work, the next request looks the host up again.
    pub(super) fn no_answer(&self, request: String, error: &Error) -> NoAnswer {
        let is_about_the_address = is_about_the_address(error);
        if is_about_the_address {
            self.resolver.forget();
        }
        let is_unsendable = is_too_long(error) || certificate_error(error).is_some();
        let is_unreadable =
            matches!(error, Error::Io(error) if error.kind() == ErrorKind::Unsupported);
        NoAnswer {
            request,
            cause: self.cause(error),
            sent: !is_about_the_address && !is_about_the_name(error) && !is_unsendable,
            is_final: is_unsendable || is_unreadable,
        }
    }

    fn cause(&self, error: &Error) -> String {
        let key = self.address_key;
        let seconds = self.request_timeout.as_secs_f64();
        match error {
            Error::Timeout(Timeout::Connect) => {
                "no connection in time; is the host up, and does a firewall block this machine?"
                    .to_owned()
            }
            Error::Timeout(Timeout::Resolve) | Error::HostNotFound => {
                format!("the host name cannot be resolved; check \"{key}\" and this machine's DNS")
            }
            Error::Timeout(_) => {
                format!("no complete answer within {seconds} s (\"requestTimeout\")")
            }
            Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                format!(
                    "connection refused; is the service running, and is the port in \"{key}\" right?"
                )
            }
            Error::Io(inner) if is_about_the_name(error) => {
                format!(
                    "the host name cannot be resolved ({inner}); check \"{key}\" and this machine's DNS"
                )
            }
            Error::Other(inner) if inner.is::<rustls::Error>() => {
                let fix = match certificate_error(error) {
                    Some(error) => certificate_fix(error, key),
                    None => format!("is it TLS that the server speaks at the port in \"{key}\"?"),
                };
                format!("TLS failed ({}); {fix}", shown(error))
            }
            Error::Tls(_) => format!("TLS failed ({}); check \"{key}\"", shown(error)),
            other => shown(other),
        }
    }
}

/// An error may contain what the server sent.
fn shown(error: &Error) -> String {
    let error = match error {
        Error::Other(error) => error.to_string(),
        error => error.to_string(),
    };
    escaped(&redaction::message(error))
}

fn is_too_long(error: &Error) -> bool {
    matches!(error, Error::Other(other) if other.is::<TooLong>())
}

/// What is wrong with the server's certificate, if that is the error.
fn certificate_error(error: &Error) -> Option<&CertificateError> {
    let Error::Other(other) = error else {
        return None;
    };
    match other.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

/// What to do about the server's certificate. `key` is the configuration key that holds the server's address.
fn certificate_fix(error: &CertificateError, key: &str) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext,
    };
    match error {
        Expired | ExpiredContext { .. } => {
            "the server needs a new certificate, unless the clock of this machine is wrong"
                .to_owned()
        }
        NotValidYet | NotValidYetContext { .. } => {
            "is the clock of this machine right?".to_owned()
        }
        NotValidForName | NotValidForNameContext { .. } => {
            format!("set \"{key}\" to a name that the certificate has, or have it issued for this one")
        }
        BadSignature => {
            "\"caFile\" has another certificate of that name: set it to the present one".to_owned()
        }
        error if is_of_an_authority(error) => {
            "the server has the certificate of an authority (CA:TRUE), which counts only if \"caFile\" has it, byte for byte"
                .to_owned()
        }
        error if lacks_authority(error) => {
            "if the service's certificate is of a private authority, set \"caFile\" to that of the authority".to_owned()
        }
        _ => "have the server's certificate corrected".to_owned(),
    }
}

/// Whether the host name could not be looked up.
fn is_about_the_name(error: &Error) -> bool {
    match error {
        Error::Timeout(Timeout::Resolve) | Error::HostNotFound => true,
        // The system's resolver has no error kind of its own, only this text.
        Error::Io(error) => error.to_string().contains("lookup address"),
        _ => false,
    }
}

/// Whether another address of the host might work.
fn is_about_the_address(error: &Error) -> bool {
    match error {
        Error::Timeout(Timeout::Connect) | Error::ConnectionFailed => true,
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
        ),
        _ => false,
    }
}
