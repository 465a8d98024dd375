use std::io::ErrorKind;

use ureq::{Error, Timeout};

use super::Transport;
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
}

impl Transport {
    /// Explains an error of ureq. If another address of the host might work, the next request looks the host up again.
    pub(super) fn no_answer(&self, request: String, url: &str, error: &Error) -> NoAnswer {
        let is_about_the_address = is_about_the_address(error);
        if is_about_the_address {
            self.resolver.forget();
        }
        NoAnswer {
            request,
            cause: self.cause(url, error),
            sent: !is_about_the_address && !is_about_the_name(error),
        }
    }

    fn cause(&self, url: &str, error: &Error) -> String {
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
            Error::Rustls(_) | Error::Tls(_) | Error::Pem(_) => tls_failed(error),
            // rustls reports what it cannot read as invalid data.
            Error::Io(inner)
                if inner.kind() == ErrorKind::InvalidData && url.starts_with("https:") =>
            {
                tls_failed(error)
            }
            other => shown(other),
        }
    }
}

/// An error may contain what the server sent.
fn shown(error: &Error) -> String {
    escaped(&redaction::message(error.to_string()))
}

fn tls_failed(error: &Error) -> String {
    let error = shown(error);
    format!(
        "TLS failed ({error}); if the service's certificate is of a private authority, set \"caFile\" to it"
    )
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
