use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::asker::Asker;
use super::catalogue::{CatalogueEntry, Scope, entries, find};
use super::exchange::ShownExchange;
use super::modes::Modes;
use super::session::Session;
use super::verdict::{Level, NotPassed};
use crate::api::{PerStream, Stream, Timestamp};
use crate::psp::{self, Probe};
use crate::stop::Stop;

/// Requests that a list may cost beside those for its sample.
const REQUESTS: usize = 50;
/// Requests for balances, unless those of all accounts are asked for.
const BALANCES_REQUESTS: usize = 64;

/// What to check, and how.
pub struct Settings {
    /// How to reach the service.
    pub service: psp::Settings,
    /// Which checks to run.
    pub choice: Choice,
    /// What is done beside that.
    pub modes: Modes,
    /// How many pages of 100 records of each list to look at.
    pub sample_pages: u64,
    /// Whether to ask for the balances of all accounts.
    pub all_balances: bool,
    /// Bytes of each body that are kept for the report.
    pub kept: usize,
}

/// Which checks to run.
#[derive(Debug, Default)]
pub struct Choice {
    /// Only these; all if there are none.
    pub only: Vec<&'static CatalogueEntry>,
    /// Not these, each with the reason.
    pub skip: Vec<(&'static CatalogueEntry, String)>,
}

/// What a run found.
pub struct CheckRun {
    /// The base URL of the service.
    pub endpoint: String,
    /// When the run began.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// The result of each check that was to run, for each list, in the order of the catalogue.
    pub results: Vec<CheckResult>,
    /// Everything that was exchanged.
    pub exchanges: Vec<ShownExchange>,
    /// How many accounts the service has, and whether there may be more.
    pub accounts: (usize, bool),
    /// As many transactions.
    pub transactions: (usize, bool),
    /// How many requests a poll sends at once.
    pub workers: usize,
    /// Why nothing could be tested, if that is so.
    pub untestable: Option<String>,
    /// Payouts were asked for.
    pub pays: bool,
}

/// The result of one check on one list.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// The check.
    pub entry: &'static CatalogueEntry,
    /// The list; none if it looks at the service as a whole.
    pub stream: Option<Stream>,
    /// What it found.
    pub finding: CheckFinding,
}

/// What a check found.
#[derive(Debug, Clone)]
pub enum CheckFinding {
    /// All is right.
    Passed,
    /// The service does something else.
    Wrong {
        /// How much it matters.
        level: Level,
        /// What was seen, safe for a terminal.
        got: String,
        /// The exchanges that show it, by number.
        exchanges: Vec<usize>,
    },
    /// Nothing was found out.
    Skipped(Skipped),
}

/// Why nothing was found out.
#[derive(Debug, Clone)]
pub enum Skipped {
    /// The data lack something.
    Needs(String),
    /// That check failed.
    Because(&'static str),
    /// It was not wanted, for this reason.
    Asked(String),
}

/// Runs the checks one after the other.
pub fn run(settings: Settings, stop: Stop) -> CheckRun {
    let started = (Timestamp::now(), Instant::now());
    let sample = usize::try_from(settings.sample_pages).unwrap_or(usize::MAX);
    let modes = settings.modes;
    let most = PerStream::from_fn(|stream| match stream {
        _ if modes.take_long() => usize::MAX,
        Stream::Balances if settings.all_balances => usize::MAX,
        Stream::Balances => BALANCES_REQUESTS,
        _ => REQUESTS.saturating_add(sample),
    });
    let asker = Asker::new(Probe::new(settings.service, stop), most, settings.kept);
    let usual = entries().filter(|entry| modes.include(entry.id.chars().next()));
    let mut choice = settings.choice;
    if choice.only.is_empty() {
        choice.only = usual.collect();
    }
    let pays = modes.pay.is_some();
    let mut runner = Runner {
        session: Session::new(asker, settings.sample_pages, settings.all_balances, modes),
        choice,
        found: HashMap::new(),
    };
    let untestable = runner.untestable();
    if untestable.is_none() {
        runner.run_all();
    }
    CheckRun {
        pays,
        ..runner.end(started, untestable)
    }
}

struct Runner {
    session: Session,
    choice: Choice,
    found: HashMap<(&'static str, Stream), CheckFinding>,
}

impl Runner {
    /// Why nothing can be tested, if that is so: no answer, or no key.
    fn untestable(&mut self) -> Option<String> {
        let key = find("A3")?;
        let finding = self.find(key, Stream::Accounts);
        let CheckFinding::Wrong { got, .. } = finding else {
            return None;
        };
        let exchanges = self.session.asker.exchanges();
        let answered = exchanges.iter().any(|exchange| exchange.answer.is_ok());
        Some(if answered {
            format!("the service does not accept the key: {got}; {}", key.fix)
        } else {
            format!("the service does not answer: {got}")
        })
    }

