//! The command line.

mod check;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::Stream;
use crate::config;
use crate::exit::EXIT_CODES;
use crate::sandbox::Fault;
use crate::store::QuarantineNumber;
use crate::version;

pub use check::{CheckOptions, CheckSelection, PayOptions};

/// Polls an Integration Service of Formance's Generic Connector API completely, keeps an exact copy, and delivers every
/// new version of every record once.
#[derive(Debug, Parser)]
#[command(
    name = "generic-connector",
    version,
    long_version = version::long(),
    after_long_help = EXIT_CODES
)]
pub struct Cli {
    /// Log details such as retries
    #[arg(long, short, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a connector at work on a sample service
    Demo(DemoOptions),
    /// Write a configuration, and ask the service for its lists
    Init(InitOptions),
    /// Poll and deliver until stopped, as a service
    Run(ConfigFile),
    /// Poll until caught up, deliver everything and exit, as from cron
    Poll(PollOptions),
    /// Let the next sweep begin after the next poll of a running connector
    Sweep(ConfigFile),
    /// Show how far polling and delivery have come
    Status(StatusOptions),
    /// Ask a running connector whether it works, as containers do
    Healthcheck(ConfigFile),
    /// Check the Integration Service, the configuration and its targets; this delivers nothing
    Check(Box<CheckOptions>),
    /// Explain a check, a quirk, a key of the configuration, an alarm or another message, or how to write a service
    Explain(ExplainOptions),
    /// Show, retry or drop quarantined records and versions that a target refuses
    Quarantine(QuarantineOptions),
    /// Replay or skip versions of a publisher, or remove it
    Publisher(PublisherOptions),
    /// Date a list above what Connectivity says it has read
    Listing(ListingOptions),
    /// Show payouts and transfers whose outcome is unknown, or settle them
    Initiation(InitiationOptions),
    /// Check the whole state for damage; the connector may be running
    Verify(ConfigFile),
    /// Copy the state to a new file; the connector may be running
    Backup(BackupOptions),
    /// Put a copy in the place of the state; the connector must be stopped
    Restore(RestoreOptions),
    /// Say that the state was put back from an older copy; the connector must be stopped
    Restored(ConfigFile),
    /// Bring the state of an older version to this one, or say what that takes; the connector must be stopped
    Migrate(MigrateOptions),
    /// Collect what somebody who helps needs in one archive, without keys and records
    SupportBundle(SupportBundleOptions),
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
    /// Stop after this time instead of on Ctrl-C, such as 10s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
}

/// Options of `init`. What is not given is asked for.
#[derive(Debug, Args)]
pub struct InitOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// The connector's name, such as acme-bank
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The base URL of the service
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// A file that has the API key of the service, which is copied
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The id of a check, such as F1; the letter of a group; a key of the configuration; a message; or guide, which is how to
    /// write a service
    #[arg(
        required = true,
        value_name = "ID|KEY|MESSAGE|guide",
        allow_hyphen_values = true
    )]
    pub topic: Vec<String>,
}

/// Options of `poll`.
#[derive(Debug, Args)]
pub struct PollOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// How long a publisher may make no progress before the rest is left to the next run
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub delivery_patience: Duration,
    /// Also read every list from beginning to end, even if no sweep is due
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
    /// Exit with 2 if there is a warning, for monitoring
    #[arg(long)]
    pub check: bool,
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
    /// List them
    List {
        /// Print JSON, including the records' texts
        #[arg(long)]
        json: bool,
    },
    /// Show one with its text
    Show {
        /// Its number in the list
        number: QuarantineNumber,
    },
    /// Retry records at the next poll, or deliver versions again
    Retry {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<QuarantineNumber>,
    },
    /// Drop records or versions; a record returns if the service still lists it
    Drop {
        /// Their numbers in the list
        #[arg(required = true)]
        numbers: Vec<QuarantineNumber>,
    },
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
    /// Deliver everything again; the connector may be running
    Replay {
        /// Its name in the configuration
        name: String,
        /// Start with this seq instead of the first one
        #[arg(long, value_name = "SEQ", default_value = "1", value_parser = clap::value_parser!(i64).range(1..))]
        from: i64,
    },
    /// Quarantine a version on which the target keeps failing, and continue after it
    Skip {
        /// Its name in the configuration
        name: String,
        /// The seq of the version, as the publisher's error names it
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        seq: i64,
    },
    /// Forget a publisher that is no longer in the configuration, with its offset and refused versions
    Remove {
        /// The name that it had
        name: String,
    },
}

