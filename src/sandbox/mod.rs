//! A sample Integration Service: what the `demo` and `sandbox` commands serve, and what tests poll.
//!
//! It speaks the Generic Connector API strictly, so that a connector that works with it works with a service that keeps
//! the rules. It serves an invented bank (`bank`) or a directory of NDJSON files (`data`), is asked through `answer`,
//! makes payouts and transfers (`initiation`), and can change while it is read (`live`).
//!
//! It stands on tiny_http, which must not face a network: it listens on loopback only. Nothing else in the house
//! depends on it but the commands.

mod answer;
mod bank;
mod data;
mod http;
mod initiation;
mod live;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tiny_http::{Header, Request, Response};

use crate::api::Timestamp;
use crate::stop::{Stop, Stopper};
use answer::Answer;
use data::Data;
use live::Live;

pub use http::HttpServer;

/// How often the data changes when [`Settings::live`] is set.
const LIVE_PERIOD: Duration = Duration::from_secs(1);

/// What a sandbox serves, and how.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; must be a loopback address. Port 0 chooses a free one.
    pub listen: SocketAddr,
    /// The bearer key that every request must carry.
    pub api_key: String,
    /// A directory of `accounts|balances|beneficiaries|transactions.ndjson[.gz]` to serve instead of the built-in bank.
    pub data: Option<PathBuf>,
    /// Whether to make a new transaction and move a pending one every second.
    pub live: bool,
    /// How long each answer is held back.
    pub latency: Duration,
}

/// A running service. It stops when it is dropped.
pub struct Sandbox {
    server: HttpServer,
    /// Taken when it is dropped.
    stopper: Option<Stopper>,
    live: Option<JoinHandle<()>>,
}

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of this machine's own.
    #[error(
        "the sandbox cannot listen on {0}: it may be reached from this machine only; use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error(
        "the sandbox cannot listen on {address}: {reason}; choose another port, or port 0 for a free one"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The system starts no more threads.
    #[error("the sandbox cannot start a thread: {0}; raise the limit on tasks")]
    Thread(#[source] io::Error),
    /// None of the files is in the directory.
    #[error(
        "the sandbox finds nothing to serve in {}: it needs at least one of accounts.ndjson, balances.ndjson, \
         beneficiaries.ndjson and transactions.ndjson there, plain or with .gz after the name",
        .0.display()
    )]
    NoData(PathBuf),
    /// A stream is there twice, plain and compressed.
    #[error("the sandbox finds both {} and {}: remove one", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// A file cannot be opened.
    #[error("the sandbox cannot open {}: {reason}; check the path and that this user may read it", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A line of a file is not a record that can be served.
    #[error("the sandbox cannot read line {line} of {}: {problem}; correct the line or remove it", file.display())]
    Data {
        /// The file.
        file: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl Sandbox {
    /// Reads the data, binds, starts the threads, and returns at once.
    ///
    /// An address that is not loopback or is taken, and data that cannot be read to the last line, are errors.
    pub fn start(settings: Settings) -> Result<Sandbox, Error> {
        if !settings.listen.ip().is_loopback() {
            return Err(Error::NotLoopback(settings.listen));
        }
        let data = match &settings.data {
            Some(directory) => Data::load(directory)?,
            None => bank::data(Timestamp::now().second())?,
        };
        let data = Arc::new(RwLock::new(data));
        let (stopper, stop) = Stop::new();
        let service = Service {
            data: data.clone(),
            api_key: settings.api_key,
            latency: settings.latency,
            stop: stop.clone(),
        };
        let server = HttpServer::start(settings.listen, move |request| service.serve(request))
            .map_err(|error| Error::Bind {
                address: settings.listen,
                reason: error.to_string(),
            })?;
        let live = match settings.live {
            true => {
                let live = thread::Builder::new().name("sandbox-live".to_owned());
                Some(
                    live.spawn(move || change(&data, &stop))
                        .map_err(Error::Thread)?,
                )
            }
            false => None,
        };
        Ok(Sandbox {
            server,
            stopper: Some(stopper),
            live,
        })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The endpoint to configure a connector with: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Drop for Sandbox {
    /// Ends the answers that are being held back and the changes; the server then stops by being dropped itself.
    fn drop(&mut self) {
        self.stopper = None;
        if let Some(live) = self.live.take() {
            // A panic has been reported by its own thread.
            let _ = live.join();
        }
    }
}

/// What answers the requests.
struct Service {
    data: Arc<RwLock<Data>>,
    api_key: String,
    latency: Duration,
    stop: Stop,
}

impl Service {
    fn serve(&self, mut request: Request) {
        let key = request
            .headers()
            .iter()
            .find(|header| header.field.equiv("Authorization"))
            .map(|header| header.value.as_str());
        let answer = if answer::is_authorised(key, &self.api_key) {
            let (method, target) = (request.method().to_string(), request.url().to_owned());
            Answer::to(&method, &target, request.as_reader(), &self.data)
        } else {
            Answer::unauthorised(key.is_some())
        };
        if !self.latency.is_zero() {
            // Ends early when the sandbox is dropped.
            self.stop.wait(self.latency);
        }
        let mut response = Response::from_data(answer.body)
            .with_status_code(answer.status)
            .with_chunked_threshold(usize::MAX);
        let headers = [Some(("Content-Type", "application/json")), answer.header];
        for (name, value) in headers.into_iter().flatten() {
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        if let Err(error) = request.respond(response) {
            log::debug!("the sandbox could not send an answer: {error}");
        }
    }
}

/// Changes the data every second until the sandbox stops.
fn change(data: &RwLock<Data>, stop: &Stop) {
    let mut live = Live::new(&data.read().unwrap_or_else(PoisonError::into_inner));
    while !stop.wait(LIVE_PERIOD) {
        // The change is dated under the lock, so that no reader can pass its date before it is there.
        let mut data = data.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(problem) = live.change(&mut data) {
            log::warn!("the sandbox could not change its data this second: {problem}");
        }
    }
}
