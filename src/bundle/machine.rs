use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use crate::version;

/// Variables that change what the program does.
const VARIABLES: [&str; 6] = [
    "STATE_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "TZ",
    "NO_COLOR",
];

/// The versions of the program and of what it runs on.
pub fn machine() -> String {
    let first_line = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let line_of = |path: &str, begins: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(begins));
        line.unwrap_or("unknown").trim().to_owned()
    };
    let mut lines = vec![
        (
            "program",
            format!(
                "generic-connector {} for {}",
                version::dated(),
                version::target()
            ),
        ),
        ("sqlite", rusqlite::version().to_owned()),
        ("tls", version::TLS.to_owned()),
        ("clock", Timestamp::now().to_string()),
        ("system", line_of("/etc/os-release", "PRETTY_NAME=")),
        ("kernel", first_line("/proc/version")),
        (
            "up",
            format!("{} (seconds, and of idle CPUs)", first_line("/proc/uptime")),
        ),
        ("load", first_line("/proc/loadavg")),
        ("memory", line_of("/proc/meminfo", "MemTotal:")),
        ("available", line_of("/proc/meminfo", "MemAvailable:")),
        ("open files", line_of("/proc/self/limits", "Max open files")),
    ];
    for name in VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            lines.push((name, value.to_string_lossy().into_owned()));
        }
    }
    let line = |(name, value): &(&str, String)| format!("{name:<22} {value}\n");
    lines.iter().map(line).collect()
}

/// The configuration file and the files of the state, each with its mode, owner, group, size and date.
pub fn files(configuration: &Path, state: &Path) -> String {
    let mut text =
        "MODE     OWNER    GROUP            BYTES  CHANGED               FILE\n".to_owned();
    let mut paths = vec![configuration.to_owned(), state.to_owned()];
    match fs::read_dir(state) {
        Ok(entries) => paths.extend(entries.flatten().map(|entry| entry.path())),
        Err(error) => text += &format!("cannot list {}: {error}\n", state.display()),
    }
    paths[2..].sort();
    for path in paths {
        text += &match fs::metadata(&path) {
            Ok(metadata) => row(&path, &metadata),
            Err(error) => format!("{}: {error}\n", path.display()),
        };
    }
    text
}

fn row(path: &Path, metadata: &Metadata) -> String {
    let changed = Timestamp::from_second(metadata.mtime()).unwrap_or(Timestamp::MIN);
    format!(
        "{:06o}   {:<8} {:<8} {:>13}  {changed:.0}  {}\n",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.len(),
        path.display()
    )
}
