//! The configuration: one JSON file with the keys of Formance's own connector configuration, and more, all with
//! defaults. It is read whole and checked before anything starts. An error names the key, the value and the fix.
//!
//! ```text
//!  text ─ file (schema, values, urls) ─► File ─ check (secrets, targets) ─► Config
//! ```
//!
//! What one key alone can get wrong is checked by the type of its value, when the text is read. What takes more than
//! one key, or another file, is checked afterwards.
//!
//! Relative paths begin at the configuration's own folder, because cron and systemd start programs in folders of their
//! own choice.

mod distinct;
mod file;
mod listener;
mod problems;
mod redacted;
mod schema;
mod secrets;
mod targets;
pub mod text_file;
mod urls;
mod values;

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::escaped;
use crate::store::{Retention, SweepTimes};
use crate::{poll, psp, serve, store, transport};
use file::File;
use problems::Problems;
use secrets::SecretSource;
use urls::BaseUrl;
use values::{ConnectorName, Directory, Kept, Period, Rate, Span, Whole};

pub use file::{ENTRY_KEYS, FILE_KEYS};
pub use redacted::redacted;
pub use schema::ConfigKey;
pub use targets::{TargetConfig, TargetKind};

/// The configuration of commands that name none, as the package installs it.
pub const DEFAULT_FILE: &str = "/etc/generic-connector/generic.json";

/// Where the state of [`DEFAULT_FILE`] is. Its own folder is not for data.
const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/generic-connector";

/// The folders of the instances `generic-connector@.service`, each with a `generic.json`.
const INSTANCES: &str = "/etc/generic-connector/instances";

/// Where a unit of the package has its state, if one uses this configuration.
pub fn state_of_unit(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let directory = PathBuf::from(DEFAULT_STATE_DIRECTORY);
    if file == Path::new(DEFAULT_FILE) {
        return Some(directory);
    }
    let instance = file.strip_prefix(INSTANCES).ok()?.parent()?;
    let is_one = instance.components().count() == 1 && file.ends_with("generic.json");
    is_one.then(|| directory.join("instances").join(instance))
}

/// A configuration that has been checked.
#[derive(Debug)]
pub struct Config {
    /// The connector's name and the service's endpoint.
    pub identity: store::Identity,
    /// How to reach the service.
    pub service: psp::Settings,
    /// How to poll it.
    pub polling: poll::Settings,
    /// The directory that holds the state.
    pub state_directory: PathBuf,
    /// Where Connectivity and operators are answered.
    pub serve: serve::Settings,
    /// Where to deliver. None if the configuration has no `publish`.
    pub publish: Option<Vec<TargetConfig>>,
    /// What is legal but should be looked at.
    pub warnings: Vec<String>,
}

/// What commands need that only look at the state. No secret and no other file is read for it.
#[derive(Debug)]
pub struct Outline {
    /// The directory that holds the state.
    pub state_directory: PathBuf,
    /// The time from the start of one poll to the start of the next.
    pub polling_period: Duration,
    /// When the service is swept.
    pub sweep_times: SweepTimes,
    /// The names of the publishers.
    pub publishers: Vec<String>,
    /// Where Connectivity is answered, if it is.
    pub listen: Option<SocketAddr>,
    /// The operators' own address, if they have one.
    pub observe: Option<SocketAddr>,
}

/// What commands need that change a state while no connector runs: whose it is, and where. No secret and no other file is
/// read for it.
#[derive(Debug)]
pub struct StateOwner {
    /// The connector's name and the service's endpoint.
    pub identity: store::Identity,
    /// The directory that holds the state.
    pub state_directory: PathBuf,
}

/// A configuration that cannot be used. The message names the file, the key, the value and the fix.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct Error {
    file: PathBuf,
    problem: String,
}

struct Context<'a> {
    file: &'a Path,
    /// Its folder, where relative paths begin.
    folder: &'a Path,
    /// What is legal but should be looked at.
    warnings: Vec<String>,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn read(path: &Path) -> Result<Config, Error> {
        let checked = File::read(path).and_then(|file| check(file, path));
        checked.map_err(|problem| Error::new(path, problem))
    }

    /// Checks a text as [`read`](Config::read) checks a file. `path` need not exist: relative paths begin at its folder.
    pub fn parse(text: &str, path: &Path) -> Result<Config, Error> {
        let checked = File::parse(text).and_then(|file| check(file, path));
        checked.map_err(|problem| Error::new(path, problem))
    }
}

impl Outline {
    /// Reads a configuration file and checks no more than its keys and their values.
    pub fn read(path: &Path) -> Result<Outline, Error> {
        let outline = File::read(path).and_then(|file| {
            let entries = file.entries()?.unwrap_or_default();
            Ok(Outline {
                polling_period: polling_period(&file),
                listen: file.listen,
                observe: file.observe,
                publishers: entries.iter().filter_map(targets::name_of).collect(),
                sweep_times: polling(&file).sweep_times(),
                state_directory: state_directory(file.state_directory, path)?,
            })
        });
        outline.map_err(|problem| Error::new(path, problem))
    }
}

