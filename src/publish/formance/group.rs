use std::collections::{BTreeMap, BTreeSet, VecDeque};

use num_bigint::BigInt;
use ureq::http::Method;

use super::FormancePublisher;
use super::client::Pushed;
use super::ledger::{self, Notes, Part, Payment, PaymentState};
use super::payment::{self, PaymentEvent};
use super::transaction::PaymentsTransaction;
use super::wire::as_json;
use crate::api::Timestamp;
use crate::formance::Unfit;
use crate::publish::DeliveryError;
use crate::store::{self, Change, PublisherState};
use crate::sync::lock;

/// Transactions that belong to one payment, or may: those that relate to each other. A payment's adjustments are pushed
/// in order, so one thread pushes a whole group; groups do not touch each other.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the order of their seqs.
    versions: Vec<PaymentsTransaction>,
    /// What was pushed before of them, and of the transactions that they relate to.
    known: BTreeMap<String, Payment>,
    /// Versions that have waited since an earlier batch, by what they wait for.
    waiting: BTreeMap<String, Vec<PaymentsTransaction>>,
}

/// The groups of a batch's transactions. What the API has no place for is noted instead.
pub(super) fn gather<'a>(
    state: &PublisherState,
    changes: impl Iterator<Item = &'a Change>,
    notes: &mut Notes,
) -> Result<Vec<Group>, store::Error> {
    let mut relatives = Relatives::default();
    let mut versions = Vec::new();
    for change in changes {
        match PaymentsTransaction::read(change) {
            Ok(version) => {
                relatives.add(&version);
                versions.push(version);
            }
            Err(unfit) => notes.skipped.push((change.seq, unfit.to_string())),
        }
    }
    relatives.look_up(state)?;
    Ok(relatives.group(versions))
}

/// The transactions that a batch's transactions relate to, directly or not, in both directions.
#[derive(Debug, Default)]
struct Relatives {
    links: Links,
    to_look_up: VecDeque<String>,
    known: BTreeMap<String, Payment>,
    waiting: BTreeMap<String, Vec<PaymentsTransaction>>,
}

impl Relatives {
    fn add(&mut self, version: &PaymentsTransaction) {
        self.to_look_up.push_back(version.reference.clone());
        if let Some(parent) = &version.parent {
            self.join(&version.reference, parent);
        }
    }

    fn join(&mut self, id: &str, parent: &str) {
        self.links.join(id, parent);
        self.to_look_up.push_back(parent.to_owned());
    }

    /// Reads what is known of them, until nothing leads to a further one.
    fn look_up(&mut self, state: &PublisherState) -> Result<(), store::Error> {
        let has_waiting = ledger::has_waiting(&state.memory())?;
        let mut looked_up = BTreeSet::new();
        while let Some(id) = self.to_look_up.pop_front() {
            if !looked_up.insert(id.clone()) {
                continue;
            }
            if let Some(payment) = ledger::payment(&state.memory(), &id)? {
                if let Part::Of(parent) = &payment.part {
                    self.join(&id, parent);
                }
                self.known.insert(id, payment);
            } else if has_waiting {
                // They could be read when they began to wait.
                let changes = ledger::waiting(state, &id)?;
                let held: Vec<PaymentsTransaction> = changes
                    .iter()
                    .filter_map(|change| PaymentsTransaction::read(change).ok())
                    .collect();
                held.iter().for_each(|version| self.add(version));
                if !held.is_empty() {
                    self.waiting.insert(id, held);
                }
            }
        }
        Ok(())
    }

    fn group(self, versions: Vec<PaymentsTransaction>) -> Vec<Group> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for version in versions {
            let group = groups
                .entry(self.links.root(&version.reference))
                .or_default();
            group.versions.push(version);
        }
        // What no version of the batch belongs to is not needed.
        for (id, payment) in self.known {
            if let Some(group) = groups.get_mut(&self.links.root(&id)) {
                group.known.insert(id, payment);
            }
        }
        for (id, held) in self.waiting {
            if let Some(group) = groups.get_mut(&self.links.root(&id)) {
                group.waiting.insert(id, held);
            }
        }
        groups.into_values().collect()
    }
}

