//! The records of a list, one by one.

use std::collections::HashMap;
use std::time::Duration;

use super::seen::Sample;
use super::session::Session;
use super::verdict::{Level, Verdict, needs, wrong, wrong_at};
use crate::api::{
    Amount, Asset, Members, Stream, Timestamp, check_id, check_metadata, escaped,
    is_other_spelling, same_content,
};
use crate::formance::LeftOut;

/// How far a date may lie in the future.
const CLOCKS_APART: Duration = Duration::from_secs(300);
/// Currencies of ISO 4217 that do not have two decimals, with theirs.
const DECIMALS: [(&str, usize); 24] = [
    ("BHD", 3),
    ("BIF", 0),
    ("CLF", 4),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("UYI", 0),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
];
/// The most used currencies of ISO 4217 that have two.
const TWO_DECIMALS: [&str; 32] = [
    "AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP",
    "HKD", "HUF", "IDR", "ILS", "INR", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SAR",
    "SEK", "SGD", "THB", "TRY", "USD", "ZAR",
];

pub(super) fn ids(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, id_problem)
}

pub(super) fn dates(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, |record| date_problem(stream, record))
}

pub(super) fn amounts(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, amount_problem)
}

pub(super) fn assets(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, asset_problem)?;
    let sample = session.records(stream)?;
    for (exchange, text) in sample.texts() {
        let Some(problem) = decimals_problem(text) else {
            continue;
        };
        return Err(wrong_at(Level::Should, problem, &[exchange]));
    }
    Ok(())
}

pub(super) fn metadata(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, metadata_problem)
}

pub(super) fn values(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for page in &sample.pages {
        for record in &page.records {
            if let Some((field, value)) = record.unknown_values.first() {
                let got = format!(
                    "{:?} has \"{field}\": {value}",
                    super::exchange::text(&record.id)
                );
                return Err(wrong(got, &[page.exchange]));
            }
        }
    }
    Ok(())
}

pub(super) fn json(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    if let Some(page) = sample.pages.iter().find(|page| !page.is_utf8) {
        return Err(wrong("bytes that are not UTF-8", &[page.exchange]));
    }
    each(session, stream, |record| json_problem(stream, record))
}

pub(super) fn unique_ids(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let mut seen: HashMap<&str, (usize, &str)> = HashMap::new();
    for page in &sample.pages {
        for record in &page.records {
            let before = seen.insert(&record.id, (page.exchange, &record.json));
            let Some((exchange, text)) = before else {
                continue;
            };
            // The same content on another page is a matter of the order.
            if !same_content(text, &record.json) || exchange == page.exchange {
                let got = format!(
                    "two records with the id {:?}",
                    super::exchange::text(&record.id)
                );
                return Err(wrong(got, &[exchange, page.exchange]));
            }
        }
    }
    Ok(())
}

pub(super) fn future_dates(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for page in &sample.pages {
        for record in &page.records {
            if record.timestamp.since(page.clock) > CLOCKS_APART {
                let id = super::exchange::text(&record.id);
                let got = format!(
                    "{id:?} is dated {}; the service's clock says {}",
                    record.timestamp.second(),
                    page.clock.second()
                );
                return Err(wrong(got, &[page.exchange]));
            }
        }
    }
    Ok(())
}

pub(super) fn dates_in_order(session: &Session, stream: Stream) -> Verdict {
    each(session, stream, |record| {
        let date = |field| {
            let text = record.text(field).ok()?;
            Timestamp::parse(&text).ok()
        };
        let (created, updated) = (date("createdAt")?, date("updatedAt")?);
        (created > updated).then(|| {
            format!(
                "\"createdAt\" {} is later than \"updatedAt\" {}",
                created.second(),
                updated.second()
            )
        })
    })
}

pub(super) fn midnights(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let is_midnight = |date: Timestamp| date.to_string().ends_with("T00:00:00.000000000Z");
    let (all, at_midnight) = sample.records().fold((0, 0), |(all, at_midnight), record| {
        (
            all + 1,
            at_midnight + usize::from(is_midnight(record.timestamp)),
        )
    });
    // A few are chance, or a batch.
    if at_midnight * 20 <= all {
        return Ok(());
    }
    let share = at_midnight * 100 / all;
    Err(wrong(
        format!("{share} % of {all} dates are at 00:00:00"),
        &[],
    ))
}

pub(super) fn accepted(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for page in &sample.pages {
        for one in &page.unusable {
            if !is_explained(stream, &one.json) && page.is_utf8 {
                let got = format!(
                    "{}: {}",
                    super::exchange::text(&one.reason),
                    super::exchange::shown(one.json.as_bytes())
                );
                return Err(wrong(got, &[page.exchange]));
            }
        }
        // Accounts have a check of their own.
        let records = page.records.iter().filter(|_| stream != Stream::Accounts);
        for record in records {
            if let Some(left_out) = LeftOut::of(record) {
                let got = format!("{:?}: {left_out}", super::exchange::text(&record.id));
                return Err(wrong(got, &[page.exchange]));
            }
        }
    }
    Ok(())
}

