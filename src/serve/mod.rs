//! The listener: the Generic Connector API over the store for Formance, and a few routes for operators.
//!
//! Formance's own `generic` connector polls this listener instead of the Integration Service. If it polled the service, it
//! would lose records that share a date, appear late, or move to another page while it reads. Here every list is
//! append-only and dated by stamps, which are unique and increase ([`crate::store::Stamp`]), so it reads each version
//! once. What it could not read of a version is rewritten ([`crate::formance`]).
//!
//! ```text
//!                                  ┌─ lists, balances ────────► lists ────────► store
//!  Formance  ──► door at `listen` ─┼─ payouts, transfers ─────► initiations ──► journal, psp ──► service
//!                        │         └─ "poll now" ─────────────► main loop
//!                        ▼
//!  operators ──► door at `observe` ── status, metrics, pages ──► store
//! ```
//!
//! No request waits for another one:
//!
//! * A server's event loop serves everybody, and its `door` admits requests on it, by path and key. That blocks only to
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
//! | `door` | one address: who is admitted there, and who answers |
//! | `routes` | the paths |
//! | `keys` | the keys of which requests must carry one |
//! | `wrong_keys` | the count of requests without one of them |
//! | `api` | what Connectivity asks for, and "poll now" |
//! | `observe` | what operators look at: status, metrics, pages |
//! | `answers`, `list_error` | small answers |
//! | `lists`, `last_pages` | accounts, balances, beneficiaries and transactions; where the next page begins |
//! | `asked` | when Connectivity has asked for what |
//! | `bounds` | whether Connectivity has read further than a list was shown |
//! | `initiations` | payouts and transfers, journalled and forwarded |

mod answers;
mod api;
mod asked;
mod bounds;
mod door;
mod initiations;
mod keys;
mod last_pages;
mod list_error;
mod lists;
mod observe;
mod routes;
mod wrong_keys;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::http::{Limits, Server};
use crate::metrics::Counters;
use crate::poll::Ask;
use crate::psp::ServiceClient;
use crate::secret::AcceptedKeys;
use crate::sockets::Sockets;
use crate::store::{self, Store, SweepTimes};
use api::Api;
use door::{Door, OpenTo};
use initiations::Forwarder;
use keys::Keys;
use lists::Lists;
use observe::{Operators, Pages};
use wrong_keys::WrongKeys;

pub use routes::ANSWERS;

/// Formance gives up on an answer after 10 s. A 503 before that makes it ask again.
const PATIENCE: Duration = Duration::from_secs(8);

const NO_OBSERVE_KEY: &str = "What operators look at is served once \"observeKey\" is configured.";
const OWN_ADDRESS: &str = "What operators look at is at the address that \"observe\" sets.";

/// Where Connectivity and operators are answered, and with which keys.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where Connectivity is answered, if it is.
    pub listen: Option<ListenSettings>,
    /// Where operators are answered, if they are.
    pub observe: Option<ObserveSettings>,
}

/// Where Connectivity is answered.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// The address. With port 0, the system chooses a free port.
    pub address: SocketAddr,
    /// The keys of which requests must carry one.
    pub keys: AcceptedKeys,
}

/// Where operators are answered.
#[derive(Debug, Clone)]
pub struct ObserveSettings {
    /// An address of their own. None for that of Connectivity.
    pub address: Option<SocketAddr>,
    /// The keys of which requests must carry one.
    pub keys: AcceptedKeys,
    /// Whether they may see the texts of records.
    pub shows_records: bool,
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
    /// What is counted in this process.
    pub counters: Arc<Counters>,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; set \"{key}\" to an address of this machine and a free port"
    )]
    Bind {
        /// The key that sets the address.
        key: &'static str,
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
    /// Answers Connectivity, and operators unless they have an address of their own.
    listening: Option<Server>,
    /// Answers operators at their own address.
    observed: Option<Server>,
    forwarder: Option<Arc<Forwarder>>,
}

