//! Transactions as the lists show them, such that Formance's own poller ends with the amounts and statuses that a
//! publisher ends with. Pure.
//!
//! The poller makes one adjustment of each version that it reads, and Formance keeps it once, by (payment, reference,
//! `createdAt`, status). A payment begins with the amount of its first version, or with 0 if that is an `AUTHORISATION`.
//! So the lists depart from what the service has sent in these ways:
//!
//! * Before a first version that adds its own amount, an `AUTHORISATION` is added, or the amount would count twice.
//! * Where a publisher pushes a capture that no poll has seen, it is added.
//! * A capture or a refund has the amount with which a publisher pushes it.
//! * A relative names the transaction whose payment it adjusts, and has the type of that payment.
//! * A status that returns, or has another amount, is dated some nanoseconds after `createdAt`: Formance tells
//!   adjustments apart by the nanosecond, and sorts them by the microsecond and then as they came.
//!
//! What is added has the record's own `createdAt`, so that Formance keeps it once if it is listed twice.

#[cfg(test)]
mod model;

use std::collections::BTreeMap;

use memchr::memchr2_iter;
use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use super::left_out::can_be_part;
use super::members::drop_unreadable;
use super::payment::{self, Part, PaymentEvent, PaymentState};
use super::texts::{non_empty_text, storable};
use super::values::{status, transaction_type};
use crate::api::{Amount, Members, Stream, Timestamp};

/// How a list shows a version where it departs from what the service has sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShownAs {
    /// Another `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Another `amount`. Minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Another `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Another `relatedTransactionID`; empty if there is to be none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<String>,
    /// Another `createdAt`, as the service has spelt it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Nanoseconds that are added to `createdAt`.
    #[serde(skip_serializing_if = "is_zero")]
    pub nanoseconds: u32,
    /// Whether the service has sent no such version, and this one is added before the one that it has sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_added: bool,
}

/// A version of a transaction, reduced to what Formance's poller makes an adjustment of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolledVersion {
    /// The transaction's id.
    pub id: String,
    /// The id of the transaction that it relates to.
    pub parent: Option<String>,
    /// A type that the API knows, else `OTHER`.
    kind: &'static str,
    /// A status that the API knows, else `OTHER`.
    status: &'static str,
    amount: BigInt,
    asset: String,
    created_at: String,
}

/// A transaction as it was shown until now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownTransaction {
    /// Its own payment, or the transaction whose payment it adjusts.
    part: Part,
    /// The status of its newest adjustment; empty if only its relatives were shown.
    status: String,
    /// The amount that the service has sent with it.
    amount: String,
    /// `createdAt`, as the service has first spelt it.
    created_at: String,
    /// How many adjustments each status has made.
    times: BTreeMap<String, u32>,
    /// How its newest version was shown.
    pub newest: Vec<ShownAs>,
}

/// Transactions by their ids.
pub type ShownTransactions = BTreeMap<String, ShownTransaction>;

/// How a version is listed, in one or two entries, and what is known then. `known` has what is known of the transaction,
/// the one that it relates to, and the one whose payment that adjusts. An error is the transaction that has to be listed
/// first.
pub fn show(
    known: &mut ShownTransactions,
    version: &PolledVersion,
) -> Result<Vec<ShownAs>, String> {
    let part = part(known, version)?;
    let before = known.get(&version.id);
    let is_first = before.is_none() && matches!(part, Part::Own(_));
    let mut shown = before
        .cloned()
        .unwrap_or_else(|| ShownTransaction::new(part.clone(), version.created_at.clone()));
    let (root, mut state) = match part {
        Part::Own(state) => (None, state),
        Part::Of(root) => match known.get(&root).map(|known| &known.part) {
            Some(Part::Own(state)) => (Some(root), state.clone()),
            _ => return Err(root),
        },
    };
    shown.adjust(version, root.as_deref(), &mut state, is_first);
    match root.and_then(|root| known.get_mut(&root)) {
        Some(root) => root.part = Part::Own(state),
        None => shown.part = Part::Own(state),
    }
    let entries = shown.newest.clone();
    known.insert(version.id.clone(), shown);
    Ok(entries)
}

