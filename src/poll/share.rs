use std::time::Instant;

use super::pending::Judged;
use super::{Settings, StoreResult};
use crate::api::Stream;
use crate::store::Store;

/// A list of fewer pages is read to its end in one poll, however slow the service is.
const LEAST_PAGES: u64 = 1_000;

/// Polling periods that a list gets in one poll if no poll could continue where this one leaves it.
const MOST_PERIODS: u32 = 720;

/// A reading goes in circles when it has read known records more often than each of them so many times, and some more. It
/// reads some again on purpose: ties, and lists that need larger pages.
const MOST_ROUNDS: u64 = 50;
const MORE_RECORDS: u64 = 1_000;

/// How much of a list one reading has read: a list without an end must not hold up the others.
#[derive(Debug)]
pub struct Share {
    began: Instant,
    page_size: u32,
    /// In pages of that size.
    pages: u64,
    /// Records that were known already.
    pub known: u64,
    /// Records that were not.
    fresh: u64,
    /// How many of the known ones raise the question whether it goes in circles.
    suspicious: u64,
}

impl Share {
    /// A reading begins. `known`: what an earlier process has read of the same sweep.
    pub fn new(known: u64, page_size: u32) -> Share {
        Share {
            began: Instant::now(),
            page_size,
            pages: 0,
            known,
            fresh: 0,
            suspicious: MORE_RECORDS,
        }
    }

    /// A page was read.
    pub fn take(&mut self, judged: &[Judged]) {
        let known = judged.iter().filter(|judged| judged.before.is_some());
        let known = known.count() as u64;
        self.known += known;
        self.fresh += judged.len() as u64 - known;
        self.pages += (judged.len() as u64)
            .div_ceil(u64::from(self.page_size))
            .max(1);
    }

    /// Why the list is left to the next poll, if it is. `resumes`: that one continues where this one stops.
    pub fn is_used_up(&self, settings: &Settings, resumes: bool) -> Option<String> {
        let most = if resumes {
            settings.share
        } else {
            settings.period * MOST_PERIODS
        };
        let took = self.began.elapsed();
        (self.pages >= LEAST_PAGES && took >= most).then(|| {
            format!(
                "the list did not end within {} s and {} pages; {}",
                took.as_secs(),
                self.pages,
                if resumes {
                    "the next poll continues there"
                } else {
                    "the next poll begins again"
                }
            )
        })
    }

    /// Why the list will not end, if it gives the same records again and again.
    pub fn goes_in_circles(
        &mut self,
        store: &Store,
        stream: Stream,
    ) -> StoreResult<Option<String>> {
        if self.known <= self.suspicious {
            return Ok(None);
        }
        // Not all of them may be stored yet.
        let records = store.record_count(stream)? + self.fresh;
        self.suspicious = records * MOST_ROUNDS + MORE_RECORDS;
        Ok((self.known > self.suspicious).then(|| {
            format!(
                "the list does not end: it gave {} records that were known, and there are {records}; answer [] to the page \
                after the last one, and keep \"{}\" until a record changes",
                self.known,
                stream.date_field()
            )
        }))
    }
}
