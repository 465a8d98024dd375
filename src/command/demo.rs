use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::connector::{Connector, default_target, publishers};
use super::terminal::terminal_width;
use super::{CommandError, Exit, print};
use crate::api::object::{Account, Balances, Beneficiary, Transaction};
use crate::api::{Amount, Asset, PerStream, Stream, escaped};
use crate::cli::DemoOptions;
use crate::config::Config;
use crate::poll::{PollReport, Watch};
use crate::publish::{DeliveryError, Publisher};
use crate::sandbox::{Sandbox, Settings};
use crate::signals;
use crate::stop::Stop;
use crate::store::{Change, Delivered, PublisherState};

/// The key between the sandbox and the connector.
const KEY: &str = "demo";

/// Runs a connector on a sandbox and prints each change that arrives.
pub(super) fn run(options: &DemoOptions) -> Result<Exit, CommandError> {
    let (trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        listen,
        api_key: KEY.to_owned(),
        data: None,
        live: true,
        latency: Duration::ZERO,
        fault: None,
    };
    let sandbox = Sandbox::start(settings)?;
    let folder = Folder::make(&random_key()?).map_err(|error| {
        CommandError::failed(format!("cannot create a temporary directory: {error}"))
    })?;
    let config_file = folder.0.join("generic.json");
    let (listen_key, observe_key) = (random_key()?, random_key()?);
    let config = format!(
        "{{ \"name\": \"demo\", \"endpoint\": \"{}\", \"apiKey\": \"{KEY}\", \"pollingPeriod\": \"1s\", \
         \"stateDir\": \"state\", \"listen\": \"127.0.0.1:0\", \"listenKey\": \"{listen_key}\", \
         \"observe\": \"127.0.0.1:0\", \"observeKey\": \"{observe_key}\" }}\n",
        sandbox.url()
    );
    fs::write(&config_file, config).map_err(CommandError::failed)?;
    let mut config = Config::read(&config_file)?;
    config.warnings.clear();

    say(&format!(
        "A sample Integration Service runs at {}.",
        sandbox.url()
    ));
    say(
        "A connector polls it every second. Each line below is a change that has arrived.\nPress Ctrl-C to stop.\n",
    );
    let mut publishers = publishers(&[default_target(&config)]);
    publishers.push(("screen".to_owned(), Box::new(Shown)));
    let started = Instant::now();
    let mut totals = Totals::default();
    let mut connector = Connector::assemble(config, publishers, stop.clone(), &mut totals)?;
    say_where(&connector, &listen_key, &observe_key);
    if let Some(duration) = options.duration {
        let stop = stop.clone();
        thread::spawn(move || {
            stop.wait(duration);
            trigger.stop();
        });
    }
    let ended = connector.poller.run();
    // The changes of the last poll are still on their way.
    let remaining = connector.deliver_all(Duration::from_secs(2), &Stop::never())?;
    connector.shut_down();
    ended?;
    totals.show(started.elapsed());
    Ok(if remaining.is_empty() && totals.complete {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Says where the connector answers, and with which keys.
fn say_where(connector: &Connector, listen_key: &str, observe_key: &str) {
    if let Some(address) = connector.listens_on() {
        say(&format!(
            "Connectivity can poll the connector. So can you:\n  curl -H 'Authorization: Bearer {listen_key}' \\\n    \
            http://{address}/transactions\n"
        ));
    }
    if let Some(address) = connector.observed_on() {
        say(&format!(
            "A browser shows its status page:\n  http://demo:{observe_key}@{address}/?refresh=5\n\
            If it asks, give any user and the password {observe_key}.\n"
        ));
    }
}

fn say(line: &str) {
    print(&format!("{line}\n"));
}

/// A random key of 128 bits, in hexadecimal.
fn random_key() -> Result<String, CommandError> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| CommandError::failed("the system provides no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A temporary folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(number: &str) -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("generic-connector-demo-{number}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
struct Totals {
    polls: u64,
    requests: u64,
    versions: PerStream<i64>,
    complete: bool,
}

impl Watch for Totals {
    fn ended(&mut self, report: &PollReport) {
        self.polls += 1;
        self.requests += report.requests;
        for (stream, new) in report.versions.iter() {
            self.versions[stream] += new;
        }
        self.complete = report.failed == 0;
    }
}

impl Totals {
    fn show(&self, elapsed: Duration) {
        let versions: Vec<String> = self
            .versions
            .iter()
            .map(|(stream, new)| format!("{new} {stream}"))
            .collect();
        say(&format!(
            "\nArrived: {},\neach version once, in {} polls with {} requests in {:.1} s.",
            versions.join(", "),
            self.polls,
            self.requests,
            elapsed.as_secs_f64()
        ));
    }
}

struct Shown;

impl Publisher for Shown {
    fn kind(&self) -> &'static str {
        "screen"
    }

    fn resume(&mut self, _: &PublisherState, stored: i64) -> Result<i64, DeliveryError> {
        Ok(stored)
    }

    fn deliver(
        &mut self,
        _: &PublisherState,
        changes: &[Change],
    ) -> Result<Delivered, DeliveryError> {
        // What does not fit is left out: a broken line is harder to read.
        let width = terminal_width().unwrap_or(usize::MAX);
        for change in changes {
            say(readable(change)
                .chars()
                .take(width)
                .collect::<String>()
                .trim_end());
        }
        Ok(Delivered::default())
    }
}

fn readable(change: &Change) -> String {
    format!(
        "{:>5}  {:<14}{:<20}{}",
        change.seq,
        change.stream.name(),
        escaped(&change.id),
        content(change).unwrap_or_else(|_| escaped(&change.json))
    )
}

fn content(change: &Change) -> serde_json::Result<String> {
    let json = &change.json;
    Ok(match change.stream {
        Stream::Accounts => escaped(&serde_json::from_str::<Account>(json)?.account_name),
        Stream::Beneficiaries => escaped(&serde_json::from_str::<Beneficiary>(json)?.owner_name),
        Stream::Balances => {
            let balances = serde_json::from_str::<Balances>(json)?.balances;
            let amounts = balances.iter();
            let amounts = amounts.map(|balance| money(&balance.amount, &balance.currency));
            amounts.collect::<Vec<_>>().join(", ")
        }
        Stream::Transactions => {
            let transaction: Transaction = serde_json::from_str(json)?;
            let account = |id: Option<_>| id.map_or("outside".to_owned(), escaped);
            format!(
                "{:<9}{:<10}{:>14}  {} -> {}",
                escaped(&transaction.kind),
                escaped(&transaction.status),
                money(&transaction.amount, &transaction.currency),
                account(transaction.source_account_id.as_deref()),
                account(transaction.destination_account_id.as_deref())
            )
        }
    })
}

/// An amount in major units with its asset's code. If one of them breaks the API, both stay as they are.
fn money(amount: &str, currency: &str) -> String {
    match (Amount::parse(amount), Asset::parse(currency)) {
        (Ok(amount), Ok(asset)) => format!(
            "{} {}",
            amount.in_major_units(asset.decimals()),
            asset.code()
        ),
        _ => format!("{} {}", escaped(amount), escaped(currency)),
    }
}