/// Which ids belong together.
#[derive(Debug, Default)]
struct Links(BTreeMap<String, String>);

impl Links {
    fn join(&mut self, one: &str, other: &str) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.0.insert(one, other);
        }
    }

    /// The same text for all that belong together.
    fn root(&self, id: &str) -> String {
        let mut id = id;
        while let Some(next) = self.0.get(id) {
            id = next;
        }
        id.to_owned()
    }
}

impl Group {
    /// Pushes its versions in order, and after each of them the versions that waited for it.
    pub fn push(&self, publisher: &FormancePublisher) -> Result<Notes, DeliveryError> {
        let mut work = Work {
            publisher,
            known: self.known.clone(),
            changed: BTreeSet::new(),
            notes: Notes::default(),
        };
        let held = self
            .waiting
            .iter()
            .map(|(parent, held)| (parent.as_str(), held.iter().collect()));
        let mut waiting: BTreeMap<&str, Vec<&PaymentsTransaction>> = held.collect();
        let mut queue: VecDeque<&PaymentsTransaction> = self.versions.iter().collect();
        while let Some(version) = queue.pop_front() {
            match work.part(version) {
                Ok(part) => work.push(version, part)?,
                Err(parent) => {
                    waiting.entry(parent).or_default().push(version);
                    continue;
                }
            }
            if work.known.contains_key(&version.reference) {
                let mut released = waiting.remove(&*version.reference).unwrap_or_default();
                released.sort_by_key(|version| version.seq);
                for version in released.into_iter().rev() {
                    queue.push_front(version);
                }
            }
        }
        self.note_waiting(&waiting, &mut work.notes);
        let changed = work.changed.iter().filter_map(|id| work.known.get(id));
        work.notes.payments.extend(changed.cloned());
        Ok(work.notes)
    }

    /// Notes which versions wait from now on, and which no longer do.
    fn note_waiting(&self, waiting: &BTreeMap<&str, Vec<&PaymentsTransaction>>, notes: &mut Notes) {
        let before: BTreeSet<i64> = self
            .waiting
            .values()
            .flatten()
            .map(|held| held.seq)
            .collect();
        let now: BTreeSet<i64> = waiting.values().flatten().map(|held| held.seq).collect();
        for (parent, held) in waiting {
            let new = held.iter().filter(|version| !before.contains(&version.seq));
            notes
                .waiting
                .extend(new.map(|version| (version.seq, (*parent).to_owned())));
        }
        for (parent, held) in &self.waiting {
            let released = held.iter().filter(|version| !now.contains(&version.seq));
            notes
                .released
                .extend(released.map(|version| (version.seq, parent.clone())));
        }
    }
}

/// A group while it is pushed.
struct Work<'a> {
    publisher: &'a FormancePublisher,
    known: BTreeMap<String, Payment>,
    /// The transactions of which something new was pushed.
    changed: BTreeSet<String>,
    notes: Notes,
}

