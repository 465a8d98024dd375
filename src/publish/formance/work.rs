//! A group while it is pushed: what each version adds to its payment.

use std::collections::{BTreeMap, BTreeSet};

use ureq::http::Method;

use super::FormancePublisher;
use super::client::Pushed;
use super::existing::{self, ExistingPayment};
use super::ledger::{LedgerGap, Notes, Payment};
use super::transaction::PaymentsTransaction;
use super::wire::as_json;
use crate::api::Timestamp;
use crate::formance::payment;
use crate::formance::{Part, PaymentState, Unfit};
use crate::publish::DeliveryError;
use crate::sync::lock;

/// A payment that is dated this long after a gap was noticed was not pushed before it. Seconds, for clocks that differ.
const LATE: u64 = 3_600;

/// The seq of what is known from the stack alone. It is not remembered.
const NO_VERSION: i64 = 0;

/// A group while it is pushed.
pub(super) struct Work<'a> {
    publisher: &'a FormancePublisher,
    gap: Option<LedgerGap>,
    known: BTreeMap<String, Payment>,
    /// The transactions that make no payment.
    left_out: BTreeSet<String>,
    /// The transactions with something new that was pushed.
    changed: BTreeSet<String>,
    /// The payments that were read from the stack, by their transactions' ids; none where it has none.
    existing: BTreeMap<String, Option<ExistingPayment>>,
    pub notes: Notes,
}

/// What the stack has of a transaction, as far as it was read.
#[derive(Default)]
struct ReadBack {
    /// The date of its newest adjustment.
    newest: Option<Timestamp>,
    /// The date of the adjustment that the version at hand has made.
    made: Option<Timestamp>,
    /// Whether its payment has the metadata of that version.
    has_metadata: Option<bool>,
}

