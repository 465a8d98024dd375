use std::collections::HashMap;

use rusqlite::Connection;

use super::database::{execute, limit};
use super::{Error, Store};
use crate::api::{Second, Timestamp};

/// How many missing accounts are remembered. With more of them, the service has no balances at all.
const MOST_MISSING: usize = 10_000;

impl Store {
    /// The accounts whose balances the service does not know, and whether each is closed: listed no more either.
    pub fn missing_accounts(&self) -> Result<HashMap<String, bool>, Error> {
        const MISSING: &str = "SELECT account, closed FROM missing";
        let doing = "read the missing accounts";
        let missing: Vec<(String, bool)> = self
            .database
            .all(doing, MISSING, [], |row| row.try_into())?;
        Ok(missing.into_iter().collect())
    }

    /// The missing accounts that no list has shown since then, and that are not closed yet.
    pub fn unlisted_accounts(&self, since: Second) -> Result<Vec<String>, Error> {
        const UNLISTED: &str = "
            SELECT account FROM missing WHERE closed = 0 AND since <= ?1 ORDER BY account";
        let doing = "read the accounts that are listed no more";
        self.database
            .all(doing, UNLISTED, [since], |row| row.get(0))
    }
}

/// Notes that the service does not know the balances of an account, unless that is known.
pub(super) fn note(connection: &Connection, account: &str) -> rusqlite::Result<()> {
    const NOTE: &str = "
        INSERT OR IGNORE INTO missing (account, since) SELECT ?1, ?2
        WHERE (SELECT count(*) FROM missing) < ?3";
    let now = Timestamp::now().second();
    execute(connection, NOTE, (account, now, limit(MOST_MISSING)))
}

/// Notes that an account is listed no more.
pub(super) fn close(connection: &Connection, account: &str) -> rusqlite::Result<()> {
    execute(
        connection,
        "UPDATE missing SET closed = 1 WHERE account = ?1",
        [account],
    )
}

/// Forgets an account that is not missing any more.
pub(super) fn forget(connection: &Connection, account: &str) -> rusqlite::Result<()> {
    execute(
        connection,
        "DELETE FROM missing WHERE account = ?1",
        [account],
    )
}
