//! The filter of a list.
//!
//! What the filter gives is compared with the sample, which was read without it. A bound at a record shows whether the list
//! begins there, or too late; a bound some hours behind a record shows whether it begins too early.

use std::collections::HashSet;
use std::rc::Rc;

use super::query::ListQuery;
use super::seen::{Sample, SampledPage};
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Record, Second, Stream, Timestamp};

/// Seconds.
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

pub(super) fn filters(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let oldest = sample
        .records()
        .map(|record| record.timestamp.second())
        .min();
    let bound = oldest.ok_or_else(|| needs("a record"))?.later(25 * HOUR);
    let page = session.page(&ListQuery::page(stream, 1).from(bound))?;
    match earliest(&page, bound) {
        Some(early) if bound.since(early) >= DAY => Err(wrong(
            format!("a record of {early} with the bound {bound}"),
            &[page.exchange],
        )),
        _ => Ok(()),
    }
}

pub(super) fn compares_times(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    // No time zone reaches 13 hours back, but a day does.
    let early = |limit: u64| middle(&sample, |second| time_of_day(second) < limit);
    let bound = early(10 * HOUR).map(|second| second.later(13 * HOUR));
    let bound = bound.or_else(|| early(22 * HOUR).map(|second| second.later(HOUR)));
    let bound = bound.ok_or_else(|| needs("a record before 22:00 of its day"))?;
    let page = session.page(&ListQuery::page(stream, 1).from(bound))?;
    match earliest(&page, bound) {
        Some(early) if bound.since(early) <= time_of_day(bound) => Err(wrong(
            format!("a record of {early} with the bound {bound}"),
            &[page.exchange],
        )),
        _ => Ok(()),
    }
}

pub(super) fn reads_utc(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for bound in bounds(stream, &sample) {
        let answer = Filtered::ask(session, stream, &sample, bound)?;
        let Some(begins) = answer.begins_late(session)? else {
            continue;
        };
        let got = format!("the list begins {begins} s after the bound {bound}");
        return Err(wrong(got, &[answer.page.exchange]));
    }
    let record = middle(&sample, |_| true).ok_or_else(|| needs("a record"))?;
    let bound = record.later(HOUR);
    let page = session.page(&ListQuery::page(stream, 1).from(bound))?;
    match earliest(&page, bound) {
        Some(early) => Err(wrong(
            format!("a record of {early} with the bound {bound}"),
            &[page.exchange],
        )),
        None => Ok(()),
    }
}

pub(super) fn includes_the_bound(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    for bound in bounds(stream, &sample) {
        let answer = Filtered::ask(session, stream, &sample, bound)?;
        if answer.lacks_its_second() {
            let missing = super::exchange::text(&answer.missing[0].0);
            let got = format!("{missing:?} of {bound} is not listed with the bound {bound}");
            return Err(wrong(got, &[answer.page.exchange]));
        }
    }
    Ok(())
}

pub(super) fn future_bound(session: &Session, stream: Stream) -> Verdict {
    let bound = Timestamp::now().second().later(100 * 365 * DAY);
    let page = session.page(&ListQuery::page(stream, 1).from(bound))?;
    if page.length() == 0 {
        return Ok(());
    }
    Err(wrong(page.in_words(), &[page.exchange]))
}

pub(super) fn bound_in_1970(session: &Session, stream: Stream) -> Verdict {
    let without = session.page(&ListQuery::page(stream, 1))?;
    let with = ListQuery::page(stream, 1).from(Timestamp::EPOCH.second());
    let with = session.page(&with)?;
    if with.ids() == without.ids() {
        return Ok(());
    }
    let got = format!(
        "{}; without a bound {}",
        with.in_words(),
        without.in_words()
    );
    Err(wrong(got, &[with.exchange, without.exchange]))
}

