//! The configuration: one JSON file with the keys of Formance's own connector configuration, and more, all with
//! defaults. Read whole and checked before anything starts; an error names the key, the value and the fix.
//!
//! Relative paths are taken from the configuration file's own folder, so that cron and systemd, which start programs
//! in folders of their own choice, find the same files.

mod keys;
mod secrets;
mod targets;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Uri;

use crate::api::escaped;
use crate::{poll, psp, publish, serve, store};
use keys::Keys;
use secrets::{API_KEY, LISTEN_KEY};

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
    /// Where to listen; none if the configuration has no `listen`.
    pub listen: Option<serve::Settings>,
    /// Where to deliver; none if the configuration has no `publish`.
    pub publish: Option<Vec<Target>>,
    /// What is legal but should be looked at.
    pub warnings: Vec<String>,
}

/// One entry of `publish`.
#[derive(Debug, Clone)]
pub struct Target {
    /// Unique; its offset is kept under it.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
}

/// What a publisher delivers to.
#[derive(Debug, Clone)]
pub enum TargetKind {
    /// A file, one change a line.
    NdjsonFile(PathBuf),
    /// Standard output, one change a line.
    NdjsonStdout,
    /// A URL that change lines are POSTed to.
    Http(publish::HttpSettings),
    /// The Payments API of a Formance stack.
    Formance(publish::FormanceSettings),
}

/// A configuration that cannot be used. The message names the file, the key, the value and the fix.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct Error {
    file: PathBuf,
    problem: String,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn read(file: &Path) -> Result<Config, Error> {
        let checked = text_of(file).and_then(|text| check(&text, file));
        checked.map_err(|problem| Error {
            file: file.to_owned(),
            problem,
        })
    }

    /// Checks a text as [`read`](Config::read) checks the file that holds it. `file` need not exist: its folder is where
    /// relative paths begin.
    pub fn parse(text: &str, file: &Path) -> Result<Config, Error> {
        check(text, file).map_err(|problem| Error {
            file: file.to_owned(),
            problem,
        })
    }
}

/// The state directory of a configuration file, checked no further than that: for commands that only read the state.
pub fn state_directory(file: &Path) -> Result<PathBuf, Error> {
    let find = || state_directory_of(&mut Keys::parse(&text_of(file)?)?, &folder_of(file));
    find().map_err(|problem| Error {
        file: file.to_owned(),
        problem,
    })
}

/// The polling period of a configuration file, checked no further than that.
pub fn polling_period(file: &Path) -> Result<Duration, Error> {
    let find = || period_of(&mut Keys::parse(&text_of(file)?)?);
    find().map_err(|problem| Error {
        file: file.to_owned(),
        problem,
    })
}

/// The names of the publishers of a configuration file, checked no further than that.
pub fn publisher_names(file: &Path) -> Result<Vec<String>, Error> {
    let find = || targets::names(&mut Keys::parse(&text_of(file)?)?);
    find().map_err(|problem| Error {
        file: file.to_owned(),
        problem,
    })
}

fn period_of(keys: &mut Keys) -> Result<Duration, String> {
    keys.duration("pollingPeriod", Duration::from_secs(120))
}

fn check(text: &str, file: &Path) -> Result<Config, String> {
    let folder = folder_of(file);
    let mut keys = Keys::parse(text)?;
    let mut warnings = Vec::new();

    let name = keys
        .text("name")?
        .ok_or("\"name\" is missing: give the connector a name, such as \"acme-bank\"")?;
    if name.is_empty() || name.len() > 500 || name.chars().any(|c| c.is_control() || c == '/') {
        return Err(keys.bad(
            "name",
            "use 1 to 500 characters without \"/\", such as \"acme-bank\"",
        ));
    }
    let endpoint = keys.text("endpoint")?.ok_or(
        "\"endpoint\" is missing: set it to the base URL of the Integration Service, such as \
         \"https://integration.example.com\"",
    )?;
    let endpoint = check_endpoint(&endpoint).map_err(|fix| match endpoint.contains('@') {
        // A password may stand before it.
        true => keys.bad_secret("endpoint", fix),
        false => keys.bad("endpoint", fix),
    })?;
    if !endpoint.starts_with("https:") && !is_loopback(&endpoint) {
        warnings.push(format!(
            "\"endpoint\" is {endpoint:?}: the key and the data cross the network unencrypted; use https"
        ));
    }
    let place = Place {
        file,
        folder: &folder,
    };
    let api_key = API_KEY.read(&mut keys, &place, &mut warnings)?;

    let period = period_of(&mut keys)?;
    let page_size = keys.number("pageSize", 100, 1, 10_000)? as u32;
    let workers = keys.number("workers", 16, 1, 512)? as usize;
    let batch_records = keys.number("batchRecords", 20_000, 1, 1_000_000)? as usize;
    let lookback = keys.duration_or_zero("lookback", Duration::from_secs(60))?;
    let sweep_period = keys.duration("sweepPeriod", Duration::from_secs(86_400))?;
    let request_timeout = keys.duration("requestTimeout", Duration::from_secs(30))?;
    let max_body_bytes = keys.number("maxBodyBytes", 16 << 20, 1024, 1 << 30)? as u64;
    let max_requests_per_second = keys.rate("maxRequestsPerSecond")?;
    let root_certificates = root_certificates(&mut keys, &folder)?;
    let proxy = proxy(&mut keys)?;
    let state_directory = state_directory_of(&mut keys, &folder)?;
    let listen = listen(&mut keys, &place, &mut warnings)?;
    let publish = targets::read(&mut keys, &place, request_timeout, &mut warnings)?;
    keys.finish()?;
    let pushes = |target: &Target| matches!(target.kind, TargetKind::Formance(_));
    if listen.is_some() && publish.iter().flatten().any(pushes) {
        warnings.push(
            "\"listen\" is set and a publisher pushes to Formance: the connector that is pushed to must not be one that polls \
             here or the service, or its payments are told in two ways"
                .to_owned(),
        );
    }

    Ok(Config {
        identity: store::Identity {
            name,
            endpoint: endpoint.clone(),
        },
        service: psp::Settings {
            endpoint,
            api_key,
            request_timeout,
            max_body_bytes,
            max_requests_per_second,
            connections: workers,
            root_certificates,
            proxy,
        },
        // Filters have whole seconds, so a part of one counts as one.
        polling: poll::Settings {
            page_size,
            workers,
            batch_records,
            lookback: lookback.as_secs_f64().ceil() as u64,
            period,
            sweep_period,
        },
        state_directory,
        listen,
        publish,
        warnings,
    })
}

