//! The pages of a list.

use super::query::ListQuery;
use super::session::Session;
use super::verdict::{Level, NotPassed, Verdict, needs, wrong, wrong_at};
use crate::api::{Record, Stream};

/// A page that no list has.
const PAST_THE_END: u64 = 100_000;

pub(super) fn from_one(session: &Session, stream: Stream) -> Verdict {
    let first = session.page(&ListQuery::page(stream, 1))?;
    let without = session.page(&ListQuery::page(stream, 1).with_page(None))?;
    if without.ids() == first.ids() {
        return Ok(());
    }
    // Services that count from 1 may answer page 0 with an error, so it is not asked for without need.
    let zero = ListQuery::page(stream, 0);
    let Ok(zero) = session.page(&zero) else {
        return Ok(());
    };
    if zero.ids() != without.ids() || zero.ids() == first.ids() {
        return Ok(());
    }
    Err(wrong(
        format!(
            "{} on page 1, {} without page and on page 0",
            first.in_words(),
            zero.in_words()
        ),
        &[first.exchange, without.exchange, zero.exchange],
    ))
}

pub(super) fn sizes(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    let first = &sample.pages[0];
    let length = sample.length();
    if let [first, second, ..] = &sample.pages[..]
        && first.length() < 100
    {
        return Err(wrong(
            format!(
                "{} records; page 2 has {} more",
                first.length(),
                second.length()
            ),
            &[first.exchange],
        ));
    }
    if first.length() > 100 {
        return Err(wrong(first.in_words(), &[first.exchange]));
    }
    for size in [2_usize, 1] {
        if length <= size {
            continue;
        }
        let page = session.page(&ListQuery::page(stream, 1).with_size(size))?;
        if page.length() != size {
            let got = format!("{} records with pageSize {size}", page.length());
            return Err(wrong(got, &[page.exchange]));
        }
    }
    if length < 2 {
        return Err(needs("two records"));
    }
    Ok(())
}

pub(super) fn numbers(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    let size = match sample.length() {
        0 | 1 => return Err(needs("two records")),
        2 => 1,
        _ => 2,
    };
    let pages = [1, 2].map(|number| session.page(&ListQuery::page(stream, number).with_size(size)));
    let [first, second] = pages;
    let (first, second) = (first?, second?);
    if first.ids() == second.ids() {
        let got = format!("page 2 has the records of page 1, {}", first.in_words());
        return Err(wrong(got, &[first.exchange, second.exchange]));
    }
    Ok(())
}

pub(super) fn past_the_end(session: &Session, stream: Stream) -> Verdict {
    // What is refused there may be refused for its number alone.
    if session.sample(stream)?.is_whole {
        return Ok(());
    }
    let page = session.page(&ListQuery::page(stream, PAST_THE_END))?;
    if page.length() == 0 {
        return Ok(());
    }
    Err(wrong(page.in_words(), &[page.exchange]))
}

pub(super) fn ends(session: &Session, stream: Stream) -> Verdict {
    if session.sample(stream)?.is_whole {
        return Ok(());
    }
    let far = |number| session.page(&ListQuery::page(stream, number));
    // How such a page is refused, and whether the last one comes again, are matters of P3.
    let Ok(page) = far(PAST_THE_END) else {
        return Ok(());
    };
    if page.length() == 0 {
        return Ok(());
    }
    let next = far(PAST_THE_END + 1)?;
    if next.ids() == page.ids() {
        return Ok(());
    }
    Err(wrong(
        format!("{} on page {PAST_THE_END}", page.in_words()),
        &[page.exchange, next.exchange],
    ))
}

pub(super) fn adjoin(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    if sample.length() < 4 {
        return Err(needs("four records"));
    }
    let small = |number| session.page(&ListQuery::page(stream, number).with_size(2));
    let (first, second) = (small(1)?, small(2)?);
    let both = session.page(&ListQuery::page(stream, 1).with_size(4))?;
    if first.length() != 2 || second.length() > 2 {
        return Err(NotPassed::Because("P1"));
    }
    let ids = [first.ids(), second.ids()].concat();
    if ids == both.ids() {
        return Ok(());
    }
    let list = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| super::exchange::text(id)).collect();
        ids.join(", ")
    };
    Err(wrong(
        format!("{}; on one page of 4: {}", list(&ids), list(&both.ids())),
        &[first.exchange, second.exchange, both.exchange],
    ))
}

pub(super) fn wrong_numbers(session: &Session, stream: Stream) -> Verdict {
    let usual = ListQuery::page(stream, 1);
    for query in [
        usual.clone().with_page(Some("0")),
        usual.clone().with_page(Some("x")),
        usual.with_size(0),
    ] {
        let asked = session.asker.list(&query)?;
        match asked.status {
            400 => {}
            422 => return Err(wrong_at(Level::Info, asked.in_words(), &[asked.exchange])),
            _ => return Err(wrong(asked.in_words(), &[asked.exchange])),
        }
    }
    Ok(())
}

pub(super) fn large_size(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    if sample.length() <= 100 {
        return Err(needs("more than 100 records"));
    }
    let page = session.page(&ListQuery::page(stream, 1).with_size(1000))?;
    if page.length() > 100 {
        return Ok(());
    }
    Err(wrong(
        format!("{} records", page.length()),
        &[page.exchange],
    ))
}

pub(super) fn deep(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    if sample.length() < 20 {
        return Err(needs("20 records"));
    }
    let first = session.page(&ListQuery::page(stream, 1).with_size(1))?;
    if first.length() > 1 {
        return Err(NotPassed::Because("P1"));
    }
    // Where two neighbours share a date, what is missing may be a matter of ties.
    let records: Vec<&Record> = sample.records().collect();
    let is_alone = |place: &usize| records[*place - 1].timestamp < records[*place].timestamp;
    let place = (1..records.len()).rev().find(is_alone);
    let place = place.ok_or_else(|| needs("records with different dates"))?;
    let number = u64::try_from(place + 1).unwrap_or(u64::MAX);
    let page = session.page(&ListQuery::page(stream, number).with_size(1))?;
    if page.length() == 0 {
        return Err(wrong(
            format!("no record, although the list has {}", sample.length()),
            &[page.exchange],
        ));
    }
    Ok(())
}
