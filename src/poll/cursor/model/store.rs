use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::super::{AnswerTime, LargerPageFailure, PageSizes, Step, Walk};
use super::LOOKBACK;
use super::service::{ModelChange, ModelLargerPages, ModelPaging, ModelService};
use super::workers::ModelWorkers;
use crate::api::{Page, Stream, Timestamp};
use crate::store::{Cursor, SweepPlace};

/// A sweep is left out that has read each known record so many times.
const ROUNDS: usize = 15;

/// What the store would hold.
#[derive(Default)]
pub struct ModelStore {
    /// The newest version of each record.
    pub records: HashMap<String, (Timestamp, Arc<str>)>,
    pub cursor: Cursor,
    larger: u32,
    /// How many workers read ahead, and how long one page takes alone.
    ahead: (u32, Duration),
    delivered: BTreeSet<(String, Arc<str>)>,
    /// The last poll did not come to its end, because a page was refused.
    pub poll_failed: bool,
    /// The same of the last sweep.
    pub sweep_failed: bool,
}

impl ModelStore {
    /// Nothing yet. `larger`: what long lists are read on, in pages of the configured size. `ahead`: how many
    /// workers read ahead, and how long one page takes alone.
    pub fn with(larger: u32, ahead: (u32, Duration)) -> ModelStore {
        ModelStore {
            larger,
            ahead,
            ..ModelStore::default()
        }
    }

    /// One walk from the stored cursor to its end. Returns the number of requests.
    pub fn poll(
        &mut self,
        service: &mut ModelService,
        page_size: u32,
        changes: &mut impl Iterator<Item = ModelChange>,
    ) -> usize {
        service.configured = page_size;
        let now = service.clock().second();
        let mut walk = Walk::new(self.cursor.clone(), self.sizes(page_size), LOOKBACK, now);
        let mut workers = ModelWorkers::new(self.ahead, page_size);
        // The cap may fall meanwhile, which costs requests.
        let mut most = far_too_many(service, page_size);
        for requests in 1.. {
            most = most.max(far_too_many(service, page_size));
            assert!(requests <= most, "the walk does not end: {walk:?}");
            if let Some((page, time)) = workers.answer(&mut walk, service, changes) {
                if self.step(&mut walk, &page, time, true) == Step::End {
                    return requests + workers.requests;
                }
                workers.follow(&walk);
                continue;
            }
            let page = service.answer(&walk.request());
            let Some(page) = page else {
                service.live(changes);
                if walk.is_trying_larger_page() {
                    walk.larger_page_failed(failure_of_larger_page(service));
                    continue;
                }
                if walk.is_question() {
                    if walk.question_failed() == Step::End {
                        self.cursor = walk.cursor().clone();
                        self.poll_failed = false;
                        return requests;
                    }
                    continue;
                }
                if service.fails_by_size() && walk.shrink() {
                    continue;
                }
                self.poll_failed = !walk.refused();
                if self.poll_failed {
                    return requests;
                }
                continue;
            };
            let time = service.pass_time(changes);
            if self.step(&mut walk, &page, time, false) == Step::End {
                return requests + workers.requests;
            }
            workers.follow(&walk);
        }
        unreachable!("requests have no end")
    }

    fn step(&mut self, walk: &mut Walk, page: &Page, time: AnswerTime, is_held: bool) -> Step {
        let stored = self.take(page, is_held);
        let step = walk.step(page, &stored, time);
        self.cursor = walk.cursor().clone();
        if step == Step::End {
            self.poll_failed = false;
        }
        step
    }

