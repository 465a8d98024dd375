use rusqlite::Connection;

use super::stamping::Stamping;
use super::{Error, ReadingReach, Store, sweep};
use crate::crash;

/// Versions that are listed in one commit, and what waits for them.
const SLICE: usize = 1_000;

const DOING: &str = "list what waits for transactions that are not listed";

impl Store {
    /// Lists the transactions that wait for one that a reading of that reach has not found. A failure is logged.
    ///
    /// There may be as many as there are transactions, so they have commits of their own. What is left at the end of the
    /// process is listed when the state is opened again, or by the next sweep.
    pub fn decide(&mut self, reach: ReadingReach) {
        if let Err(error) = self.list_orphans(reach) {
            log::error!(
                "{error}; the transactions that wait for others are listed at the next start"
            );
        }
    }

    /// As [`decide`](Store::decide) after the last sweep.
    pub(super) fn decide_again(&mut self) -> Result<(), Error> {
        match self.database.run(DOING, sweep::last_reach)? {
            Some(reach) => self.list_orphans(reach),
            None => Ok(()),
        }
    }

    fn list_orphans(&mut self, reach: ReadingReach) -> Result<(), Error> {
        const ARE_ANY: &str = "SELECT EXISTS (SELECT 1 FROM held)";
        if !self.database.value::<bool>(DOING, ARE_ANY, [])? {
            return Ok(());
        }
        let mut orphans = 0;
        loop {
            let mut stamped = self.stamped;
            let listed = self.database.write(DOING, |connection: &Connection| {
                crash::point();
                let mut stamping = Stamping::new(connection, stamped);
                let listed = stamping.stamp_orphans(reach, SLICE)?;
                stamped = stamping.finish()?;
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