pub(super) fn other_spellings(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let bound = middle(&sample, |_| true).ok_or_else(|| needs("a record"))?;
    let usual = session.page(&ListQuery::page(stream, 1).from(bound))?;
    let bare = bound.to_string();
    let bare = bare.trim_end_matches('Z');
    for text in [format!("{bare}.000Z"), format!("{bare}+00:00")] {
        let page = session.page(&ListQuery::page(stream, 1).with_bound(&text))?;
        if page.ids() != usual.ids() {
            let got = format!("{}; with Z {}", page.in_words(), usual.in_words());
            return Err(wrong(got, &[page.exchange, usual.exchange]));
        }
    }
    Ok(())
}

pub(super) fn lists_changed(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let is_changed = |record: &&Record| {
        record
            .created_at()
            .is_some_and(|made| record.timestamp.second().since(made.second()) >= 2)
    };
    let changed: Vec<&Record> = sample.records().filter(is_changed).collect();
    let record = changed
        .get(changed.len() / 2)
        .ok_or_else(|| needs("a transaction that was changed after it was made"))?;
    // Not at its date: the bound itself may be excluded.
    let bound = record.timestamp.second().earlier(1);
    let answer = Filtered::ask(session, stream, &sample, bound)?;
    if answer.missing.iter().any(|(id, _)| **id == *record.id) {
        let id = super::exchange::text(&record.id);
        let got = format!(
            "{id:?}, changed at {}, is not listed with the bound {bound}",
            record.timestamp.second()
        );
        return Err(wrong(got, &[answer.page.exchange]));
    }
    Ok(())
}

pub(super) fn wrong_bound(session: &Session, stream: Stream) -> Verdict {
    let asked = session
        .asker
        .list(&ListQuery::page(stream, 1).with_bound("x"))?;
    match asked.status {
        400 => Ok(()),
        422 => Err(wrong_at(Level::Info, asked.in_words(), &[asked.exchange])),
        _ => Err(wrong(asked.in_words(), &[asked.exchange])),
    }
}

pub(super) fn hides_nothing(session: &Session, stream: Stream) -> Verdict {
    let sample = session.records(stream)?;
    let dates = sample.records().flat_map(|record| {
        let made = record.created_at().unwrap_or(record.timestamp);
        [made.min(record.timestamp).second()]
    });
    // Before every date, in every time zone.
    let before_all = dates.min().map(|first| first.earlier(25 * HOUR));
    for bound in before_all.into_iter().chain(bounds(stream, &sample)) {
        let answer = Filtered::ask(session, stream, &sample, bound)?;
        let hidden = if Some(bound) == before_all {
            answer.missing.first()
        } else {
            answer.hidden(&sample)
        };
        if let Some((id, second)) = hidden {
            let id = super::exchange::text(id);
            let got = format!("{id:?} of {second} is not listed with the bound {bound}");
            return Err(wrong(got, &[answer.page.exchange]));
        }
    }
    Ok(())
}

/// The first page with a bound, compared with the sample.
struct Filtered {
    stream: Stream,
    bound: Second,
    page: Rc<SampledPage>,
    /// The id and second of each record that should be on it and is not.
    missing: Vec<(String, Second)>,
    /// How many records of the sample should be on it before the first one that is.
    missing_first: usize,
}

impl Filtered {
    fn ask(
        session: &Session,
        stream: Stream,
        sample: &Sample,
        bound: Second,
    ) -> Result<Filtered, NotPassed> {
        let page = session.page(&ListQuery::page(stream, 1).from(bound))?;
        let listed: HashSet<&str> = page.ids().into_iter().collect();
        // The second of the last record may continue on the next page.
        let end = page.records.last().map(|last| last.timestamp.second());
        let is_expected = |record: &&Record| {
            let second = record.timestamp.second();
            second >= bound && end.is_none_or(|end| second < end)
        };
        let expected: Vec<&Record> = sample.records().filter(is_expected).collect();
        let is_missing = |record: &&&Record| !listed.contains(&*record.id);
        let missing_first = expected.iter().take_while(is_missing).count();
        let missing = expected.iter().filter(is_missing);
        let missing = missing.map(|record| (record.id.to_string(), record.timestamp.second()));
        Ok(Filtered {
            stream,
            bound,
            missing: missing.collect(),
            missing_first,
            page,
        })
    }

