//! What holds for every answer.

use std::thread;
use std::time::Duration;

use super::account_balances::AccountBalances;
use super::asker::{Asked, CheckRequest};
use super::exchange::{ShownAnswer, ShownExchange};
use super::query::ListQuery;
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Stream, Timestamp, span};

/// Bytes. A shorter body fits into a packet anyway, and nobody compresses it.
const LEAST_COMPRESSED: usize = 2 * 1024;
/// Bytes of a page that Temporal does not pass on.
const LARGEST_PAGE: usize = 2 << 20;
/// Bytes. Common proxies take no more.
const LARGEST_HEADER: usize = 8 * 1024;
/// How many accounts are asked for at once.
const MOST_AT_ONCE: usize = 16;
/// The longest answer of those that are the usual ones.
const SLOW: Duration = Duration::from_secs(2);
/// When Formance gives up.
const TOO_SLOW: Duration = Duration::from_secs(10);
/// How far the clocks of the service and of this machine may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(5);

pub(super) fn content_type(session: &Session, _: Stream) -> Verdict {
    first(session, |answer| {
        let kind = header(answer, "content-type").unwrap_or("none");
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let is_json =
            essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json");
        (answer.status == 200 && !is_json)
            .then(|| format!("Content-Type: {}", super::exchange::text(kind)))
    })
}

pub(super) fn keep_alive(session: &Session, _: Stream) -> Verdict {
    let (requests, connections) = (
        session.asker.count(),
        session.asker.probe().connections_made(),
    );
    let requests = u64::try_from(requests).unwrap_or(u64::MAX);
    if requests < 4 {
        return Err(needs("more requests"));
    }
    // Some services close a connection after a number of requests.
    if connections <= 2 + requests / 10 {
        return Ok(());
    }
    Err(wrong(
        format!("{connections} connections for {requests} requests"),
        &[session.asker.count() - 1],
    ))
}

pub(super) fn length(session: &Session, _: Stream) -> Verdict {
    first(session, |answer| {
        let is_chunked = header(answer, "transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
        let is_known = is_chunked || header(answer, "content-length").is_some();
        (!is_known && !matches!(answer.status, 204 | 304))
            .then(|| "an answer without Content-Length that is not chunked".to_owned())
    })
}

pub(super) fn gzip(session: &Session, _: Stream) -> Verdict {
    let is_large = |exchange: &ShownExchange| {
        let large = exchange.answer.as_ref();
        exchange.call.is_some()
            && large.is_ok_and(|answer| answer.status == 200 && answer.length >= LEAST_COMPRESSED)
    };
    let found = {
        let exchanges = session.asker.exchanges();
        let number = exchanges.iter().position(is_large);
        number.map(|number| (number, exchanges[number].clone()))
    };
    let Some((number, exchange)) = found else {
        return Err(needs("an answer of 2 KiB or more"));
    };
    let path = exchange
        .url
        .replacen(session.asker.probe().endpoint(), "", 1);
    let plain = session.asker.ask(&CheckRequest {
        accept_encoding: "identity",
        ..CheckRequest::path(&path)
    })?;
    if let Some(coding) = coding_of(&plain) {
        return Err(wrong(
            format!("Content-Encoding: {coding}, which was not accepted"),
            &[plain.exchange],
        ));
    }
    let answer = exchange.answer.as_ref().ok();
    match answer.and_then(|answer| header(answer, "content-encoding")) {
        Some(coding) if coding.to_ascii_lowercase().contains("gzip") => Ok(()),
        _ => Err(wrong(
            "no Content-Encoding, although gzip was accepted",
            &[number],
        )),
    }
}

fn coding_of(asked: &Asked) -> Option<String> {
    let coding = asked.headers.get("content-encoding")?;
    (!coding.eq_ignore_ascii_case("identity")).then(|| super::exchange::text(&coding))
}

pub(super) fn date(session: &Session, _: Stream) -> Verdict {
    let exchanges = session.asker.exchanges();
    for (number, exchange) in exchanges.iter().enumerate() {
        let Ok(answer) = &exchange.answer else {
            continue;
        };
        let Some(value) = header(answer, "date") else {
            return Err(wrong("no Date", &[number]));
        };
        let Some(date) = Timestamp::parse_http(value) else {
            let value = super::exchange::text(value);
            return Err(wrong(
                format!("Date: {value}, which is no HTTP date"),
                &[number],
            ));
        };
        // The answer was made between the two; Date has whole seconds.
        let ours = exchange.started;
        let late = date.since(ours).saturating_sub(exchange.elapsed);
        let apart = late.max(ours.since(date));
        if apart > CLOCKS_APART {
            let apart = span(apart.as_secs());
            let got = format!("Date: {value}, {apart} from this machine's clock");
            return Err(wrong(got, &[number]));
        }
    }
    Ok(())
}

pub(super) fn latency(session: &Session, _: Stream) -> Verdict {
    let exchanges = session.asker.exchanges();
    let times: Vec<Duration> = exchanges.iter().map(|exchange| exchange.elapsed).collect();
    judge_latency(&times)
}

fn judge_latency(times: &[Duration]) -> Verdict {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|number| times[*number]);
    let Some(&slowest) = order.last() else {
        return Err(needs("a request"));
    };
    if times[slowest] >= TOO_SLOW {
        let got = format!("{:.1} s", times[slowest].as_secs_f64());
        return Err(wrong(got, &[slowest]));
    }
    let p95 = order[(order.len() * 95 / 100).min(order.len() - 1)];
    if times[p95] >= SLOW {
        let got = format!(
            "95 % of the answers take up to {:.1} s",
            times[p95].as_secs_f64()
        );
        return Err(wrong_at(Level::Should, got, &[p95]));
    }
    Ok(())
}

