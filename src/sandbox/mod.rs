//! A sample Integration Service. The commands `demo` and `sandbox` serve it, and tests poll it.
//!
//! It implements the Generic Connector API strictly. A connector that works with it works with every service that keeps
//! the rules. It listens on loopback only. Only the commands depend on it.
//!
//! | file | contents |
//! |---|---|
//! | `data` | the records, loaded from NDJSON files or text |
//! | `bank` | the built-in data: an invented bank |
//! | `initiation` | payouts and transfers |
//! | `state` | data and initiations behind one lock |
//! | `live` | changes to the state while it is read |
//! | `answer` | the answers to requests |
//! | `fault` | what it does wrong, if that is wanted |
//! | `latency` | answers that are held back |

mod answer;
mod bank;
mod data;
mod error;
mod fault;
mod initiation;
mod latency;
mod live;
mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::api::Timestamp;
use crate::http::{Limits, Server};
use crate::stop::{Stop, Stopper};
use answer::Answers;
use data::Data;
use fault::FaultMemory;
use latency::Latency;
use state::SharedState;

pub use error::Error;
pub use fault::Fault;

/// How long answers under way may take when the sandbox stops.
const GRACE: Duration = Duration::from_secs(1);

/// The data and the behaviour of a sandbox.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; must be a loopback address. Port 0 chooses a free port.
    pub listen: SocketAddr,
    /// The bearer key that every request must carry.
    pub api_key: String,
    /// A directory of `accounts|balances|beneficiaries|transactions.ndjson[.gz]` to serve instead of the built-in bank.
    pub data: Option<PathBuf>,
    /// Whether to add a transaction and settle a pending one every second.
    pub live: bool,
    /// The least time from a request to its answer.
    pub latency: Duration,
    /// What it does wrong.
    pub fault: Option<Fault>,
}

/// A running service. It stops when it is dropped.
pub struct Sandbox {
    server: Server,
    /// Taken on drop.
    stopper: Option<Stopper>,
    live: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Reads the data, binds, starts the threads, and returns at once.
    ///
    /// Fails if the address is not loopback or is taken, or if a line of the data is not valid.
    pub fn start(settings: Settings) -> Result<Sandbox, Error> {
        if !settings.listen.ip().is_loopback() {
            return Err(Error::NotLoopback(settings.listen));
        }
        let data = match &settings.data {
            Some(directory) => Data::load(directory)?,
            None => bank::data(Timestamp::now().second())?,
        };
        let state = SharedState::new(data);
        let (stopper, stop) = Stop::new();
        let latency = (!settings.latency.is_zero())
            .then(|| Latency::start(settings.latency, stop.clone()))
            .transpose()
            .map_err(Error::Thread)?;
        let answers = Answers {
            state: state.clone(),
            api_key: settings.api_key,
            latency,
            fault: settings.fault,
            memory: FaultMemory::default(),
        };
        let server = Server::start(settings.listen, Limits::default(), Arc::new(answers)).map_err(
            |reason| Error::Bind {
                address: settings.listen,
                reason,
            },
        )?;
        let live = settings.live.then(|| {
            let thread = thread::Builder::new().name("sandbox-live".to_owned());
            thread.spawn(move || live::run(&state, &stop))
        });
        Ok(Sandbox {
            server,
            stopper: Some(stopper),
            live: live.transpose().map_err(Error::Thread)?,
        })
    }

    /// The address it listens on, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The endpoint to configure a connector with: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Sends the answers that are held back, and ends the changes.
        self.stopper = None;
        self.server.shut_down(GRACE);
        if let Some(live) = self.live.take() {
            // A panic has already been printed.
            let _ = live.join();
        }
    }
}
