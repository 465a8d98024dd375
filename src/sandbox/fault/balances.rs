use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::list::is_invented;
use super::{Fault, FaultMemory};
use crate::http::Response;

/// Long enough for requests that are sent at once to meet.
pub(super) const MEETING: Duration = Duration::from_millis(20);
/// The account that has no balances.
const WITHOUT: &str = "acc-points";

impl Fault {
    /// What is answered to a request for an account's balances instead, if this is the fault. `balances` is what is due.
    pub(in crate::sandbox) fn balances(
        self,
        memory: &FaultMemory,
        account: &str,
        balances: Option<&str>,
    ) -> Option<Response> {
        let answer = |balances: &Value| Response::json(200, balances.to_string().into_bytes());
        match self {
            Fault::Replicas => {
                let mut lagging = memory
                    .lagging
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if lagging.insert(account.to_owned()) {
                    return None;
                }
                lagging.remove(account);
                let mut older: Value = serde_json::from_str(balances?).ok()?;
                older["at"] = json!("2000-01-01T00:00:00Z");
                older["balances"] = json!([]);
                Some(answer(&older))
            }
            Fault::Endless | Fault::Unknown200
                if balances.is_none() && (self == Fault::Unknown200 || is_invented(account)) =>
            {
                Some(answer(&json!({
                    "id": format!("bal-{account}"),
                    "accountID": account,
                    "at": "2000-01-01T00:00:00Z",
                    "balances": [],
                })))
            }
            Fault::Unknown500 if balances.is_none() => {
                let detail = "There is no such account.";
                Some(Response::error(500, "Internal Server Error", detail))
            }
            Fault::NoBalances if account == WITHOUT => {
                let detail = "This account has no balances.";
                Some(Response::error(404, "Not Found", detail))
            }
            Fault::StaleAt => {
                let amount = memory.requests.fetch_add(1, SeqCst);
                Some(answer(&with_amount(balances?, amount)?))
            }
            Fault::LateStaleAt if memory.is_asked_often(account) => {
                let amount = memory.requests.fetch_add(1, SeqCst);
                Some(answer(&with_amount(balances?, amount)?))
            }
            Fault::MixUp => mixed_up(memory, balances?),
            Fault::HashId => {
                let renamed = self.renamed(balances?);
                Some(Response::json(200, renamed.into_bytes()))
            }
            _ => None,
        }
    }
}

/// Other amounts, if another request is under way.
fn mixed_up(memory: &FaultMemory, balances: &str) -> Option<Response> {
    let others = memory.under_way.fetch_add(1, SeqCst);
    thread::sleep(MEETING);
    let is_alone = others == 0 && memory.under_way.load(SeqCst) == 1;
    memory.under_way.fetch_sub(1, SeqCst);
    let other = with_amount(balances, 1).filter(|_| !is_alone)?;
    Some(Response::json(200, other.to_string().into_bytes()))
}

fn with_amount(balances: &str, amount: u64) -> Option<Value> {
    let mut object: Value = serde_json::from_str(balances).ok()?;
    let first = object["balances"].get_mut(0)?;
    first["amount"] = json!(amount.to_string());
    Some(object)
}
