//! What Formance's poller makes of the lists, and what a publisher makes of the same versions: the same payments.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::readable;
use super::*;
use crate::api::STATUSES;

/// An adjustment's reference, `createdAt` and status.
type AdjustmentId = (String, Timestamp, String);

/// Payments as Formance stores what it polls (formancehq/payments v3.4.0, `internal/storage/payments.go`).
#[derive(Debug, Clone, Default)]
struct PolledPayments(BTreeMap<(String, String), PolledPayment>);

#[derive(Debug, Clone, Default)]
struct PolledPayment {
    initial: BigInt,
    amount: BigInt,
    /// As they were inserted.
    adjustments: Vec<AdjustmentId>,
}

impl PolledPayments {
    fn poll(&mut self, shown: &str) {
        let shown: Value = serde_json::from_str(shown).unwrap();
        let text = |field: &str| shown[field].as_str().unwrap_or_default().to_owned();
        let (id, status) = (text("id"), text("status"));
        let amount: BigInt = text("amount").parse().unwrap();
        let root = Some(text("relatedTransactionID")).filter(|related| !related.is_empty());
        let key = (root.unwrap_or_else(|| id.clone()), text("type"));
        let payment = self.0.entry(key).or_insert_with(|| PolledPayment {
            initial: amount.clone(),
            amount: if status == AUTHORISATION {
                BigInt::ZERO
            } else {
                amount.clone()
            },
            adjustments: Vec::new(),
        });
        let created_at = Timestamp::parse(&text("createdAt")).unwrap();
        let adjustment = (id, created_at, status);
        if payment.adjustments.contains(&adjustment) {
            return;
        }
        match &*adjustment.2 {
            "REFUNDED" => payment.amount -= amount,
            "CAPTURE" | "REFUND_REVERSED" => payment.amount += amount,
            _ => {}
        }
        payment.adjustments.push(adjustment);
    }

    /// Initial amount and amount of each payment.
    fn amounts(&self) -> BTreeMap<String, (BigInt, BigInt)> {
        let payments = self.0.iter();
        let amounts = payments.map(|((id, _), payment)| {
            (
                id.clone(),
                (payment.initial.clone(), payment.amount.clone()),
            )
        });
        amounts.collect()
    }

    /// The status of the newest adjustment, by microsecond and then as they were inserted.
    fn status(&self, id: &str) -> &str {
        let payment = self.0.iter().find(|((known, _), _)| known == id).unwrap().1;
        let microsecond = |at: Timestamp| (at.nanoseconds() + 500).div_euclid(1_000);
        let newest = payment
            .adjustments
            .iter()
            .max_by_key(|(_, created_at, _)| microsecond(*created_at));
        &newest.unwrap().2
    }
}

/// A list, and the versions that wait in it.
#[derive(Debug, Clone, Default)]
struct ModelList {
    known: ShownTransactions,
    held: Vec<String>,
}

impl ModelList {
    /// What a version adds to the list.
    fn take(&mut self, json: &str) -> Vec<String> {
        let version = PolledVersion::read(json).unwrap();
        let is_held = |held: &String| PolledVersion::read(held).unwrap().id == version.id;
        if self.held.iter().any(is_held) {
            self.held.push(json.to_owned());
            return Vec::new();
        }
        let Ok(entries) = show(&mut self.known, &version) else {
            self.held.push(json.to_owned());
            return Vec::new();
        };
        let stamp = Timestamp::EPOCH;
        let mut listed: Vec<String> = entries
            .iter()
            .map(|entry| readable(Stream::Transactions, json, stamp, Some(entry), &[]).into_owned())
            .collect();
        // What waited for it, in order; the others wait again.
        for held in std::mem::take(&mut self.held) {
            listed.extend(self.take(&held));
        }
        listed
    }
}

/// What a publisher's payments end with: initial amount, amount and status of each.
#[derive(Debug, Default)]
struct ModelPublisher {
    parts: BTreeMap<String, Part>,
    /// The status and amount of each transaction's newest adjustment.
    last: BTreeMap<String, (String, BigInt)>,
    statuses: BTreeMap<String, String>,
    waiting: Vec<PolledVersion>,
}

impl ModelPublisher {
    fn push(&mut self, version: PolledVersion) {
        let part = match (self.parts.get(&version.id), &version.parent) {
            (Some(part), _) => part.clone(),
            (None, None) => Part::Own(version.begin()),
            (None, Some(parent)) => match self.parts.get(parent) {
                Some(part) => part.relative(parent),
                None => return self.waiting.push(version),
            },
        };
        self.parts.insert(version.id.clone(), part.clone());
        let root = match &part {
            Part::Own(_) => &version.id,
            Part::Of(root) => root,
        };
        let Some(Part::Own(state)) = self.parts.get_mut(root) else {
            panic!("{root} has no payment");
        };
        let newest = (version.status.to_owned(), version.amount.clone());
        if self.last.insert(version.id.clone(), newest.clone()) != Some(newest) {
            let asset = state.asset.clone();
            let event = version.event_in(&asset, *root == version.id);
            payment::adjust(state, None, event);
            self.statuses
                .insert(root.clone(), version.status.to_owned());
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.push(waiting);
        }
    }

    fn amounts(&self) -> BTreeMap<String, (BigInt, BigInt)> {
        let payments = self.parts.iter().filter_map(|(id, part)| match part {
            Part::Own(state) => Some((
                id.clone(),
                (state.initial.parse().unwrap(), state.shown.parse().unwrap()),
            )),
            Part::Of(_) => None,
        });
        payments.collect()
    }
}

