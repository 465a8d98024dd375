use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last lines that are shown.
const LINES: usize = 2_000;

/// Bytes at the end of the log that are looked at for them.
const END: usize = 1 << 20;

/// Where the log is.
#[derive(Debug)]
pub enum LogSource {
    /// In the journal, under the name of a unit.
    Journal(String),
    /// In a file.
    File(PathBuf),
}

/// The last lines of the log. The error says why there are none, and what to do.
pub fn last_lines(source: &LogSource) -> Result<String, String> {
    match source {
        LogSource::Journal(unit) => {
            of_journal(unit).map_err(|why| format!("{why}; name the log's file with --log"))
        }
        LogSource::File(path) => {
            of_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        }
    }
}

fn of_journal(unit: &str) -> Result<String, String> {
    let ran = Command::new("journalctl")
        .args(["--unit", unit, "--output", "short-iso-precise"])
        .args(["--lines", &LINES.to_string(), "--no-pager", "--quiet"])
        .output()
        .map_err(|error| format!("cannot run journalctl: {error}"))?;
    let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.success() && !lines.trim().is_empty() {
        return Ok(lines);
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(match said.lines().next() {
        Some(said) => format!("journalctl --unit {unit}: {said}"),
        None => format!("journalctl has no line of {unit} that you may read"),
    })
}

fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    // A pipe, such as that of a container's logs, has an end that comes.
    let is_pipe = file.metadata()?.file_type().is_fifo();
    let (bytes, is_cut) = if is_pipe {
        end_of_pipe(file)?
    } else {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(END as u64)))?;
        let mut bytes = Vec::new();
        file.take(END as u64).read_to_end(&mut bytes)?;
        (bytes, length > END as u64)
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    // The first one may be half a line, and half a key then.
    let first = lines.len().saturating_sub(LINES).max(is_cut.into());
    Ok(lines[first.min(lines.len())..].join("\n") + "\n")
}

/// The last bytes, and whether others were before them.
fn end_of_pipe(mut pipe: impl Read) -> io::Result<(Vec<u8>, bool)> {
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    while pipe.by_ref().take(END as u64).read_to_end(&mut bytes)? > 0 {
        let surplus = bytes.len().saturating_sub(END);
        is_cut |= surplus > 0;
        bytes.drain(..surplus);
    }
    Ok((bytes, is_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_pipe_the_end_is_kept() {
        let text = b"0123456789a".repeat(END / 4);
        let (bytes, is_cut) = end_of_pipe(&text[..]).unwrap();
        assert!(is_cut && bytes == text[text.len() - END..]);
        assert_eq!(
            end_of_pipe(&text[..9]).unwrap(),
            (text[..9].to_vec(), false)
        );
    }
}
