use std::fs;
use std::os::unix::fs::OpenOptionsExt;

/// How files of the state are opened, and made if they do not exist.
pub(super) fn owner_only() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600);
    options
}
