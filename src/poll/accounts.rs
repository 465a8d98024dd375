use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::{Settings, StoreResult, WorkDone};
use crate::api::{Second, Stream, Timestamp};
use crate::store::Store;

/// Known accounts that are read from the store at once.
const ACCOUNTS_AT_ONCE: usize = 1_000;

/// The accounts whose balances a poll still has to ask for: those that it has found, and those that were known before.
#[derive(Debug)]
pub struct AccountQueue {
    found: VecDeque<String>,
    /// The next ones of those that were known, each with the seq of its first version, by which they are ordered.
    known: VecDeque<(i64, String)>,
    /// The known accounts that are not read from the store yet: their first versions have a seq in one of these ranges.
    unread: VecDeque<RangeInclusive<i64>>,
    /// The seq of the known account that was asked for last.
    asked: i64,
    /// Found accounts that may wait before the list of accounts has to wait for them.
    most_found: usize,
    /// Accounts in a row without an answer.
    failures: usize,
    /// After this many accounts in a row without an answer, the others will have none either.
    most_failures: usize,
    /// How many were asked for, of those that are known.
    progress: WorkDone,
    /// When it began with the known accounts, if it is their turn and each one asked for so far had an answer.
    began_at: Option<Second>,
}

impl AccountQueue {
    /// Every account that is stored now, if it is their turn and all lists are polled. It begins where a poll has given up,
    /// so that accounts that always fail do not hide the others.
    pub fn new(store: &Store, settings: &Settings, is_whole: bool) -> StoreResult<AccountQueue> {
        let begin = store.first_balances()?;
        let now = Timestamp::now().second();
        let period = settings.balances_period.as_secs();
        let is_due = is_whole && store.balances_are_due(period, now)?;
        let known = [begin..=store.last_seq()?, 1..=begin - 1];
        let of = if is_due {
            store.record_count(Stream::Accounts)?.cast_signed()
        } else {
            0
        };
        Ok(AccountQueue {
            found: VecDeque::new(),
            known: VecDeque::new(),
            unread: known.into_iter().filter(|_| is_due).collect(),
            asked: begin - 1,
            most_found: settings.batch_records,
            failures: 0,
            most_failures: 8.max(2 * settings.workers),
            progress: WorkDone { done: 0, of },
            began_at: is_due.then_some(now),
        })
    }

    /// Adds an account that the poll has found.
    pub fn push(&mut self, account: String) {
        self.progress.of += 1;
        self.found.push_back(account);
    }

    /// Whether more accounts may be listed. The balances cannot keep up otherwise, and memory would grow.
    pub fn has_room(&self) -> bool {
        self.found.len() < self.most_found
    }

    /// The next account to ask for.
    pub fn next(&mut self, store: &Store) -> StoreResult<Option<&String>> {
        while self.found.is_empty()
            && self.known.is_empty()
            && let Some(seqs) = self.unread.pop_front()
        {
            self.known = store.accounts(seqs.clone(), ACCOUNTS_AT_ONCE)?.into();
            if let Some((last, _)) = self.known.back() {
                self.unread.push_front(last + 1..=*seqs.end());
            }
        }
        let known = self.known.front().map(|(_, id)| id);
        Ok(self.found.front().or(known))
    }

    /// The account of [`next`](AccountQueue::next) was asked for.
    pub fn handed_out(&mut self) {
        self.progress.done += 1;
        if self.found.pop_front().is_none()
            && let Some((seq, _)) = self.known.pop_front()
        {
            self.asked = seq;
        }
    }

    /// An account had an answer.
    pub fn answered(&mut self) {
        self.failures = 0;
    }

    /// An account had no answer. After too many in a row the other accounts wait for the next poll. The message says so,
    /// once.
    pub fn failed(&mut self) -> Option<String> {
        self.failures += 1;
        self.began_at = None;
        if self.failures < self.most_failures {
            return None;
        }
        self.found.clear();
        self.known.clear();
        self.unread.clear();
        (self.failures == self.most_failures).then(|| {
            format!(
                "{} requests in a row failed: the remaining accounts wait for the next poll, which begins with them",
                self.failures
            )
        })
    }

    /// How many accounts were asked for, of those that are known.
    pub fn progress(&self) -> WorkDone {
        self.progress
    }

    /// When the balances of every account were asked for, if the poll has ended and each had an answer.
    pub fn asked_at(&self) -> Option<Second> {
        self.began_at
    }

    /// The seq from which on the next poll is to begin, if this one has given up.
    pub fn given_up_at(&self) -> Option<i64> {
        (self.failures >= self.most_failures).then_some(self.asked + 1)
    }
}