fn text_of(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| {
        format!("cannot read the configuration: {error}; name an existing file with --config")
    })
}

fn folder_of(file: &Path) -> PathBuf {
    // Of a bare file name the parent is empty, which joins as the current folder does.
    file.parent().map(Path::to_owned).unwrap_or_default()
}

fn state_directory_of(keys: &mut Keys, folder: &Path) -> Result<PathBuf, String> {
    let given = keys.text("stateDir")?;
    Ok(match given {
        Some(path) if path.is_empty() => {
            return Err(keys.bad("stateDir", "name a directory, or leave the key out"));
        }
        Some(path) => folder.join(path),
        None => match std::env::var_os("STATE_DIRECTORY").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => folder.join("state"),
        },
    })
}

/// The endpoint without its trailing slashes, or what is wrong with it.
fn check_endpoint(endpoint: &str) -> Result<String, &'static str> {
    check_url(endpoint)?;
    if endpoint.contains(['?', '#']) {
        return Err(
            "leave the query and the fragment out; it is a base URL, to which paths are appended",
        );
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

/// What is wrong with a URL, if anything is.
fn check_url(url: &str) -> Result<(), &'static str> {
    const NO_HOST: &str = "name a host, as in \"https://integration.example.com\"";
    let uri: Uri = url
        .parse()
        .map_err(|_| "use a URL such as \"https://integration.example.com\"")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("begin it with https:// (or http:// on this machine)");
    }
    let authority = uri.authority().ok_or(NO_HOST)?;
    if authority.as_str().contains('@') {
        return Err("leave user and password out; the key goes into \"apiKey\" or \"apiKeyFile\"");
    }
    match authority.host().is_empty() {
        true => Err(NO_HOST),
        false => Ok(()),
    }
}

/// Whether the endpoint is on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let uri: Option<Uri> = endpoint.parse().ok();
    let host = uri
        .as_ref()
        .and_then(Uri::host)
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The configuration's file and folder.
struct Place<'a> {
    file: &'a Path,
    folder: &'a Path,
}

/// Where to listen. A key is always needed: a reverse proxy makes loopback public.
fn listen(
    keys: &mut Keys,
    place: &Place,
    warnings: &mut Vec<String>,
) -> Result<Option<serve::Settings>, String> {
    /// Characters. A shorter key can be guessed.
    const SHORTEST_KEY: usize = 16;
    let Some(text) = keys.text("listen")? else {
        for name in [LISTEN_KEY.key, LISTEN_KEY.key_file] {
            if keys.text(name).is_ok_and(|value| value.is_some()) {
                return Err(format!(
                    "\"{name}\" is set, but \"listen\" is not: set it to an address and a port, such as \"127.0.0.1:8080\""
                ));
            }
        }
        return Ok(None);
    };
    let address: SocketAddr = text.parse().map_err(|_| {
        keys.bad(
            "listen",
            "use an IP address of this machine and a port, such as \"127.0.0.1:8080\"",
        )
    })?;
    let key = LISTEN_KEY.read(keys, place, warnings)?;
    if key.current().expose().len() < SHORTEST_KEY {
        warnings.push(format!(
            "the key of \"listen\" has fewer than {SHORTEST_KEY} characters and can be guessed; make a longer one, as with: \
             openssl rand -hex 32"
        ));
    }
    if !address.ip().is_loopback() {
        warnings.push(format!(
            "\"listen\" is {address}: keys and data cross the network unencrypted unless a reverse proxy on this machine \
             speaks TLS and \"listen\" is 127.0.0.1"
        ));
    }
    Ok(Some(serve::Settings { address, key }))
}

/// A path may hold anything, line breaks too.
fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// Whether the mode lets others than the owner and the group read. The group may: systemd shows credentials so.
fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let pem = fs::read(path).map_err(|error| format!("cannot read {}: {error}", shown(path)))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("{} is not a PEM file: {error}", shown(path))),
        }
    }
    match certificates.is_empty() {
        true => Err(format!(
            "{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
            shown(path)
        )),
        false => Ok(certificates),
    }
}

fn root_certificates(
    keys: &mut Keys,
    folder: &Path,
) -> Result<Option<Vec<ureq::tls::Certificate<'static>>>, String> {
    match keys.text("caFile")? {
        Some(path) => certificates(&folder.join(&path))
            .map(Some)
            .map_err(|fix| keys.bad("caFile", fix)),
        None => Ok(None),
    }
}

fn proxy(keys: &mut Keys) -> Result<Option<ureq::Proxy>, String> {
    match keys.secret("proxy")? {
        Some(url) => ureq::Proxy::new(&url).map(Some).map_err(|_| {
            keys.bad_secret(
                "proxy",
                "use a URL such as \"http://proxy.example.com:3128\"",
            )
        }),
        None => Ok(None),
    }
}
