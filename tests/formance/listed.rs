//! What the listener lists: Formance's own poller gets everything through it, and can read everything.

use generic_connector::{Stream, Timestamp};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{
    BEGINNING, Event, Habits, History, Lost, Poller, appears, directly, numbered, poller_on,
    sandbox,
};
use crate::support::{FakePsp, KEY, LISTEN_KEY, Listening, Reply, transaction};

/// How late the records of random histories appear at most, and more.
const LOOKBACK: &str = "96h";

/// A listener on that service, which reads large pages so that the tests are fast.
pub fn listening(service: &FakePsp) -> Listening {
    let keys = json!({ "lookback": LOOKBACK, "pageSize": 5_000 });
    let listening = Listening::start(&service.url(), keys);
    listening.poll();
    listening
}

/// Lives through a history with the poller on a listener. The service is polled before each pass, and at times between
/// two answers: `polls` says when.
fn through(history: &History, service: &FakePsp, mut polls: impl FnMut() -> bool) -> Lost {
    service.remove_transactions();
    let listening = listening(service);
    let mut poller = poller_on(&listening);
    history.live(service, |between| {
        listening.poll();
        let mut between = || {
            between();
            if polls() {
                listening.poll();
            }
        };
        poller.run_with(Stream::Transactions, &mut between).unwrap();
    });
    // Each version is shown once.
    let received = poller.received(Stream::Transactions).len();
    let stored = listening.get("/status").1["lastSeq"].as_u64().unwrap();
    assert_eq!(received as u64, stored);
    Lost::of(service, &poller)
}

/// The dates of a list, page by page.
pub fn dates(listening: &Listening, stream: &str, field: &str, order: &str) -> Vec<Timestamp> {
    let mut dates = Vec::new();
    for page in 1.. {
        let path = format!("/{stream}?page={page}&pageSize=100&sort={field}:{order}");
        let (status, records) = listening.get(&path);
        assert_eq!(status, 200, "{records}");
        let records = records.as_array().unwrap();
        if records.is_empty() {
            break;
        }
        let read = |record: &Value| Timestamp::parse(record[field].as_str().unwrap()).unwrap();
        dates.extend(records.iter().map(read));
    }
    dates
}

#[test]
fn a_tie_of_a_thousand_arrives() {
    let tie = numbered(0, 1_001, |number| {
        BEGINNING + 5_000 * (number as i64 / 1_000)
    });
    let history = History::of(tie, vec![]);
    let service = FakePsp::start();
    assert_eq!(directly(&history, &service).0.records.len(), 900);
    assert_eq!(through(&history, &service, || false), Lost::default());
}

#[test]
fn what_appears_late_or_changes_or_lies_in_the_future_arrives() {
    let second = |number| BEGINNING + 1_000 * number as i64;
    let moves = |id: &str, number, status| Event::Changes {
        id: id.into(),
        at: second(number),
        status,
    };
    let mut first = numbered(0, 130, second);
    first.push(appears("future", BEGINNING + 100 * 365 * 86_400_000));
    let history = History::of(
        first,
        vec![
            vec![vec![appears("equal", second(129))]],
            vec![vec![
                appears("back-dated", second(12)),
                moves("tx-0012", 200, "SUCCEEDED"),
            ]],
            vec![vec![
                moves("tx-0012", 300, "FAILED"),
                moves("future", 301, "SUCCEEDED"),
            ]],
            vec![numbered(400, 600, second)],
        ],
    );
    let service = FakePsp::start();
    assert!(directly(&history, &service).0.records.len() > 200);
    // A date that goes back is no newer version.
    let lost = through(&history, &service, || true);
    assert_eq!(
        (lost.records.len(), lost.statuses),
        (0, ["future".into()].into())
    );
}

/// FORMANCE_HISTORIES sets how many.
#[test]
fn random_histories_lose_nothing() {
    let histories = std::env::var("FORMANCE_HISTORIES").map_or(24, |text| text.parse().unwrap());
    let service = FakePsp::start();
    let habits = Habits {
        ties: true,
        late: true,
        moves: true,
    };
    let mut lost_directly = 0;
    for seed in 0..histories {
        let habits = match seed % 4 {
            0 => Habits {
                late: false,
                ..habits
            },
            1 => Habits {
                ties: false,
                ..habits
            },
            2 => Habits {
                ties: false,
                late: false,
                moves: true,
            },
            _ => habits,
        };
        let history = History::random(seed, habits);
        lost_directly += directly(&history, &service).0.records.len();
        let mut random = fastrand::Rng::with_seed(seed);
        let lost = through(&history, &service, || random.u8(..3) == 0);
        assert_eq!(lost, Lost::default(), "seed {seed}");
    }
    println!(
        "{histories} histories: {lost_directly} records lost directly, none through the listener"
    );
    assert!(lost_directly > 0);
}

