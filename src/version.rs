//! Which program this is: its version, its date, and what it is built from.

use std::env::consts::{ARCH, OS};
use std::sync::LazyLock;

/// The date of the change log's top entry, which a test compares: every build of the same sources shows the same.
const DATE: &str = "2026-11-26";
/// The TLS library, and the cryptography under it. Neither can say its version; a test compares them with Cargo.lock.
pub const TLS: &str = "rustls 0.23.46, ring 0.17.14";
/// The C library under the program.
const LIBC: &str = if cfg!(target_env = "musl") {
    "musl"
} else if cfg!(target_env = "gnu") {
    "gnu"
} else {
    "libc"
};

/// The version and its date.
pub fn dated() -> String {
    format!("{} ({DATE})", env!("CARGO_PKG_VERSION"))
}

/// The processor, the system and the C library that the program was compiled for.
pub fn target() -> String {
    format!("{ARCH}-{OS}-{LIBC}")
}

/// What `--version` shows behind the program's name, a line each.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{}\nSQLite {}\nTLS    {TLS}\ntarget {}",
            dated(),
            rusqlite::version(),
            target()
        )
    });
    &TEXT
}
