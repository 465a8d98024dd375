//! What Formance's poller reads from a service directly, and what it loses.

use generic_connector::Stream;
use serde_json::{Value, json};

use super::{
    BEGINNING, Event, Habits, History, Lost, Poller, appears, directly, numbered, payout, sandbox,
};
use crate::support::{FakePsp, KEY, Manners, Reply, transaction, wait_until};

#[test]
fn a_perfect_list_is_read_completely() {
    let ten_milliseconds = |number| BEGINNING + 10 * number as i64;
    let history = History::of(
        numbered(0, 1_050, ten_milliseconds),
        vec![
            vec![
                numbered(1_050, 1_060, ten_milliseconds),
                vec![],
                numbered(1_060, 1_190, ten_milliseconds),
            ],
            vec![numbered(1_190, 1_191, ten_milliseconds)],
        ],
    );
    let (lost, poller) = directly(&history, &FakePsp::start());
    assert_eq!(lost, Lost::default());
    let received = poller.received(Stream::Transactions);
    assert_eq!((received.len(), poller.payments().len()), (1_191, 1_191));
    let service = FakePsp::start();
    for seed in 0..20 {
        let (lost, _) = directly(&History::random(seed, Habits::default()), &service);
        assert_eq!(lost, Lost::default(), "seed {seed}");
    }
}

#[test]
fn of_a_tie_only_the_first_hundred_arrive() {
    let history = History::of(
        numbered(0, 1_001, |number| {
            BEGINNING + 5_000 * (number as i64 / 1_000)
        }),
        vec![],
    );
    let (lost, poller) = directly(&history, &FakePsp::start());
    let expected = (100..1_000).map(|number| format!("tx-{number:04}"));
    assert_eq!(lost.records, expected.collect());
    assert_eq!(poller.received(Stream::Transactions).len(), 101);
}

#[test]
fn what_arrives_late_or_with_a_passed_date_is_lost() {
    let second = |number| BEGINNING + 1_000 * number as i64;
    let history = History::of(
        numbered(0, 30, second),
        vec![
            vec![],
            vec![vec![
                appears("back-dated", second(12)),
                appears("equal", second(29)),
            ]],
            vec![vec![appears("new", second(60))]],
        ],
    );
    let (lost, _) = directly(&history, &FakePsp::start());
    assert_eq!(lost.records, ["back-dated".into(), "equal".into()].into());
}

#[test]
fn one_date_in_the_future_hides_all_that_follows() {
    let second = |number| BEGINNING + 1_000 * number as i64;
    let mut first = numbered(0, 30, second);
    first.push(appears("future", BEGINNING + 100 * 365 * 86_400_000));
    let history = History::of(first, vec![vec![], vec![numbered(30, 60, second)]]);
    let (lost, _) = directly(&history, &FakePsp::start());
    assert_eq!(lost.records.len(), 30);
}

#[test]
fn what_moves_between_two_pages_of_a_fetch_takes_another_with_it() {
    let second = |number| BEGINNING + 1_000 * number as i64;
    // The second fetch reads two pages, as its first one begins with a record that it has.
    let moves = Event::Changes {
        id: "tx-0150".into(),
        at: second(1_000),
        status: "SUCCEEDED",
    };
    let history = History::of(numbered(0, 300, second), vec![vec![vec![], vec![moves]]]);
    let (lost, poller) = directly(&history, &FakePsp::start());
    assert_eq!(lost.records, ["tx-0199".into()].into());
    assert_eq!(poller.last_status("tx-0150"), Some("SUCCEEDED"));
}

#[test]
fn random_histories_lose_records() {
    let service = FakePsp::start();
    let none = Habits::default();
    let all = Habits {
        ties: true,
        late: true,
        moves: true,
    };
    for (habits, what) in [
        (Habits { ties: true, ..none }, "ties"),
        (Habits { late: true, ..none }, "late"),
        (
            Habits {
                moves: true,
                ..none
            },
            "moves",
        ),
        (all, "all"),
    ] {
        let (mut records, mut statuses) = (0, 0);
        for seed in 0..10 {
            let (lost, _) = directly(&History::random(seed, habits), &service);
            records += lost.records.len();
            statuses += lost.statuses.len();
        }
        println!("{what}: lost {records} records and {statuses} statuses in 10 histories");
        assert!(records > 0, "{what}");
    }
}