    fn run_all(&mut self) {
        let mut wanted: Vec<&'static CatalogueEntry> =
            entries().filter(|entry| self.is_wanted(entry)).collect();
        wanted.sort_by_key(|entry| phase(entry));
        let (early, late): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|entry| phase(entry) <= LAST_OF_LISTS);
        self.run_each(&early);
        self.run_again(&early);
        self.run_each(&late);
    }

    fn run_each(&mut self, entries: &[&'static CatalogueEntry]) {
        for entry in entries {
            for &stream in entry.streams() {
                self.find(entry, stream);
            }
        }
    }

    /// Repeats what failed about order, paging and filter from the beginning: the list may have changed meanwhile.
    fn run_again(&mut self, entries: &[&'static CatalogueEntry]) {
        let is_of_a_list = |id: &str| id.starts_with(['O', 'P', 'F']);
        for stream in Stream::LISTED {
            let has_failed = self.found.iter().any(|((id, of), finding)| {
                let failed =
                    matches!(finding, CheckFinding::Wrong { level, .. } if *level != Level::Info);
                *of == stream && is_of_a_list(id) && failed
            });
            if !has_failed {
                continue;
            }
            self.session.forget(stream);
            self.found.retain(|(id, of), finding| {
                let is_final = matches!(finding, CheckFinding::Passed);
                *of != stream || is_final || !(is_of_a_list(id) || *id == "L2")
            });
        }
        self.run_each(entries);
    }

    /// What the check finds, after what it needs. It is run once.
    fn find(&mut self, entry: &'static CatalogueEntry, stream: Stream) -> CheckFinding {
        if let Some(found) = self.found.get(&(entry.id, stream)) {
            return found.clone();
        }
        let finding = self.look(entry, stream);
        self.found.insert((entry.id, stream), finding.clone());
        finding
    }

    fn look(&mut self, entry: &'static CatalogueEntry, stream: Stream) -> CheckFinding {
        let skips = self.choice.skip.iter();
        if let Some((_, reason)) = skips.clone().find(|(skipped, _)| skipped.id == entry.id) {
            return CheckFinding::Skipped(Skipped::Asked(reason.clone()));
        }
        for needed in entry.needs.iter().filter_map(|id| find(id)) {
            if let Some(cause) = self.blocked_by(needed, entry, stream) {
                return CheckFinding::Skipped(Skipped::Because(cause));
            }
        }
        match (entry.test)(&self.session, stream) {
            Ok(()) => CheckFinding::Passed,
            Err(NotPassed::Needs(what)) => CheckFinding::Skipped(Skipped::Needs(what)),
            Err(NotPassed::Because(id)) => CheckFinding::Skipped(Skipped::Because(id)),
            Err(NotPassed::Wrong(wrong)) => CheckFinding::Wrong {
                level: wrong.level.unwrap_or(entry.level),
                got: wrong.got,
                exchanges: wrong.exchanges,
            },
        }
    }

    /// The failed check because of which `entry` would say nothing new, if there is one.
    fn blocked_by(
        &mut self,
        needed: &'static CatalogueEntry,
        entry: &'static CatalogueEntry,
        stream: Stream,
    ) -> Option<&'static str> {
        let streams: Vec<Stream> = match (needed.scope, entry.scope) {
            (Scope::Service, _) => vec![Stream::Accounts],
            (Scope::EachList, Scope::Service) => Stream::LISTED.to_vec(),
            (Scope::EachList, _) => vec![stream],
            (_, Scope::Service) => needed.streams().to_vec(),
            _ if needed.streams().contains(&stream) => vec![stream],
            _ => return None,
        };
        let mut cause = None;
        for stream in streams {
            match self.find(needed, stream) {
                // A failure that matters less than usual blocks nothing.
                CheckFinding::Wrong { level, .. } if level == needed.level => {
                    cause.get_or_insert(needed.id);
                }
                CheckFinding::Skipped(Skipped::Because(id)) => {
                    cause.get_or_insert(id);
                }
                // What this list is too short for, another one may show: the same code serves them all.
                CheckFinding::Skipped(Skipped::Needs(_)) if self.fails_elsewhere(needed) => {
                    cause.get_or_insert(needed.id);
                }
                _ => return None,
            }
        }
        cause
    }

    /// Whether a check fails on one of its lists.
    fn fails_elsewhere(&mut self, entry: &'static CatalogueEntry) -> bool {
        entry.streams().iter().any(|&stream| {
            let finding = self.find(entry, stream);
            matches!(finding, CheckFinding::Wrong { level, .. } if level == entry.level)
        })
    }

    fn is_wanted(&self, entry: &CatalogueEntry) -> bool {
        let mut only = self.choice.only.iter();
        only.any(|wanted| wanted.id == entry.id)
    }

    fn end(
        mut self,
        (started, since): (Timestamp, Instant),
        untestable: Option<String>,
    ) -> CheckRun {
        let count = |stream| {
            let sample = self.session.known_sample(stream);
            sample.map_or((0, false), |sample| (sample.length(), !sample.is_whole))
        };
        let (accounts, transactions) = (count(Stream::Accounts), count(Stream::Transactions));
        let mut results = Vec::new();
        for entry in entries() {
            if !self.is_wanted(entry) {
                continue;
            }
            for &stream in entry.streams() {
                let found = self.found.remove(&(entry.id, stream));
                results.extend(found.map(|finding| CheckResult {
                    entry,
                    stream: (entry.scope != Scope::Service).then_some(stream),
                    finding,
                }));
            }
        }
        let asker = &self.session.asker;
        CheckRun {
            endpoint: asker.probe().endpoint().to_owned(),
            started,
            elapsed: since.elapsed(),
            results,
            accounts,
            transactions,
            workers: asker.probe().workers(),
            exchanges: std::mem::take(&mut *asker.exchanges()),
            untestable,
            pays: false,
        }
    }
}

/// The last phase of the checks of lists, which are run again if they fail.
const LAST_OF_LISTS: u8 = 5;

/// In which order checks run. What judges all answers comes last.
fn phase(entry: &CatalogueEntry) -> u8 {
    match (entry.id, entry.id.chars().next()) {
        ("A3" | "A5" | "A6" | "L1", _) => 0,
        ("A4", _) => 10,
        ("H7", _) => 9,
        ("H9", _) => 6,
        (_, Some('R')) => 1,
        (_, Some('A')) => 2,
        (_, Some('O')) => 3,
        (_, Some('P' | 'L')) => 4,
        (_, Some('F')) => LAST_OF_LISTS,
        (_, Some('B')) => 6,
        (_, Some('V' | 'X' | 'I')) => 7,
        _ => 8,
    }
}

impl CheckRun {
    /// The checks that failed at that level, each once, in the order in which to repair them.
    pub fn failed(&self, wanted: Level) -> Vec<&'static str> {
        let failed = self.results.iter().filter(
            |result| matches!(result.finding, CheckFinding::Wrong { level, .. } if level == wanted),
        );
        let mut failed: Vec<&'static CatalogueEntry> = failed.map(|result| result.entry).collect();
        failed.dedup_by_key(|entry| entry.id);
        failed.sort_by_key(|entry| phase(entry));
        failed.into_iter().map(|entry| entry.id).collect()
    }

    /// The musts of which nothing was found out on any list, although nothing they need failed.
    pub fn not_verified(&self) -> Vec<&'static str> {
        let mut ids: Vec<&'static str> = Vec::new();
        for result in &self.results {
            let mut same = self
                .results
                .iter()
                .filter(|other| other.entry.id == result.entry.id);
            let is_open = |finding: &CheckFinding| {
                matches!(
                    finding,
                    CheckFinding::Skipped(Skipped::Needs(_) | Skipped::Asked(_))
                )
            };
            let nothing = same.all(|other| is_open(&other.finding));
            if result.entry.level == Level::Must && nothing && !ids.contains(&result.entry.id) {
                ids.push(result.entry.id);
            }
        }
        ids
    }

    /// How long the answers to each kind of request took, ascending.
    pub fn times(&self, call: Stream) -> Vec<Duration> {
        let calls = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.call == Some(call));
        let mut times: Vec<Duration> = calls.map(|exchange| exchange.elapsed).collect();
        times.sort_unstable();
        times
    }
}
