use std::collections::{BTreeMap, BTreeSet, VecDeque};

use num_bigint::BigInt;
use ureq::http::Method;

use super::FormancePublisher;
use super::client::Pushed;
use super::payment::{self, Event};
use super::transaction::PaymentsTransaction;
use super::wire::as_json;
use crate::api::Timestamp;
use crate::formance::Unfit;
use crate::publish::DeliveryError;
use crate::store::{self, Change, ChangeLog, Delivered, Part, Payment};

/// Transactions that belong to one payment, or may: those that relate to each other. What is told of a payment is told
/// in order, so a group is pushed by one thread; groups do not touch each other.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the order of their seqs.
    versions: Vec<PaymentsTransaction>,
    /// What the API has been told of them, and of those that they relate to.
    told: BTreeMap<String, Payment>,
    /// Versions that have waited since an earlier batch, by what they wait for.
    waiting: BTreeMap<String, Vec<PaymentsTransaction>>,
}

/// The groups of a batch's transactions. What the API has no place for is noted instead.
pub(super) fn gather<'a>(
    log: &ChangeLog,
    publisher: &str,
    changes: impl Iterator<Item = &'a Change>,
    delivered: &mut Delivered,
) -> Result<Vec<Group>, store::Error> {
    let mut links = Links::default();
    let mut told: BTreeMap<String, Payment> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Vec<PaymentsTransaction>> = BTreeMap::new();
    let mut versions = Vec::new();
    let has_waiting = log.has_waiting(publisher)?;
    let mut to_look_up = VecDeque::new();
    for change in changes {
        match PaymentsTransaction::read(change) {
            Ok(version) => {
                to_look_up.push_back(version.reference.clone());
                if let Some(parent) = &version.parent {
                    links.join(&version.reference, parent);
                    to_look_up.push_back(parent.clone());
                }
                versions.push(version);
            }
            Err(unfit) => delivered.left_out.push((change.seq, unfit.to_string())),
        }
    }
    let mut looked_up = BTreeSet::new();
    while let Some(id) = to_look_up.pop_front() {
        if !looked_up.insert(id.clone()) {
            continue;
        }
        if let Some(payment) = log.payment(publisher, &id)? {
            if let Part::Of(parent) = &payment.part {
                links.join(&id, parent);
                to_look_up.push_back(parent.clone());
            }
            told.insert(id, payment);
        } else if has_waiting {
            let mut held = Vec::new();
            for change in log.waiting(publisher, &id)? {
                // It was read when it began to wait.
                if let Ok(version) = PaymentsTransaction::read(&change) {
                    links.join(&version.reference, &id);
                    to_look_up.push_back(version.reference.clone());
                    held.push(version);
                }
            }
            if !held.is_empty() {
                waiting.insert(id, held);
            }
        }
    }
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for version in versions {
        let group = groups.entry(links.root(&version.reference)).or_default();
        group.versions.push(version);
    }
    // What nothing in the batch belongs to was looked up in vain.
    for (id, payment) in told {
        if let Some(group) = groups.get_mut(&links.root(&id)) {
            group.told.insert(id, payment);
        }
    }
    for (id, held) in waiting {
        if let Some(group) = groups.get_mut(&links.root(&id)) {
            group.waiting.insert(id, held);
        }
    }
    Ok(groups.into_values().collect())
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

/// What becomes of a group while it is pushed.
struct Work<'a> {
    publisher: &'a FormancePublisher,
    told: BTreeMap<String, Payment>,
    /// The transactions of which something new was told.
    changed: BTreeSet<String>,
    delivered: Delivered,
}

