//! Whose the files are that this program makes. An operator runs a command as root beside the service, which runs as a user
//! of its own: a file of root's would lock the service out at its next start.
//!
//! Only what was made just now changes hands. Whoever has a directory decides what its names lead to: a link there may lead to
//! a file of root's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

const ROOT: u32 = 0;

/// Opens a file. If root makes it, and its directory is not root's, the directory's owner and group get it.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match create(options, path)? {
        Some(file) => Ok(file),
        None => options.open(path),
    }
}

/// Makes a file as [`open`] does; none if something has that name already.
pub fn create(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            hand_over(&file, path);
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory for its owner alone, and those above it that are missing.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let is_new = fs::symlink_metadata(path).is_err();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if is_new {
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let directory = File::options()
            .read(true)
            .custom_flags(no_link)
            .open(path)?;
        hand_over(&directory, path);
    }
    Ok(())
}

fn hand_over(file: &File, path: &Path) {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let is_of_root = file.metadata().is_ok_and(|metadata| metadata.uid() == ROOT);
    if is_of_root
        && let Ok(directory) = fs::metadata(parent.unwrap_or(Path::new(".")))
        && directory.uid() != ROOT
    {
        // Whoever may not change that finds out when the owner needs the file, as without this.
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}