impl Work<'_> {
    /// Which payment a version is a part of. An error is the transaction that has to come first.
    fn part<'v>(&self, version: &'v PaymentsTransaction) -> Result<Part, &'v str> {
        if let Some(known) = self.known.get(&version.reference) {
            return Ok(known.part.clone());
        }
        match &version.parent {
            None => Ok(Part::Own(payment::begin(
                version.kind,
                &version.asset,
                version.event(true),
            ))),
            Some(parent) => match self.known.get(parent).map(|parent| &parent.part) {
                Some(Part::Own(_)) => Ok(Part::Of(parent.clone())),
                Some(Part::Of(root)) => Ok(Part::Of(root.clone())),
                None => Err(parent),
            },
        }
    }

    /// Pushes a version, if it says anything new.
    fn push(&mut self, version: &PaymentsTransaction, part: Part) -> Result<(), DeliveryError> {
        let before = self.known.get(&version.reference).cloned();
        let before = before.as_ref();
        if before.is_some_and(|before| before.seq >= version.seq) {
            return self.push_late(version, &part);
        }
        self.note_what_is_lost(version);
        let amount = version.amount.to_string();
        let is_new =
            before.is_none_or(|before| before.status != version.status || before.amount != amount);
        let has_other_metadata =
            before.is_some_and(|before| before.metadata != version.metadata_hash());
        let mut newest = before.map(|before| Timestamp::from_nanoseconds(before.newest));
        if is_new {
            match self.push_adjustment(version, &part, newest)? {
                Some(date) => newest = Some(date),
                None => return Ok(()),
            }
        }
        if has_other_metadata {
            self.push_metadata(version, &part)?;
        }
        // The payment's own state, as the adjustment has left it.
        let part = match (&part, self.known.get(&version.reference)) {
            (Part::Own(_), Some(known)) => known.part.clone(),
            _ => part,
        };
        let kept = before.map(|before| before.kept.clone());
        self.remember(Payment {
            kept: kept.unwrap_or_else(|| version.kept_hash()),
            ..pushed(version, newest, part)
        });
        Ok(())
    }

    /// Pushes a version that had been refused, after a newer one of it. Only what moves amounts is pushed, and with its
    /// own date, under which a replay would push it, too.
    fn push_late(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
    ) -> Result<(), DeliveryError> {
        if payment::moves_amount(version.status) {
            return self.push_adjustment(version, part, None).map(|_| ());
        }
        let reason = "versions that were retried after a newer one was delivered: the newer one replaces them";
        self.skip(version, reason.to_owned());
        Ok(())
    }

    /// Pushes the adjustments that a version makes, after those up to `newest`. The newest one's date, or none if the
    /// API does not take them.
    fn push_adjustment(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
        newest: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, DeliveryError> {
        let Some((payment, mut state)) = self.payment_of(version, part) else {
            return Ok(None);
        };
        if !self.can_be_taken(version, &payment)? {
            return Ok(None);
        }
        let before = state.clone();
        let mut event = version.event(matches!(part, Part::Own(_)));
        if version.asset != state.asset && payment::moves_amount(version.status) {
            event.amount = &BigInt::ZERO;
            let reason = "captures and refunds in an asset other than their payment's: they are in its history, and \
            its amount stays";
            self.skip(version, reason.to_owned());
        }
        let adjustments = payment::adjust(&mut state, newest, event);
        let last = adjustments.last().map(|last| last.created_at);
        let connector = self.publisher.connector()?;
        let (json, newest) = version.request(connector, &payment, &before, &adjustments);
        let client = &self.publisher.client;
        let answer = client.push(&version.named(), &Method::POST, "/payments", &json, newest)?;
        if let Pushed::Refused(reason) = answer {
            self.refuse(version, reason);
            return Ok(None);
        }
        match self.known.get_mut(&payment) {
            Some(known) => {
                known.part = Part::Own(state);
                self.changed.insert(payment);
            }
            None => self.remember(pushed(version, last, Part::Own(state))),
        }
        Ok(last)
    }

    /// The payment that a version adjusts, as the API has it: the id of its transaction, and its state.
    fn payment_of(
        &self,
        version: &PaymentsTransaction,
        part: &Part,
    ) -> Option<(String, PaymentState)> {
        match part {
            Part::Own(state) => Some((version.reference.clone(), state.clone())),
            // A payment is always pushed before its parts.
            Part::Of(root) => match &self.known.get(root)?.part {
                Part::Own(state) => Some((root.clone(), state.clone())),
                Part::Of(_) => None,
            },
        }
    }

    /// Whether the API can take an adjustment that a version makes. If not, or not all of it, that is noted.
    fn can_be_taken(
        &mut self,
        version: &PaymentsTransaction,
        payment: &str,
    ) -> Result<bool, DeliveryError> {
        if lock(&self.publisher.refused_assets).contains(&version.asset) {
            self.skip(version, Unfit::Asset(version.asset.clone()).to_string());
            return Ok(false);
        }
        let connector = self.publisher.connector()?;
        if !connector.can_index_adjustment(payment, &version.reference) {
            self.skip(version, Unfit::LongId.to_string());
            return Ok(false);
        }
        if version
            .accounts()
            .any(|account| connector.account(account).is_none())
        {
            let reason = "accounts of transactions whose ids Formance's database cannot index: the payment names no \
            account";
            self.skip(version, reason.to_owned());
        }
        Ok(true)
    }

    /// Pushes metadata that has changed. What the API does not take of it is counted, and not tried again, because the
    /// adjustment of the same version is pushed already.
    fn push_metadata(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
    ) -> Result<(), DeliveryError> {
        let Part::Own(state) = part else {
            let reason = "changed metadata of related transactions: the Payments API keeps an adjustment's first \
            metadata";
            self.skip(version, reason.to_owned());
            return Ok(());
        };
        if version.metadata.is_empty() {
            let reason = "removed metadata: the Payments API only adds to it";
            self.skip(version, reason.to_owned());
            return Ok(());
        }
        let id = self
            .publisher
            .connector()?
            .payment(&version.reference, &state.kind);
        let path = format!("/payments/{id}/metadata");
        let json = as_json(&version.metadata);
        let no_date = Timestamp::from_nanoseconds(0);
        let client = &self.publisher.client;
        let answer = client.push(&version.named(), &Method::PATCH, &path, &json, no_date)?;
        if let Pushed::Refused(reason) = answer {
            self.skip(version, format!("refused metadata: {reason}"));
        }
        Ok(())
    }

    /// Counts what a payment cannot say of a version.
    fn note_what_is_lost(&mut self, version: &PaymentsTransaction) {
        let Some(before) = self.known.get(&version.reference) else {
            return;
        };
        let mut reasons = Vec::new();
        if let Part::Own(state) = &before.part {
            if state.kind != version.kind {
                reasons
                    .push("changed types: a payment keeps the type under which it was first seen");
            }
            if before.kept != version.kept_hash() {
                reasons.push(
                    "changed assets, schemes, accounts or creation dates: a payment keeps its first ones",
                );
            }
            if version.parent.is_some() {
                reasons.push("transactions that became related to another one later: they keep their own payment");
            }
        }
        if before.amount != version.amount.to_string() && !payment::moves_amount(version.status) {
            reasons.push(
                "changed amounts without a capture or a refund: they are in the payment's history, and its amount stays",
            );
        }
        for reason in reasons {
            self.skip(version, reason.to_owned());
        }
    }

    fn remember(&mut self, payment: Payment) {
        self.changed.insert(payment.id.clone());
        self.known.insert(payment.id.clone(), payment);
    }

    fn skip(&mut self, version: &PaymentsTransaction, reason: String) {
        self.notes.skipped.push((version.seq, reason));
    }

    /// Notes that the API refuses a version. If it refuses the asset, it will refuse the next version with it, too.
    fn refuse(&mut self, version: &PaymentsTransaction, reason: String) {
        // The API names the field that is wrong: "Asset is invalid".
        if reason.contains("Asset ") {
            lock(&self.publisher.refused_assets).insert(version.asset.clone());
            self.skip(version, Unfit::Asset(version.asset.clone()).to_string());
        } else {
            self.notes.refused.push((version.seq, reason));
        }
    }
}

/// What is remembered of a version that was pushed. `newest` is the date of its newest adjustment, if it made one.
fn pushed(version: &PaymentsTransaction, newest: Option<Timestamp>, part: Part) -> Payment {
    Payment {
        id: version.reference.clone(),
        seq: version.seq,
        status: version.status.to_owned(),
        amount: version.amount.to_string(),
        metadata: version.metadata_hash(),
        kept: version.kept_hash(),
        newest: newest.unwrap_or(version.updated_at).nanoseconds(),
        part,
    }
}

impl PaymentsTransaction {
    fn named(&self) -> String {
        super::named(&self.reference, self.seq)
    }

    fn event(&self, is_own: bool) -> PaymentEvent<'_> {
        PaymentEvent {
            status: self.status,
            amount: &self.amount,
            // To the precision in which the ledger keeps it, so that a replay makes the same adjustments.
            at: Timestamp::from_nanoseconds(self.updated_at.nanoseconds()),
            is_own,
        }
    }
}