impl Group {
    /// Pushes its versions in order, and what waited for one of them after it.
    pub fn push(&self, publisher: &FormancePublisher) -> Result<Delivered, DeliveryError> {
        let mut work = Work {
            publisher,
            told: self.told.clone(),
            changed: BTreeSet::new(),
            delivered: Delivered::default(),
        };
        let mut waiting: BTreeMap<&str, Vec<&PaymentsTransaction>> = BTreeMap::new();
        for (parent, held) in &self.waiting {
            waiting.insert(parent, held.iter().collect());
        }
        let held_before: BTreeSet<i64> = self
            .waiting
            .values()
            .flatten()
            .map(|held| held.seq)
            .collect();
        let mut queue: VecDeque<&PaymentsTransaction> = self.versions.iter().collect();
        while let Some(version) = queue.pop_front() {
            match work.part(version) {
                Ok(part) => work.push(version, part)?,
                Err(parent) => {
                    waiting.entry(parent).or_default().push(version);
                    continue;
                }
            }
            if work.told.contains_key(&version.reference) {
                let mut released = waiting.remove(&*version.reference).unwrap_or_default();
                released.sort_by_key(|version| version.seq);
                for version in released.into_iter().rev() {
                    queue.push_front(version);
                }
            }
        }
        let still_waiting: BTreeSet<i64> = waiting
            .values()
            .flatten()
            .map(|version| version.seq)
            .collect();
        for (parent, held) in &waiting {
            let new = held
                .iter()
                .filter(|version| !held_before.contains(&version.seq));
            work.delivered
                .waiting
                .extend(new.map(|version| (version.seq, (*parent).to_owned())));
        }
        for (parent, held) in &self.waiting {
            let released = held
                .iter()
                .filter(|version| !still_waiting.contains(&version.seq));
            work.delivered
                .released
                .extend(released.map(|version| (version.seq, parent.clone())));
        }
        let changed = work.changed.iter().filter_map(|id| work.told.get(id));
        work.delivered.payments.extend(changed.cloned());
        Ok(work.delivered)
    }
}

