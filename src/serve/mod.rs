//! What Formance and the operator reach over the network: the listener, and what it answers.
//!
//! | file | what it is |
//! |---|---|
//! | `routes` | which path is what, who may ask, and the small answers: health, status, "poll now" |
//! | `key` | the key that requests must carry |
//! | `lists` | accounts, balances, beneficiaries and transactions, from the store |
//! | `initiations` | payouts and transfers, journalled and forwarded |
//!
//! Formance's own `generic` connector is pointed here instead of at the Integration Service. Polled directly, it loses
//! records that share a date, appear late or move while it reads; every list here is append-only, and dated by stamps
//! that are unique and increase ([`crate::store::Stamp`]), so that it reads each version once.

mod initiations;
mod key;
mod lists;
mod routes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::http::{Limits, Server};
use crate::poll::Ask;
use crate::psp::ServiceClient;
use crate::secret::Rotating;
use crate::store::{self, Store};
use initiations::Desk;
use key::Key;
use lists::Lists;
use routes::Routes;

/// Formance waits 10 s for any answer. It is told to come again before it gives up.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where to listen, and for whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address. Port 0 chooses a free one.
    pub address: SocketAddr,
    /// The key that requests must carry, read again when a request has another one.
    pub key: Rotating,
}

/// What the answers of a listener are about.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The state.
    pub store: &'a Store,
    /// The directory that holds it.
    pub state_directory: PathBuf,
    /// How often the service is polled.
    pub polling_period: Duration,
    /// The client of the service, to which payouts and transfers are forwarded.
    pub client: Arc<ServiceClient>,
    /// Where the poll loop is asked.
    pub ask: Sender<Ask>,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; set \"listen\" to an address of this machine and a port that is free"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A listener that runs.
#[derive(Debug)]
pub struct Listener {
    server: Server,
    desk: Arc<Desk>,
}

impl Listener {
    /// Listens, and answers at once.
    pub fn start(settings: Settings, subject: Subject) -> Result<Listener, Error> {
        let desk = Arc::new(Desk::new(subject.store.journal()?, subject.client));
        let routes = Routes {
            key: Key::new(settings.key),
            lists: Lists::new(subject.state_directory.clone()),
            desk: desk.clone(),
            ask: subject.ask,
            state_directory: subject.state_directory,
            polling_period: subject.polling_period,
        };
        let address = settings.address;
        let server = Server::start(address, Limits::default(), Arc::new(routes))
            .map_err(|reason| Error::Bind { address, reason })?;
        Ok(Listener { server, desk })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes no more requests, and gives those under way that long: to be answered, and for the outcome of a payout to be
    /// written down.
    pub fn shut_down(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        self.server.shut_down(grace);
        self.desk.wait_until(end);
    }
}