/// Versions of six transactions. The last three may relate to another one.
fn histories() -> impl Strategy<Value = Vec<String>> {
    let version = (
        0..6_usize,
        0..STATUSES.len(),
        1..4_i64,
        0..8_usize,
        0..3_usize,
    );
    prop::collection::vec(version, 1..24).prop_map(|versions| {
        let mut parents = BTreeMap::new();
        let version = |(id, status, amount, parent, kind): (usize, usize, i64, usize, usize)| {
            let parent = *parents.entry(id).or_insert(parent);
            // Neither a payment's type nor its date ever changes for Formance.
            let second = 10 * kind + id;
            let kind = ["PAYIN", "PAYOUT", "PAYIN"][kind];
            let mut version = json!({
                "id": format!("tx-{id}"), "status": STATUSES[status], "amount": (50 * amount).to_string(),
                "type": kind, "currency": "EUR/2",
                "createdAt": format!("2024-05-01T12:00:{second:02}Z"), "updatedAt": "2024-05-01T12:00:00Z",
            });
            if id > 2 && parent < 6 {
                version["relatedTransactionID"] = json!(format!("tx-{parent}"));
            }
            version.to_string()
        };
        versions.into_iter().map(version).collect()
    })
}

proptest! {
    /// Also if the state is put back in between: everything is read again, and shown again.
    #[test]
    fn formance_ends_with_the_same_payments_either_way(
        history in histories(),
        restored in any::<prop::sample::Index>(),
    ) {
        let (mut list, mut polled, mut pushed) =
            (ModelList::default(), PolledPayments::default(), ModelPublisher::default());
        let copied = restored.index(history.len());
        let mut copy = ModelList::default();
        for (number, json) in history.iter().enumerate() {
            if number == copied {
                copy = list.clone();
            }
            list.take(json).iter().for_each(|shown| polled.poll(shown));
            pushed.push(PolledVersion::read(json).unwrap());
            prop_assert_eq!(polled.amounts(), pushed.amounts());
            for (id, status) in &pushed.statuses {
                let is_alone = pushed.parts.values().all(|part| *part != Part::Of(id.clone()));
                if is_alone {
                    prop_assert_eq!(polled.status(id), status, "{}", id);
                }
            }
        }
        let before = polled.amounts();
        for json in &history[copied..] {
            copy.take(json).iter().for_each(|shown| polled.poll(shown));
        }
        prop_assert_eq!(polled.amounts(), before);
    }
}

/// What the entries of a history of one transaction are: status, amount, nanoseconds, and whether they are added.
fn entries(history: &[(&str, &str)]) -> Vec<(String, String, u32, bool)> {
    let mut known = ShownTransactions::new();
    let mut entries = Vec::new();
    for (status, amount) in history {
        let json = json!({
            "id": "t", "status": status, "amount": amount, "type": "PAYIN", "currency": "EUR/2",
            "createdAt": "2024-05-01T12:00:00Z",
        });
        let version = PolledVersion::read(&json.to_string()).unwrap();
        for entry in show(&mut known, &version).unwrap() {
            entries.push((
                entry.status.unwrap_or((*status).to_owned()),
                entry.amount.unwrap_or((*amount).to_owned()),
                entry.nanoseconds,
                entry.is_added,
            ));
        }
    }
    entries
}

#[test]
fn versions_are_added_where_the_poller_would_count_an_amount_twice_or_not_at_all() {
    let entry = |status: &str, amount: &str, nanoseconds, is_added| {
        (status.to_owned(), amount.to_owned(), nanoseconds, is_added)
    };
    assert_eq!(
        entries(&[("CAPTURE", "100"), ("CAPTURE", "100"), ("REFUNDED", "130")]),
        [
            entry("AUTHORISATION", "100", 0, true),
            entry("CAPTURE", "100", 0, false),
            entry("CAPTURE", "100", 0, false),
            entry("REFUNDED", "100", 0, false),
        ]
    );
    assert_eq!(
        entries(&[
            ("AUTHORISATION", "100"),
            ("REFUNDED", "30"),
            ("REFUNDED", "50")
        ]),
        [
            entry("AUTHORISATION", "100", 0, false),
            entry("CAPTURE", "100", 0, true),
            entry("REFUNDED", "30", 0, false),
            entry("REFUNDED", "50", 1, false),
        ]
    );
    assert_eq!(
        entries(&[("PENDING", "100"), ("FAILED", "100"), ("PENDING", "100")]),
        [
            entry("PENDING", "100", 0, false),
            entry("FAILED", "100", 0, false),
            entry("PENDING", "100", 1, false),
        ]
    );
}

#[test]
fn only_what_may_depart_is_looked_at() {
    let json = |more: &str| {
        format!(r#"{{"id":"t","status":"SUCCEEDED","createdAt":"2024-05-01T12:00:00Z"{more}}}"#)
    };
    for (more, expected) in [
        ("", false),
        (r#","metadata":{"a":"b"}"#, false),
        (r#","RELATEDtransactionID":"a""#, true),
        (r#","relat\u0065dTransactionID":"a""#, true),
        (r#","x":"CAPTURE_FAILED""#, true),
        (r#","x":"REFUND_REVERSED""#, true),
    ] {
        assert_eq!(may_depart(&json(more)), expected, "{more}");
    }
}
