use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::sync::lock;

/// How far a publisher has come in this process.
#[derive(Debug, Clone)]
pub(super) struct DeliveryState {
    /// The last seq delivered.
    pub offset: i64,
    /// When it last delivered, or started.
    pub advanced_at: Instant,
    /// Whether it has found nothing left to do at least once.
    pub has_looked: bool,
    /// Versions that it has quarantined since it started, because the target refused them.
    pub refused: usize,
    /// Whether it cannot deliver any more in this process.
    pub is_gone: bool,
    /// Why it cannot deliver at the moment.
    pub error: Option<String>,
}

/// The state that a delivery thread writes and the process reads.
#[derive(Debug, Clone)]
pub(super) struct SharedDeliveryState(Arc<Mutex<DeliveryState>>);

impl SharedDeliveryState {
    pub fn new(offset: i64) -> SharedDeliveryState {
        SharedDeliveryState(Arc::new(Mutex::new(DeliveryState {
            offset,
            advanced_at: Instant::now(),
            has_looked: false,
            refused: 0,
            is_gone: false,
            error: None,
        })))
    }

    pub fn get(&self) -> DeliveryState {
        lock(&self.0).clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut DeliveryState)) {
        change(&mut lock(&self.0));
    }
}