/// Whose payment a version is a part of. An error is the transaction that has to be listed first.
fn part(known: &ShownTransactions, version: &PolledVersion) -> Result<Part, String> {
    match (known.get(&version.id), &version.parent) {
        (Some(before), _) => Ok(before.part.clone()),
        (None, None) => Ok(Part::Own(version.begin())),
        (None, Some(parent)) => match known.get(parent) {
            Some(known) => Ok(known.part.relative(parent)),
            None => Err(parent.clone()),
        },
    }
}

/// Lets a version be listed as the service has sent it, although the transaction that it relates to is not listed. What
/// is known is what Formance makes of that.
pub fn show_as_sent(known: &mut ShownTransactions, parent: &str, version: &PolledVersion) {
    let mut state = version.begin();
    let amount = &version.amount;
    let begun = match version.status {
        AUTHORISATION => BigInt::ZERO,
        _ => amount.clone(),
    };
    let moved = match version.status {
        "REFUNDED" => begun - amount,
        "CAPTURE" | "REFUND_REVERSED" => begun + amount,
        _ => begun,
    };
    state.shown = moved.to_string();
    state.is_open = version.status == AUTHORISATION;
    let root = ShownTransaction::new(Part::Own(state), version.created_at.clone());
    known.insert(parent.to_owned(), root);
    let mut shown = ShownTransaction::new(Part::Of(parent.to_owned()), version.created_at.clone());
    version.status.clone_into(&mut shown.status);
    shown.amount = amount.to_string();
    shown.times.insert(shown.status.clone(), 1);
    shown.newest = vec![ShownAs::default()];
    known.insert(version.id.clone(), shown);
}

/// Lets a payment that Formance has made itself be known, with the amount of this version, which relates to it.
pub fn know_initiated(known: &mut ShownTransactions, key: &str, version: &PolledVersion) {
    let state = PaymentState {
        shown: version.amount.to_string(),
        is_open: false,
        ..version.begin()
    };
    let made = ShownTransaction::new(Part::Own(state), version.created_at.clone());
    known.insert(key.to_owned(), made);
}

/// Whether the first version of a transaction may have to be shown in another way than it was sent. It is cheap, and
/// never says no where it has to.
pub fn may_depart(json: &str) -> bool {
    const RELATED: &[u8] = b"related";
    let bytes = json.as_bytes();
    // Records have few of its third letter.
    let is_related = |third: usize| {
        let start = third.wrapping_sub(2);
        let word = bytes.get(start..start.wrapping_add(RELATED.len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(RELATED))
    };
    // Names count in any case. A name or a value may be escaped.
    json.contains("CAPTURE")
        || json.contains("REFUND_REVERSED")
        || json.contains('\\')
        || memchr2_iter(b'l', b'L', bytes).any(is_related)
}

const AUTHORISATION: &str = "AUTHORISATION";

/// Whether a payment that begins with that status would begin with its amount, although nothing of it is counted yet.
fn counts_twice(first: &str) -> bool {
    matches!(first, "CAPTURE" | "CAPTURE_FAILED" | "REFUND_REVERSED")
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where an adjustment belongs.
struct PaymentPlace<'a> {
    /// The transaction whose payment it is; none if it is the adjustment's own.
    root: Option<&'a str>,
    /// The payment's type.
    kind: &'a str,
}

impl PolledVersion {
    /// Reads a version; none if the poller could not.
    pub fn read(json: &str) -> Option<PolledVersion> {
        let json = storable(json);
        let mut record = Members::read(&json).ok()?;
        drop_unreadable(&mut record, Stream::Transactions.fields());
        let id = non_empty_text(&record, "id")?;
        let amount = Amount::parse(&record.text("amount").ok()?).ok()?;
        Some(PolledVersion {
            parent: non_empty_text(&record, "relatedTransactionID").filter(|parent| *parent != id),
            kind: transaction_type(&record),
            status: status(&record),
            amount: amount.to_string().parse().ok()?,
            asset: non_empty_text(&record, "currency").unwrap_or_default(),
            created_at: record.text("createdAt").ok()?.into_owned(),
            id,
        })
    }

    /// Whether it moves the amount of a payment that it is a part of.
    pub fn moves_amount(&self) -> bool {
        payment::moves_amount(self.status)
    }

    /// When the service says that the transaction was created.
    pub fn created_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.created_at).ok()
    }

    fn begin(&self) -> PaymentState {
        payment::begin(self.kind, &self.asset, self.event(true, &self.amount))
    }

    /// As an event of a payment in that asset. `is_own`: the payment is the transaction's own.
    fn event_in(&self, asset: &str, is_own: bool) -> PaymentEvent<'_> {
        let is_counted = self.asset == asset || !payment::moves_amount(self.status);
        let amount = if is_counted {
            &self.amount
        } else {
            &BigInt::ZERO
        };
        self.event(is_own, amount)
    }

    fn event<'a>(&'a self, is_own: bool, amount: &'a BigInt) -> PaymentEvent<'a> {
        PaymentEvent {
            status: self.status,
            amount,
            // The poller dates adjustments by `createdAt`.
            at: Timestamp::EPOCH,
            is_own,
        }
    }
}

