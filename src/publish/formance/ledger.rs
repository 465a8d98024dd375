//! What the stack has been given, as the publisher remembers it.
//!
//! What a version makes depends on every version before it, and to ask the Payments API for each payment would double the
//! requests. So the publisher remembers each transaction that it has pushed, the versions that wait for the
//! transaction they relate to, and what it has skipped. The store keeps that as the publisher's [`Memory`] and commits
//! it with the offset. Only after a [`LedgerGap`] is each payment read from the stack, once. Each kind is a topic:
//!
//! | topic | key | version | value |
//! |---|---|---|---|
//! | `payment` | a transaction's id | its newest one delivered | [`Payment`] |
//! | `waiting` | the id that is waited for | the one that waits | |
//! | `leftOut` | the id of a transaction that was skipped, and makes no payment | the one that was skipped | |
//! | `skipped` | why | the last one skipped | how many were |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::api::{ContentHash, Second};
use crate::formance::Part;
use crate::store::{self, Change, Delivered, Memory, MemoryChange, PublisherState};

const PAYMENT: &str = "payment";
const WAITING: &str = "waiting";
const LEFT_OUT: &str = "leftOut";
const SKIPPED: &str = "skipped";

/// A transaction that was pushed. Amounts are decimal digits in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    /// The transaction's id.
    #[serde(skip)]
    pub id: String,
    /// Its newest version that is delivered.
    #[serde(skip)]
    pub seq: i64,
    /// The status of its newest adjustment.
    pub status: String,
    /// Its amount at that adjustment.
    pub amount: String,
    /// A [`fingerprint`] of the metadata that was last sent; none if there was none.
    pub metadata: Option<String>,
    /// A [`fingerprint`] of what Formance keeps as it was first sent.
    pub kept: String,
    /// The date of its newest adjustment: nanoseconds since 1970-01-01T00:00:00Z.
    pub newest: i64,
    /// The number of the last [`LedgerGap`] after which everything that the stack has of it was read; none before any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_after: Option<i64>,
    /// The transaction whose payment it belongs to, or its own payment.
    pub part: Part,
}

/// Why more may have been pushed than the ledger knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct LedgerGap {
    /// The number of the restore of the state; 0 if the state is new and the connector is not.
    pub number: i64,
    /// When that was noticed.
    pub noticed_at: Second,
}

/// What became of versions that were pushed.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Versions that the API refuses for their content, and what it answered.
    pub refused: Vec<(i64, String)>,
    /// Versions that the API has no place for, or not for all of it, and why.
    pub skipped: Vec<(i64, String)>,
    /// Versions that wait for a transaction, and its id.
    pub waiting: Vec<(i64, String)>,
    /// Versions that no longer wait, and the transaction that they waited for.
    pub released: Vec<(i64, String)>,
    /// Versions that make no payment, and the ids of their transactions. What relates to them is skipped, too.
    pub left_out: Vec<(i64, String)>,
    /// Transactions that were pushed.
    pub payments: Vec<Payment>,
}

/// What `status` shows of a publisher's ledger. Everything is zero for one that keeps none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerFigures {
    /// Versions that wait for the transaction that theirs relates to.
    pub waiting: i64,
    /// One of the transactions that they wait for.
    pub waiting_for: Option<String>,
    /// What the target has no place for, or not for all of it, the most frequent first.
    #[serde(rename = "leftOut")]
    pub skipped: Vec<SkippedVersions>,
}

/// What a target has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedVersions {
    /// What, and why.
    pub reason: String,
    /// How many versions.
    pub versions: i64,
    /// The last of them.
    pub last_seq: i64,
}

/// A hash of something that was sent, in 32 hexadecimal digits.
pub(super) fn fingerprint(json: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(ContentHash::of(json).0))
}

/// What is remembered of a transaction.
pub(super) fn payment(memory: &Memory, id: &str) -> Result<Option<Payment>, store::Error> {
    let found = memory.get::<Payment>(PAYMENT, id)?;
    Ok(found.map(|(seq, payment)| Payment {
        id: id.to_owned(),
        seq,
        ..payment
    }))
}

/// Whether any version waits for a transaction.
pub(super) fn has_waiting(memory: &Memory) -> Result<bool, store::Error> {
    Ok(memory.first_key(WAITING)?.is_some())
}

/// Whether a transaction makes no payment, because it was skipped.
pub(super) fn is_left_out(memory: &Memory, id: &str) -> Result<bool, store::Error> {
    Ok(memory.get::<()>(LEFT_OUT, id)?.is_some())
}

