//! Metrics: their names are a promise, and each is moved by what happens outside.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;

use generic_connector::Stream;
use nix::sys::signal::Signal;
use serde_json::json;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

use crate::formance::{Connectivity, payout, poller_on};
use crate::support::scrape::{Scrape, names, scrape, series, text_of, without_prefix};
use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Manners, Mishap, OBSERVE_KEY, Place, Receiver, Reply,
    STATE_FILE, StateCopy, TestAnswer, transaction, wait_a_second, wait_until,
};

/// The names, with the type and the labels of each.
pub const NAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics.txt");

/// Everything around a connector.
struct World {
    service: FakePsp,
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
type Moves = (&'static str, fn(&mut World), &'static [&'static str]);

const EVENTS: [Moves; 21] = [
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
            "state_wal_bytes",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
        ],
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
            "process_start_time_seconds",
            "state_bytes",
        ],
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
            let crowd: Vec<TcpStream> = (0..70).map(|_| world.connect()).collect();
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
            "initiations{state=\"unknown\"}",
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

/// What says what the connector is, so that nothing moves it.
const CONSTANT: [&str; 5] = [
    "build_info",
    "info",
    "polling_period_seconds",
    "process_max_fds",
    "reconciliation_timestamp_seconds",
];

/// What the tests of backups and of TLS move.
const MOVED_ELSEWHERE: [&str; 2] = [
    "backup_timestamp_seconds",
    "service_certificate_expiry_timestamp_seconds",
];

impl World {
    /// A connector whose first poll has failed, because the service refuses its key.
    fn start() -> World {
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

    fn listening(&self) -> &Listening {
        self.listening.as_ref().unwrap()
    }

    fn poll(&self) {
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
    fn restart(&mut self, meanwhile: impl FnOnce(&Place)) {
        let mut listening = self.listening.take().unwrap();
        listening.process.signal(Signal::SIGTERM);
        assert_eq!(listening.process.ended().0, Some(0));
        meanwhile(&listening.place);
        self.listening = Some(Listening::on(listening.place, &[]));
    }

    fn scrape(&self) -> Scrape {
        scrape(&text_of(self.listening()))
    }
}

#[test]
fn each_metric_is_moved_by_what_happens_outside() {
    let mut world = World::start();
    for (event, happen, moved) in EVENTS {
        let before = world.scrape();
        happen(&mut world);
        wait_until(&format!("{event} is seen in {moved:?}"), || {
            let after = world.scrape();
            let is_moved = |name: &&&str| series(&before, name) != series(&after, name);
            moved.iter().all(|name| is_moved(&name))
        });
    }
}

#[test]
fn the_names_are_a_promise() {
    let service = FakePsp::with_a_bank();
    let target = Receiver::start();
    let keys = json!({
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "publish": [target.entry()],
    });
    let listening = Listening::start(&service.url(), keys);
    let text = text_of(&listening);
    let found = names(&text);
    let lines = found.iter().map(|(name, (kind, labels))| {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        format!("{name} {kind} {}", labels.join(","))
            .trim()
            .to_owned()
            + "\n"
    });
    let expected = Data::read_from(NAMES.as_ref(), Some(DataFormat::Text));
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(lines.collect::<String>(), expected.raw());

    let moved = EVENTS.iter().flat_map(|(_, _, moved)| moved.iter());
    let moved = moved.map(|name| name.split('{').next().unwrap());
    let moved: BTreeSet<&str> = moved.chain(CONSTANT).chain(MOVED_ELSEWHERE).collect();
    for name in found.keys() {
        let name = without_prefix(name);
        let is_moved = moved.iter().any(|moved| {
            let rest = moved.strip_prefix(name);
            rest.is_some_and(|rest| ["", "_bucket"].contains(&rest))
        });
        assert!(is_moved, "nothing moves {name}");
    }
    // What nothing moves.
    let scrape = scrape(&text);
    assert_eq!(scrape["polling_period_seconds"], 3_600.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(scrape[&format!("build_info{{version=\"{version}\"}}")], 1.0);
    let (_, status) = listening.get("/status");
    let state_id = status["stateId"].as_str().unwrap();
    let info = format!("info{{connector=\"test\",state_id=\"{state_id}\"}}");
    assert_eq!(scrape[&info], 1.0);
    assert!(scrape["process_max_fds"] >= scrape["process_open_fds"]);
}

/// Two scrapes of a connector that has done nothing have the same series, and one that has done much has no fewer.
#[test]
fn every_series_of_a_closed_set_is_there_from_the_start() {
    let world = World::start();
    let fresh = world.scrape();
    for series in [
        "polls_total{outcome=\"aborted\"}",
        "polls_total{outcome=\"complete\"}",
        "quarantined{stream=\"balances\"}",
        "service_quirk{stream=\"transactions\",quirk=\"O1\"}",
        "service_requests_total{call=\"transfers\",status=\"201\"}",
        "service_requests_total{call=\"transfers\",status=\"none\"}",
        "service_request_duration_seconds_bucket{call=\"payouts\",le=\"+Inf\"}",
        "listener_requests_total{route=\"payouts\",status=\"201\"}",
        "listener_rejected_total{reason=\"limit\"}",
        "publisher_delivered_total{publisher=\"http\"}",
        "publisher_failing{publisher=\"formance\"}",
        "initiations{state=\"unknown\"}",
        "connectivity_ahead{stream=\"beneficiaries\"}",
    ] {
        assert_eq!(fresh.get(series), Some(&0.0), "{series}");
    }
    world.service.heal();
    world.poll();
    let busy = world.scrape();
    for series in fresh.keys() {
        assert!(busy.contains_key(series), "{series}");
    }
}

#[test]
fn without_a_listener_nothing_is_said_of_connectivity() {
    let service = FakePsp::with_a_bank();
    let target = Receiver::start();
    let keys = json!({
        "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY, "pollingPeriod": "1h", "publish": [target.entry()],
    });
    let listening = Listening::on(Place::new(&service.url(), keys), &[]);
    let text = text_of(&listening);
    assert!(!text.contains("_connectivity_"), "{text}");
    assert!(!text.contains(LISTEN_KEY) && !text.contains(OBSERVE_KEY));
}