impl<'a> Work<'a> {
    /// `known` is what is remembered of the group, and `left_out` what of it makes no payment.
    pub fn new(
        publisher: &'a FormancePublisher,
        gap: Option<LedgerGap>,
        known: BTreeMap<String, Payment>,
        left_out: BTreeSet<String>,
    ) -> Work<'a> {
        Work {
            publisher,
            gap,
            known,
            left_out,
            changed: BTreeSet::new(),
            existing: BTreeMap::new(),
            notes: Notes::default(),
        }
    }

    /// Whether what relates to a transaction need not wait for it any longer.
    pub fn is_decided(&self, reference: &str) -> bool {
        self.known.contains_key(reference) || self.left_out.contains(reference)
    }

    /// Pushes a version, if it says anything new. An error in the result is the transaction that has to come first.
    pub fn take<'v>(
        &mut self,
        version: &'v PaymentsTransaction,
    ) -> Result<Result<(), &'v str>, DeliveryError> {
        let has_to_read = self.has_to_read(version);
        if has_to_read {
            self.read(version)?;
        }
        match self.part(version) {
            Ok(part) => self.push(version, part, has_to_read).map(Ok),
            Err(parent) if self.left_out.contains(parent) => {
                let reason = "related transactions whose payments are skipped";
                self.leave_out(version, reason.to_owned());
                Ok(Ok(()))
            }
            Err(parent) => Ok(Err(parent)),
        }
    }

    /// Whether more may have been pushed of a transaction than is known.
    fn has_to_read(&self, version: &PaymentsTransaction) -> bool {
        let Some(gap) = self.gap else {
            return false;
        };
        let known = self.known.get(&version.reference);
        version.created_at() < gap.noticed_at.later(LATE).start()
            && known.and_then(|known| known.read_after) != Some(gap.number)
    }

    /// Reads the payment that a transaction belongs to from the stack.
    fn read(&mut self, version: &PaymentsTransaction) -> Result<(), DeliveryError> {
        let root = match self.known.get(&version.reference).map(|known| &known.part) {
            Some(Part::Own(_)) => version.reference.clone(),
            Some(Part::Of(root)) => root.clone(),
            None => {
                // It may have a payment of its own, although it relates to another one now.
                self.find(&version.reference)?;
                match self.part(version) {
                    Ok(Part::Of(root)) => root,
                    Ok(Part::Own(_)) => return Ok(()),
                    Err(parent) => parent.to_owned(),
                }
            }
        };
        self.find(&root)?;
        self.know(&root);
        Ok(())
    }

    /// Lets what relates to a payment be pushed although the ledger does not know it yet: its own versions come later.
    fn know(&mut self, reference: &str) {
        let Some(Some(existing)) = self.existing.get(reference) else {
            return;
        };
        let entry = self.known.entry(reference.to_owned());
        entry.or_insert_with(|| Payment {
            id: reference.to_owned(),
            seq: NO_VERSION,
            status: String::new(),
            amount: String::new(),
            metadata: None,
            kept: String::new(),
            newest: 0,
            read_after: None,
            part: Part::Own(existing.state()),
        });
    }

    fn find(&mut self, reference: &str) -> Result<(), DeliveryError> {
        if self.existing.contains_key(reference) {
            return Ok(());
        }
        let known = match self.known.get_mut(reference) {
            Some(Payment {
                part: Part::Own(state),
                ..
            }) => Some(state),
            _ => None,
        };
        let kind = known.as_ref().map(|state| state.kind.as_str());
        let connector = self.publisher.connector()?;
        // A longer id was never taken, and would make the URL too long for a proxy.
        let found = if connector.can_index_adjustment(reference, reference) {
            existing::find(&self.publisher.client, connector, reference, kind)?
        } else {
            None
        };
        if let (Some(state), Some(found)) = (known, &found) {
            *state = found.state();
            self.changed.insert(reference.to_owned());
        }
        self.existing.insert(reference.to_owned(), found);
        Ok(())
    }

    /// What is to be remembered.
    pub fn into_notes(mut self) -> Notes {
        let changed = self.changed.iter().filter_map(|id| self.known.get(id));
        let payments = changed.filter(|payment| payment.seq != NO_VERSION);
        self.notes.payments.extend(payments.cloned());
        self.notes
    }

    /// What the stack has of a version's transaction; none if its payment was not read, or is not there.
    fn read_back(&self, version: &PaymentsTransaction, part: &Part) -> Option<ReadBack> {
        let reference = &version.reference;
        let root = match part {
            Part::Own(_) => reference,
            Part::Of(root) => root,
        };
        let existing = self.existing.get(root)?.as_ref()?;
        let event = version.event_in(part, &existing.state().asset);
        Some(ReadBack {
            newest: existing.newest(reference),
            made: existing.date_of(reference, event),
            has_metadata: Some(existing.has_metadata(&version.metadata)),
        })
    }

    /// Which payment a version is a part of. An error is the transaction that has to come first.
    fn part<'v>(&self, version: &'v PaymentsTransaction) -> Result<Part, &'v str> {
        if let Some(known) = self.known.get(&version.reference) {
            return Ok(known.part.clone());
        }
        if let Some(Some(existing)) = self.existing.get(&version.reference) {
            return Ok(Part::Own(existing.state()));
        }
        match &version.parent {
            None => Ok(Part::Own(payment::begin(
                version.kind,
                &version.asset,
                version.event(true),
            ))),
            Some(parent) => match self.known.get(parent) {
                Some(known) => Ok(known.part.relative(parent)),
                None => Err(parent),
            },
        }
    }

    /// Pushes a version, if it says anything new. `was_read`: the payment was read from the stack before.
    fn push(
        &mut self,
        version: &PaymentsTransaction,
        part: Part,
        was_read: bool,
    ) -> Result<(), DeliveryError> {
        let before = self.known.get(&version.reference).cloned();
        let before = before.as_ref().filter(|before| before.seq != NO_VERSION);
        let read = was_read
            .then(|| self.read_back(version, &part))
            .flatten()
            .unwrap_or_default();
        if before.is_some_and(|before| before.seq >= version.seq) {
            return match read.made {
                Some(_) => Ok(()),
                None => self.push_late(version, &part),
            };
        }
        self.note_what_is_lost(version);
        let has_other_metadata = match (read.has_metadata, &part) {
            (Some(has_metadata), Part::Own(_)) => !has_metadata,
            _ => before.is_some_and(|before| before.metadata != version.metadata_hash()),
        };
        let mut newest = before.map(|before| Timestamp::from_nanoseconds(before.newest));
        if read.is_new(version, before) {
            match self.push_adjustment(version, &part, newest.max(read.newest))? {
                Some(date) => newest = Some(date),
                None => return Ok(()),
            }
        }
        newest = newest.max(read.made);
        if has_other_metadata {
            self.push_metadata(version, &part)?;
        }
        // The payment's own state, as the adjustment has left it.
        let part = match (&part, self.known.get(&version.reference)) {
            (Part::Own(_), Some(known)) => known.part.clone(),
            _ => part,
        };
        let kept = before.map(|before| before.kept.clone());
        let is_root_known = match &part {
            Part::Own(_) => true,
            Part::Of(root) => {
                let root = self.known.get(root);
                root.is_some_and(|root| root.seq != NO_VERSION)
            }
        };
        let is_reached = |last| existing::is_reached(last, newest);
        let is_all = was_read && is_root_known && read.newest.is_none_or(is_reached);
        let read_after = match self.gap {
            Some(gap) if is_all => Some(gap.number),
            _ => before.and_then(|before| before.read_after),
        };
        self.remember(Payment {
            kept: kept.unwrap_or_else(|| version.kept_hash()),
            read_after,
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
        let event = version.event_in(part, &state.asset);
        if version.asset != state.asset && payment::moves_amount(version.status) {
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
            self.leave_out(version, Unfit::Asset(version.asset.clone()).to_string());
            return Ok(false);
        }
        let connector = self.publisher.connector()?;
        if !connector.can_index_adjustment(payment, &version.reference) {
            self.leave_out(version, Unfit::LongId.to_string());
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
        let before = self.known.get(&version.reference);
        let Some(before) = before.filter(|before| before.seq != NO_VERSION) else {
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

    /// Skips a version. If it was to make its transaction known, what relates to that is skipped, too.
    fn leave_out(&mut self, version: &PaymentsTransaction, reason: String) {
        self.skip(version, reason);
        let reference = &version.reference;
        if !self.known.contains_key(reference) && self.left_out.insert(reference.clone()) {
            self.notes.left_out.push((version.seq, reference.clone()));
        }
    }

    /// Notes that the API refuses a version. If it refuses the asset, it will refuse the next version with it, too.
    fn refuse(&mut self, version: &PaymentsTransaction, reason: String) {
        // The API names the field that is wrong: "Asset is invalid".
        if reason.contains("Asset ") {
            lock(&self.publisher.refused_assets).insert(version.asset.clone());
            self.leave_out(version, Unfit::Asset(version.asset.clone()).to_string());
        } else {
            self.notes.refused.push((version.seq, reason));
        }
    }
}

impl ReadBack {
    /// Whether a version makes an adjustment. `before` is what the ledger knows.
    fn is_new(&self, version: &PaymentsTransaction, before: Option<&Payment>) -> bool {
        match self.newest {
            Some(_) => self.made.is_none(),
            None => before.is_none_or(|before| {
                before.status != version.status || before.amount != version.amount.to_string()
            }),
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
        read_after: None,
        part,
    }
}