/// The versions that wait for a transaction, ascending.
pub(super) fn waiting(state: &PublisherState, parent: &str) -> Result<Vec<Change>, store::Error> {
    state.remembered_versions(WAITING, parent)
}

impl Notes {
    /// Adds what became of other versions.
    pub fn add(&mut self, other: Notes) {
        self.refused.extend(other.refused);
        self.skipped.extend(other.skipped);
        self.waiting.extend(other.waiting);
        self.released.extend(other.released);
        self.left_out.extend(other.left_out);
        self.payments.extend(other.payments);
    }

    /// What the store commits with the offset. `memory` is what is remembered until then.
    pub fn into_delivered(self, memory: &Memory) -> Result<Delivered, store::Error> {
        let seqs =
            |of: &[(i64, String)]| -> BTreeSet<i64> { of.iter().map(|(seq, _)| *seq).collect() };
        let untaken = &seqs(&self.skipped) | &seqs(&self.waiting);
        let late = &(&seqs(&self.released) - &untaken) - &seqs(&self.refused);
        let mut changes = Vec::new();
        let mut skipped: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (seq, reason) in self.skipped {
            let (last, versions) = skipped.entry(reason).or_default();
            (*last, *versions) = (seq, *versions + 1);
        }
        for (reason, (last, versions)) in skipped {
            let before = memory
                .get::<i64>(SKIPPED, &reason)?
                .map_or(0, |(_, versions)| versions);
            changes.push(MemoryChange::set(
                SKIPPED,
                &reason,
                last,
                &(before + versions),
            ));
        }
        let waiting = self.waiting.iter();
        changes.extend(waiting.map(|(seq, parent)| MemoryChange::add(WAITING, parent, *seq)));
        let released = self.released.iter();
        changes.extend(released.map(|(seq, parent)| MemoryChange::remove(WAITING, parent, *seq)));
        let left_out = self.left_out.iter();
        changes.extend(left_out.map(|(seq, id)| MemoryChange::set(LEFT_OUT, id, *seq, &())));
        let payments = self.payments.iter();
        changes.extend(
            payments.map(|payment| MemoryChange::set(PAYMENT, &payment.id, payment.seq, payment)),
        );
        Ok(Delivered {
            refused: self.refused,
            memory: changes,
            untaken,
            late: late.len(),
        })
    }
}

impl LedgerFigures {
    /// Reads them.
    pub fn read(memory: &Memory) -> Result<LedgerFigures, store::Error> {
        let mut skipped: Vec<SkippedVersions> = memory
            .list(SKIPPED)?
            .into_iter()
            .map(|(reason, last_seq, versions)| SkippedVersions {
                reason,
                versions,
                last_seq,
            })
            .collect();
        // Stable: among equal counts the reasons stay in their own order.
        skipped.sort_by_key(|skipped| std::cmp::Reverse(skipped.versions));
        Ok(LedgerFigures {
            waiting: memory.kept(WAITING)?,
            waiting_for: memory.first_key(WAITING)?,
            skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::formance::PaymentState;

    /// States have them in this form, and a state of layout 4 is brought to it in SQL.
    #[test]
    fn payments_keep_their_form_in_the_state() {
        let payment = |metadata, part| Payment {
            id: String::new(),
            seq: 0,
            status: "REFUNDED".to_owned(),
            amount: "30".to_owned(),
            metadata,
            kept: "0a".repeat(16),
            newest: -1,
            read_after: None,
            part,
        };
        let own = Part::Own(PaymentState {
            kind: "PAY-IN".to_owned(),
            asset: "EUR/2".to_owned(),
            initial: "100".to_owned(),
            shown: "70".to_owned(),
            is_open: true,
        });
        let kept = "0a".repeat(16);
        for (payment, json) in [
            (
                payment(None, Part::Of("paid".to_owned())),
                json!({
                    "status": "REFUNDED", "amount": "30", "metadata": null, "kept": kept, "newest": -1,
                    "part": { "of": "paid" },
                }),
            ),
            (
                payment(Some("ff".repeat(16)), own),
                json!({
                    "status": "REFUNDED", "amount": "30", "metadata": "ff".repeat(16), "kept": kept, "newest": -1,
                    "part": { "own": {
                        "type": "PAY-IN", "asset": "EUR/2", "initial": "100", "shown": "70", "isOpen": true,
                    } },
                }),
            ),
        ] {
            assert_eq!(serde_json::to_value(&payment).unwrap(), json);
            assert_eq!(serde_json::from_value::<Payment>(json).unwrap(), payment);
        }
    }
}