impl Listener {
    /// Starts to listen and to answer wherever the settings say so.
    pub fn start(
        settings: Settings,
        sources: Sources,
        sockets: Sockets,
    ) -> Result<Listener, Error> {
        let Settings { listen, observe } = settings;
        let keys_of = |settings: &ObserveSettings| settings.keys.clone();
        let keys = Arc::new(Keys::new(
            listen.as_ref().map(|listen| listen.keys.clone()),
            observe.as_ref().map(keys_of),
        ));
        let wrong_keys = Arc::new(WrongKeys::default());
        let lists = Arc::new(Lists::new(sources.state_directory.clone()));
        let operators = Arc::new(Operators {
            keys: keys.clone(),
            wrong_keys: wrong_keys.clone(),
            lists: lists.clone(),
            ask: sources.ask.clone(),
            pages: pages(&sources, listen.is_some(), observe.as_ref()),
            counters: sources.counters.clone(),
        });
        let door = |open_to, api| Door {
            open_to,
            counters: sources.counters.clone(),
            keys: keys.clone(),
            wrong_keys: wrong_keys.clone(),
            api,
            operators: operators.clone(),
        };
        let own_address = observe.as_ref().and_then(|observe| observe.address);
        let mut listener = Listener {
            listening: None,
            observed: None,
            forwarder: None,
        };
        if let Some(ListenSettings { address, .. }) = listen {
            let journal = sources.store.journal()?;
            let forwarder = Forwarder::new(journal, sources.client, sources.state_directory);
            let forwarder = listener.forwarder.insert(Arc::new(forwarder)).clone();
            let open_to = match &observe {
                None => OpenTo::Connectivity(NO_OBSERVE_KEY),
                Some(ObserveSettings {
                    address: Some(_), ..
                }) => OpenTo::Connectivity(OWN_ADDRESS),
                Some(ObserveSettings { address: None, .. }) => OpenTo::Both,
            };
            let api = Api {
                lists,
                forwarder,
                ask: sources.ask,
            };
            let door = door(open_to, Some(api));
            let place = ("listen", address, sockets.listen);
            listener.listening = Some(serve(place, Limits::default(), door)?);
        }
        if let Some(address) = own_address {
            let door = door(OpenTo::Operators, None);
            let place = ("observe", address, sockets.observe);
            listener.observed = Some(serve(place, for_operators(), door)?);
        }
        Ok(listener)
    }

    /// The address at which Connectivity is answered, with the port that the system chose.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(Server::address)
    }

    /// The operators' own address, with the port that the system chose.
    pub fn observe_address(&self) -> Option<SocketAddr> {
        self.observed.as_ref().map(Server::address)
    }

    /// Accepts no more requests. Waits for up to `grace` until those under way are answered and the outcomes of payouts and
    /// transfers are in the journal.
    pub fn shut_down(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        for server in self.listening.iter_mut().chain(&mut self.observed) {
            server.shut_down(end.saturating_duration_since(Instant::now()));
        }
        if let Some(forwarder) = self.forwarder {
            forwarder.wait_until(end);
        }
    }
}

fn pages(sources: &Sources, is_listening: bool, observe: Option<&ObserveSettings>) -> Pages {
    Pages {
        state_directory: sources.state_directory.clone(),
        polling_period: sources.polling_period,
        sweep_times: sources.sweep_times,
        is_listening,
        started_at: sources.counters.started_at,
        shows_records: observe.is_some_and(|observe| observe.shows_records),
        counters: sources.counters.clone(),
        fault: Mutex::default(),
    }
}

/// Starts a server at an address, or at a socket that systemd has opened, which goes before it. `key`: the key of the
/// configuration that sets the address.
fn serve(
    (key, address, socket): (&'static str, SocketAddr, Option<TcpListener>),
    limits: Limits,
    door: Door,
) -> Result<Server, Error> {
    let started = match socket {
        None => Server::start(address, limits, Arc::new(door)),
        Some(socket) => {
            if let Some(opened) = socket.local_addr().ok().filter(|opened| *opened != address) {
                log::warn!(
                    "\"{key}\" is {address}, but systemd has opened {opened}, and that is answered: make ListenStream= of \
                     the socket unit and \"{key}\" the same"
                );
            }
            Server::on(socket, limits, Arc::new(door))
        }
    };
    started.map_err(|reason| Error::Bind {
        key,
        address,
        reason,
    })
}

/// The limits at the operators' own address: a few browsers, and a Prometheus or two.
fn for_operators() -> Limits {
    Limits {
        connections: 512,
        answering_threads: 2,
        ..Limits::default()
    }
}
