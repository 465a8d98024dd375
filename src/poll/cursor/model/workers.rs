use std::time::Duration;

use super::super::super::ahead::{Ahead, AheadAnswer, AheadPlan};
use super::super::{AnswerTime, Walk};
use super::LOOKBACK;
use super::service::{ModelChange, ModelService, shuffled};
use crate::api::{Page, Query};

/// The workers that read ahead of a walk. Their answers come in any order.
pub struct ModelWorkers {
    plan: AheadPlan,
    ahead: Option<Ahead<Page>>,
    in_flight: Vec<Query>,
    turns: usize,
    /// What they were asked for.
    pub requests: usize,
}

impl ModelWorkers {
    /// `most` of them, for a list on pages of `page_size`, one of which takes `alone`.
    pub fn new((most, alone): (u32, Duration), page_size: u32) -> ModelWorkers {
        ModelWorkers {
            plan: AheadPlan {
                size: page_size,
                probe_size: page_size,
                most,
                lookback: LOOKBACK,
                alone,
            },
            ahead: None,
            in_flight: Vec::new(),
            turns: 0,
            requests: 0,
        }
    }

    /// Answers some of their requests before the walk's own one is answered. The answer to that, if it is held.
    pub fn answer(
        &mut self,
        walk: &mut Walk,
        service: &mut ModelService,
        changes: &mut impl Iterator<Item = ModelChange>,
    ) -> Option<(Page, AnswerTime)> {
        loop {
            let ahead = self.ahead.as_mut()?;
            while let Some(query) = ahead.next_request() {
                ahead.handed_out(&query);
                self.in_flight.push(query);
            }
            self.turns += 1;
            let chance = usize::try_from(shuffled(self.turns, service.answers) >> 32).unwrap();
            let is_awaited = ahead.awaits(&walk.request());
            if self.in_flight.is_empty() || !is_awaited && chance.is_multiple_of(2) {
                return ahead.take(&walk.request());
            }
            let query = self
                .in_flight
                .swap_remove(chance / 2 % self.in_flight.len());
            self.requests += 1;
            let page = service.answer(&query);
            let time = service.pass_time(changes);
            let answer = page.map(|page| AheadAnswer::new(page, |page| page, time));
            if let Some(bound) = ahead.answered(&query, answer) {
                walk.add_bound(bound);
            }
        }
    }

    /// The walk has taken a page.
    pub fn follow(&mut self, walk: &Walk) {
        Ahead::follow(&mut self.ahead, &self.plan, walk);
    }
}