impl StateOwner {
    /// Reads a configuration file and checks no more than its keys and their values.
    pub fn read(path: &Path) -> Result<StateOwner, Error> {
        let owner = File::read(path).and_then(|mut file| {
            Ok(StateOwner {
                identity: store::Identity {
                    name: name(&mut file)?,
                    endpoint: endpoint(&mut file)?,
                },
                state_directory: state_directory(file.state_directory, path)?,
            })
        });
        owner.map_err(|problem| Error::new(path, problem))
    }
}

impl Error {
    fn new(file: &Path, problem: String) -> Error {
        Error {
            file: file.to_owned(),
            problem,
        }
    }
}

fn check(mut file: File, path: &Path) -> Result<Config, String> {
    let mut context = Context {
        file: path,
        folder: folder_of(path),
        warnings: Vec::new(),
    };
    let mut problems = Problems::default();
    let name = problems.note(name(&mut file));
    let endpoint = problems.note(endpoint(&mut file)).unwrap_or_default();
    if urls::is_unencrypted(&endpoint) {
        context.warnings.push(format!(
            "\"endpoint\" is {endpoint:?}: the key and the data cross the network unencrypted; use https"
        ));
    }
    let service = problems.note(service(&mut file, &endpoint, &mut context));
    let serve = problems.note(listener::check(&mut file, &mut context));
    let publish = problems.note(publish(&file, &mut context));
    let state_directory = problems.note(state_directory(file.state_directory.take(), path));
    let (Some(name), Some(service), Some(mut serve), Some(publish), Some(state_directory)) =
        (name, service, serve, publish, state_directory)
    else {
        return Err(problems.text());
    };
    if let Err(problem) = distinct::check(
        &service.api_key,
        &mut serve,
        publish.as_deref(),
        &mut context,
    ) {
        problems.add(problem);
    }
    if !problems.is_empty() {
        return Err(problems.text());
    }
    let pushes = |target: &TargetConfig| matches!(target.kind, TargetKind::Formance(_));
    if serve.listen.is_some() && publish.iter().flatten().any(pushes) {
        context.warnings.push(
            "\"listen\" is set and a publisher pushes to Formance: the connector that is pushed to must not also \
            poll this program or the service, or Formance gets every payment twice"
                .to_owned(),
        );
    }
    Ok(Config {
        identity: store::Identity { name, endpoint },
        service,
        polling: polling(&file),
        state_directory,
        serve,
        publish,
        warnings: context.warnings,
    })
}

fn name(file: &mut File) -> Result<String, String> {
    let ConnectorName(name) = file
        .name
        .take()
        .ok_or("\"name\" is missing: give the connector a name, such as \"acme-bank\"")?;
    Ok(name)
}

fn endpoint(file: &mut File) -> Result<String, String> {
    let BaseUrl(endpoint) = file.endpoint.take().ok_or(
        "\"endpoint\" is missing: set it to the base URL of the Integration Service, such as \
         \"https://integration.example.com\"",
    )?;
    Ok(endpoint)
}

fn publish(file: &File, context: &mut Context) -> Result<Option<Vec<TargetConfig>>, String> {
    let entries = file.entries()?;
    entries
        .map(|entries| targets::check(entries, request_timeout(file), context))
        .transpose()
}

fn request_timeout(file: &File) -> Duration {
    file.request_timeout
        .map_or(Duration::from_secs(30), |Period(timeout)| timeout)
}

fn service(
    file: &mut File,
    endpoint: &str,
    context: &mut Context,
) -> Result<psp::Settings, String> {
    let key = SecretSource {
        key: "apiKey",
        inline: file.api_key.take(),
        file: file.api_key_file.take(),
    };
    Ok(psp::Settings {
        endpoint: endpoint.to_owned(),
        api_key: secrets::require(key, |file| file.api_key, context)?,
        max_body_bytes: file
            .max_body_bytes
            .map_or(16 << 20, |Whole(bytes)| u64::from(bytes)),
        max_requests_per_second: file.max_requests_per_second.map(|Rate(rate)| rate),
        transport: transport::Settings {
            request_timeout: request_timeout(file),
            connections: workers(file),
            trust: urls::trust(file.ca_file.as_deref(), context.folder)?,
            proxy: file.proxy.take(),
        },
    })
}

const KEPT_BALANCES: Option<Duration> = Some(Duration::from_secs(30 * 86_400));

/// Records asked for on a page of a list that is known to be long, at most a batch. Their texts have about a megabyte.
const LARGER_PAGE: u32 = 1_000;

