use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CommandError;
use crate::api::Timestamp;
use crate::config::{Config, TargetConfig, TargetKind};
use crate::metrics::Counters;
use crate::poll::{PollOutcome, Poller, Watch};
use crate::psp::ServiceClient;
use crate::publish::{
    ChangeFile, Deliveries, Delivery, FormancePublisher, HttpPublisher, NdjsonPublisher, Publisher,
};
use crate::serve::{self, Listener, Sources};
use crate::sockets::Sockets;
use crate::stop::{Stop, Stopper};
use crate::store::{ListeningRow, Store};

/// How long a publisher may take for its last delivery.
const LAST_DELIVERY: Duration = Duration::from_secs(1);

/// How long the listener may take for its last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A publisher, and the name under which its offset is stored.
pub(super) type NamedPublisher = (String, Box<dyn Publisher>);

/// A whole connector: polling on one side, delivery and the listener on the other, the state between them.
pub(super) struct Connector<'a> {
    /// The polling side.
    pub poller: Poller<'a>,
    listener: Listener,
    deliveries: Deliveries,
    /// Stops delivery, which continues after polling has stopped.
    delivery_stopper: Stopper,
}

impl<'a> Connector<'a> {
    /// Opens the state, starts delivery and the listener, and prepares polling, which `stop` ends.
    pub fn assemble(
        config: Config,
        publishers: Vec<NamedPublisher>,
        stop: Stop,
        watch: &'a mut dyn Watch,
    ) -> Result<Connector<'a>, CommandError> {
        Connector::assemble_on(Sockets::default(), config, publishers, stop, watch)
    }

    /// As [`assemble`](Connector::assemble). The listener takes over the sockets.
    pub fn assemble_on(
        sockets: Sockets,
        mut config: Config,
        publishers: Vec<NamedPublisher>,
        stop: Stop,
        watch: &'a mut dyn Watch,
    ) -> Result<Connector<'a>, CommandError> {
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        let store = Store::open(&config.state_directory, &config.identity)?;
        note_listening(&store, config.serve.listen.is_some(), publishers.is_empty());
        let outcomes = PollOutcome::ALL.map(PollOutcome::name);
        let counters = Arc::new(Counters::new(serve::ANSWERS, &outcomes));
        let names = publishers.iter().map(|(name, _)| name.clone());
        config.polling.retention.publishers = names.collect();
        store.use_publishers(&config.polling.retention.publishers)?;
        let (delivery_stopper, delivery_stop) = Stop::new();
        let mut deliveries = Deliveries::default();
        for (name, publisher) in publishers {
            let state = store.publisher(&name)?;
            deliveries.push(
                Delivery::start(publisher, state, delivery_stop.clone(), counters.clone())
                    .map_err(CommandError::failed)?,
            );
        }
        let client = ServiceClient::new(config.service, stop.clone(), counters.clone());
        let client = Arc::new(client);
        let wakers = deliveries.wakers();
        let (polling_period, sweep_times) = (config.polling.period, config.polling.sweep_times());
        let poller = Poller::new(store, client.clone(), config.polling, stop, wakers, watch)?;
        let sources = Sources {
            store: poller.store(),
            state_directory: config.state_directory,
            polling_period,
            sweep_times,
            client,
            ask: poller.ask(),
            counters,
        };
        let listener = Listener::start(config.serve, sources, sockets)?;
        Ok(Connector {
            poller,
            listener,
            deliveries,
            delivery_stopper,
        })
    }

    /// The address at which Connectivity is answered, if it is.
    pub fn listens_on(&self) -> Option<SocketAddr> {
        self.listener.address()
    }

    /// The operators' own address, if they have one.
    pub fn observed_on(&self) -> Option<SocketAddr> {
        self.listener.observe_address()
    }

    /// Waits until everything that is committed is delivered, but for no longer than `patience` without progress. Returns
    /// one message for each publisher that has not finished.
    pub fn deliver_all(
        &self,
        patience: Duration,
        stop: &Stop,
    ) -> Result<Vec<String>, CommandError> {
        let last = self.poller.store().last_seq()?;
        Ok(self.deliveries.wait_for(last, patience, None, stop))
    }

    /// Like [`deliver_all`](Connector::deliver_all), after stopping was requested, and for no longer than `time`.
    pub fn deliver_last(&self, time: Duration) -> Result<Vec<String>, CommandError> {
        let last = self.poller.store().last_seq()?;
        let deadline = Some(Instant::now() + time);
        Ok(self
            .deliveries
            .wait_for(last, time, deadline, &Stop::never()))
    }

    /// How many versions targets have refused for their content since delivery started.
    pub fn refused(&self) -> usize {
        self.deliveries.refused()
    }

    /// Stops the listener and delivery.
    pub fn shut_down(self) {
        self.delivery_stopper.stop();
        self.listener.shut_down(LAST_ANSWERS);
        self.deliveries.join(Instant::now() + LAST_DELIVERY);
    }
}

/// Notes whether Connectivity can ask from now on. `is_only_way`: nothing is delivered but what it asks for.
fn note_listening(store: &Store, is_listening: bool, is_only_way: bool) {
    let since = Timestamp::now().second();
    let row = is_listening.then_some(ListeningRow { since, is_only_way });
    // A disk that is full keeps nothing from being shown.
    if let Err(error) = store.note_listening(row) {
        log::warn!("{error}");
    }
}

/// The publishers of a configuration.
pub(super) fn publishers(targets: &[TargetConfig]) -> Vec<NamedPublisher> {
    let publisher = |kind: &TargetKind| -> Box<dyn Publisher> {
        match kind.clone() {
            TargetKind::NdjsonFile(to) => Box::new(NdjsonPublisher::File { to, open: None }),
            TargetKind::NdjsonStdout => Box::new(NdjsonPublisher::Stdout),
            TargetKind::Http(settings) => Box::new(HttpPublisher::new(settings)),
            TargetKind::Formance(settings) => Box::new(FormancePublisher::new(settings)),
        }
    };
    let targets = targets.iter();
    targets
        .map(|target| (target.name.clone(), publisher(&target.kind)))
        .collect()
}

/// The target of `poll` and `demo` if none is configured: `changes.ndjson` in the state directory.
pub(super) fn default_target(config: &Config) -> TargetConfig {
    let path = config.state_directory.join("changes.ndjson");
    TargetConfig {
        name: "ndjson".to_owned(),
        kind: TargetKind::NdjsonFile(ChangeFile::private(path)),
    }
}
