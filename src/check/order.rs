//! The order of a list.

use std::collections::{BTreeMap, HashMap};

use super::query::ListQuery;
use super::seen::Sample;
use super::session::Session;
use super::verdict::{Verdict, needs, wrong};
use crate::api::{Record, Second, Stream, Timestamp};

pub(super) fn ascends(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    if sample.records().count() < 2 {
        return Err(needs("two records"));
    }
    match descent(&sample, |record| Some(record.timestamp)) {
        None => Ok(()),
        Some((before, after)) => {
            let place = |record: &Record| {
                format!(
                    "{:?} of {}",
                    super::exchange::text(&record.id),
                    date(record)
                )
            };
            let got = format!("{} comes after {}", place(after), place(before));
            let exchange = exchange_of(&sample, after);
            Err(wrong(got, &[exchange]))
        }
    }
}

pub(super) fn by_update(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    let changed = sample
        .records()
        .any(|record| record.created_at() != Some(record.timestamp));
    if !changed {
        return Err(needs("a transaction that was changed after it was made"));
    }
    let is_ordered = descent(&sample, |record| Some(record.timestamp)).is_none();
    // In any other disorder, the dates of creation decide nothing either.
    if is_ordered || descent(&sample, Record::created_at).is_some() {
        return Ok(());
    }
    let exchange = sample.pages[0].exchange;
    Err(wrong("transactions sorted by createdAt", &[exchange]))
}

pub(super) fn is_stable(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let second = densest(&sample).map(|(second, _)| second);
    let page = sample.pages.iter().find(|page| {
        let mut records = page.records.iter();
        records.any(|record| Some(record.timestamp.second()) == second)
    });
    let place = page.and_then(|page| {
        sample
            .pages
            .iter()
            .position(|one| one.exchange == page.exchange)
    });
    let number = u64::try_from(place.unwrap_or(0)).unwrap_or(0) + 1;
    let first = session.page(&ListQuery::page(stream, number))?;
    for _ in 0..2 {
        let again = session.fresh_page(&ListQuery::page(stream, number))?;
        if again.ids() != first.ids() {
            let got = match again
                .records
                .iter()
                .zip(&first.records)
                .find(|(a, b)| a.id != b.id)
            {
                Some((now, before)) => format!(
                    "{:?} where {:?} was before",
                    super::exchange::text(&now.id),
                    super::exchange::text(&before.id)
                ),
                None => format!("{}, then {}", first.in_words(), again.in_words()),
            };
            return Err(wrong(got, &[first.exchange, again.exchange]));
        }
    }
    Ok(())
}

pub(super) fn keeps_ties(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let Some((second, expected)) = densest(&sample) else {
        return Err(needs("two records in one second"));
    };
    let size = expected.len().div_ceil(4).min(100);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut exchanges = Vec::new();
    // One more, to see where it ends.
    let pages = expected.len().div_ceil(size) + 1;
    for number in (1..).take(pages) {
        let query = ListQuery::page(stream, number).with_size(size).from(second);
        let page = session.page(&query)?;
        exchanges.push(page.exchange);
        for record in page
            .records
            .iter()
            .filter(|record| record.timestamp.second() == second)
        {
            *seen.entry(record.id.to_string()).or_default() += 1;
        }
        let is_past = page
            .records
            .last()
            .is_none_or(|last| last.timestamp.second() > second);
        if is_past {
            break;
        }
    }
    let missing = expected.iter().find(|id| !seen.contains_key(**id));
    let twice = seen
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(id, _)| id.as_str())
        .min();
    let got = match (missing, twice) {
        (None, None) => return Ok(()),
        (Some(id), _) => format!(
            "{:?} is on none of the pages of {size}",
            super::exchange::text(id)
        ),
        (None, Some(id)) => format!("{:?} is on two pages of {size}", super::exchange::text(id)),
    };
    let got = format!("{got}, {} records of {second}", expected.len());
    Err(wrong(got, &exchanges))
}

/// The second of which a sample has the most records, and their ids. The last second is left out: there may be more of it.
fn densest(sample: &Sample) -> Option<(Second, Vec<&str>)> {
    let mut seconds: BTreeMap<Second, Vec<&str>> = BTreeMap::new();
    for record in sample.records() {
        let ids = seconds.entry(record.timestamp.second()).or_default();
        ids.push(&record.id);
    }
    if !sample.is_whole {
        seconds.pop_last();
    }
    let densest = seconds.into_iter().max_by_key(|(_, ids)| ids.len())?;
    (densest.1.len() > 1).then_some(densest)
}

/// The first two neighbours of which the second one has an earlier date.
fn descent(
    sample: &Sample,
    date: impl Fn(&Record) -> Option<Timestamp>,
) -> Option<(&Record, &Record)> {
    let records: Vec<&Record> = sample.records().collect();
    let mut pairs = records.windows(2);
    let found = pairs.find(|pair| match (date(pair[0]), date(pair[1])) {
        (Some(before), Some(after)) => after < before,
        _ => false,
    });
    found.map(|pair| (pair[0], pair[1]))
}

fn exchange_of(sample: &Sample, wanted: &Record) -> usize {
    let has_it = |page: &&std::rc::Rc<super::seen::SampledPage>| {
        page.records
            .iter()
            .any(|record| std::ptr::eq(record, wanted))
    };
    sample
        .pages
        .iter()
        .find(has_it)
        .map_or(0, |page| page.exchange)
}

fn date(record: &Record) -> String {
    record.timestamp.to_string().replace(".000000000Z", "Z")
}