fn polling(file: &File) -> poll::Settings {
    // Filters have whole seconds, so a part of one counts as one.
    let seconds =
        |Span(lookback): Span| lookback.as_secs() + u64::from(lookback.subsec_nanos() > 0);
    let batch_records = file
        .batch_records
        .map_or(20_000, |Whole(versions)| versions);
    let larger_page_size = LARGER_PAGE.min(batch_records);
    // Half a batch at most. A worker is left for the page that is due, and none where their number is of no use.
    let pages = batch_records / 2 / larger_page_size;
    let is_limited = file.max_requests_per_second.is_some();
    let others = u32::try_from(workers(file) - 1).unwrap_or(0);
    let pages_ahead = if is_limited { 0 } else { pages.min(others) };
    poll::Settings {
        page_size: file.page_size.map_or(100, |Whole(records)| records),
        larger_page_size,
        workers: workers(file),
        pages_ahead,
        batch_records: batch_records as usize,
        lookback: file.lookback.map_or(60, seconds),
        period: polling_period(file),
        share: polling_period(file),
        sweep_period: sweep_period(file),
        balances_period: file
            .balances_period
            .map_or(Duration::ZERO, |Period(period)| period),
        retention: Retention {
            balances: file.keep_balances.map_or(KEPT_BALANCES, |Kept(kept)| kept),
            publishers: Vec::new(),
        },
    }
}

fn workers(file: &File) -> usize {
    file.workers.map_or(16, |Whole(workers)| workers as usize)
}

fn polling_period(file: &File) -> Duration {
    file.polling_period
        .map_or(Duration::from_secs(120), |Period(period)| period)
}

fn sweep_period(file: &File) -> Duration {
    file.sweep_period
        .map_or(Duration::from_secs(86_400), |Period(period)| period)
}

fn folder_of(path: &Path) -> &Path {
    // The parent of a bare file name is empty. Joined with a path, it is the current folder.
    path.parent().unwrap_or(Path::new(""))
}

fn state_directory(given: Option<Directory>, file: &Path) -> Result<PathBuf, String> {
    let from_systemd = env::var_os("STATE_DIRECTORY");
    match (given, from_systemd) {
        (Some(Directory(path)), _) => Ok(folder_of(file).join(path)),
        // A second one would be a state that begins from nothing.
        (None, Some(paths)) if paths.as_encoded_bytes().contains(&b':') => Err(format!(
            "systemd gives several state directories, {}: set \"stateDir\" to the one that holds the state",
            shown(Path::new(&paths))
        )),
        (None, from_systemd) => Ok(default_state_directory(file, from_systemd)),
    }
}

/// Where the state is if the configuration does not say so. systemd passes `StateDirectory=` in the environment.
fn default_state_directory(file: &Path, from_systemd: Option<OsString>) -> PathBuf {
    match from_systemd.filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => state_of_unit(file).unwrap_or_else(|| folder_of(file).join("state")),
    }
}

/// A path may hold anything, line breaks too.
fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(keys: &str) -> String {
        let text = format!(r#"{{ "name": "a", "endpoint": "https://a", "apiKey": "a"{keys} }}"#);
        let config = Config::parse(&text, Path::new("generic.json"));
        format!("{:?}", config.unwrap())
    }

    #[test]
    fn the_packaged_configuration_has_its_state_where_packages_have_theirs() {
        let packaged = "/var/lib/generic-connector";
        for (file, from_systemd, expected) in [
            (DEFAULT_FILE, None, packaged),
            (DEFAULT_FILE, Some(""), packaged),
            ("/etc/generic-connector/./generic.json", None, packaged),
            (DEFAULT_FILE, Some("/var/lib/acme"), "/var/lib/acme"),
            ("generic.json", Some("/var/lib/acme"), "/var/lib/acme"),
            (
                "/etc/generic-connector/other.json",
                None,
                "/etc/generic-connector/state",
            ),
            ("generic.json", None, "state"),
            (
                "/etc/generic-connector/instances/acme/generic.json",
                None,
                "/var/lib/generic-connector/instances/acme",
            ),
            (
                "/etc/generic-connector/instances/acme/try/generic.json",
                None,
                "/etc/generic-connector/instances/acme/try/state",
            ),
        ] {
            let from_systemd = from_systemd.map(OsString::from);
            let directory = default_state_directory(Path::new(file), from_systemd);
            assert_eq!(directory, Path::new(expected), "{file}");
        }
    }

    #[test]
    fn the_table_has_the_defaults() {
        let is_a_value = |key: &&ConfigKey| key.default.starts_with(|c: char| c.is_ascii_digit());
        let keys: Vec<&ConfigKey> = FILE_KEYS.iter().filter(is_a_value).collect();
        assert_eq!(keys.len(), 9);
        for ConfigKey { name, default, .. } in keys {
            let value = match default.parse::<u32>() {
                Ok(number) => number.to_string(),
                Err(_) => format!("{default:?}"),
            };
            assert_eq!(parsed(&format!(", {name:?}: {value}")), parsed(""));
        }
    }
}
