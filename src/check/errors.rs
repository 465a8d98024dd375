//! What errors say.

use super::exchange::{ShownAnswer, ShownExchange};
use super::session::Session;
use super::verdict::{Verdict, needs, wrong};
use crate::api::{ErrorBody, Stream};

/// How traces of common languages look.
const TRACES: [&str; 7] = [
    "Traceback (most recent call last)",
    "\\n    at ",
    "\\n\\tat ",
    "\tat java.",
    "goroutine 1 [",
    "stack backtrace:",
    "Exception in thread",
];

pub(super) fn have_a_body(session: &Session, _: Stream) -> Verdict {
    judge(session, |answer| {
        let body = ErrorBody::read(&answer.body);
        let is_whole = body.is_some_and(|body| !body.title.is_empty() && !body.detail.is_empty());
        (!is_whole).then(|| format!("{} {}", answer.status, super::exchange::shown(&answer.body)))
    })
}

pub(super) fn are_no_traces(session: &Session, _: Stream) -> Verdict {
    judge(session, |answer| {
        let body = String::from_utf8_lossy(&answer.body);
        let start = body.trim_start().to_ascii_lowercase();
        let is_html = start.starts_with("<!doctype") || start.starts_with("<html");
        let has_trace = TRACES.iter().any(|trace| body.contains(trace));
        let shown = super::exchange::shown(&answer.body);
        (is_html || has_trace).then(|| format!("{} {shown}", answer.status))
    })
}

pub(super) fn say_how_long(session: &Session, _: Stream) -> Verdict {
    let is_busy = |exchange: &ShownExchange| matches!(exchange.status(), Some(429 | 503));
    if !session.asker.exchanges().iter().any(is_busy) {
        return Err(needs("an answer 429 or 503"));
    }
    judge(session, |answer| {
        let is_busy = matches!(answer.status, 429 | 503);
        let says = answer.headers.iter().any(|(name, _)| name == "retry-after");
        (is_busy && !says).then(|| format!("{} without Retry-After", answer.status))
    })
}

/// Looks at every answer of 400 or more.
fn judge(session: &Session, wrong_in: impl Fn(&ShownAnswer) -> Option<String>) -> Verdict {
    let exchanges = session.asker.exchanges();
    let mut seen = false;
    for (number, exchange) in exchanges.iter().enumerate() {
        let Some(answer) = exchange
            .answer
            .as_ref()
            .ok()
            .filter(|answer| answer.status >= 400)
        else {
            continue;
        };
        seen = true;
        if let Some(got) = wrong_in(answer) {
            return Err(wrong(got, &[number]));
        }
    }
    if seen {
        Ok(())
    } else {
        Err(needs("an answer of 400 or more"))
    }
}
