//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Polls an Integration Service of Formance's Generic Connector API completely, keeps an exact copy, and delivers every
/// new version of every record once.
///
/// Exit codes: 0 done; 1 nothing could be done, or delivery did not finish; 2 done, but a stream failed or a record was
/// put into quarantine; 78 bad configuration.
#[derive(Debug, Parser)]
#[command(name = "generic-connector", version)]
pub struct Cli {
    /// Log retries and other details too
    #[arg(long, short, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it at work: a sample service, a connector on it, and what arrives
    Demo(Demo),
    /// Poll and deliver until stopped; what systemd runs
    Run(ConfigFile),
    /// Poll until caught up, deliver everything, exit; for cron
    Poll(Poll),
    /// Show how far polling and delivery have come
    Status(Status),
    /// Look at the records that were not accepted, and decide about them
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Serve a sample Integration Service on this machine
    Sandbox(Sandbox),
}

/// The configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after that time instead of on Ctrl-C, such as 10s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
}

/// Options of `poll`.
#[derive(Debug, Args)]
pub struct Poll {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// How long a publisher may go without delivering anything before the rest is left for the next run
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub delivery_patience: Duration,
    /// Read every list from its beginning as well, to its end, even if no sweep is due
    #[arg(long)]
    pub sweep: bool,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with the quarantine.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List what is in it
    List {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON, with the records' texts
        #[arg(long)]
        json: bool,
    },
    /// Show one record and its text
    Show {
        /// Its number in the list
        number: i64,
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Let the next poll take records again: one that keeps the rules by now, or the second of two under one id
    Retry {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<i64>,
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Drop records; they come again if the service still lists them
    Drop {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<i64>,
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Options of `sandbox`.
#[derive(Debug, Args)]
pub struct Sandbox {
    /// Where to listen; loopback only, port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Serve DIR's accounts, balances, beneficiaries and transactions .ndjson[.gz] instead of an invented bank
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The key that requests must carry
    #[arg(long, value_name = "KEY", default_value = "sandbox")]
    pub api_key: String,
    /// Make a new transaction and move a pending one every second
    #[arg(long)]
    pub live: bool,
    /// Hold each answer back so long, such as 50ms
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub latency: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "write a duration such as 500ms, 10s or 1h30m".to_owned())
}
