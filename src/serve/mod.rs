//! The listener: the Generic Connector API over the store for Formance, and a few routes for operators.
//!
//! Formance's own `generic` connector polls this listener instead of the Integration Service. If it polled the service, it
//! would lose records that share a date, appear late, or move to another page while it reads. Here every list is
//! append-only and dated by stamps, which are unique and increase ([`crate::store::Stamp`]), so it reads each version
//! once. What it could not read of a version is rewritten ([`crate::formance`]).
//!
//! ```text
//!                         ┌─ lists, balances, readiness ──► lists ────────► store
//!  Formance, ──► routes ──┼─ payouts, transfers ──────────► initiations ──► journal, psp ──► service
//!  operators              ├─ "poll now", health ──────────► main loop
//!                         └─ status ──────────────────────► store
//! ```
//!
//! No request waits for another one:
//!
//! * The server's event loop serves everybody, and `routes` admits requests on it, by path and key. That blocks only to
//!   look at the key's file, once a second at most. The answer to a wrong key is delayed there, which holds no thread.
//! * Lists and status are read on the server's answering threads, each on its own connection to the store, which does
//!   not wait for commits. They write only when Connectivity is shown more than ever before, or asks for more.
//! * A payout waits for the service, so each has a thread of its own. The number of them is limited.
//! * The main loop answers "poll now" and health itself, through its channel. If it hangs, health hangs, too.
//!
//! The status of an error follows from what Formance does with it. After a 503 it repeats the request. After most 4xx, and
//! after a refused connection, it waits for its whole period, or gives the payout up. So whatever may pass is a 503 with
//! `Retry-After`, and a 4xx means that the same request will never work.
//!
//! | file | what it is |
//! |---|---|
//! | `routes` | the paths, who may use them, and the small answers |
//! | `keys` | the keys of which requests must carry one |
//! | `wrong_keys` | the count of requests without one of them |
//! | `lists`, `last_pages` | accounts, balances, beneficiaries and transactions; where the next page begins |
//! | `bounds` | whether Connectivity has read further than a list was shown |
//! | `initiations` | payouts and transfers, journalled and forwarded |

mod bounds;
mod initiations;
mod keys;
mod last_pages;
mod list_error;
mod lists;
mod routes;
mod wrong_keys;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::http::{Limits, Server};
use crate::poll::Ask;
use crate::psp::ServiceClient;
use crate::secret::AcceptedKeys;
use crate::store::{self, Store, SweepTimes};
use initiations::Forwarder;
use keys::ListenKeys;
use lists::Lists;
use routes::Routes;
use wrong_keys::WrongKeys;

/// Formance gives up on an answer after 10 s. A 503 before that makes it ask again.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where to listen, and the key.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address. With port 0, the system chooses a free port.
    pub address: SocketAddr,
    /// The keys of which requests must carry one.
    pub keys: AcceptedKeys,
}

/// Everything that a listener answers from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The state.
    pub store: &'a Store,
    /// The directory that holds it.
    pub state_directory: PathBuf,
    /// How often the service is polled.
    pub polling_period: Duration,
    /// When it is swept.
    pub sweep_times: SweepTimes,
    /// The client of the service, to which payouts and transfers are forwarded.
    pub client: Arc<ServiceClient>,
    /// The way to the main loop.
    pub ask: Sender<Ask>,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; set \"listen\" to an address of this machine and a free port"
    )]
    Bind {
        address: SocketAddr,
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
    forwarder: Arc<Forwarder>,
}

impl Listener {
    /// Starts to listen and to answer.
    pub fn start(settings: Settings, sources: Sources) -> Result<Listener, Error> {
        let journal = sources.store.journal()?;
        let directory = sources.state_directory.clone();
        let forwarder = Arc::new(Forwarder::new(journal, sources.client, directory));
        let routes = Routes {
            keys: ListenKeys::new(settings.keys),
            wrong_keys: WrongKeys::default(),
            lists: Lists::new(sources.state_directory.clone()),
            forwarder: forwarder.clone(),
            ask: sources.ask,
            state_directory: sources.state_directory,
            polling_period: sources.polling_period,
            sweep_times: sources.sweep_times,
        };
        let address = settings.address;
        let server = Server::start(address, Limits::default(), Arc::new(routes))
            .map_err(|reason| Error::Bind { address, reason })?;
        Ok(Listener { server, forwarder })
    }

    /// The address that it listens on, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Accepts no more requests. Waits for up to `grace` until those under way are answered and the outcomes of payouts and
    /// transfers are in the journal.
    pub fn shut_down(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        self.server.shut_down(grace);
        self.forwarder.wait_until(end);
    }
}
