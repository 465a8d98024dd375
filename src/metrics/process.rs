use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

/// What the system says of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessFigures {
    /// CPU time of all threads, the kernel's included.
    pub cpu: Duration,
    /// Memory that is in RAM. Bytes.
    pub resident: u64,
    /// File descriptors that are open.
    pub open_files: u64,
    /// File descriptors that may be open.
    pub most_files: u64,
}

impl ProcessFigures {
    /// As they are now. 0 is what the system does not say.
    pub fn read() -> ProcessFigures {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = usage.map_or(Duration::ZERO, |usage| {
            time(usage.user_time()) + time(usage.system_time())
        });
        // The entries include the one through which they are read.
        let open_files =
            fs::read_dir("/proc/self/fd").map_or(0, |files| files.count().saturating_sub(1));
        ProcessFigures {
            cpu,
            resident: resident().unwrap_or(0),
            open_files: open_files as u64,
            most_files: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
        }
    }
}

fn time(value: TimeVal) -> Duration {
    let microseconds = value.tv_sec().saturating_mul(1_000_000) + value.tv_usec();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

/// The system says it in kB of 1024 bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
