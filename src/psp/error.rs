use std::time::Duration;

use crate::api::ErrorBody;
use crate::transport::{Answer, FailureKind, MOST_REDIRECTS, NoAnswer};

/// A request has no answer that can be used. Every message names the method and the URL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no answer: the connection or its TLS failed, was cut, or took too long.
    #[error("{failure}{}", tried(*attempts))]
    NoAnswer { failure: NoAnswer, attempts: u32 },

    /// The answer is not what the API says: HTML, an empty body, an object instead of an array.
    #[error("{request} answered with status {status}, but {cause}; is \"endpoint\" right?{}", tried(*attempts))]
    Unreadable {
        request: String,
        status: u16,
        cause: String,
        attempts: u32,
    },

    /// The service answered with 5xx, or asked to wait (429, 503) for longer than a request waits.
    #[error("{request} answered {status}{}{}", said(body), tried(*attempts))]
    Unavailable {
        request: String,
        status: u16,
        body: Option<ErrorBody>,
        /// How long it asked to be left alone, if it did.
        wait: Option<Duration>,
        attempts: u32,
    },

    /// 401 or 403: the service refuses our key.
    #[error(
        "{request} answered {status}{}: the service refuses the key; put the right one into \"apiKey\" or its file, \
        which is then read again (a systemd credential only at a restart)",
        said(body)
    )]
    KeyRefused {
        request: String,
        status: u16,
        body: Option<ErrorBody>,
    },

    /// 404: the service has no such path, or no such account.
    #[error("{request} answered 404{}: the service does not know it", said(body))]
    NotFound {
        request: String,
        body: Option<ErrorBody>,
    },

    /// Another 4xx: our mistake, or a service that does not conform.
    #[error("{request} answered {status}{}", said(body))]
    Refused {
        request: String,
        status: u16,
        body: Option<ErrorBody>,
    },

    /// A redirect that is not followed: the key must not leave the origin of the endpoint, and a payout must not be made
    /// twice.
    #[error(
        "{request} answered {status}, a redirect to \"{location}\", which is not followed because {}; set \"endpoint\" to \
        the service's real address",
        unfollowed(*redirects)
    )]
    Redirected {
        request: String,
        status: u16,
        /// Where it points.
        location: String,
        /// How many redirects led to it.
        redirects: u32,
    },

    /// The body is larger than `maxBodyBytes`.
    #[error(
        "{request} answered with more than {limit} bytes; lower \"pageSize\" or raise \"maxBodyBytes\""
    )]
    TooLarge { request: String, limit: u64 },

    /// Stopping was requested before there was an answer.
    #[error("{request}: stopped before an answer arrived")]
    Stopped { request: String },
}

impl Error {
    /// The error that the status of an answer means. Its body is for people, so it may be missing.
    pub(super) fn of_status(answer: Answer, attempts: u32) -> Error {
        let body = ErrorBody::read(answer.body_or_empty());
        let Answer {
            request,
            status,
            retry_after,
            redirects,
            location,
            ..
        } = answer;
        match status {
            300..=399 => Error::Redirected {
                request,
                status,
                location,
                redirects,
            },
            401 | 403 => Error::KeyRefused {
                request,
                status,
                body,
            },
            404 => Error::NotFound { request, body },
            408 | 429 | 500.. => Error::Unavailable {
                request,
                status,
                body,
                wait: retry_after.filter(|_| matches!(status, 429 | 503)),
                attempts,
            },
            _ => Error::Refused {
                request,
                status,
                body,
            },
        }
    }

    /// Whether the service as a whole cannot be reached or does not work, so that other requests will fail too.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::NoAnswer { .. } | Error::Unreadable { .. } | Error::Unavailable { .. }
        )
    }

    /// What the error means for another try.
    pub(super) fn failure(&self) -> FailureKind {
        match self {
            Error::Unavailable {
                wait: Some(wait), ..
            } => FailureKind::AskedToWait(*wait),
            Error::NoAnswer { failure, .. } if failure.is_final => FailureKind::Final,
            error if error.is_transient() => FailureKind::Transient,
            _ => FailureKind::Final,
        }
    }

    /// Whether the service may have made what it was asked to make.
    pub fn leaves_open(&self) -> bool {
        match self {
            Error::NoAnswer { failure, .. } => failure.sent,
            Error::Unreadable { .. } | Error::TooLarge { .. } | Error::Stopped { .. } => true,
            // Some services send whoever has made something to its page, with 303 or 302.
            Error::Redirected { .. } => true,
            // Too many requests: this one was turned away.
            Error::Unavailable { status, .. } => *status != 429,
            Error::KeyRefused { .. } | Error::NotFound { .. } | Error::Refused { .. } => false,
        }
    }
}

fn said(body: &Option<ErrorBody>) -> String {
    body.as_ref()
        .map(|body| format!(" ({body})"))
        .unwrap_or_default()
}

/// Why a redirect is not followed, after this many that were.
fn unfollowed(redirects: u32) -> &'static str {
    match redirects {
        MOST_REDIRECTS => "three redirects led there already",
        _ => "the key must not go there",
    }
}

fn tried(attempts: u32) -> String {
    if attempts > 1 {
        format!(" (tried {attempts} times)")
    } else {
        String::new()
    }
}
