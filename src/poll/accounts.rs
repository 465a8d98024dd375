use std::collections::VecDeque;

use super::{Settings, StoreResult};
use crate::store::Store;

/// Known accounts that are read from the store at once.
const ACCOUNTS_AT_ONCE: usize = 1_000;

/// The accounts whose balances a poll still has to ask for: those that it has found, and those that were known before.
#[derive(Debug)]
pub struct AccountQueue {
    found: VecDeque<String>,
    /// The next ones of those that were known, in the order in which they were first stored.
    known: VecDeque<String>,
    /// The known accounts that are not read from the store yet: their first versions have a seq in `after + 1..=until`.
    after: i64,
    until: i64,
    /// Found accounts that may wait before the list of accounts has to wait for them.
    most_found: usize,
    /// Accounts in a row without an answer.
    failures: usize,
    /// After this many accounts in a row without an answer, the others will have none either.
    most_failures: usize,
}

impl AccountQueue {
    /// Every account that is stored now.
    pub fn new(store: &Store, settings: &Settings) -> StoreResult<AccountQueue> {
        Ok(AccountQueue {
            found: VecDeque::new(),
            known: VecDeque::new(),
            after: 0,
            until: store.last_seq()?,
            most_found: settings.batch_records,
            failures: 0,
            most_failures: 8.max(2 * settings.workers),
        })
    }

    /// Adds an account that the poll has found.
    pub fn push(&mut self, account: String) {
        self.found.push_back(account);
    }

    /// Whether more accounts may be listed. The balances cannot keep up otherwise, and memory would grow.
    pub fn has_room(&self) -> bool {
        self.found.len() < self.most_found
    }

    /// The next account to ask for.
    pub fn next(&mut self, store: &Store) -> StoreResult<Option<&String>> {
        if self.found.is_empty() && self.known.is_empty() && self.after < self.until {
            let accounts = store.accounts(self.after, self.until, ACCOUNTS_AT_ONCE)?;
            self.after = accounts.last().map_or(self.until, |(seq, _)| *seq);
            self.known = accounts.into_iter().map(|(_, id)| id).collect();
        }
        Ok(self.found.front().or(self.known.front()))
    }

    /// The account of [`next`](AccountQueue::next) was asked for.
    pub fn handed_out(&mut self) {
        if self.found.pop_front().is_none() {
            self.known.pop_front();
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
        if self.failures < self.most_failures {
            return None;
        }
        self.found.clear();
        self.known.clear();
        self.after = self.until;
        (self.failures == self.most_failures).then(|| {
            format!(
                "{} requests in a row failed: the remaining accounts wait for the next poll",
                self.failures
            )
        })
    }
}
