use super::asker::{Asked, Asker};
use super::verdict::{NotPassed, wrong};
use crate::api::{Record, Timestamp, balances_record, same_balances};

/// One answer about an account's balances.
pub(super) struct AccountBalances {
    /// The number of its exchange.
    pub exchange: usize,
    /// The record that was read.
    pub record: Record,
}

impl AccountBalances {
    /// Asks for them. An answer that is not a record is wrong.
    pub fn ask(asker: &Asker, account_id: &str) -> Result<AccountBalances, NotPassed> {
        let asked = asker.balances(account_id)?;
        AccountBalances::read(account_id, &asked)
    }

    /// Reads an answer as a poll does.
    pub fn read(account_id: &str, asked: &Asked) -> Result<AccountBalances, NotPassed> {
        let exchange = asked.exchange;
        let account = super::exchange::text(account_id);
        if asked.status != 200 || asked.is_too_large {
            return Err(wrong(
                format!("{account:?}: {}", asked.in_words()),
                &[exchange],
            ));
        }
        let reason = match balances_record(account_id, &asked.body) {
            Ok(Ok(record)) => return Ok(AccountBalances { exchange, record }),
            Ok(Err(unusable)) => unusable.reason,
            Err(invalid) => invalid.to_string(),
        };
        Err(wrong(format!("{account:?}: {reason}"), &[exchange]))
    }

    /// Whether two answers differ although they have one date.
    pub fn contradicts(&self, other: &AccountBalances) -> bool {
        self.at() == other.at() && !self.has_amounts_of(other)
    }

    /// Its date.
    pub fn at(&self) -> Timestamp {
        self.record.timestamp
    }

    /// Whether both have the same amounts.
    pub fn has_amounts_of(&self, other: &AccountBalances) -> bool {
        same_balances(&self.record.json, &other.record.json)
    }
}
