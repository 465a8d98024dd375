//! The key, and where it goes.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::asker::{CheckRequest, SHORTEST_KEY};
use super::query::ListQuery;
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Stream, Timestamp, balances_path};
use crate::health::Alarm;
use crate::psp::ProbeKey;
use crate::secret::Secret;

pub(super) fn is_accepted(session: &Session, _: Stream) -> Verdict {
    let mut refused = Vec::new();
    for stream in Stream::LISTED {
        let asked = session.asker.list(&ListQuery::page(stream, 1))?;
        if matches!(asked.status, 401 | 403) {
            refused.push((stream, asked));
        }
    }
    let Some((stream, asked)) = refused.first() else {
        return Ok(());
    };
    let said = asked.in_words();
    let exchanges: Vec<usize> = refused.iter().map(|(_, asked)| asked.exchange).collect();
    Err(wrong(format!("{stream}: {said}"), &exchanges[..1]))
}

pub(super) fn without_a_key(session: &Session, _: Stream) -> Verdict {
    let account = any_account(session);
    let paths = [
        ListQuery::page(Stream::Accounts, 1).path(),
        ListQuery::page(Stream::Beneficiaries, 1).path(),
        ListQuery::page(Stream::Transactions, 1).path(),
        balances_path(&account),
    ];
    let mut other_status = None;
    for path in &paths {
        let asked = session.asker.ask(&CheckRequest {
            key: ProbeKey::None,
            ..CheckRequest::path(path)
        })?;
        let got = || format!("{path} without a key: {}", asked.in_words());
        match asked.status {
            401 => {}
            403 => other_status = Some(wrong_at(Level::Should, got(), &[asked.exchange])),
            _ => return Err(wrong(got(), &[asked.exchange])),
        }
    }
    if let Some(other_status) = other_status {
        return Err(other_status);
    }
    let asked = session.asker.ask(&CheckRequest {
        key: ProbeKey::None,
        json: Some("{}"),
        ..CheckRequest::path("/payouts")
    })?;
    match asked.status {
        // A service that makes no payouts does not have the path.
        401 | 403 | 404 | 405 => Ok(()),
        _ => Err(wrong(
            format!("POST /payouts without a key: {}", asked.in_words()),
            &[asked.exchange],
        )),
    }
}

pub(super) fn with_a_wrong_key(session: &Session, _: Stream) -> Verdict {
    let own = session.asker.probe().key();
    let longer = Secret::new(format!("{}x", own.expose()));
    let path = ListQuery::page(Stream::Accounts, 1).path();
    for (what, key) in [
        (
            "a wrong key",
            Secret::new("generic-connector-check".to_owned()),
        ),
        ("the key and a letter", longer),
    ] {
        let asked = session.asker.ask(&CheckRequest {
            key: ProbeKey::Other(key),
            ..CheckRequest::path(&path)
        })?;
        let got = || format!("{what}: {}", asked.in_words());
        match asked.status {
            401 => {}
            403 => return Err(wrong_at(Level::Should, got(), &[asked.exchange])),
            _ => return Err(wrong(got(), &[asked.exchange])),
        }
    }
    Ok(())
}

pub(super) fn is_not_repeated(session: &Session, _: Stream) -> Verdict {
    if session.asker.probe().key().expose().len() < SHORTEST_KEY {
        return Err(needs(
            "a key of 6 characters or more, to find it in answers",
        ));
    }
    let exchanges = session.asker.exchanges();
    let has_key = |number: &usize| {
        let answer = exchanges[*number].answer.as_ref();
        answer.is_ok_and(|answer| answer.has_key)
    };
    let Some(number) = (0..exchanges.len()).find(has_key) else {
        return Ok(());
    };
    let answer = exchanges[number].answer.as_ref();
    let headers = answer
        .map(|answer| answer.headers.as_slice())
        .unwrap_or_default();
    let marked = headers
        .iter()
        .find(|(_, value)| value.contains("[redacted]"));
    let place = match marked {
        Some((name, _)) => format!("the header {name}"),
        None => "the body".to_owned(),
    };
    Err(wrong(format!("the key is in {place}"), &[number]))
}

pub(super) fn is_encrypted(session: &Session, _: Stream) -> Verdict {
    let endpoint = session.asker.probe().endpoint();
    let expiry = session.asker.probe().certificate_expiry();
    let now = Timestamp::now().second();
    if let Some(expiry) = expiry.filter(|expiry| Alarm::expires_soon(expiry.second(), now)) {
        let got = format!("the certificate expires at {}", expiry.second());
        return Err(wrong_at(Level::Should, got, &[]));
    }
    if is_safe(endpoint) {
        return Ok(());
    }
    Err(wrong(format!("\"endpoint\" is {endpoint:?}"), &[]))
}

/// Whether what is sent to that URL crosses no network in clear text.
fn is_safe(endpoint: &str) -> bool {
    let Some(address) = endpoint.strip_prefix("http://") else {
        return true;
    };
    let address = address.split(['/', '?']).next().unwrap_or_default();
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    };
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || host
            .parse()
            .is_ok_and(|address: Ipv6Addr| address.is_loopback())
}

pub(super) fn does_not_redirect(session: &Session, _: Stream) -> Verdict {
    let exchanges = session.asker.exchanges();
    let mut followed = None;
    for (number, exchange) in exchanges.iter().enumerate() {
        let Ok(answer) = &exchange.answer else {
            continue;
        };
        let location = answer.headers.iter().find(|(name, _)| name == "location");
        if let (300..=399, Some((_, location))) = (answer.status, location) {
            let location = super::exchange::text(location);
            let got = format!("{}, a redirect to {location:?}", answer.status);
            return Err(wrong(got, &[number]));
        }
        if answer.redirects > 0 {
            followed.get_or_insert(number);
        }
    }
    match followed {
        None => Ok(()),
        Some(number) => Err(within_the_origin(number)),
    }
}

fn within_the_origin(exchange: usize) -> NotPassed {
    let got = "a redirect within the service, which was followed";
    wrong_at(Level::Should, got, &[exchange])
}

fn any_account(session: &Session) -> String {
    let sample = session.sample(Stream::Accounts).ok();
    let first = sample.and_then(|sample| Some(sample.records().next()?.id.to_string()));
    first.unwrap_or_else(|| "1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_safe_on_this_machine_only() {
        for (endpoint, safe) in [
            ("https://a.example", true),
            ("http://a.example", false),
            ("http://a.example:80/x", false),
            ("http://10.0.0.1:8080", false),
            ("http://127.0.0.1:8080/x", true),
            ("http://127.8.0.1", true),
            ("http://localhost:1", true),
            ("http://[::1]:8080", true),
            ("http://[2001:db8::1]", false),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(is_safe(endpoint), safe, "{endpoint}");
        }
    }
}