impl ShownTransaction {
    /// The transaction whose payment it adjusts, if that is another one.
    pub fn root(&self) -> Option<String> {
        match &self.part {
            Part::Own(_) => None,
            Part::Of(root) => Some(root.clone()),
        }
    }

    fn new(part: Part, created_at: String) -> ShownTransaction {
        ShownTransaction {
            part,
            status: String::new(),
            amount: String::new(),
            created_at,
            times: BTreeMap::new(),
            newest: Vec::new(),
        }
    }

    /// Shows a version, and lets the payment be as it is then. `root` is the transaction whose payment it is, if that is
    /// another one. `is_first`: the payment begins with this version.
    fn adjust(
        &mut self,
        version: &PolledVersion,
        root: Option<&str>,
        state: &mut PaymentState,
        is_first: bool,
    ) {
        let place = PaymentPlace {
            root,
            kind: &state.kind.clone(),
        };
        let amount = version.amount.to_string();
        self.newest = if self.status == version.status && self.amount == amount {
            vec![self.again(version, &place)]
        } else {
            let asset = state.asset.clone();
            let event = version.event_in(&asset, root.is_none());
            let begun = (is_first && counts_twice(version.status))
                .then(|| (AUTHORISATION.to_owned(), version.amount.clone()));
            let adjustments = payment::adjust(state, None, event).into_iter();
            let adjustments = adjustments.map(|adjusted| (adjusted.status, adjusted.amount));
            begun
                .into_iter()
                .chain(adjustments)
                .map(|(status, amount)| self.next(version, &place, &status, &amount))
                .collect()
        };
        for added in self.newest.iter_mut().rev().skip(1) {
            added.is_added = true;
        }
        version.status.clone_into(&mut self.status);
        self.amount = amount;
    }

    /// The entry of an adjustment that is new.
    fn next(
        &mut self,
        version: &PolledVersion,
        place: &PaymentPlace,
        status: &str,
        amount: &BigInt,
    ) -> ShownAs {
        let times = self.times.entry(status.to_owned()).or_default();
        *times += 1;
        let times = *times;
        ShownAs {
            status: (status != version.status).then(|| status.to_owned()),
            amount: (*amount != version.amount).then(|| amount.to_string()),
            ..self.again(version, place).at(times)
        }
    }

    /// The entry of a version that makes no adjustment: it is the same as the last one.
    fn again(&self, version: &PolledVersion, place: &PaymentPlace) -> ShownAs {
        let related = match (place.root, version.parent.as_deref()) {
            (None, Some(_)) => Some(String::new()),
            (Some(root), parent) if parent != Some(root) && can_be_part(root, &version.id) => {
                Some(root.to_owned())
            }
            _ => None,
        };
        let is_dated_otherwise = self.created_at != version.created_at;
        let times = self.times.get(version.status).copied().unwrap_or(1);
        ShownAs {
            kind: (place.kind != version.kind).then(|| place.kind.to_owned()),
            related,
            created_at: is_dated_otherwise.then(|| self.created_at.clone()),
            ..ShownAs::default().at(times)
        }
    }
}

impl ShownAs {
    /// Whether the version is shown as the service has sent it.
    pub fn is_as_sent(&self) -> bool {
        *self == ShownAs::default()
    }

    /// The `times`th adjustment of its status.
    fn at(self, times: u32) -> ShownAs {
        ShownAs {
            nanoseconds: times.saturating_sub(1),
            ..self
        }
    }
}
