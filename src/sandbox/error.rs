use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can be reached from other machines.
    #[error(
        "the sandbox cannot listen on {0}: it must be reachable from this machine only; use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The server cannot start. Usually the port is taken.
    #[error(
        "the sandbox cannot listen on {address}: {reason}; choose another port, or port 0 for a free one"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's message.
        reason: io::Error,
    },
    /// The system starts no more threads.
    #[error("the sandbox cannot start a thread: {0}; raise the limit on tasks")]
    Thread(#[source] io::Error),
    /// The directory has none of the files.
    #[error(
        "the sandbox found nothing to serve in {}: it needs at least one of accounts.ndjson, balances.ndjson, \
         beneficiaries.ndjson and transactions.ndjson , plain or with .gz appended",
        .0.display()
    )]
    NoData(PathBuf),
    /// The directory has a stream twice, plain and compressed.
    #[error("the sandbox found both {} and {}: remove one", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// A file cannot be opened.
    #[error("the sandbox cannot open {}: {reason}; check the path and that this user may read it", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's message.
        reason: io::Error,
    },
    /// A line of a file is not a valid record.
    #[error("the sandbox cannot read line {line} of {}: {problem}; correct the line or remove it", file.display())]
    Data {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// The fault of the line.
        problem: String,
    },
}
