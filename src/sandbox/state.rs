use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::data::Data;
use super::initiation::BankInitiations;

/// Everything that the service knows, in memory.
pub(super) struct SandboxState {
    pub data: Data,
    pub initiations: BankInitiations,
}

/// The state behind its one lock.
///
/// Date a change while you hold the lock for writing. Then no reader can see a later date before it sees the change.
#[derive(Clone)]
pub(super) struct SharedState(Arc<RwLock<SandboxState>>);

impl SharedState {
    /// The state in which nothing has been initiated yet.
    pub fn new(data: Data) -> SharedState {
        SharedState(Arc::new(RwLock::new(SandboxState {
            data,
            initiations: BankInitiations::default(),
        })))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, SandboxState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, SandboxState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
