use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::database::execute;
use super::{Error, Store};
use crate::api::Second;

impl Store {
    /// The accounts whose balances are answered with an older date than the stored ones have, each since when.
    pub fn older_balances(&self) -> Result<HashMap<String, Second>, Error> {
        const OLDER: &str = "SELECT account, since FROM older_balances";
        let doing = "read which balances are answered with an older date";
        self.database.all(doing, OLDER, [], |row| row.try_into())
    }
}

/// Notes since when accounts are answered like this, or that they are not any more.
pub(super) fn note(
    connection: &Connection,
    changed: &BTreeMap<String, Option<Second>>,
) -> rusqlite::Result<()> {
    const NOTE: &str = "
        INSERT INTO older_balances (account, since) VALUES (?1, ?2)
        ON CONFLICT (account) DO UPDATE SET since = excluded.since";
    const FORGET: &str = "DELETE FROM older_balances WHERE account = ?1";
    for (account, since) in changed {
        match since {
            Some(since) => execute(connection, NOTE, (account, since))?,
            None => execute(connection, FORGET, [account])?,
        }
    }
    Ok(())
}
