//! A connector with everything around it, and what can happen there.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use generic_connector::Stream;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::formance::{Connectivity, payout, poller_on};
use crate::support::scrape::{Scrape, scrape, text_of};
use crate::support::{
    FakePsp, Listening, Manners, Mishap, OBSERVE_KEY, Place, Receiver, Reply, STATE_FILE,
    StateCopy, TestAnswer, transaction, wait_a_second,
};

/// Everything around a connector.
pub struct World {
    pub service: FakePsp,
    target: Receiver,
    /// A stack that changes are pushed to.
    _stack: Connectivity,
    /// None while it is restarted.
    listening: Option<Listening>,
    /// Lets the service answer.
    release: Option<crossbeam_channel::Sender<()>>,
    clients: Vec<TcpStream>,
}

/// What happens outside, and the metrics or series that it moves.
pub type Moves = (&'static str, fn(&mut World), &'static [&'static str]);

pub const EVENTS: [Moves; 24] = [
    (
        "the service answers for the first time",
        |world| {
            wait_a_second();
            world.service.heal();
            world.poll();
        },
        &[
            "polls_total",
            "poll_duration_seconds_total",
            "last_poll_duration_seconds",
            "last_good_poll_timestamp_seconds",
            "list_ended_timestamp_seconds",
            "cursor_timestamp_seconds",
            "records",
            "versions_total",
            "service_requests_total",
            "service_request_duration_seconds_bucket",
            "service_request_duration_seconds_sum",
            "service_request_duration_seconds_count",
            "service_received_bytes_total",
            "connectivity_unread_versions",
            "publisher_delivered_total",
            "publisher_skipped_total",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
        ],
    ),
    (
        "the service lists more than there was room for",
        |world| {
            for number in 0..100 {
                let mut large = transaction(&format!("large-{number}"), "2024-02-01T00:01:00Z");
                large["metadata"] = json!({ "note": "n".repeat(10_000) });
                world.service.add_raw_transaction(large);
            }
            world.poll();
        },
        &["state_bytes", "state_wal_bytes"],
    ),
    (
        "the service does not answer yet",
        |world| {
            let (release, released) = crossbeam_channel::bounded(0);
            world.service.always("/accounts", Reply::When(released));
            world.release = Some(release);
            world.listening().post("/poll", "");
        },
        &["poll_running"],
    ),
    (
        "the service fails once",
        |world| {
            world.release = None;
            let mut failures = 1..2;
            let fail = move |_: &str| match failures.next() {
                Some(_) => Reply::status(500),
                None => Reply::Usual,
            };
            world.service.script(fail);
            world.poll();
        },
        &[
            "service_retries_total",
            "service_requests_total{call=\"accounts\",status=\"500\"}",
        ],
    ),
    (
        "the service's clock is half a minute ahead, and it redirects",
        |world| {
            world.service.behave(Manners {
                clock_ahead: 30,
                redirects: true,
                ..Manners::default()
            });
            world.poll();
        },
        &["service_clock_offset_seconds", "service_quirk"],
    ),
    (
        "the service lists a record that breaks the API",
        |world| {
            world.service.behave(Manners::default());
            let mut bad = transaction("bad", "2024-02-01T00:02:00Z");
            bad["amount"] = json!("much");
            world.service.add_raw_transaction(bad);
            world.poll();
        },
        &["quarantined"],
    ),
    (
        "the service lists a record that no poll can find, and it is swept",
        |world| {
            world
                .service
                .add_transaction("late", "2024-01-29T00:01:40Z");
            world.listening().post("/sweep", "");
        },
        &[
            "sweep_ended_timestamp_seconds",
            "sweep_missed_total",
            "sweep_lateness_seconds",
        ],
    ),
    (
        "the service lists a record of the future",
        |world| {
            world
                .service
                .add_transaction("future", "2199-01-01T00:00:00Z");
            (0..3).for_each(|_| world.poll());
        },
        &["cursor_stalled_polls"],
    ),
    (
        "what is there grows old",
        |_| wait_a_second(),
        &["connectivity_unread_seconds"],
    ),
    (
        "Connectivity reads everything, twice",
        |world| {
            let mut poller = poller_on(world.listening());
            for _ in 0..2 {
                for stream in Stream::LISTED {
                    poller.run(stream).unwrap();
                }
            }
            poller.balances("acc-1").unwrap();
        },
        &[
            "connectivity_last_request_timestamp_seconds{stream=\"accounts\"}",
            "connectivity_last_request_timestamp_seconds{stream=\"balances\"}",
            "connectivity_last_request_timestamp_seconds{stream=\"transactions\"}",
            "connectivity_bound_timestamp_seconds",
            "connectivity_unread_versions{stream=\"transactions\"}",
            "connectivity_unread_seconds{stream=\"transactions\"}",
            "listener_requests_total",
        ],
    ),
    (
        "Connectivity asks for what nobody has",
        |world| {
            let path =
                "/transactions?sort=updatedAt%3Aasc&page=1&updatedAtFrom=2090-01-01T00%3A00%3A00Z";
            assert_eq!(world.listening().get(path).0, 503);
        },
        &["connectivity_ahead{stream=\"transactions\"}"],
    ),
    (
        "the connector is restarted, and Connectivity asks 20 minutes after it asked last",
        |world| {
            world.restart(|place| {
                let earlier =
                    json!({ "at": "2024-01-01T00:00:00Z", "beganAt": "2024-01-01T00:00:00Z" });
                let state = rusqlite::Connection::open(place.state().join(STATE_FILE)).unwrap();
                let aged =
                    "UPDATE state SET value = json_patch(value, ?1) WHERE key LIKE 'asked:%'";
                assert!(state.execute(aged, [earlier.to_string()]).unwrap() > 0);
            });
            let mut poller = poller_on(world.listening());
            poller.run(Stream::Accounts).unwrap();
        },
        &[
            "connectivity_expected_timestamp_seconds",
            "connectivity_period_seconds",
            "process_start_time_seconds",
        ],
    ),
    (
        "a list is refused",
        |world| {
            world.service.always("/beneficiaries", Reply::status(400));
            world.poll();
        },
        &["failing_polls{stream=\"beneficiaries\"}"],
    ),
    (
        "Connectivity has not asked for long",
        |world| {
            world.service.heal();
            let state = world.listening().place.state().join(STATE_FILE);
            let state = rusqlite::Connection::open(state).unwrap();
            let aged = "UPDATE state SET value = json_set(value, '$.since', '2024-01-01T00:00:00Z',
                '$.at', '2024-01-01T00:00:00Z', '$.pauses', json('[1800]'))
                WHERE key = 'listening' OR key LIKE 'asked:%'";
            assert!(state.execute(aged, []).unwrap() > 1);
        },
        &["connectivity_silent{stream=\"transactions\"}"],
    ),
    (
        "a wrong key",
        |world| {
            let asked = world
                .listening()
                .ask("GET", "/status", Some("Bearer wrong"), "");
            assert_eq!(asked.0, 401);
        },
        &[
            "listener_rejected_total{reason=\"key\"}",
            "listener_requests_total{route=\"status\",status=\"401\"}",
        ],
    ),
    (
        "nonsense",
        |world| world.connect().write_all(b"nonsense\r\n\r\n").unwrap(),
        &["listener_rejected_total{reason=\"malformed\"}"],
    ),
    (
        "a crowd",
        |world| {
            let crowd: Vec<TcpStream> = (0..600).map(|_| world.connect()).collect();
            world.clients.extend(crowd);
        },
        &[
            "listener_connections",
            "listener_rejected_total{reason=\"limit\"}",
            "process_open_fds",
        ],
    ),
    (
        "the target refuses a version",
        |world| {
            world.clients.clear();
            world.target_answers(422);
            world.new_record("refused");
        },
        &["publisher_refused{publisher=\"http\"}"],
    ),
    (
        "the target is down for a while",
        |world| {
            world.target_answers(500);
            world.new_record("undelivered");
        },
        &[
            "publisher_failing{publisher=\"http\"}",
            "publisher_lag_versions{publisher=\"http\"}",
            "publisher_lag_seconds{publisher=\"http\"}",
        ],
    ),
    (
        "the target is up again",
        |world| world.target.server.script(|_| Mishap::None),
        &[
            "publisher_failing{publisher=\"http\"}",
            "publisher_delivered_total{publisher=\"http\"}",
        ],
    ),
    (
        "a transaction relates to one that is not there",
        |world| {
            let mut refund = transaction("refund", "2024-03-02T00:00:00Z");
            refund["relatedTransactionID"] = json!("nowhere");
            world.service.add_raw_transaction(refund);
            world.poll();
        },
        &["publisher_waiting{publisher=\"formance\"}"],
    ),
    (
        "a payout whose answer is cut off",
        |world| {
            world.service.always("/payouts", Reply::Cut);
            let body = payout("cut", "100").to_string();
            assert_eq!(world.listening().post("/payouts", &body).0, 503);
        },
        &[
            "initiations{kind=\"payouts\",state=\"unknown\"}",
            "initiation_oldest_unsettled_seconds",
            "service_requests_total{call=\"payouts\",status=\"none\"}",
            "warnings",
        ],
    ),
    (
        "the disk fills",
        |world| {
            let file = world.listening().place.path().join("more");
            let mut file = fs::File::create(file).unwrap();
            file.write_all(&vec![1; 8 << 20]).unwrap();
            file.sync_all().unwrap();
        },
        &["state_free_bytes"],
    ),
    (
        "the state is put back from an older copy",
        |world| {
            let kept = world.listening().place.path().join("kept");
            StateCopy::Snapshot.make(&world.listening().place.state(), &kept);
            world.new_record("lost");
            world.restart(|place| StateCopy::Snapshot.put_back(&kept, &place.state()));
        },
        &["state_restores_total"],
    ),
];

impl World {
    /// A connector whose first poll has failed, because the service refuses its key.
    pub fn start() -> World {
        let service = FakePsp::with_a_bank();
        service.always("/", Reply::status(401));
        let (target, stack) = (Receiver::start(), Connectivity::start());
        let keys = json!({
            "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "publish": [target.entry(), stack.entry()],
        });
        let listening = Listening::start(&service.url(), keys);
        listening.wait_for_line("poll 1 failed");
        World {
            service,
            target,
            _stack: stack,
            listening: Some(listening),
            release: None,
            clients: Vec::new(),
        }
    }

    pub fn listening(&self) -> &Listening {
        self.listening.as_ref().unwrap()
    }

    pub fn poll(&self) {
        self.listening().poll();
    }

    fn new_record(&self, id: &str) {
        self.service.add_transaction(id, "2024-03-01T00:00:00Z");
        self.poll();
    }

    fn target_answers(&self, status: u16) {
        let answer = move |_: &_| Mishap::Instead(TestAnswer::new(status, ""));
        self.target.server.script(answer);
    }

    /// Connects to the operators' address.
    fn connect(&self) -> TcpStream {
        let address = self.listening().observe_url.strip_prefix("http://");
        TcpStream::connect(address.unwrap()).unwrap()
    }

    /// Stops the connector, does something to its state, and starts it again.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Place)) {
        let mut listening = self.listening.take().unwrap();
        listening.process.signal(Signal::SIGTERM);
        assert_eq!(listening.process.ended().0, Some(0));
        meanwhile(&listening.place);
        self.listening = Some(Listening::on(listening.place, &[]));
    }

    pub fn scrape(&self) -> Scrape {
        scrape(&text_of(self.listening()))
    }
}
