//! Steps at which a test can end the process as a power cut would.
//!
//! In debug builds only: with `GENERIC_CONNECTOR_CRASH_AT=7` in the environment, the seventh step that is reached
//! aborts the process, without unwinding, flushing or closing anything. In a release build a step is nothing.

/// A step.
#[cfg(not(debug_assertions))]
pub fn point() {}

/// A step.
#[cfg(debug_assertions)]
pub fn point() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    static REACHED: AtomicU64 = AtomicU64::new(0);
    static LAST: LazyLock<Option<u64>> = LazyLock::new(|| {
        let number = std::env::var("GENERIC_CONNECTOR_CRASH_AT").ok()?;
        number.parse().ok()
    });
    if REACHED.fetch_add(1, SeqCst) + 1 == LAST.unwrap_or(u64::MAX) {
        std::process::abort();
    }
}
