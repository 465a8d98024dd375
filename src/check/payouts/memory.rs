use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;

use super::plan::PayPlan;
use crate::api::{Members, Record, Second};
use crate::check::asker::Asked;
use crate::check::verdict::{NotPassed, wrong};
use crate::formance::read_initiated;

/// The payouts of this run.
pub(in crate::check) struct Payments {
    pub plan: PayPlan,
    /// With what their keys begin.
    run: String,
    /// The second from which transactions are looked at, and the ids of those that were there before.
    before: OnceCell<(Second, HashSet<String>)>,
    made: RefCell<Vec<MadePayment>>,
}

/// A payout that the service says it made.
#[derive(Debug, Clone)]
pub(super) struct MadePayment {
    /// Its idempotencyKey.
    pub key: String,
    /// The id that the service gave it.
    pub id: String,
    /// The number of the exchange.
    pub exchange: usize,
}

/// A transaction that is due to a payout of this run.
pub(super) struct PaymentTransaction {
    pub id: String,
    /// Its relatedTransactionID.
    pub related: String,
    /// The number of the exchange.
    pub exchange: usize,
}

impl Payments {
    /// None were made yet.
    pub fn new(plan: PayPlan) -> Payments {
        Payments {
            plan,
            run: format!("generic-connector-check-{:08x}", fastrand::u32(..)),
            before: OnceCell::new(),
            made: RefCell::default(),
        }
    }

    /// The key of this run with that end.
    pub(super) fn key(&self, end: &str) -> String {
        format!("{}-{end}", self.run)
    }

    /// Those that were made, in order.
    pub(super) fn made(&self) -> Vec<MadePayment> {
        self.made.borrow().clone()
    }

    /// The one that was made under that key, the first one if there are several.
    pub(super) fn of_key(&self, end: &str) -> Option<MadePayment> {
        let key = self.key(end);
        self.made
            .borrow()
            .iter()
            .find(|made| made.key == key)
            .cloned()
    }

    /// The second from which transactions are looked at, once the run has begun.
    pub(super) fn looked_at_from(&self) -> Option<Second> {
        self.before.get().map(|(from, _)| *from)
    }

    /// Remembers the transactions that are there before the first payout.
    pub(super) fn begin(&self, from: Second, ids: HashSet<String>) {
        // It is set once, since nothing else sets it meanwhile.
        let _ = self.before.set((from, ids));
    }

    /// Reads the answer to the request under that key as the listener does, and remembers what was made.
    pub(super) fn read(&self, end: &str, asked: &Asked) -> Result<MadePayment, NotPassed> {
        let key = self.key(end);
        let failed = |got: String| wrong(got, &[asked.exchange]);
        if !(200..300).contains(&asked.status) {
            return Err(failed(asked.in_words()));
        }
        let request = self
            .plan
            .request(&key)
            .map_err(|invalid| failed(invalid.to_string()))?;
        let initiated = read_initiated(&request, &asked.body)
            .map_err(|invalid| failed(format!("{}, but {invalid}", asked.status)))?;
        let made = MadePayment {
            key,
            id: initiated.id,
            exchange: asked.exchange,
        };
        let mut all = self.made.borrow_mut();
        if !all.iter().any(|known| known.id == made.id) {
            all.push(made.clone());
        }
        match initiated.difference {
            Some(difference) => Err(failed(difference)),
            None => Ok(made),
        }
    }

    /// Whether a transaction is due to a payout of this run: by its key, or because it is between the same accounts. It is
    /// not, if it was there before.
    pub(super) fn due(&self, exchange: usize, record: &Record) -> Option<PaymentTransaction> {
        let (_, before) = self.before.get()?;
        let members = Members::read(&record.json).ok()?;
        let text = |field: &str| members.text(field).unwrap_or_default().into_owned();
        let related = text("relatedTransactionID");
        let plan = &self.plan;
        let is_alike = text("type") == plan.kind.transaction_type()
            && text("sourceAccountID") == plan.from
            && text("destinationAccountID") == plan.to;
        let is_ours = related.starts_with(&self.run) || is_alike;
        (is_ours && !before.contains(&*record.id)).then_some(PaymentTransaction {
            id: record.id.to_string(),
            related,
            exchange,
        })
    }

    /// It is wrong if more transactions are due to this run than payouts that it knows of.
    pub(super) fn prove_none_is_unknown(
        &self,
        listed: &[PaymentTransaction],
    ) -> Result<(), NotPassed> {
        let known = self.made.borrow().len();
        if listed.len() <= known {
            return Ok(());
        }
        let ids: Vec<String> = listed
            .iter()
            .map(|one| crate::check::exchange::text(&one.id))
            .collect();
        let got = format!(
            "{} transactions after {known} payouts: {}",
            ids.len(),
            ids.join(", ")
        );
        let exchanges: Vec<usize> = listed
            .last()
            .map(|last| last.exchange)
            .into_iter()
            .collect();
        Err(wrong(got, &exchanges))
    }
}