#[test]
fn a_first_import_is_read_while_it_runs_and_over_restarts() {
    let service = FakePsp::start();
    for number in 0..3_000 {
        service.add_transaction(&format!("tx-{number}"), "2024-01-01T00:00:00Z");
    }
    service.always("/", Reply::status(503));
    let mut listening =
        Listening::start(&service.url(), json!({ "batchRecords": 100, "workers": 1 }));
    for path in ["/transactions", "/accounts/a/balances", "/readyz"] {
        let (status, headers, body) =
            listening.ask("GET", path, Some(&format!("Bearer {LISTEN_KEY}")), "");
        assert_eq!(
            (status, headers.contains_key("retry-after")),
            (503, true),
            "{path} {body}"
        );
    }
    service.heal();
    let mut poller = poller_on(&listening);
    for round in 0..40 {
        if round % 10 == 3 {
            listening = listening.restart(&[]);
            poller.point_at(&listening.url, LISTEN_KEY);
        }
        // Not ready, or not all of it there: as Formance, it comes again.
        let mut pages = 0;
        let mut between = || pages += 1;
        let _ = poller.run_with(Stream::Transactions, &mut between);
        if round == 20 {
            listening.poll();
        }
    }
    assert_eq!(Lost::of(&service, &poller), Lost::default());
    assert_eq!(poller.received(Stream::Transactions).len(), 3_000);
    let listed = dates(&listening, "transactions", "updatedAt", "asc");
    assert!(listed.windows(2).all(|pair| pair[0] < pair[1]));
    let mut turned = dates(&listening, "transactions", "updatedAt", "desc");
    turned.reverse();
    assert_eq!(listed, turned);
    assert!(*listed.last().unwrap() <= Timestamp::now());
    assert_eq!(listed[0], Timestamp::parse("2024-01-01T00:00:00Z").unwrap());
}

#[test]
fn a_restart_between_two_of_its_pages_loses_nothing() {
    let service = FakePsp::start();
    for number in 0..700 {
        service.add_transaction(&format!("tx-{number}"), "2024-01-01T00:00:00Z");
    }
    // The poller knows one address.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let keys = json!({ "listen": free.to_string(), "lookback": LOOKBACK });
    let mut listening = Some(Listening::start(&service.url(), keys));
    listening.as_ref().unwrap().poll();
    let mut poller = poller_on(listening.as_ref().unwrap());
    let mut pages = 0;
    let mut restart = || {
        pages += 1;
        let mut before = listening.take().unwrap();
        service.add_transaction(&format!("late-{pages}"), "2024-01-01T00:00:00Z");
        if pages % 2 == 0 {
            before.process.signal(Signal::SIGTERM);
            assert_eq!(before.process.ended().0, Some(0));
        }
        let after = before.restart(&[]);
        after.poll();
        listening = Some(after);
    };
    poller.run_with(Stream::Transactions, &mut restart).unwrap();
    poller.run(Stream::Transactions).unwrap();
    assert!(pages > 7);
    assert_eq!(Lost::of(&service, &poller), Lost::default());
    assert_eq!(poller.received(Stream::Transactions).len(), 700 + pages);
}

#[test]
fn the_filter_includes_its_second_and_the_records_are_those_of_the_service() {
    let service = FakePsp::with_a_bank();
    let listening = listening(&service);
    let (_, page) =
        listening.get("/transactions?pageSize=1000&updatedAtFrom=2024-02-01T00:00:49.9Z");
    let page = page.as_array().unwrap();
    assert_eq!(page.len(), 201);
    let sent = service.transactions();
    for shown in page {
        let mut expected = sent
            .iter()
            .find(|sent| sent["id"] == shown["id"])
            .unwrap()
            .clone();
        expected["updatedAt"] = shown["updatedAt"].clone();
        assert_eq!(*shown, expected);
    }
    assert_eq!(page[0]["updatedAt"], "2024-02-01T00:00:49Z");
}

#[test]
fn formance_can_read_whatever_the_service_sends() {
    let service = FakePsp::start();
    let nested: Value =
        serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap();
    for (number, (field, value)) in [
        ("type", json!("ACH")),
        ("type", json!(null)),
        ("status", json!(7)),
        ("sourceAccountID", json!(123)),
        ("relatedTransactionID", json!({ "a": 1 })),
        ("scheme", json!(["x"])),
        ("ID", json!(7)),
        ("Amount", json!(1.5)),
        ("STATUS", json!("odd")),
        ("createdAt", json!("2016-12-31T23:59:60Z")),
        ("createdAt", json!("2024-02-01T00:00:00+23:59")),
        ("createdAt", json!("0001-01-01T00:00:00Z")),
        ("metadata", json!({ "memo": "x\u{0}y\u{0}" })),
        ("deep", nested),
    ]
    .into_iter()
    .enumerate()
    {
        let mut odd = transaction(&format!("tx-{number}"), "2024-02-01T00:00:00Z");
        odd[field] = value;
        service.add_raw_transaction(odd);
    }
    // What one of them relates to, so that it does not wait.
    service.add_transaction(r#"{"a":1}"#, "2024-02-01T00:00:00Z");
    let listening = listening(&service);
    let mut poller = poller_on(&listening);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 15);
    let stored = poller.received(Stream::Transactions).concat();
    assert!(
        stored.contains("memo") && !stored.contains("u0000"),
        "{stored}"
    );
    assert_eq!(poller.last_status("tx-2"), Some("OTHER"));
    assert_eq!(poller.last_status("tx-8"), Some("PENDING"));
}

