use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::data::Data;
use super::state::{SandboxState, SharedState};
use crate::api::object::{Balances, Transaction};
use crate::api::{Stream, Timestamp};
use crate::stop::Stop;

const PERIOD: Duration = Duration::from_secs(1);

/// One in this many pending transactions fails.
const FAILS: u64 = 4;

/// Changes the state every second until the sandbox stops.
pub(super) fn run(state: &SharedState, stop: &Stop) {
    let mut live = Live::new(&state.read().data);
    while !stop.wait(PERIOD) {
        if let Err(problem) = live.change(&mut state.write()) {
            log::warn!("the sandbox could not change its data this second: {problem}");
        }
    }
}

/// Changes the data as at a bank: transactions appear, and pending ones succeed or fail.
struct Live {
    /// Oldest first.
    pending: VecDeque<String>,
    accounts: Vec<String>,
    beneficiaries: Vec<String>,
    changes: u64,
}

/// A JSON object whose values keep their text. Numbers of any size survive a change of another field.
type RawObject = BTreeMap<String, Box<RawValue>>;

type Problem = Box<dyn std::error::Error>;

impl Live {
    fn new(data: &Data) -> Live {
        let ids = |stream| {
            let records = data.list(stream).iter();
            records.map(|record| record.id.to_string()).collect()
        };
        let transactions = data.list(Stream::Transactions).iter();
        let pending = transactions
            .filter(|record| {
                serde_json::from_str::<Transaction>(&record.json)
                    .is_ok_and(|transaction| transaction.status == "PENDING")
            })
            .map(|record| record.id.to_string());
        Live {
            pending: pending.collect(),
            accounts: ids(Stream::Accounts),
            beneficiaries: ids(Stream::Beneficiaries),
            changes: 0,
        }
    }

    /// Ends the oldest pending transaction and adds a new one, both dated now.
    ///
    /// Fails if the data does not allow it. The data stays valid.
    fn change(&mut self, state: &mut SandboxState) -> Result<(), Problem> {
        self.changes = self.changes.wrapping_add(1);
        for id in state.initiations.take_new() {
            // `new` may have found it among the transactions already.
            if !self.pending.contains(&id) {
                self.pending.push_back(id);
            }
        }
        let ended = match self.pending.pop_front() {
            Some(id) => self.end(&mut state.data, &id),
            None => Ok(()),
        };
        ended.and(self.appear(&mut state.data))
    }

    fn end(&self, data: &mut Data, id: &str) -> Result<(), Problem> {
        let Some(record) = data.list(Stream::Transactions).get(id) else {
            return Ok(());
        };
        let mut object: RawObject = serde_json::from_str(&record.json)?;
        let fails = self.changes.is_multiple_of(FAILS);
        let status = if fails { "FAILED" } else { "SUCCEEDED" };
        let now = Timestamp::now();
        object.insert("status".to_owned(), to_raw_value(status)?);
        object.insert("updatedAt".to_owned(), to_raw_value(&now.to_string())?);
        let text = serde_json::to_string(&object)?;
        data.list_mut(Stream::Transactions).put(&text)?;
        if fails {
            return Ok(());
        }
        settle(data, &text, now)
    }

    fn appear(&mut self, data: &mut Data) -> Result<(), Problem> {
        let Some(account) = fastrand::choice(&self.accounts) else {
            return Ok(());
        };
        let currency = data
            .list(Stream::Balances)
            .get(account)
            .and_then(|record| {
                let balances: Balances = serde_json::from_str(&record.json).ok()?;
                Some(balances.balances.first()?.currency.to_string())
            })
            .unwrap_or_else(|| "EUR/2".to_owned());
        let pays_out = self.changes.is_multiple_of(3);
        let is_pending = fastrand::bool();
        let status = if is_pending { "PENDING" } else { "SUCCEEDED" };
        let now = Timestamp::now();
        let date = now.to_string();
        let digits: String = date.chars().filter(char::is_ascii_digit).collect();
        let id = format!("tx-{digits}");
        let transaction = json!({
            "id": id,
            "createdAt": date,
            "updatedAt": date,
            "currency": currency,
            "type": if pays_out { "PAYOUT" } else { "PAYIN" },
            "status": status,
            "amount": fastrand::u32(100..50_000).to_string(),
            "scheme": "OTHER",
            "sourceAccountID": pays_out.then_some(account),
            "destinationAccountID": if pays_out { fastrand::choice(&self.beneficiaries) } else { Some(account) },
            "metadata": { "source": "live" },
        })
        .to_string();
        data.list_mut(Stream::Transactions).put(&transaction)?;
        if is_pending {
            self.pending.push_back(id);
            return Ok(());
        }
        settle(data, &transaction, now)
    }
}

/// Moves the money of a transaction from its source account to its destination account.
fn settle(data: &mut Data, transaction: &str, now: Timestamp) -> Result<(), Problem> {
    let transaction: Transaction = serde_json::from_str(transaction)?;
    // The balances do not count amounts beyond 128 bits.
    let Ok(amount) = transaction.amount.parse::<i128>() else {
        return Ok(());
    };
    for (account, change) in [
        (&transaction.source_account_id, amount.saturating_neg()),
        (&transaction.destination_account_id, amount),
    ] {
        if let Some(account) = account
            && data.list(Stream::Accounts).get(account).is_some()
        {
            add(data, account, &transaction.currency, change, now)?;
        }
    }
    Ok(())
}