/// Options of `listing`.
#[derive(Debug, Args)]
pub struct ListingOptions {
    #[command(subcommand)]
    /// What to do.
    pub command: ListingCommand,
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
}

/// What to do with a list.
#[derive(Debug, Subcommand)]
pub enum ListingCommand {
    /// Date the list again above the bound with which Connectivity last got 503; the connector may be running
    Adopt {
        /// The list: accounts, beneficiaries or transactions
        #[arg(value_parser = listed)]
        list: Stream,
    },
}

/// Options of `initiation`.
#[derive(Debug, Args)]
pub struct InitiationOptions {
    #[command(subcommand)]
    /// What to do.
    pub command: InitiationCommand,
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
}

/// What to do with payouts and transfers.
#[derive(Debug, Subcommand)]
pub enum InitiationCommand {
    /// List those without an outcome, and those that the service made differently
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Record what became of one, as the PSP shows it; the connector may be running
    Settle {
        /// Its idempotencyKey
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// Whether it was made, or was not and never will be
        outcome: SettledAs,
        /// The id that the service gave to what it made, and that its transaction has
        #[arg(allow_hyphen_values = true, required_if_eq("outcome", "made"))]
        id: Option<String>,
    },
}

/// What became of a payout or transfer.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SettledAs {
    /// It was made.
    Made,
    /// It was not made and never will be.
    Refused,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct BackupOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// The directory that gets the copy
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// How many copies stay there, the newest ones
    #[arg(long, value_name = "COPIES", default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: u16,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// The copy
    pub file: PathBuf,
}

/// Options of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// Say what it takes in time and room, and change nothing; the connector may be running
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `support-bundle`.
#[derive(Debug, Args)]
pub struct SupportBundleOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    /// The directory that gets the archive
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
    /// The unit whose lines in the journal are the log
    #[arg(long, value_name = "UNIT", default_value = "generic-connector.service")]
    pub unit: String,
    /// The file that has the log instead
    #[arg(long, value_name = "FILE", conflicts_with = "unit")]
    pub log: Option<PathBuf>,
    /// Leave out what check says of the service
    #[arg(long)]
    pub offline: bool,
}

/// Options of `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxOptions {
    /// The loopback address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Serve accounts, balances, beneficiaries and transactions .ndjson[.gz] from DIR instead of an invented bank
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The key that requests must carry
    #[arg(long, value_name = "KEY", default_value = "sandbox")]
    pub api_key: String,
    /// Create a transaction and advance a pending one every second
    #[arg(long)]
    pub live: bool,
    /// Delay each answer by this time, such as 50ms
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub latency: Duration,
    /// Depart from the API in one way; --help lists the names
    #[arg(long, value_name = "NAME", value_parser = fault, long_help = fault_help())]
    pub fault: Option<Fault>,
}

fn fault(text: &str) -> Result<Fault, &'static str> {
    Fault::from_name(text).ok_or("write a name that `sandbox --help` lists, such as past404")
}

fn fault_help() -> String {
    let faults = Fault::help();
    format!("Depart from the API in one way, so that one check of `check` fails:\n\n{faults}")
}

fn listed(text: &str) -> Result<Stream, &'static str> {
    Stream::from_name(text)
        .filter(|stream| Stream::LISTED.contains(stream))
        .ok_or("write accounts, beneficiaries or transactions")
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "write a duration such as 500ms, 10s or 1h30m".to_owned())
}
