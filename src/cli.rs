//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config;
use crate::exit::EXIT_CODES;

/// Polls an Integration Service of Formance's Generic Connector API completely, keeps an exact copy, and delivers every
/// new version of every record once.
#[derive(Debug, Parser)]
#[command(name = "generic-connector", version, after_long_help = EXIT_CODES)]
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
    Demo(DemoOptions),
    /// Poll and deliver until stopped; what systemd runs
    Run(ConfigFile),
    /// Poll until caught up, deliver everything, exit; for cron
    Poll(PollOptions),
    /// Show how far polling and delivery have come
    Status(StatusOptions),
    /// Look at the configuration and at where it delivers to, without delivering anything
    Check(ConfigFile),
    /// Look at the records that were not accepted, here or by a target, and decide about them
    Quarantine(QuarantineOptions),
    /// Decide about a publisher
    Publisher(PublisherOptions),
    /// Serve a sample Integration Service on this machine
    Sandbox(SandboxOptions),
}

/// The configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    pub config: PathBuf,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// End after that time instead of on Ctrl-C, such as 10s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
}

/// Options of `poll`.
#[derive(Debug, Args)]
pub struct PollOptions {
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
pub struct StatusOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `quarantine`.
#[derive(Debug, Args)]
pub struct QuarantineOptions {
    #[command(subcommand)]
    /// What to do.
    pub command: QuarantineCommand,
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
}

/// What to do with the quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is in it
    List {
        /// Print JSON, with the records' texts
        #[arg(long)]
        json: bool,
    },
    /// Show one record and its text
    Show {
        /// Its number in the list
        number: QuarantineNumber,
    },
    /// Let the next poll take records again, or a publisher deliver them again
    Retry {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<QuarantineNumber>,
    },
    /// Drop records; those of the service come again if it still lists them
    Drop {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<QuarantineNumber>,
    },
}

/// What is in quarantine, by its number in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineNumber {
    /// A record of the service: `7`.
    Record(i64),
    /// A version that a publisher's target refuses, by its seq: `formance/7`.
    Refused(String, i64),
}

impl std::str::FromStr for QuarantineNumber {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<QuarantineNumber, &'static str> {
        const FIX: &str = "write a number from the list, such as 7 or formance/7";
        match text.rsplit_once('/') {
            None => text.parse().map(QuarantineNumber::Record).map_err(|_| FIX),
            Some((publisher, seq)) => seq
                .parse()
                .map(|seq| QuarantineNumber::Refused(publisher.to_owned(), seq))
                .map_err(|_| FIX),
        }
    }
}

/// Options of `publisher`.
#[derive(Debug, Args)]
pub struct PublisherOptions {
    #[command(subcommand)]
    /// What to do.
    pub command: PublisherCommand,
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
}

/// What to do with a publisher.
#[derive(Debug, Subcommand)]
pub enum PublisherCommand {
    /// Deliver everything again, beside a connector that may be running
    Replay {
        /// Its name in the configuration
        name: String,
        /// Begin with that seq instead of with the first
        #[arg(long, value_name = "SEQ", default_value = "1", value_parser = clap::value_parser!(i64).range(1..))]
        from: i64,
    },
    /// Put a version into quarantine that it cannot get past, and let it go on behind it
    Skip {
        /// Its name in the configuration
        name: String,
        /// The version, as the publisher's error names it
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        seq: i64,
    },
    /// Forget one that the configuration no longer has, with how far it came and what its target refused
    Remove {
        /// The name that it had
        name: String,
    },
}

/// Options of `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxOptions {
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
