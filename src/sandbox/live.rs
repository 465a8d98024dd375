use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::data::Data;
use crate::api::object::{Balances, Transaction};
use crate::api::{Stream, Timestamp};

/// One in so many pending transactions fails.
const FAILS: u64 = 4;

/// Makes the data change as a bank's does: transactions appear, and pending ones come to an end.
pub(super) struct Live {
    /// Oldest first.
    pending: VecDeque<String>,
    accounts: Vec<String>,
    beneficiaries: Vec<String>,
    changes: u64,
}

/// A JSON object whose values keep their text, so that numbers of any size survive a change of another field.
type Object = BTreeMap<String, Box<RawValue>>;

impl Live {
    pub fn new(data: &Data) -> Live {
        let ids = |stream| {
            let records = data.list(stream).iter();
            records.map(|record| record.id.clone()).collect()
        };
        let transactions = data.list(Stream::Transactions).iter();
        let pending = transactions
            .filter(|record| {
                serde_json::from_str::<Transaction>(&record.json)
                    .is_ok_and(|transaction| transaction.status == "PENDING")
            })
            .map(|record| record.id.clone());
        Live {
            pending: pending.collect(),
            accounts: ids(Stream::Accounts),
            beneficiaries: ids(Stream::Beneficiaries),
            changes: 0,
        }
    }

    /// Moves the oldest pending transaction to its end and makes a new one, dated now.
    ///
    /// Data of such a kind that this cannot be done is an error; the data is still whole then.
    pub fn change(&mut self, data: &mut Data) -> Result<(), String> {
        self.changes = self.changes.wrapping_add(1);
        for id in data.initiations.take_new() {
            // One that was made while `new` looked is among them.
            if !self.pending.contains(&id) {
                self.pending.push_back(id);
            }
        }
        let moved = match self.pending.pop_front() {
            Some(id) => self.move_on(data, &id),
            None => Ok(()),
        };
        moved.and(self.appear(data))
    }

    fn move_on(&self, data: &mut Data, id: &str) -> Result<(), String> {
        let Some(record) = data.list(Stream::Transactions).get(id) else {
            return Ok(());
        };
        let mut object: Object = read(&record.json)?;
        let status = match self.changes % FAILS {
            0 => "FAILED",
            _ => "SUCCEEDED",
        };
        let now = Timestamp::now();
        object.insert("status".to_owned(), raw(&json!(status))?);
        object.insert("updatedAt".to_owned(), raw(&json!(now.to_string()))?);
        let text = write(&object)?;
        data.list_mut(Stream::Transactions).put(&text)?;
        match status {
            "SUCCEEDED" => settle(data, &text, now),
            _ => Ok(()),
        }
    }

    fn appear(&mut self, data: &mut Data) -> Result<(), String> {
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
        let status = match fastrand::bool() {
            true => "PENDING",
            false => "SUCCEEDED",
        };
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
            "destinationAccountID": match pays_out {
                true => fastrand::choice(&self.beneficiaries),
                false => Some(account),
            },
            "metadata": { "source": "live" },
        })
        .to_string();
        data.list_mut(Stream::Transactions).put(&transaction)?;
        match status {
            "PENDING" => {
                self.pending.push_back(id);
                Ok(())
            }
            _ => settle(data, &transaction, now),
        }
    }
}

/// Moves the money of a transaction between the accounts that it names.
fn settle(data: &mut Data, transaction: &str, now: Timestamp) -> Result<(), String> {
    let transaction: Transaction = read(transaction)?;
    // Beyond 128 bits there is no account to keep.
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
) -> Result<(), String> {
    let Some(text) = data.balances(account) else {
        return Ok(());
    };
    let mut object: Object = read(&text)?;
    let mut balances: Vec<Object> = match object.get("balances") {
        Some(balances) => read(balances.get())?,
        None => Vec::new(),
    };
    let currency = json!(currency);
    let held = balances.iter_mut().find(|balance| {
        let text = balance.get("currency").map(|text| text.get());
        text.and_then(|text| serde_json::from_str::<Value>(text).ok())
            .is_some_and(|value| value == currency)
    });
    match held {
        Some(balance) => {
            let amount = balance.get("amount").map(|amount| amount.get());
            let amount: String = read(amount.unwrap_or("\"0\""))?;
            let sum = amount
                .parse::<i128>()
                .ok()
                .and_then(|amount| amount.checked_add(change));
            if let Some(sum) = sum {
                balance.insert("amount".to_owned(), raw(&json!(sum.to_string()))?);
            }
        }
        None => balances.push(Object::from([
            ("amount".to_owned(), raw(&json!(change.to_string()))?),
            ("currency".to_owned(), raw(&currency)?),
        ])),
    }
    let balances = RawValue::from_string(write(&balances)?).map_err(|error| error.to_string())?;
    object.insert("balances".to_owned(), balances);
    object.insert("at".to_owned(), raw(&json!(now.to_string()))?);
    let text = write(&object)?;
    data.list_mut(Stream::Balances).put(&text)
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn write<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn raw(value: &Value) -> Result<Box<RawValue>, String> {
    RawValue::from_string(value.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::initiation::initiate;
    use super::super::tests::{directory, get, ids, list, settings, transactions};
    use super::super::{Sandbox, Settings};
    use super::*;
    use crate::api::Initiation;
    use crate::api::{Record, balances_path};

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
        let is_known = |record: &&Record| known.contains(&record.id.as_str());
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
    fn an_initiation_comes_to_its_end_and_is_answered_as_it_is_then() {
        let mut data = Data::empty();
        let mut live = Live::new(&data);
        let body = br#"{"idempotencyKey":"k","amount":"5","currency":"JPY","sourceAccountId":"a","destinationAccountId":"b"}"#;
        let ask = |data: &mut Data| {
            let object = initiate(data, Initiation::Transfer, body).ok().unwrap();
            serde_json::from_str::<Value>(&object).unwrap()
        };
        assert_eq!(ask(&mut data)["status"], "PENDING");
        live.change(&mut data).unwrap();
        let moved = ask(&mut data);
        assert_eq!(moved["status"], "SUCCEEDED");
        assert!(moved["updatedAt"].as_str() > moved["createdAt"].as_str());
        live.change(&mut data).unwrap();
        assert_eq!(ask(&mut data), moved);
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
        let mut data = Data::load(directory.path()).unwrap();
        let mut live = Live::new(&data);
        for _ in 0..50 {
            live.change(&mut data).unwrap();
        }
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