/// Whether another check says what is wrong with a record.
fn is_explained(stream: Stream, text: &str) -> bool {
    let Ok(record) = Members::read(text) else {
        return false;
    };
    let is_transaction = stream == Stream::Transactions;
    id_problem(&record).is_some()
        || date_problem(stream, &record).is_some()
        || metadata_problem(&record).is_some()
        || json_problem(stream, &record).is_some()
        || (is_transaction
            && (amount_problem(&record).is_some() || asset_problem(&record).is_some()))
}

/// The first record with a problem. Elements that are no objects are the business of R14.
fn each(
    session: &Session,
    stream: Stream,
    problem: impl Fn(&Members) -> Option<String>,
) -> Verdict {
    let sample: std::rc::Rc<Sample> = session.sample(stream)?;
    if sample.length() == 0 {
        return Err(needs("a record"));
    }
    let mut found = None;
    let mut count = 0;
    for (exchange, text) in sample.texts() {
        let Ok(record) = Members::read(text) else {
            continue;
        };
        if let Some(problem) = problem(&record) {
            count += 1;
            found.get_or_insert((exchange, named(&record, &problem)));
        }
    }
    let Some((exchange, mut got)) = found else {
        return Ok(());
    };
    if count > 1 {
        got += &format!(" ({count} records of {})", sample.length());
    }
    Err(wrong(got, &[exchange]))
}

/// A problem, with the id of its record.
fn named(record: &Members, problem: &str) -> String {
    match record.text("id") {
        Ok(id) => format!("{:?}: {problem}", super::exchange::text(&id)),
        Err(_) => problem.to_owned(),
    }
}

fn id_problem(record: &Members) -> Option<String> {
    let id = match record.text("id") {
        Ok(id) => id,
        Err(invalid) => return Some(super::exchange::text(&invalid.to_string())),
    };
    if id.chars().any(char::is_control) {
        return Some("\"id\" has a control character".to_owned());
    }
    check_id("id", &id).err()
}

fn date_problem(stream: Stream, record: &Members) -> Option<String> {
    let fields: &[&str] = match stream {
        Stream::Transactions => &["createdAt", "updatedAt"],
        _ => &["createdAt"],
    };
    fields.iter().find_map(|field| {
        let problem = match record.text(field) {
            Ok(text) => Timestamp::parse(&text).err()?.to_string(),
            Err(missing) => return Some(missing.to_string()),
        };
        Some(format!("\"{field}\": {problem}"))
    })
}

fn amount_problem(record: &Members) -> Option<String> {
    match record.text("amount") {
        Ok(text) => Amount::check(&text)
            .err()
            .map(|invalid| invalid.to_string()),
        Err(invalid) => Some(invalid.to_string()),
    }
}

fn asset_problem(record: &Members) -> Option<String> {
    match record.text("currency") {
        Ok(text) => Asset::check(&text).err().map(|invalid| invalid.to_string()),
        Err(invalid) => Some(invalid.to_string()),
    }
}

fn decimals_problem(text: &str) -> Option<String> {
    let record = Members::read(text).ok()?;
    let asset = record.text("currency").ok()?;
    let (code, decimals) = asset.split_once('/').unwrap_or((&asset, "0"));
    let right = match DECIMALS.iter().find(|(known, _)| *known == code) {
        Some((_, decimals)) => *decimals,
        None if TWO_DECIMALS.contains(&code) => 2,
        None => return None,
    };
    (decimals.parse() != Ok(right)).then(|| {
        named(
            &record,
            &format!(
                "\"currency\" is {:?}; ISO 4217 has {code}/{right}",
                escaped(&asset)
            ),
        )
    })
}

fn metadata_problem(record: &Members) -> Option<String> {
    check_metadata(record.get("metadata")?).err()
}

fn json_problem(stream: Stream, record: &Members) -> Option<String> {
    if let Some(name) = record.duplicate() {
        return Some(format!(
            "\"{}\" is there twice",
            super::exchange::text(name)
        ));
    }
    let fields = stream.fields();
    let other = record.other_spelling(fields)?;
    let field = fields
        .iter()
        .find(|field| is_other_spelling(other, &[field]))?;
    Some(format!(
        "\"{}\" is spelt \"{field}\" in the API",
        super::exchange::text(other)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_has_the_decimals_of_iso_4217() {
        let problem = |asset: &str| decimals_problem(&format!(r#"{{"currency":"{asset}"}}"#));
        for asset in [
            "EUR/2", "JPY", "JPY/0", "KWD/3", "BTC/8", "POINT/18", "COIN", "XYZ/7",
        ] {
            assert_eq!(problem(asset), None, "{asset}");
        }
        for asset in ["EUR", "EUR/3", "JPY/2", "KWD/2"] {
            assert!(problem(asset).is_some(), "{asset}");
        }
    }
}
