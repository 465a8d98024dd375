use std::collections::{BTreeMap, HashMap};

use super::StoreResult;
use crate::api::{Second, Timestamp};
use crate::store::{Store, StoredVersion};

/// Seconds for which the balances of a replica that lags are no news. After that time without newer ones, they count.
const REPLICA_LAG: u64 = 3_600;

/// Seconds after which replicas that have not disagreed again count as one service.
const DISAGREEMENT: u64 = 86_400;

/// Accounts whose balances are answered with an older `at` than the stored ones have.
///
/// A replica that lags gives such an answer in turn with another one that does not. A service whose clock was ahead, or that
/// was put back, gives nothing else any more.
#[derive(Debug)]
pub struct OlderBalances {
    /// When each account was first answered like this since its stored balances, or newer ones, were last seen.
    since: HashMap<String, Second>,
    /// What the next commit changes.
    changed: BTreeMap<String, Option<Second>>,
    /// An account was answered with older balances, and then with the newer ones again.
    disagree: bool,
}

impl OlderBalances {
    /// What the state knows of them.
    pub fn new(store: &Store) -> StoreResult<OlderBalances> {
        Ok(OlderBalances {
            since: store.older_balances()?,
            changed: BTreeMap::new(),
            disagree: false,
        })
    }

    /// Balances of an account were answered with an `at` before that of the stored ones. Whether they count.
    pub fn is_news(&mut self, account: &str) -> bool {
        let now = Timestamp::now().second();
        let since = self.since.get(account).copied();
        if since.is_none_or(|since| since > now) {
            self.note(account, Some(now));
            return false;
        }
        let is_news = since.is_some_and(|since| now.since(since) >= REPLICA_LAG);
        if is_news {
            self.note(account, None);
        }
        is_news
    }

    /// An account was answered with balances whose date is `at`, beside the stored ones.
    pub fn note_answer(&mut self, account: &str, at: Timestamp, known: Option<&StoredVersion>) {
        if known.is_none_or(|known| at >= known.timestamp) && self.since.contains_key(account) {
            self.note(account, None);
            self.disagree = true;
        }
    }

    /// When replicas last disagreed; none if that is a day ago. `before`: when they had before this poll.
    pub fn disagree_at(&self, before: Option<Second>) -> Option<Second> {
        let now = Timestamp::now().second();
        if self.disagree {
            return Some(now);
        }
        before.filter(|before| now.since(*before) < DISAGREEMENT)
    }

    /// What the next commit changes: accounts, and since when they are answered like this, if they are.
    pub fn changed(&self) -> &BTreeMap<String, Option<Second>> {
        &self.changed
    }

    /// The changes are committed.
    pub fn clear(&mut self) {
        self.changed.clear();
    }

    fn note(&mut self, account: &str, since: Option<Second>) {
        match since {
            Some(since) => self.since.insert(account.to_owned(), since),
            None => self.since.remove(account),
        };
        self.changed.insert(account.to_owned(), since);
    }
}
