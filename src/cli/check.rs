use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, duration};
use crate::api::Initiation;
use crate::check::PayPlan;
use crate::check::catalogue::{self, CatalogueEntry, CheckGroup};

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    #[command(flatten)]
    /// The configuration.
    pub config: ConfigFile,
    #[command(flatten)]
    /// What is looked at.
    pub part: CheckSubject,
    /// End with 2 also after a warning, or if a must could not be verified
    #[arg(long)]
    pub strict: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the results as JUnit XML, for CI servers
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write every request and answer as an HTTP Archive, without the key
    #[arg(long, value_name = "FILE")]
    pub har: Option<PathBuf>,
    /// Check only the configuration and its files, without the network
    #[arg(long, conflicts_with_all = ["only", "skip", "strict", "junit", "har"])]
    pub offline: bool,
    /// Check step by step up to the first failed must, again and again, and show what changed: while you write a service
    #[arg(
        long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "2s",
        conflicts_with_all = ["only", "json", "junit", "har", "offline", "strict"],
    )]
    pub watch: Option<Duration>,
    #[command(flatten)]
    /// What is done beside the usual checks.
    pub modes: CheckModes,
    /// List all checks
    #[arg(long, conflicts_with_all = ["explain", "offline", "only", "json"])]
    pub list: bool,
    /// Explain a check: what is asked, what is right, what it costs and how to fix it
    #[arg(long, value_name = "ID", value_parser = known_check, conflicts_with_all = ["offline", "only", "json"])]
    pub explain: Option<&'static CatalogueEntry>,
}

/// What `check` looks at.
#[derive(Debug, Args)]
pub struct CheckSubject {
    /// Run only these checks, named by id or group, or only look at the targets; repeatable
    #[arg(long, value_name = "ID|GROUP|targets", value_delimiter = ',', value_parser = selection)]
    pub only: Vec<CheckSelection>,
    /// Leave a check out; the report shows the reason; repeatable
    #[arg(long, value_name = "ID=REASON", value_parser = skipped)]
    pub skip: Vec<SkippedCheck>,
    /// Records of each list to look at, in pages of 100
    #[arg(long, value_name = "RECORDS", default_value = "1000", value_parser = clap::value_parser!(u64).range(100..))]
    pub sample: u64,
    /// Look at all records of each list, and at the balances of all accounts
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
}

/// What `check` does beside the usual checks.
#[derive(Debug, Args)]
pub struct CheckModes {
    /// Look at the lists again and again for that long: whether records drift, go back or vanish
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["watch", "offline", "list", "explain"])]
    pub observe: Option<Duration>,
    /// Ask for changes at the PSP, and see how they appear; a change may take that long
    #[arg(
        long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "5m",
        conflicts_with_all = ["watch", "offline", "list", "explain"],
    )]
    pub change: Option<Duration>,
    #[command(flatten)]
    /// The payouts to make.
    pub pay: PayOptions,
}

/// The payouts that `check` makes.
#[derive(Debug, Args)]
pub struct PayOptions {
    /// Make payouts or transfers, 4 of them if the service is right
    #[arg(
        long, value_name = "payouts|transfers", value_parser = initiation, requires_all = ["from", "to", "amount", "currency"],
        conflicts_with_all = ["watch", "offline", "list", "explain"],
    )]
    pub pay: Option<Initiation>,
    /// The account that pays
    #[arg(long, value_name = "ACCOUNT", requires = "pay")]
    pub from: Option<String>,
    /// The beneficiary or account that is paid
    #[arg(long, value_name = "ID", requires = "pay")]
    pub to: Option<String>,
    /// The amount of each, in minor units
    #[arg(long, value_name = "AMOUNT", requires = "pay")]
    pub amount: Option<String>,
    /// The asset, such as EUR/2
    #[arg(long, value_name = "ASSET", requires = "pay")]
    pub currency: Option<String>,
    /// Do not ask before paying: the host name of the endpoint
    #[arg(long, value_name = "HOST", requires = "pay")]
    pub yes: Option<String>,
}

impl CheckSubject {
    /// The checks that `--only` names.
    pub fn selected(&self) -> Vec<&'static CatalogueEntry> {
        let selected = self.only.iter().flat_map(|selection| match selection {
            CheckSelection::Check(entry) => std::slice::from_ref(*entry),
            CheckSelection::Group(group) => group.entries,
            CheckSelection::Targets => &[],
        });
        selected.collect()
    }

    /// The checks that are left out, each with the reason.
    pub fn skipped(&self) -> Vec<(&'static CatalogueEntry, String)> {
        let skipped = self.skip.iter();
        skipped
            .map(|skipped| (skipped.entry, skipped.reason.clone()))
            .collect()
    }
}

impl PayOptions {
    /// What to pay; none if nothing is to be paid.
    pub fn plan(&self) -> Option<PayPlan> {
        Some(PayPlan {
            kind: self.pay?,
            from: self.from.clone()?,
            to: self.to.clone()?,
            amount: self.amount.clone()?,
            currency: self.currency.clone()?,
        })
    }
}

/// What `--only` selects.
#[derive(Debug, Clone, Copy)]
pub enum CheckSelection {
    /// A check.
    Check(&'static CatalogueEntry),
    /// All checks of a group.
    Group(&'static CheckGroup),
    /// The targets.
    Targets,
}

/// A check that is left out, and why.
#[derive(Debug, Clone)]
pub struct SkippedCheck {
    /// The check.
    pub entry: &'static CatalogueEntry,
    /// The reason.
    pub reason: String,
}

fn selection(text: &str) -> Result<CheckSelection, &'static str> {
    if text == "targets" {
        return Ok(CheckSelection::Targets);
    }
    let check = catalogue::find(text).map(CheckSelection::Check);
    check
        .or_else(|| catalogue::find_group(text).map(CheckSelection::Group))
        .ok_or("write targets, or an id or a group that `check --list` shows, such as F1 or Filter")
}

fn skipped(text: &str) -> Result<SkippedCheck, &'static str> {
    let (id, reason) = text
        .split_once('=')
        .filter(|(_, reason)| !reason.trim().is_empty())
        .ok_or("write the id and the reason, such as P6=the bank allows 100")?;
    Ok(SkippedCheck {
        entry: known_check(id)?,
        reason: reason.trim().to_owned(),
    })
}

fn known_check(text: &str) -> Result<&'static CatalogueEntry, &'static str> {
    catalogue::find(text).ok_or("write an id that `check --list` shows, such as F1")
}

fn initiation(text: &str) -> Result<Initiation, &'static str> {
    Initiation::from_name(text).ok_or("write payouts or transfers")
}