    /// Whether exactly the records of the bound's own second are missing.
    fn lacks_its_second(&self) -> bool {
        let is_first = self.missing_first == self.missing.len();
        let mut seconds = self.missing.iter().map(|(_, second)| *second);
        !self.missing.is_empty() && is_first && seconds.all(|second| second == self.bound)
    }

    /// A record that is missing behind one that is there, and for whose absence its createdAt is no reason.
    fn hidden(&self, sample: &Sample) -> Option<&(String, Second)> {
        if self.missing_first == self.missing.len() {
            return None;
        }
        self.missing.iter().find(|(id, _)| {
            let mut records = sample.records().filter(|record| *record.id == **id);
            let made = records.find_map(Record::created_at);
            self.stream != Stream::Transactions
                || made.is_none_or(|made| made.second() >= self.bound)
        })
    }

    /// How many seconds after the bound the list begins, at least, if it is not only the bound itself that is missing.
    fn begins_late(&self, session: &Session) -> Result<Option<u64>, NotPassed> {
        if self.missing_first == 0 || self.missing_first < self.missing.len() {
            return Ok(None);
        }
        if !self.lacks_its_second() {
            let latest = self
                .missing
                .iter()
                .map(|(_, second)| second.since(self.bound))
                .max();
            return Ok(latest);
        }
        // A service that excludes the bound lists these records from a second before it.
        let earlier = ListQuery::page(self.stream, 1).from(self.bound.earlier(1));
        let earlier = session.page(&earlier)?;
        let is_listed = earlier.ids().contains(&&*self.missing[0].0);
        Ok((!is_listed).then_some(1))
    }
}

/// Bounds at records: in the middle and near the end. Where transactions are concerned, none of that second was created
/// before it: a filter by `createdAt` is another fault.
fn bounds(stream: Stream, sample: &Sample) -> Vec<Second> {
    let mut seconds: Vec<Second> = sample
        .records()
        .map(|record| record.timestamp.second())
        .collect();
    seconds.sort_unstable();
    seconds.dedup();
    let changed: HashSet<Second> = sample
        .records()
        .filter(|record| {
            stream == Stream::Transactions
                && record
                    .created_at()
                    .is_some_and(|made| made.second() < record.timestamp.second())
        })
        .map(|record| record.timestamp.second())
        .collect();
    let plain: Vec<Second> = seconds
        .iter()
        .copied()
        .filter(|second| !changed.contains(second))
        .collect();
    let candidates = if plain.is_empty() { seconds } else { plain };
    let mut bounds: Vec<Second> = [candidates.len() / 2, candidates.len() * 9 / 10]
        .into_iter()
        .filter_map(|place| candidates.get(place).copied())
        .collect();
    bounds.dedup();
    bounds
}

/// The second of a record about the middle of those that are wanted.
fn middle(sample: &Sample, is_wanted: impl Fn(Second) -> bool) -> Option<Second> {
    let seconds = sample.records().map(|record| record.timestamp.second());
    let wanted: Vec<Second> = seconds.filter(|second| is_wanted(*second)).collect();
    wanted.get(wanted.len() / 2).copied()
}

/// The earliest second of a page that lies before the bound.
fn earliest(page: &SampledPage, bound: Second) -> Option<Second> {
    let seconds = page.records.iter().map(|record| record.timestamp.second());
    seconds.filter(|second| *second < bound).min()
}

/// Seconds since midnight, UTC.
fn time_of_day(second: Second) -> u64 {
    // The earliest second is a midnight.
    second.since(Second::MIN) % DAY
}
