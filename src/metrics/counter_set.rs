use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::sync::lock;

/// A counter for each value of its labels. It is locked for no longer than an addition takes.
#[derive(Debug, Default)]
pub struct CounterSet<L>(Mutex<BTreeMap<L, u64>>);

impl<L: Ord + Clone> CounterSet<L> {
    /// Counters for these values, all 0. Others begin when they are first counted: a rate needs the 0 before the first
    /// event.
    pub fn of(labels: impl IntoIterator<Item = L>) -> CounterSet<L> {
        CounterSet(Mutex::new(
            labels.into_iter().map(|label| (label, 0)).collect(),
        ))
    }

    /// Counts so many more.
    pub fn add(&self, label: L, more: u64) {
        let mut counters = lock(&self.0);
        let counter = counters.entry(label).or_default();
        *counter = counter.saturating_add(more);
    }

    /// Every counter, in the order of the labels.
    pub fn read(&self) -> Vec<(L, u64)> {
        let counters = lock(&self.0);
        counters
            .iter()
            .map(|(label, count)| (label.clone(), *count))
            .collect()
    }
}