impl Work<'_> {
    /// Which payment a version is a part of. An error is the transaction that has to come first.
    fn part<'v>(&self, version: &'v PaymentsTransaction) -> Result<Part, &'v str> {
        if let Some(told) = self.told.get(&version.reference) {
            return Ok(match &told.part {
                Part::Of(parent) => Part::Of(parent.clone()),
                own => own.clone(),
            });
        }
        let event = version.event(true);
        match &version.parent {
            None => Ok(Part::Own(payment::begin(
                version.kind,
                &version.asset,
                event,
            ))),
            Some(parent) => match self.told.get(parent).map(|parent| &parent.part) {
                Some(Part::Own(_)) => Ok(Part::Of(parent.clone())),
                Some(Part::Of(root)) => Ok(Part::Of(root.clone())),
                None => Err(parent),
            },
        }
    }

    /// Tells the API of a version, if it says anything new.
    fn push(&mut self, version: &PaymentsTransaction, part: Part) -> Result<(), DeliveryError> {
        let before = self.told.get(&version.reference).cloned();
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
        let mut newest = before.map(|before| before.newest);
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
        let part = match (&part, self.told.get(&version.reference)) {
            (Part::Own(_), Some(told)) => told.part.clone(),
            _ => part,
        };
        self.tell(Payment {
            id: version.reference.clone(),
            seq: version.seq,
            status: version.status.to_owned(),
            amount,
            metadata: version.metadata_hash(),
            kept: before.map_or_else(|| version.kept_hash(), |before| before.kept),
            newest: newest.unwrap_or(version.updated_at),
            part,
        });
        Ok(())
    }

    /// Tells the API of a version that had been refused, after a newer one of it: of what moves amounts only, and with
    /// its own date, under which a replay would tell it, too.
    fn push_late(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
    ) -> Result<(), DeliveryError> {
        match payment::moves_amount(version.status) {
            true => self.push_adjustment(version, part, None).map(|_| ()),
            false => {
                let reason = "versions that were tried again after a newer one of them was delivered: it says what they would";
                self.leave_out(version, reason.to_owned());
                Ok(())
            }
        }
    }

    /// Pushes the adjustments that a version makes after those of that date. The newest one's date, or none if the API
    /// does not take them.
    fn push_adjustment(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
        newest: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, DeliveryError> {
        let (payment, mut state) = match part {
            Part::Own(state) => (&version.reference, state.clone()),
            Part::Of(root) => match self.told.get(root).map(|root| &root.part) {
                Some(Part::Own(state)) => (root, state.clone()),
                // A part's payment is always told of before the part.
                _ => return Ok(None),
            },
        };
        if self.publisher.refuses_asset(&version.asset) {
            self.leave_out(version, Unfit::Asset(version.asset.clone()).to_string());
            return Ok(None);
        }
        let connector = self.publisher.connector()?;
        if !connector.can_index_adjustment(payment, &version.reference) {
            self.leave_out(version, Unfit::LongId.to_string());
            return Ok(None);
        }
        if version
            .accounts()
            .any(|account| connector.account(account).is_none())
        {
            let reason = "accounts of transactions whose ids Formance's database cannot index: the payment names none";
            self.leave_out(version, reason.to_owned());
        }
        let before = state.clone();
        let is_own = matches!(part, Part::Own(_));
        let mut event = version.event(is_own);
        if version.asset != state.asset && payment::moves_amount(version.status) {
            event.amount = &BigInt::ZERO;
            let reason = "captures and refunds in another asset than their payment's: they are in its history, and its amount stays";
            self.leave_out(version, reason.to_owned());
        }
        let adjustments = payment::adjust(&mut state, newest, event);
        let told_last = adjustments.last().map(|last| last.created_at);
        let (json, newest) = version.request(connector, payment, &before, &adjustments);
        let pushed = self.publisher.client.push(
            &version.named(),
            &Method::POST,
            "/payments",
            &json,
            newest,
        )?;
        if let Pushed::Refused(reason) = pushed {
            self.refuse(version, reason);
            return Ok(None);
        }
        let payment = payment.clone();
        match self.told.get_mut(&payment) {
            Some(told) => {
                told.part = Part::Own(state);
                self.changed.insert(payment);
            }
            None => self.tell(Payment {
                id: payment,
                seq: version.seq,
                status: version.status.to_owned(),
                amount: version.amount.to_string(),
                metadata: version.metadata_hash(),
                kept: version.kept_hash(),
                newest: told_last.unwrap_or(version.updated_at),
                part: Part::Own(state),
            }),
        }
        Ok(told_last)
    }

    /// Pushes metadata that has changed. What the API does not take of it is counted, and not tried again: the adjustment
    /// of the same version is told already.
    fn push_metadata(
        &mut self,
        version: &PaymentsTransaction,
        part: &Part,
    ) -> Result<(), DeliveryError> {
        let Part::Own(state) = part else {
            let reason = "changed metadata of related transactions: the Payments API keeps that of an adjustment as it was first";
            self.leave_out(version, reason.to_owned());
            return Ok(());
        };
        if version.metadata.is_empty() {
            let reason = "removed metadata: the Payments API only adds to it";
            self.leave_out(version, reason.to_owned());
            return Ok(());
        }
        let id = self
            .publisher
            .connector()?
            .payment(&version.reference, &state.kind);
        let path = format!("/payments/{id}/metadata");
        let json = as_json(&version.metadata);
        let pushed = self.publisher.client.push(
            &version.named(),
            &Method::PATCH,
            &path,
            &json,
            Timestamp::from_nanoseconds(0),
        )?;
        if let Pushed::Refused(reason) = pushed {
            self.leave_out(version, format!("refused metadata: {reason}"));
        }
        Ok(())
    }

    /// Counts what a payment cannot say of a version.
    fn note_what_is_lost(&mut self, version: &PaymentsTransaction) {
        let Some(before) = self.told.get(&version.reference) else {
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
                    "changed assets, schemes, accounts or creation dates: a payment keeps those that it had first",
                );
            }
            if version.parent.is_some() {
                reasons.push("transactions that relate to another one only later: they keep a payment of their own");
            }
        }
        if before.amount != version.amount.to_string() && !payment::moves_amount(version.status) {
            reasons.push(
                "changed amounts without a capture or a refund: they are in the payment's history, and its amount stays",
            );
        }
        for reason in reasons {
            self.leave_out(version, reason.to_owned());
        }
    }

    fn tell(&mut self, payment: Payment) {
        self.changed.insert(payment.id.clone());
        self.told.insert(payment.id.clone(), payment);
    }

    fn leave_out(&mut self, version: &PaymentsTransaction, reason: String) {
        self.delivered.left_out.push((version.seq, reason));
    }

    /// Notes that the API refuses a version: because of its asset, as it will refuse the next one, or of something else.
    fn refuse(&mut self, version: &PaymentsTransaction, reason: String) {
        // The API names the field that is wrong: "Asset is invalid".
        if reason.contains("Asset ") {
            self.publisher.note_asset(&version.asset);
            self.leave_out(version, Unfit::Asset(version.asset.clone()).to_string());
        } else {
            self.delivered.refused.push((version.seq, reason));
        }
    }
}

impl PaymentsTransaction {
    fn named(&self) -> String {
        super::named(&self.reference, self.seq)
    }

    fn event(&self, is_own: bool) -> Event<'_> {
        Event {
            status: self.status,
            amount: &self.amount,
            // As the state can keep it, so that the same follows from it before and after.
            at: Timestamp::from_nanoseconds(self.updated_at.nanoseconds()),
            is_own,
        }
    }
}
