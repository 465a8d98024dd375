use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::change_line::{self, LineHead};
use super::{DeliveryError, Publisher};
use crate::crash;
use crate::ownership;
use crate::store::{Change, ChangeLog, Delivered, PublisherState};

/// Writes one change a line, to a file or to standard output.
///
/// A file is its own offset: delivery goes on after the seq of the last whole line. A torn line is cut off first, so the
/// file has each version once whatever crashes. If the file was rotated away, a new one is started.
#[derive(Debug)]
pub enum NdjsonPublisher {
    /// To that file, which is created if it does not exist.
    File {
        /// Which one.
        to: ChangeFile,
        /// None until delivery begins.
        open: Option<File>,
    },
    /// To standard output.
    Stdout,
}

/// A file of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFile {
    /// Where it is.
    pub path: PathBuf,
    /// Who may read and write it. Permission bits.
    pub mode: u32,
    /// The group that it gets; none for that of the process.
    pub group: Option<u32>,
}

impl ChangeFile {
    /// The mode of files that only their owner reads and writes.
    pub const OWNER_ONLY: u32 = 0o600;

    /// A file that nobody else reads.
    pub fn private(path: PathBuf) -> ChangeFile {
        ChangeFile {
            path,
            mode: ChangeFile::OWNER_ONLY,
            group: None,
        }
    }

    /// Gives a new file its group and its mode.
    fn open_to_readers(&self, file: &File) -> io::Result<()> {
        // The group first, so that no other one gets to read it. The mode is not subject to the process's mask.
        if let Some(group) = self.group {
            fchown(file, None, Some(group)).map_err(|error| {
                let problem = format!(
                    "it cannot get the group {group}: {error}; the user of this program must be in that group, and see it: \
                     PrivateUsers= of a unit hides groups"
                );
                io::Error::new(error.kind(), problem)
            })?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))
    }

    /// What keeps this process from writing there, if anything does. The file itself need not exist.
    pub fn check(&self) -> Result<(), String> {
        let path = &self.path;
        let parent = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!(
                "there is no directory {}: create it, or set another \"path\"",
                folder.display()
            ));
        }
        check_is_file(path)?;
        let place = if path.exists() { path } else { folder };
        access(place, Access::WRITE_OK).map_err(|error| {
            format!(
                "cannot write to {}: {}; under systemd, only StateDirectory= and ReadWritePaths= can be written",
                place.display(),
                io::Error::from(error)
            )
        })
    }
}

impl Publisher for NdjsonPublisher {
    fn kind(&self) -> &'static str {
        "ndjson"
    }

    fn resume(&mut self, state: &PublisherState, stored: i64) -> Result<i64, DeliveryError> {
        match self {
            NdjsonPublisher::Stdout => Ok(stored),
            NdjsonPublisher::File { to, open } => {
                *open = None;
                let (opened, last) = resume_file(to, &state.log)?;
                *open = Some(opened);
                Ok(last.unwrap_or(stored))
            }
        }
    }

    fn deliver(
        &mut self,
        state: &PublisherState,
        changes: &[Change],
    ) -> Result<Delivered, DeliveryError> {
        let log = &state.log;
        let mut lines =
            Vec::with_capacity(changes.iter().map(|change| change.json.len() + 256).sum());
        for change in changes {
            change_line::write(&mut lines, &log.connector, change);
        }
        match self {
            NdjsonPublisher::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(&lines).and_then(|()| stdout.flush());
                written.map_err(|error| {
                    let reason = format!("cannot write to standard output: {error}");
                    if error.kind() == io::ErrorKind::BrokenPipe {
                        return DeliveryError::Gone(format!(
                            "{reason}: the program that reads it has ended"
                        ));
                    }
                    DeliveryError::down(reason)
                })
            }
            NdjsonPublisher::File { to, open } => {
                let down = |error: io::Error| {
                    DeliveryError::down(format!("cannot write {}: {error}", to.path.display()))
                };
                let mut file = match open.take() {
                    Some(file) if is_at(&file, &to.path) => file,
                    // Rotated away: the next file goes on where this one ended.
                    _ => open_file(to).map_err(down)?,
                };
                append(&mut file, &lines).map_err(down)?;
                *open = Some(file);
                Ok(())
            }
        }
        .map(|()| Delivered::default())
    }
}