fn add(
    data: &mut Data,
    account: &str,
    currency: &str,
    change: i128,
    now: Timestamp,
) -> Result<(), Problem> {
    let Some(text) = data.balances(account) else {
        return Ok(());
    };
    let mut object: RawObject = serde_json::from_str(&text)?;
    let mut balances: Vec<RawObject> = match object.get("balances") {
        Some(balances) => serde_json::from_str(balances.get())?,
        None => Vec::new(),
    };
    let held = balances.iter_mut().find(|balance| {
        let text = balance.get("currency").map(|text| text.get());
        text.and_then(|text| serde_json::from_str::<Value>(text).ok())
            .is_some_and(|value| value == currency)
    });
    match held {
        Some(balance) => {
            let amount = balance.get("amount").map(|amount| amount.get());
            let amount: String = serde_json::from_str(amount.unwrap_or("\"0\""))?;
            let sum = amount
                .parse::<i128>()
                .ok()
                .and_then(|amount| amount.checked_add(change));
            if let Some(sum) = sum {
                balance.insert("amount".to_owned(), to_raw_value(&sum.to_string())?);
            }
        }
        None => balances.push(RawObject::from([
            ("amount".to_owned(), to_raw_value(&change.to_string())?),
            ("currency".to_owned(), to_raw_value(currency)?),
        ])),
    }
    object.insert("balances".to_owned(), to_raw_value(&balances)?);
    object.insert("at".to_owned(), to_raw_value(&now.to_string())?);
    let text = serde_json::to_string(&object)?;
    Ok(data.list_mut(Stream::Balances).put(&text)?)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::super::initiation::BankInitiations;
    use super::super::tests::{directory, get, ids, list, settings, transactions};
    use super::super::{Sandbox, Settings};
    use super::*;
    use crate::api::{Initiation, Record, balances_path};

    fn state(data: Data) -> SandboxState {
        SandboxState {
            data,
            initiations: BankInitiations::default(),
        }
    }

    #[test]
    fn a_live_bank_changes() {
        let live = Settings {
            live: true,
            ..settings(None)
        };
        let sandbox = Sandbox::start(live).unwrap();
        let balances = || {
            let accounts = list(&sandbox, Stream::Accounts, "/accounts");
            let texts = accounts
                .iter()
                .map(|account| get(&sandbox, &balances_path(&account.id)).body);
            texts.collect::<Vec<_>>()
        };
        let (before, held) = (transactions(&sandbox, "pageSize=1000"), balances());
        let begun = Instant::now();
        let after = loop {
            let after = transactions(&sandbox, "pageSize=1000");
            if after.len() > before.len() || begun.elapsed() > Duration::from_secs(5) {
                break after;
            }
            thread::sleep(Duration::from_millis(50));
        };
        let known = ids(&before);
        let is_known = |record: &&Record| known.contains(&&*record.id);
        let new = after.iter().find(|record| !is_known(record)).unwrap();
        let newest = before[399].timestamp;
        let mut moved = after.iter().filter(|record| record.timestamp > newest);
        let moved = moved.find(is_known).unwrap();
        let old = before.iter().find(|record| record.id == moved.id).unwrap();
        assert!(old.json.contains("PENDING") && moved.json.contains("SUCCEEDED"));
        assert!(new.timestamp >= moved.timestamp);
        assert_ne!(balances(), held);
    }

    #[test]
    fn an_initiation_is_answered_with_its_present_status() {
        let mut data = Data::empty();
        for id in ["a", "b"] {
            let account =
                format!(r#"{{"id":"{id}","accountName":"","createdAt":"2024-01-01T00:00:00Z"}}"#);
            data.list_mut(Stream::Accounts).put(&account).unwrap();
        }
        let mut state = state(data);
        let mut live = Live::new(&state.data);
        let body = br#"{"idempotencyKey":"k","amount":"5","currency":"JPY","sourceAccountId":"a","destinationAccountId":"b"}"#;
        let ask = |SandboxState { data, initiations }: &mut SandboxState| {
            let object = initiations.initiate(data, Initiation::Transfer, body, None, false);
            let object = object.ok().unwrap();
            serde_json::from_str::<Value>(&object).unwrap()
        };
        assert_eq!(ask(&mut state)["status"], "PENDING");
        live.change(&mut state).unwrap();
        let moved = ask(&mut state);
        assert_eq!(moved["status"], "SUCCEEDED");
        assert!(moved["updatedAt"].as_str() > moved["createdAt"].as_str());
        live.change(&mut state).unwrap();
        assert_eq!(ask(&mut state), moved);
    }

    #[test]
    fn live_data_goes_on_when_nothing_is_pending() {
        let account = br#"{"id":"a","accountName":"x","createdAt":"2024-05-01T12:00:00Z"}"#;
        let pending = br#"{"id":"t","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z","currency":"EUR/2",
        "type":"PAYIN","status":"PENDING","amount":"123456789012345678901234567890123456789012","big":1.10}"#;
        let pending = pending
            .iter()
            .filter(|byte| **byte != b'\n')
            .copied()
            .collect::<Vec<_>>();
        let directory = directory(&[
            ("accounts.ndjson", account),
            ("transactions.ndjson", &pending),
        ]);
        let mut state = state(Data::load(directory.path()).unwrap());
        let mut live = Live::new(&state.data);
        for _ in 0..50 {
            live.change(&mut state).unwrap();
        }
        let data = state.data;
        let transactions = data.list(Stream::Transactions);
        assert_eq!(transactions.iter().count(), 51);
        let moved = &transactions.get("t").unwrap().json;
        assert!(
            moved.contains("SUCCEEDED") && moved.contains(r#""big":1.10"#),
            "{moved}"
        );
        assert!(
            data.list(Stream::Balances)
                .get("a")
                .unwrap()
                .json
                .contains(r#""currency":"EUR/2""#)
        );
    }
}