    /// One sweep, in slices of this many pages. `by_date`: where nothing is in doubt.
    pub fn sweep(
        &mut self,
        service: &mut ModelService,
        page_size: u32,
        (slice, by_date): (usize, bool),
        changes: &mut impl Iterator<Item = ModelChange>,
    ) {
        let quirks = &self.cursor.quirks;
        let mut by_date = by_date && quirks.keeps_contract() && self.cursor.position.is_some();
        let start = SweepPlace::start(Stream::Transactions, page_size, by_date);
        let mut walk = self.sweep_from(start, service, page_size);
        let began = service.clock().second();
        let mut known = 0;
        for requests in 1..=far_too_many(service, page_size) {
            // Where a page beyond the end is the first one again, a sweep in slices needs a first page that stays as it was.
            if known > ROUNDS * self.records.len() {
                return;
            }
            let page = service.answer(&walk.request());
            let Some(page) = page else {
                service.live(changes);
                if walk.is_question() {
                    walk.question_failed();
                    continue;
                }
                self.sweep_failed = !(service.fails_by_size() && walk.shrink() || walk.refused());
                if self.sweep_failed {
                    return;
                }
                continue;
            };
            let stored = self.take(&page, false);
            known += stored.iter().filter(|stored| stored.is_some()).count();
            let now = service.clock().second();
            let step = walk.step(&page, &stored, AnswerTime::at(now));
            if by_date && !walk.keeps_contract() {
                by_date = false;
                self.cursor = walk.sweeping(&self.cursor);
                walk = self.sweep_from(SweepPlace::by_number(page_size), service, page_size);
                continue;
            }
            if step == Step::End {
                self.cursor = walk.swept(&self.cursor, began, now);
                self.sweep_failed = false;
                return;
            }
            self.cursor = walk.sweeping(&self.cursor);
            self.ask_for_missed(&mut walk, &page, &stored);
            service.live(changes);
            // Every slice begins in a process of its own here. Where larger pages are asked for, it takes some requests to
            // come any farther.
            let quirks = &self.cursor.quirks;
            let refuses = matches!(
                service.quirks.paging,
                ModelPaging::RefusesPastTheEnd | ModelPaging::RefusesPast(_)
            );
            let larger_pages = quirks.ignores_page || quirks.unstable_since.is_some() || refuses;
            let slice = if larger_pages { 1_000 } else { slice };
            if requests % slice == 0 {
                walk = self.sweep_from(walk.place().unwrap(), service, page_size);
            }
        }
        panic!("the sweep does not end: {walk:?}");
    }

    /// Asks whether the filter gives what polls should have found.
    fn ask_for_missed(&self, walk: &mut Walk, page: &Page, stored: &[Option<Timestamp>]) {
        let position = self.cursor.position;
        let mut records = page.records.iter().zip(stored);
        let missed = records.find(|(record, stored)| {
            let is_news = stored.is_none_or(|date| date < record.timestamp);
            is_news && Some(record.timestamp.second()) < position
        });
        if let Some((record, _)) = missed {
            walk.ask_for_missed(page, record);
        }
    }

    fn sweep_from(&self, place: SweepPlace, service: &ModelService, page_size: u32) -> Walk {
        let now = service.clock().second();
        Walk::sweep(self.cursor.clone(), page_size, place, now)
    }

    fn sizes(&self, configured: u32) -> PageSizes {
        PageSizes {
            configured,
            larger: configured * self.larger.max(1),
        }
    }

    /// Takes a page. Returns the dates that were stored before.
    fn take(&mut self, page: &Page, is_held: bool) -> Vec<Option<Timestamp>> {
        let stored = page
            .records
            .iter()
            .map(|record| self.records.get(&*record.id).map(|(date, _)| *date))
            .collect();
        for record in &page.records {
            let newer = self.records.get(&*record.id).is_none_or(|(date, json)| {
                let is_newer = *date < record.timestamp;
                (is_newer || *date == record.timestamp && !is_held) && **json != *record.json
            });
            if newer {
                let json: Arc<str> = (*record.json).into();
                let version = (record.id.to_string(), json.clone());
                assert!(
                    self.delivered.insert(version),
                    "delivered twice: {record:?}"
                );
                self.records
                    .insert(record.id.to_string(), (record.timestamp, json));
            }
        }
        stored
    }
}

fn failure_of_larger_page(service: &ModelService) -> LargerPageFailure {
    match service.quirks.larger_pages {
        ModelLargerPages::TooMuch | ModelLargerPages::SometimesTooMuch => {
            LargerPageFailure::MayPass
        }
        _ => LargerPageFailure::TooMuch,
    }
}

/// A walk has to end within this many requests, whatever the service does.
fn far_too_many(service: &ModelService, page_size: u32) -> usize {
    400 + 20
        * service
            .records
            .len()
            .div_ceil(service.page_length(page_size))
}