/// The directory that BANK_DATA names holds 49,102 transactions of a real bank, dated by day.
#[test]
fn of_a_real_bank_less_than_half_arrives() {
    let Some(data) = std::env::var_os("BANK_DATA") else {
        println!("skipped: BANK_DATA names no directory");
        return;
    };
    let sandbox = sandbox(Some(data.into()));
    let mut poller = Poller::new(&sandbox.url(), KEY);
    poller.run(Stream::Transactions).unwrap();
    println!("{} requests", poller.requests());
    assert_eq!(poller.ids(Stream::Transactions).len(), 20_900);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 20_900);
}

#[test]
fn it_asks_as_formance_does() {
    let service = FakePsp::with_a_bank();
    let mut poller = Poller::new(&service.url(), KEY);
    assert!(!poller.fetch(Stream::Accounts).unwrap());
    assert!(poller.fetch(Stream::Transactions).unwrap());
    // The hundred that it has, fifty more that it takes for known, and fifty new ones.
    assert!(!poller.fetch(Stream::Transactions).unwrap());
    let asked = service.requests();
    assert_eq!(
        asked,
        [
            "/accounts?page=1&pageSize=100&sort=createdAt%3Aasc",
            "/transactions?page=1&pageSize=100&sort=updatedAt%3Aasc",
            "/transactions?page=1&pageSize=100&sort=updatedAt%3Aasc&updatedAtFrom=2024-02-01T00%3A00%3A50Z",
            "/transactions?page=2&pageSize=100&sort=updatedAt%3Aasc&updatedAtFrom=2024-02-01T00%3A00%3A50Z",
            "/transactions?page=3&pageSize=100&sort=updatedAt%3Aasc&updatedAtFrom=2024-02-01T00%3A00%3A50Z",
        ]
    );
    poller.run(Stream::Accounts).unwrap();
    let last = service.requests().pop().unwrap();
    assert_eq!(
        last,
        "/accounts?createdAtFrom=2024-01-02T00%3A00%3A00Z&page=1&pageSize=100&sort=createdAt%3Aasc"
    );
}

#[test]
fn accounts_and_beneficiaries_stay_as_they_came_first() {
    let service = FakePsp::with_a_bank();
    service.add_beneficiary("acc-1", "2024-01-03T00:00:00Z");
    let mut poller = Poller::new(&service.url(), KEY);
    poller.run(Stream::Accounts).unwrap();
    let renamed = json!({ "accountName": "Renamed", "createdAt": "2024-02-01T00:00:00Z" });
    service.change_account("acc-1", renamed);
    poller.run(Stream::Accounts).unwrap();
    poller.run(Stream::Beneficiaries).unwrap();
    assert_eq!(poller.received(Stream::Accounts).len(), 3);
    assert_eq!(
        poller.account("acc-1").unwrap()["accountName"],
        "Account acc-1"
    );
    assert_eq!(poller.ids(Stream::Accounts).len(), 2);
    assert_eq!(poller.ids(Stream::Beneficiaries), ["ben-1".into()].into());
}

