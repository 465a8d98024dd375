//! The lists as a whole.

use super::query::ListQuery;
use super::session::Session;
use super::verdict::{Level, Verdict, wrong, wrong_at};
use crate::api::Stream;

pub(super) fn is_an_array(session: &Session, stream: Stream) -> Verdict {
    let sample = session.sample(stream)?;
    let null = |page: &super::seen::SampledPage| {
        let got = "null for an empty page";
        wrong_at(Level::Should, got, &[page.exchange])
    };
    if let Some(page) = sample.pages.iter().find(|page| page.is_null) {
        return Err(null(page));
    }
    if sample.is_whole && sample.length() > 0 {
        let after = u64::try_from(sample.pages.len()).unwrap_or(u64::MAX) + 1;
        let last = session.page(&ListQuery::page(stream, after))?;
        if last.is_null {
            return Err(null(&last));
        }
    }
    Ok(())
}

pub(super) fn defaults(session: &Session, stream: Stream) -> Verdict {
    let first = session.page(&ListQuery::page(stream, 1))?;
    let bare = session.page(&ListQuery::bare(stream))?;
    if first.ids() == bare.ids() {
        return Ok(());
    }
    Err(wrong(
        format!(
            "{}; page=1&pageSize=100 has {}",
            bare.in_words(),
            first.in_words()
        ),
        &[bare.exchange, first.exchange],
    ))
}
