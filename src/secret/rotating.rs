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
    /// Why it could not be read again, as the log has said.
    problem: Option<String>,
}

/// Reads a secret again where it was read first. None if it cannot change there. It is an error if it cannot be used.
type ReadAgain = dyn Fn() -> Result<Option<Secret>, String> + Send + Sync;

impl Rotating {
    /// A secret, and how to read it again.
    pub fn new(
        secret: Secret,
        read: impl Fn() -> Result<Option<Secret>, String> + Send + Sync + 'static,
    ) -> Rotating {
        Rotating(Arc::new(Shared {
            held: Mutex::new(Held {
                current: secret,
                earlier: Vec::new(),
                problem: None,
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
        let read = match (self.0.read)() {
            Ok(read) => read.filter(|read| read != old)?,
            Err(problem) => {
                // It may be written just now. The next request tries again.
                if held.problem.as_ref() != Some(&problem) {
                    log::warn!("{problem}; the key that was read before is still used");
                    held.problem = Some(problem);
                }
                return None;
            }
        };
        held.problem = None;
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
