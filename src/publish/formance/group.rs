use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::FormancePublisher;
use super::ledger::{self, LedgerGap, Notes, Payment};
use super::transaction::PaymentsTransaction;
use super::work::Work;
use crate::formance::{self, Part};
use crate::publish::DeliveryError;
use crate::store::{self, Change, PublisherState};

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
    /// The transactions that make no payment.
    left_out: BTreeSet<String>,
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
            Err(unfit) => {
                let reference = formance::storable_text(&change.id);
                notes.skipped.push((change.seq, unfit.to_string()));
                notes.left_out.push((change.seq, reference.clone()));
                relatives.to_look_up.push_back(reference.clone());
                relatives.left_out.insert(reference);
            }
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
    left_out: BTreeSet<String>,
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
                continue;
            }
            if ledger::is_left_out(&state.memory(), &id)? {
                self.left_out.insert(id.clone());
            }
            if has_waiting {
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
        for id in self.left_out {
            let group = groups.entry(self.links.root(&id)).or_default();
            group.left_out.insert(id);
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
    /// Pushes its versions in order, and after each of them the versions that waited for it. `gap`: more may have been
    /// pushed than is known.
    pub fn push(
        &self,
        publisher: &FormancePublisher,
        gap: Option<LedgerGap>,
    ) -> Result<Notes, DeliveryError> {
        let mut work = Work::new(publisher, gap, self.known.clone(), self.left_out.clone());
        let held = self
            .waiting
            .iter()
            .map(|(parent, held)| (parent.as_str(), held.iter().collect()));
        let mut waiting: BTreeMap<&str, Vec<&PaymentsTransaction>> = held.collect();
        let mut queue: VecDeque<&PaymentsTransaction> = VecDeque::new();
        for id in &self.left_out {
            queue.extend(waiting.remove(id.as_str()).unwrap_or_default());
        }
        queue.extend(&self.versions);
        while let Some(version) = queue.pop_front() {
            if let Err(parent) = work.take(version)? {
                waiting.entry(parent).or_default().push(version);
                continue;
            }
            if work.is_decided(&version.reference) {
                let mut released = waiting.remove(&*version.reference).unwrap_or_default();
                released.sort_by_key(|version| version.seq);
                for version in released.into_iter().rev() {
                    queue.push_front(version);
                }
            }
        }
        self.note_waiting(&waiting, &mut work.notes);
        Ok(work.into_notes())
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