#[test]
fn a_status_that_returns_is_not_shown_again() {
    let service = FakePsp::start();
    let mut poller = Poller::new(&service.url(), KEY);
    service.add_transaction("tx", "2024-01-01T00:00:00Z");
    for (second, status) in [
        (0, "PENDING"),
        (1, "SUCCEEDED"),
        (2, "PENDING"),
        (3, "FAILED"),
    ] {
        let updated = format!("2024-01-01T00:00:0{second}Z");
        service.change_transaction("tx", json!({ "status": status, "updatedAt": updated }));
        poller.run(Stream::Transactions).unwrap();
    }
    let mut refund = transaction("refund", "2024-01-02T00:00:00Z");
    refund["relatedTransactionID"] = json!("tx");
    service.add_raw_transaction(refund);
    poller.run(Stream::Transactions).unwrap();
    let payment = &poller.payments()[&("tx".to_owned(), "PAYIN".to_owned())];
    let shown: Vec<_> = payment
        .iter()
        .map(|shown| (&*shown.id, &*shown.status))
        .collect();
    assert_eq!(
        shown,
        [
            ("tx", "PENDING"),
            ("tx", "SUCCEEDED"),
            ("tx", "FAILED"),
            ("refund", "PENDING")
        ]
    );
    assert_eq!(
        (
            poller.payments().len(),
            poller.ids(Stream::Transactions).len()
        ),
        (1, 2)
    );
    assert_eq!(poller.last_status("tx"), Some("FAILED"));
}

#[test]
fn a_balance_that_changes_must_be_dated_anew() {
    let service = FakePsp::start();
    let mut poller = Poller::new(&service.url(), KEY);
    let mut said = |at: &str, amount: &str| {
        let body = json!({
            "id": "b", "accountID": "acc-1", "at": at,
            "balances": [{ "amount": amount, "currency": "EUR/2" }],
        });
        service.always("/accounts", Reply::body(&body.to_string()));
        let read = poller.balances("acc-1");
        (
            read.is_ok(),
            poller.balance("acc-1", "EUR/2").unwrap_or("").to_owned(),
        )
    };
    assert_eq!(said("2024-01-02T00:00:00Z", "10"), (true, "10".into()));
    assert_eq!(said("2024-01-02T00:00:00Z", "+010"), (true, "10".into()));
    assert_eq!(
        said("2024-01-02T00:00:00.0000001Z", "11"),
        (false, "10".into())
    );
    assert_eq!(said("2024-01-01T00:00:00Z", "12"), (true, "10".into()));
    // The same amount leaves the date as it was.
    assert_eq!(said("2024-01-04T00:00:00Z", "10"), (true, "10".into()));
    assert_eq!(said("2024-01-03T00:00:00Z", "13"), (true, "13".into()));
    assert_eq!(said("2024-01-04T00:00:00Z", "1.5"), (false, "13".into()));
}

#[test]
fn it_tries_again_where_formance_does() {
    let service = FakePsp::with_a_bank();
    for status in [408, 421, 429, 500, 503] {
        let mut poller = Poller::new(&service.url(), KEY);
        service.always("/accounts", Reply::status(status));
        assert!(poller.run(Stream::Accounts).is_err(), "{status}");
        assert_eq!(poller.requests(), 4, "{status}");
        service.always("/accounts", Reply::status(status));
        let heal = &mut || service.script(|_| Reply::Usual);
        poller.run_with(Stream::Accounts, heal).unwrap();
        assert_eq!(poller.ids(Stream::Accounts).len(), 2);
    }
    for status in [302, 400, 401, 404] {
        let mut poller = Poller::new(&service.url(), KEY);
        service.always("/accounts", Reply::status(status));
        assert!(poller.run(Stream::Accounts).is_err(), "{status}");
        assert_eq!(poller.requests(), 1, "{status}");
    }
    service.always("/", Reply::Cut);
    let mut poller = Poller::new(&service.url(), KEY);
    assert!(poller.run(Stream::Accounts).is_err());
    assert_eq!(poller.requests(), 1);
    let mut poller = Poller::new("http://127.0.0.1:1", KEY);
    assert!(poller.run(Stream::Accounts).is_err());
    let mut poller = Poller::new(&service.url(), "wrong");
    assert!(poller.run(Stream::Accounts).unwrap_err().contains("401"));
}