#[test]
fn the_date_of_balances_moves_whenever_an_amount_does() {
    let ids = ["acc-1", "a/b", "a?b=c", "a b", "ä", "x%41"];
    let service = FakePsp::start();
    ids.iter()
        .for_each(|id| service.add_account(id, "2024-01-01T00:00:00Z"));
    service.add_account("silent", "2024-01-01T00:00:00Z");
    let amounts = [
        ("2024-01-02T00:00:00Z", "1"),
        ("2024-01-02T00:00:00Z", "2"),
        ("2023-01-01T00:00:00Z", "3"),
    ];
    let mut listening: Option<Listening> = None;
    let mut poller = Poller::new("", LISTEN_KEY);
    for (at, amount) in amounts {
        service.script(move |path| {
            let Some(id) = path
                .strip_prefix("/accounts/")
                .and_then(|path| path.strip_suffix("/balances"))
            else {
                return Reply::Usual;
            };
            if id == "silent" {
                return Reply::status(500);
            }
            let id = percent_encoding::percent_decode_str(id)
                .decode_utf8()
                .unwrap();
            let balances = json!([{ "amount": amount, "currency": "EUR/2" }]);
            Reply::body(
                &json!({ "id": "b", "accountID": id, "at": at, "balances": balances }).to_string(),
            )
        });
        let listening =
            listening.get_or_insert_with(|| Listening::start(&service.url(), json!({})));
        listening.poll();
        if at.starts_with("2023") {
            // An older date counts once no newer one was seen for an hour.
            listening.place.age();
            listening.poll();
        }
        poller.point_at(&listening.url, LISTEN_KEY);
        for id in ids {
            poller.balances(id).unwrap();
            assert_eq!(poller.balance(id, "EUR/2"), Some(amount), "{id}");
        }
    }
    let listening = listening.unwrap();
    for (escaped, id) in [("x%2541", "x%41"), ("a%2Fb", "a/b"), ("%C3%A4", "ä")] {
        let (_, balances) = listening.get(&format!("/accounts/{escaped}/balances"));
        assert_eq!(balances["accountID"], id);
    }
    assert_eq!(listening.get("/accounts/nobody/balances").0, 404);
    // A balance that the service does not give in a whole poll: Formance would retry forever.
    let (status, none) = listening.get("/accounts/silent/balances");
    assert_eq!((status, &none["balances"]), (200, &json!([])));
    poller.balances("silent").unwrap();
}

/// The directory that BANK_DATA names holds 49,102 transactions of a real bank, dated by day.
#[test]
fn all_of_a_real_bank_arrives() {
    let Some(data) = std::env::var_os("BANK_DATA") else {
        println!("skipped: BANK_DATA names no directory");
        return;
    };
    let sandbox = sandbox(Some(data.into()));
    let fresh = Listening::start(&sandbox.url(), json!({}));
    let adopted = Listening::start(&sandbox.url(), json!({}));
    let mut poller = poller_on(&fresh);
    // While the first import runs, until it has ended.
    let mut rounds = 0;
    while !fresh.log().contains("poll 1 complete") {
        let _ = poller.run(Stream::Transactions);
        rounds += 1;
    }
    poller.run(Stream::Transactions).unwrap();
    println!(
        "{rounds} rounds while the import ran, {} requests in all",
        poller.requests()
    );
    assert_eq!(poller.ids(Stream::Transactions).len(), 49_102);
    assert_eq!(poller.received(Stream::Transactions).len(), 49_102);
    let mut poller = Poller::new(&sandbox.url(), KEY);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 20_900);
    adopted.poll();
    poller.point_at(&adopted.url, LISTEN_KEY);
    assert!(poller.run(Stream::Transactions).is_err());
    adopted.place.age();
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 49_102);
    for stream in [Stream::Accounts, Stream::Beneficiaries] {
        poller.run(stream).unwrap();
        assert_eq!(
            poller.ids(stream).len(),
            if stream == Stream::Accounts {
                4_500
            } else {
                6_446
            }
        );
    }
}
