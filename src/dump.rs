use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Keeps the memory, which has the keys, out of core dumps, and from other processes of the same user.
pub fn forbid() {
    // Both fail only where the system knows neither.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}