#[test]
fn payouts_are_made_once_and_listed() {
    let service = FakePsp::with_a_bank();
    let mut poller = Poller::new(&service.url(), KEY);
    let (status, made) = poller.post("payouts", &payout("k", "100")).unwrap();
    assert_eq!((status, &made["status"]), (201, &json!("PENDING")));
    assert_eq!(made["metadata"], json!({ "a": "b" }));
    let again = poller.post("payouts", &payout("k", "100")).unwrap();
    assert_eq!(again, (201, made.clone()));
    assert_eq!(poller.post("payouts", &payout("k", "101")).unwrap().0, 409);
    let (status, other) = poller.post("transfers", &payout("k", "100")).unwrap();
    assert!(status == 201 && other["id"] != made["id"]);
    let sent: Vec<String> = service.posts().into_iter().map(|(path, _)| path).collect();
    assert_eq!(sent, ["/payouts", "/payouts", "/payouts", "/transfers"]);
    assert_eq!(service.posts()[2].1, payout("k", "101"));
    let listed = |made: &Value| {
        let transactions = service.transactions();
        transactions
            .into_iter()
            .find(|transaction| transaction["id"] == made["id"])
    };
    assert_eq!(listed(&made).unwrap()["type"], "PAYOUT");
    assert_eq!(listed(&other).unwrap()["sourceAccountID"], "acc-1");
    service.behave(Manners {
        hides_initiations: true,
        ..Manners::default()
    });
    let (_, hidden) = poller.post("payouts", &payout("hidden", "1")).unwrap();
    assert_eq!(listed(&hidden), None);
}

#[test]
fn a_payout_is_shown_twice_unless_its_transaction_names_it() {
    for (related, payments) in [(json!(null), 2), (json!("k"), 1)] {
        let service = FakePsp::start();
        let mut poller = Poller::new(&service.url(), KEY);
        let (_, made) = poller.post("payouts", &payout("k", "100")).unwrap();
        let id = made["id"].as_str().unwrap();
        service.change_transaction(id, json!({ "relatedTransactionID": related }));
        poller.run(Stream::Transactions).unwrap();
        assert_eq!(poller.payments().len(), payments, "{related}");
    }
    // The sample service names it.
    let sandbox = sandbox(None);
    let mut poller = Poller::new(&sandbox.url(), KEY);
    poller.run(Stream::Transactions).unwrap();
    let before = poller.payments().len();
    let mut listed = payout("k", "100");
    listed["sourceAccountId"] = json!("acc-eur-collections");
    listed["destinationAccountId"] = json!("ben-vauban");
    let (status, made) = poller.post("payouts", &listed).unwrap();
    assert_eq!(status, 201, "{made}");
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.payments().len(), before + 1);
}

#[test]
fn a_payout_can_be_answered_late_wrongly_or_never() {
    let service = FakePsp::start();
    let mut poller = Poller::new(&service.url(), KEY);
    service.always("/payouts", Reply::status(503));
    assert_eq!(poller.post("payouts", &payout("a", "1")).unwrap().0, 503);
    assert!(service.transactions().is_empty());
    service.always("/payouts", Reply::Cut);
    assert!(poller.post("payouts", &payout("a", "1")).is_err());
    assert_eq!(service.transactions().len(), 1);
    let (release, released) = crossbeam_channel::bounded(1);
    service.always("/payouts", Reply::When(released));
    let late = std::thread::spawn({
        let mut poller = Poller::new(&service.url(), KEY);
        move || poller.post("payouts", &payout("b", "1"))
    });
    wait_until("the payout is made", || service.transactions().len() == 2);
    assert!(!late.is_finished());
    release.send(()).unwrap();
    assert_eq!(late.join().unwrap().unwrap().0, 201);
    service.always("/payouts", Reply::Never);
    let never = std::thread::spawn({
        let mut poller = Poller::new(&service.url(), KEY);
        move || poller.post("payouts", &payout("c", "1"))
    });
    wait_until("the payout is sent", || service.posts().len() == 4);
    drop(service);
    assert!(never.join().unwrap().is_err());
}
