//! The configuration file: its keys, each with the type of its value and its documentation.
//!
//! What is said here about a key is what the manual says.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::schema::{self, ConfigKey, Form, Schema, object};
use super::text_file;
use super::urls::{BaseUrl, Url};
use super::values::{
    ConnectorName, Directory, FileGroup, FileMode, Kept, Objects, Period, Rate, Span, Whole,
};
use crate::secret::Secret;
use crate::transport::Proxy;

object! {
    /// The whole file.
    File {
        /// The connector's name, part of every idempotency key.
        "name" name: ConnectorName, default "required";
        /// The base URL of the Integration Service, without user, password, query and fragment.
        "endpoint" endpoint: BaseUrl, default "required";
        /// The bearer key that the service expects.
        "apiKey" api_key: Secret;
        /// A file that holds the key instead, unreadable for others. If neither is set, `$CREDENTIALS_DIRECTORY/apiKey`
        /// is read.
        "apiKeyFile" api_key_file: PathBuf;
        /// The time from the start of one poll to the start of the next.
        "pollingPeriod" polling_period: Period, default "2m";
        /// The length of the pages that the service is asked for. Once 1000 records of a list were read, a poll asks for 1000
        /// at a time, at most a batch. If the service refuses that, caps it, fails or is slow, it goes back to
        /// smaller pages.
        "pageSize" page_size: Whole<1, 10_000>, default "100", unit "records";
        /// The number of requests that run at once. A long list of transactions is read by up to ten of them, unless
        /// `maxRequestsPerSecond` is set.
        "workers" workers: Whole<1, 512>, default "16", unit "requests";
        /// A limit over all workers.
        "maxRequestsPerSecond" max_requests_per_second: Rate, default "unlimited", unit "requests per second";
        /// The time for one try of a request, from the name look-up to the last byte. A request is tried up to five
        /// times; all requests of a poll together have 32 retries, and half a retry more for each that succeeds.
        "requestTimeout" request_timeout: Period, default "30s";
        /// The largest answer that is read, after decompression.
        "maxBodyBytes" max_body_bytes: Whole<1024, { 1 << 30 }>, default "16777216", unit "bytes";
        /// The number of new versions after which a batch is committed, if ten seconds are not over before. It bounds memory during a first import.
        "batchRecords" batch_records: Whole<1, 1_000_000>, default "20000", unit "versions";
        /// How far a poll looks back behind its cursor for records that appeared late.
        "lookback" lookback: Span, default "1m";
        /// The time from the start of one sweep to the start of the next.
        "sweepPeriod" sweep_period: Period, default "24h";
        /// The time between two polls that ask for the balances of every account. Those of a new account are asked for at
        /// once.
        "balancesPeriod" balances_period: Period, default "every poll";
        /// How long balances are kept after others have taken their place. What a publisher has not delivered is kept
        /// longer, and the newest balances of an account always.
        "keepBalances" keep_balances: Kept, default "30d";
        /// A PEM file of the certificates to trust instead: of authorities, or of the server itself.
        "caFile" ca_file: PathBuf, default "Mozilla's roots";
        /// The URL of an HTTP proxy. The environment is not asked.
        "proxy" proxy: Proxy, default "none";
        /// The directory of the state, one for each connector.
        "stateDir" state_directory: Directory, default "$STATE_DIRECTORY, else /var/lib/generic-connector for the default configuration file, else state";
        /// Where to answer Connectivity, such as `127.0.0.1:8080`.
        "listen" listen: SocketAddr, default "off";
        /// The key that requests to the listener must carry. `listen` always requires one.
        "listenKey" listen_key: Secret;
        /// A file that holds that key instead, read again when it changes. If neither is set,
        /// `$CREDENTIALS_DIRECTORY/listenKey` is read.
        "listenKeyFile" listen_key_file: PathBuf;
        /// Where to answer operators, such as `127.0.0.1:9464`: status, metrics and pages. Without it they are at `listen`
        /// as soon as there is an `observeKey`; with it they are not there.
        "observe" observe: SocketAddr, default "that of listen";
        /// The key that opens status, metrics and pages, and neither lists nor payouts. `observe` always requires one.
        "observeKey" observe_key: Secret, default "none";
        /// A file that holds that key instead, read again when it changes. If neither is set,
        /// `$CREDENTIALS_DIRECTORY/observeKey` is read if it exists.
        "observeKeyFile" observe_key_file: PathBuf;
        /// `false` keeps the texts of records in quarantine from operators. Ids and reasons are shown all the same.
        "observeRecords" observe_records: bool, default "true";
        /// Where to deliver. `run` needs this key or `listen`; `poll` may go without and then writes `changes.ndjson` in
        /// `stateDir`.
        "publish" publish: Objects;
    }
}

