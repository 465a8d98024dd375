use std::collections::HashMap;

use super::StoreResult;
use crate::api::{Second, escaped};
use crate::store::{MissingChanges, Store};

/// The accounts whose balances the service does not know. One that a whole sweep does not find in the list either is closed:
/// its balances are asked for all the same, but their absence is no failure.
#[derive(Debug)]
pub struct MissingAccounts {
    /// Whether each is closed.
    known: HashMap<String, bool>,
    /// What the next commit changes.
    pub changes: MissingChanges,
}

impl MissingAccounts {
    /// Those that were missing before.
    pub fn new(store: &Store) -> StoreResult<MissingAccounts> {
        Ok(MissingAccounts {
            known: store.missing_accounts()?,
            changes: MissingChanges::default(),
        })
    }

    /// Whether the account is closed.
    pub fn is_closed(&self, account: &str) -> bool {
        self.known.get(account) == Some(&true)
    }

    /// The service does not know the account's balances.
    pub fn note(&mut self, account: String) {
        if !self.known.contains_key(&account) {
            self.changes.noted.push(account);
        }
    }

    /// The account is listed, or has balances.
    pub fn see(&mut self, account: &str) {
        if self.known.remove(account).is_some() {
            self.changes.seen.push(account.to_owned());
        }
    }

    /// A sweep that began at that moment has read the whole list of accounts. The service knows neither those that it has
    /// not found nor their balances any more.
    pub fn close_unlisted(&mut self, store: &Store, began_at: Second) -> StoreResult<()> {
        for account in store.unlisted_accounts(began_at)? {
            log::info!(
                "accounts: \"{}\" counts as closed: the service no longer lists it, and answers 404 for its balances; \
                the last known ones stay",
                escaped(&account)
            );
            self.known.insert(account.clone(), true);
            self.changes.closed.push(account);
        }
        Ok(())
    }
}