/// Checks that there is a file at that path, or nothing yet. A pipe has no end from which delivery could go on.
fn check_is_file(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(format!(
            "{} is not a file: set \"path\" to one, or to \"-\" to write to standard output, which can be a pipe",
            path.display()
        )),
        // What else is wrong is said when it is opened.
        _ => Ok(()),
    }
}

fn open_file(to: &ChangeFile) -> io::Result<File> {
    let path = &to.path;
    let mut options = OpenOptions::new();
    options
        .create(true)
        .read(true)
        .append(true)
        .mode(ChangeFile::OWNER_ONLY);
    let file = match ownership::create(&options, path)? {
        None => options.open(path)?,
        Some(file) => to.open_to_readers(&file).map(|()| file).inspect_err(|_| {
            // Left there, it would be used as it is at the next try.
            let _ = fs::remove_file(path);
        })?,
    };
    // The file's name must be on the disk before its lines count as delivered.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Whether this file is still at that path.
fn is_at(file: &File, path: &Path) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(ours)) => (there.ino(), there.dev()) == (ours.ino(), ours.dev()),
        _ => false,
    }
}

/// Appends whole lines and syncs them. On an error the file is cut back to whole lines.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    crash::point();
    file.write_all(lines)
        .and_then(|()| {
            crash::point();
            file.sync_data()
        })
        .inspect_err(|_| {
            // If this fails too, the torn line is cut off when delivery resumes.
            let _ = file.set_len(length);
        })
}

/// Opens the file and cuts off a torn last line. Also returns the seq of the last whole line, if there is one.
fn resume_file(to: &ChangeFile, log: &ChangeLog) -> Result<(File, Option<i64>), DeliveryError> {
    let path = &to.path;
    let down =
        |error: io::Error| DeliveryError::down(format!("cannot open {}: {error}", path.display()));
    check_is_file(path).map_err(DeliveryError::Foreign)?;
    let mut file = open_file(to).map_err(down)?;
    let (line, tail) = last_line(&mut file).map_err(down)?;
    let foreign = |what: &str| {
        DeliveryError::Foreign(format!(
            "{} {what}: either the state was removed or restored, or this is another file. Move the file away to get \
            every change in a new one, restore the state that it belongs to, or set another \"path\"",
            path.display()
        ))
    };
    let last = match &line {
        None => None,
        Some(line) => {
            let head: LineHead = serde_json::from_slice(line)
                .map_err(|_| foreign("ends with a line that is not a change"))?;
            if log.has(head.seq, &head.idempotency_key)? {
                Some(head.seq)
            } else if let Some(before) = log.before_lost(head.seq)? {
                // The branch of a state that was put back. It has everything up to where the branches parted.
                Some(before)
            } else {
                return Err(foreign(&format!(
                    "ends with seq {}, which does not belong to this state",
                    head.seq
                )));
            }
        }
    };
    if !tail.is_empty() {
        let start = change_line::START.as_bytes();
        let ours = tail.starts_with(start)
            || start.starts_with(&tail)
            || tail.iter().all(|byte| *byte == 0);
        if !ours {
            return Err(foreign("ends with text that is not a change"));
        }
        log::warn!(
            "{}: cut off {} bytes of a torn last line",
            path.display(),
            tail.len()
        );
        let whole = file
            .metadata()
            .map(|metadata| metadata.len().saturating_sub(tail.len() as u64))
            .map_err(down)?;
        file.set_len(whole)
            .and_then(|()| file.sync_data())
            .map_err(down)?;
    }
    Ok((file, last))
}

/// The last whole line, without its line break, and what follows it.
fn last_line(file: &mut File) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
    const CHUNK: usize = 64 * 1024;
    let mut end = Vec::new();
    let mut position = file.seek(SeekFrom::End(0))?;
    while position > 0 && end.iter().filter(|byte| **byte == b'\n').count() < 2 {
        let length = usize::try_from(position).map_or(CHUNK, |rest| rest.min(CHUNK));
        position -= length as u64;
        file.seek(SeekFrom::Start(position))?;
        let mut chunk = vec![0; length];
        file.read_exact(&mut chunk)?;
        chunk.append(&mut end);
        end = chunk;
    }
    let Some(line_break) = end.iter().rposition(|byte| *byte == b'\n') else {
        return Ok((None, end));
    };
    let tail = end.split_off(line_break + 1);
    end.pop();
    let start = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |line_break| line_break + 1);
    Ok((Some(end.split_off(start)), tail))
}