object! {
    /// An entry of `publish`.
    PublishEntry {
        /// `formance`, `http` or `ndjson`.
        "type" kind: PublisherType, default "required";
        /// Unique. The publisher's place in the change log is kept under it.
        "name" name: String, default "the type";
        /// The file, or `-` for standard output. It may be rotated away at any time: the next line begins a new one.
        "path" path: PathBuf, default "required", of "ndjson";
        /// Who may read and write a new file, in octal digits, such as `0640`. The directory of the state is closed to others,
        /// so set a `path` elsewhere.
        "mode" mode: FileMode, default "0600", of "ndjson";
        /// The group of a new file, by name or number. The user that runs the program must be in it.
        "group" group: FileGroup, default "that of the user", of "ndjson";
        /// For `http`, the URL to POST to. For `formance`, the stack's: `https://stack` is short for
        /// `https://stack/api/payments/v3`; without `clientId`, that of the Payments service alone; with a path, that of
        /// the API.
        "url" url: Url, default "required", of "formance, http";
        /// A bearer key.
        "apiKey" api_key: Secret, default "none", of "http";
        /// A file that holds the key instead. If neither is set, `$CREDENTIALS_DIRECTORY/<name>.apiKey` is read if it
        /// exists.
        "apiKeyFile" api_key_file: PathBuf, of "http";
        /// The name of the installed connector, or its id.
        "connector" connector: String, default "required", of "formance";
        /// The OAuth2 client. Without it, no token is asked for.
        "clientId" client_id: String, default "none", of "formance";
        /// The client's secret.
        "clientSecret" client_secret: Secret, of "formance";
        /// A file that holds the secret instead. If neither is set, `$CREDENTIALS_DIRECTORY/<name>.clientSecret` is read.
        "clientSecretFile" client_secret_file: PathBuf, of "formance";
        /// The time for one request.
        "requestTimeout" request_timeout: Period, default "that of the service", of "formance, http";
        /// A PEM file of the certificates to trust instead: of authorities, or of the server itself. That of the service is not used.
        "caFile" ca_file: PathBuf, default "Mozilla's roots", of "formance, http";
        /// The URL of an HTTP proxy. That of the service is not used.
        "proxy" proxy: Proxy, default "none", of "formance, http";
    }
}

/// The keys of the file.
pub const FILE_KEYS: &[ConfigKey] = File::KEYS;

/// The keys of an entry of `publish`.
pub const ENTRY_KEYS: &[ConfigKey] = PublishEntry::KEYS;

impl File {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<File, String> {
        let text = text_file::read(path).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => "the configuration is not UTF-8: save it as UTF-8".to_owned(),
            ErrorKind::PermissionDenied => format!(
                "cannot read the configuration: {error}; run the command as root or as the file's owner, or let this user \
                read the file and enter the folders above it"
            ),
            _ => format!(
                "cannot read the configuration: {error}; name an existing file with --config"
            ),
        })?;
        File::parse(&text)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<File, String> {
        if text.starts_with('\u{feff}') {
            return Err(
                "the configuration starts with a byte order mark: save it as UTF-8 without one"
                    .to_owned(),
            );
        }
        // Reports what is not JSON before any key is looked at, such as half of a surrogate pair in a text.
        let json: Value = serde_json::from_str(text)
            .map_err(|error| format!("the configuration is not JSON: {error}"))?;
        if !json.is_object() {
            return Err(
                "the configuration is not a JSON object: start it with { and end it with }"
                    .to_owned(),
            );
        }
        schema::read(text)
    }

    /// The entries of `publish`, if the file has that key.
    pub fn entries(&self) -> Result<Option<Vec<PublishEntry>>, String> {
        let Some(Objects(entries)) = &self.publish else {
            return Ok(None);
        };
        let entries: Result<Vec<_>, String> = entries
            .iter()
            .map(|entry| PublishEntry::parse(entry.get()))
            .collect();
        entries
            .map(Some)
            .map_err(|problem| format!("publish: {problem}"))
    }
}

impl PublishEntry {
    /// Reads the text of an entry. A type has only some of the keys.
    pub fn parse(json: &str) -> Result<PublishEntry, String> {
        let entry: PublishEntry = schema::read(json)?;
        if let Some(kind) = entry.kind {
            let has = |key: &&ConfigKey| key.of.is_empty() || key.of.contains(kind.as_str());
            let keys: Vec<_> = PublishEntry::KEYS.iter().filter(has).collect();
            schema::only(&entry, &keys)?;
        }
        Ok(entry)
    }
}

/// The type of an entry of `publish`.
#[derive(Debug, Clone, Copy)]
pub enum PublisherType {
    Formance,
    Http,
    Ndjson,
}

impl PublisherType {
    /// The type as the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            PublisherType::Formance => "formance",
            PublisherType::Http => "http",
            PublisherType::Ndjson => "ndjson",
        }
    }
}

impl Form for PublisherType {
    const NAME: &'static str = String::NAME;

    fn read(json: &str) -> Result<PublisherType, String> {
        match String::read(json)?.as_str() {
            "formance" => Ok(PublisherType::Formance),
            "http" => Ok(PublisherType::Http),
            "ndjson" => Ok(PublisherType::Ndjson),
            _ => Err("the known types are \"formance\", \"http\" and \"ndjson\"".to_owned()),
        }
    }
}
