use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::Command;

/// The last lines that are shown.
const LINES: usize = 2_000;

/// Bytes at the end of a file that are read for them.
const END: u64 = 1 << 20;

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

fn of_file(path: &PathBuf) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    // The first one may be half a line, and half a key then.
    let first = lines
        .len()
        .saturating_sub(LINES)
        .max(usize::from(length > END));
    Ok(lines[first.min(lines.len())..].join("\n") + "\n")
}
