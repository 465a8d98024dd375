use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};

use super::Secret;
use crate::sync::lock;

/// A secret that may be replaced while the program runs. Clones share it.
#[derive(Clone)]
pub struct Rotating(Arc<Shared>);

struct Shared {
    held: Mutex<Held>,
    read: Box<ReadAgain>,
}

struct Held {
    current: Secret,
    /// Kept, since others may repeat them, and they may still be valid there.
    earlier: Vec<Secret>,
}

/// Reads a secret again where it was read first. None if it cannot be read now.
type ReadAgain = dyn Fn() -> Option<Secret> + Send + Sync;

impl Rotating {
    /// A secret, and how to read it again.
    pub fn new(
        secret: Secret,
        read: impl Fn() -> Option<Secret> + Send + Sync + 'static,
    ) -> Rotating {
        Rotating(Arc::new(Shared {
            held: Mutex::new(Held {
                current: secret,
                earlier: Vec::new(),
            }),
            read: Box::new(read),
        }))
    }

    /// The secret that is in use now.
    pub fn current(&self) -> Secret {
        lock(&self.0.held).current.clone()
    }

    /// The secret to send after `who` has refused one, if it was replaced since.
    pub fn rotated(&self, refused: &Secret, who: &str) -> Option<Secret> {
        self.replaced(refused, || {
            log::info!("{who} refused the key; using the new key from its file");
        })
    }

    /// The secret that has replaced `old`, if one has. `announce` is called once for each replacement.
    pub fn replaced(&self, old: &Secret, announce: impl FnOnce()) -> Option<Secret> {
        // Locked while reading: of several requests with the same old secret, one reads for all.
        let mut held = lock(&self.0.held);
        if held.current != *old {
            return Some(held.current.clone());
        }
        // A secret that cannot be read now is being written. The next request tries again.
        let read = (self.0.read)()?;
        if read == *old || read.problem().is_some() {
            return None;
        }
        announce();
        let earlier = mem::replace(&mut held.current, read.clone());
        held.earlier.push(earlier);
        Some(read)
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}
