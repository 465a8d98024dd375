//! Whose the files are that this program makes. An operator runs a command as root beside the service, which runs as a user
//! of its own: a file of root's would lock the service out at its next start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::Path;

const ROOT: u32 = 0;

/// Opens a file. If it is root's and its directory is not, the directory's owner and group get it.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.open(path)?;
    hand_over(&file, path);
    Ok(file)
}

/// Makes a directory for its owner alone, and those above it that are missing.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let is_new = !path.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if is_new {
        hand_over(&File::open(path)?, path);
    }
    Ok(())
}

fn hand_over(file: &File, path: &Path) {
    let is_of_root = file.metadata().is_ok_and(|metadata| metadata.uid() == ROOT);
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if !is_of_root {
        return;
    }
    if let Ok(directory) = fs::metadata(parent.unwrap_or(Path::new(".")))
        && directory.uid() != ROOT
    {
        // Whoever may not change that finds out when the owner is in need of the file, as without this.
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}
