use rusqlite::Connection;

use super::stamping::Stamping;
use super::{Error, Store, sweep};
use crate::crash;

/// Versions that are listed in one commit, and what waits for them.
const SLICE: usize = 1_000;

const DOING: &str = "list what waits for transactions that are not listed";

impl Store {
    /// Lists the transactions that wait for one that the service does not list, as the last complete sweep has found.
    ///
    /// There may be as many as there are transactions, so they have commits of their own. What is left at the end of the
    /// process is listed when the state is opened again.
    pub(super) fn list_orphans(&mut self) -> Result<(), Error> {
        const ARE_ANY: &str = "SELECT EXISTS (SELECT 1 FROM held)";
        if !self.database.value::<bool>(DOING, ARE_ANY, [])? {
            return Ok(());
        }
        let swept = self.database.run(DOING, sweep::last_of_transactions)?;
        let Some(began_at) = swept else {
            return Ok(());
        };
        let mut orphans = 0;
        loop {
            let mut stamped = self.stamped;
            let listed = self.database.write(DOING, |connection: &Connection| {
                crash::point();
                let mut stamping = Stamping::new(connection, stamped);
                let listed = stamping.stamp_orphans(began_at, SLICE)?;
                stamped = stamping.stamped();
                Ok(listed)
            })?;
            self.stamped = stamped;
            orphans += listed;
            if listed == 0 {
                break;
            }
        }
        if orphans > 0 {
            log::warn!(
                "transactions: the service does not list what they relate to, so {orphans} that waited for it are \
                 listed as the service has sent them; status names one"
            );
            self.write_witness();
        }
        Ok(())
    }
}