pub(super) fn at_once(session: &Session, _: Stream) -> Verdict {
    // Those that B1 has asked for.
    let mut accounts = super::balances::accounts(session, super::balances::SAMPLE)?;
    accounts.truncate(MOST_AT_ONCE.min(session.asker.probe().workers()));
    if accounts.len() < 2 {
        return Err(needs("two accounts"));
    }
    let mut alone = Vec::new();
    for account in &accounts {
        alone.push(session.balances(account)?);
    }
    let asker = &session.asker;
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = accounts
            .iter()
            .map(|account| scope.spawn(move || asker.balances(account)))
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    for ((account, alone), together) in accounts.iter().zip(&alone).zip(together) {
        let asked = together.map_err(|_| needs("a check without a bug: please report it"))??;
        if asked.status == 429 && asked.headers.get("retry-after").is_some() {
            continue;
        }
        let same =
            AccountBalances::read(account, &asked).is_ok_and(|read| !alone.contradicts(&read));
        if !same {
            let got = format!(
                "another answer when asked with others: {}",
                asked.in_words()
            );
            return Err(wrong(got, &[alone.exchange, asked.exchange]));
        }
    }
    Ok(())
}

pub(super) fn size(session: &Session, _: Stream) -> Verdict {
    first(session, |answer| {
        if answer.length >= LARGEST_PAGE {
            return Some(format!("a body of {} bytes", answer.length));
        }
        (answer.header_bytes >= LARGEST_HEADER)
            .then(|| format!("headers of {} bytes", answer.header_bytes))
    })
}

pub(super) fn unknown_path(session: &Session, _: Stream) -> Verdict {
    let unknown = session
        .asker
        .ask(&CheckRequest::path("/generic-connector-check"))?;
    if unknown.status != 404 {
        return Err(wrong(unknown.in_words(), &[unknown.exchange]));
    }
    let wrong_method = session.asker.ask(&CheckRequest::path("/payouts"))?;
    // A service may list its payouts, or make none.
    if !matches!(wrong_method.status, 200..300 | 404 | 405) {
        return Err(wrong(wrong_method.in_words(), &[wrong_method.exchange]));
    }
    let path = format!("/{}", ListQuery::page(Stream::Accounts, 1).path());
    let doubled = session.asker.ask(&CheckRequest::path(&path))?;
    if doubled.status >= 500 {
        return Err(wrong(doubled.in_words(), &[doubled.exchange]));
    }
    Ok(())
}

/// The first answer in which something is wrong.
fn first(session: &Session, wrong_in: impl Fn(&ShownAnswer) -> Option<String>) -> Verdict {
    let exchanges = session.asker.exchanges();
    let mut answers = exchanges.iter().enumerate();
    let found: Option<NotPassed> = answers.find_map(|(number, exchange)| {
        let got = wrong_in(exchange.answer.as_ref().ok()?)?;
        Some(wrong(got, &[number]))
    });
    found.map_or(Ok(()), Err)
}

fn header<'a>(answer: &'a ShownAnswer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_a_warning_and_too_slow_ones_are_wrong() {
        let level = |slow: &[u64]| {
            let mut times = vec![Duration::from_millis(5); 100];
            times.extend(slow.iter().map(|seconds| Duration::from_secs(*seconds)));
            match judge_latency(&times) {
                Ok(()) => None,
                Err(NotPassed::Wrong(wrong)) => Some(wrong.level),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(level(&[]), None);
        assert_eq!(level(&[9, 9]), None);
        assert_eq!(level(&[3; 10]), Some(Some(Level::Should)));
        assert_eq!(level(&[10]), Some(None));
    }
}
