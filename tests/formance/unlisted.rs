//! What Formance cannot take does not stop it: the listener leaves it out, counts it, and lists the rest.

use generic_connector::Stream;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Poller, poller_on};
use crate::support::{FakePsp, Listening, Reply, run, transaction};

/// A thousand characters that have three bytes each.
fn wide() -> String {
    "账".repeat(1_000)
}

fn at(second: usize) -> String {
    format!("2024-02-01T00:{:02}:{:02}Z", second / 60, second % 60)
}

/// A transaction with other values in some fields.
fn with(id: &str, second: usize, fields: Value) -> Value {
    let mut transaction = transaction(id, &at(second));
    for (field, value) in fields.as_object().unwrap() {
        transaction[field] = value.clone();
    }
    transaction
}

fn listening(psp: &FakePsp) -> (Listening, Poller) {
    let listening = Listening::start(&psp.url(), json!({}));
    listening.poll();
    let poller = poller_on(&listening);
    (listening, poller)
}

/// What `/status` says is left out: stream, count, the beginning of the reason.
fn left_out(listening: &Listening) -> Vec<(String, u64, String)> {
    let (_, status) = listening.get("/status");
    let lines = status["leftOut"].as_array().unwrap().iter();
    lines
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            let reason = text("reason").split([':', ';']).next().unwrap().to_owned();
            (text("stream"), line["count"].as_u64().unwrap(), reason)
        })
        .collect()
}

fn said(stream: &str, count: u64, reason: &str) -> (String, u64, String) {
    (stream.to_owned(), count, reason.to_owned())
}

const LONG_ID: &str = "ids too long for an index of Formance's database";
const LONG_ACCOUNT: &str = "accounts with ids of more than 800 bytes";
const LONG_AMOUNT: &str = "amounts of more than 100000 digits";

#[test]
fn ids_that_cannot_be_indexed_are_left_out_and_the_rest_arrives() {
    let psp = FakePsp::start();
    psp.add_transaction("before", &at(0));
    for length in 985..=1_000 {
        psp.add_transaction(&"x".repeat(length), &at(length - 980));
    }
    psp.add_transaction(&"y".repeat(880), &at(30));
    psp.add_transaction("after", &at(40));
    psp.add_account("acc-1", &at(0));
    psp.add_account(&wide(), &at(1));
    psp.add_account(&"a".repeat(850), &at(2));
    psp.add_account(&"b".repeat(800), &at(3));
    psp.add_beneficiary(&wide(), &at(0));
    psp.add_beneficiary(&"c".repeat(850), &at(1));
    let (listening, mut poller) = listening(&psp);
    for stream in Stream::LISTED {
        poller.run(stream).unwrap();
    }
    assert_eq!(
        poller.ids(Stream::Transactions),
        ["before".into(), "after".into(), "y".repeat(880)].into()
    );
    assert_eq!(
        poller.ids(Stream::Accounts),
        ["acc-1".into(), "b".repeat(800)].into()
    );
    assert_eq!(poller.ids(Stream::Beneficiaries), ["c".repeat(850)].into());
    let counted = [
        said("accounts", 1, LONG_ACCOUNT),
        said("accounts", 1, LONG_ID),
        said("beneficiaries", 1, LONG_ID),
        said("transactions", 16, LONG_ID),
    ];
    assert_eq!(left_out(&listening), counted);
    // They are stored and counted as any other record, and a poll that reads them again says nothing.
    let (_, status) = listening.get("/status");
    assert_eq!(status["streams"][3]["records"], 19);
    listening.poll();
    assert_eq!(left_out(&listening), counted);
    let warnings = listening.log().matches("for Formance leave out").count();
    assert_eq!(warnings, 4, "{}", listening.log());
    let line = listening.wait_for_line("transactions: the lists for Formance leave out");
    for part in ["WARN", LONG_ID, "shorter ids", "\"xxxxx"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // The state lacks nothing.
    let verified = run(listening.place.command("verify"));
    assert_eq!(verified.code, Some(0), "{verified}");
    let shown = run(listening.place.command("status")).stdout;
    assert!(
        shown.contains("left out   transactions, 16 such as \"xxxxx"),
        "{shown}"
    );
}

#[test]
fn pages_are_full_however_much_is_left_out() {
    let psp = FakePsp::start();
    for number in 0..250 {
        let id = if number % 2 == 0 {
            format!("tx-{number:03}")
        } else {
            format!("{number:03}-{}", "x".repeat(990))
        };
        psp.add_transaction(&id, &at(number));
    }
    let (listening, mut poller) = listening(&psp);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(poller.ids(Stream::Transactions).len(), 125);
    for (page, expected) in [(1, 100), (2, 25)] {
        let path = format!("/transactions?page={page}&pageSize=100&sort=updatedAt:asc");
        let (_, listed) = listening.get(&path);
        assert_eq!(listed.as_array().unwrap().len(), expected);
    }
}

#[test]
fn amounts_that_cannot_be_stored_are_left_out_and_the_rest_arrives() {
    let psp = FakePsp::start();
    let digits = "9".repeat(200_000);
    psp.add_account("acc-1", &at(0));
    psp.add_transaction("before", &at(0));
    psp.add_raw_transaction(with("huge", 1, json!({ "amount": digits })));
    psp.add_raw_transaction(with("large", 2, json!({ "amount": "9".repeat(90_000) })));
    let balances = json!({ "id": "b", "accountID": "acc-1", "at": at(0), "balances": [
        { "currency": "EUR/2", "amount": "5" }, { "currency": "BTC/8", "amount": digits },
    ] });
    psp.always(
        "/accounts/acc-1/balances",
        Reply::body(&balances.to_string()),
    );
    let (listening, mut poller) = listening(&psp);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(
        poller.ids(Stream::Transactions),
        ["before".into(), "large".into()].into()
    );
    poller.balances("acc-1").unwrap();
    assert_eq!(poller.balance("acc-1", "EUR/2"), Some("5"));
    assert_eq!(poller.balance("acc-1", "BTC/8"), None);
    assert_eq!(
        left_out(&listening),
        [
            said("balances", 1, LONG_AMOUNT),
            said("transactions", 1, LONG_AMOUNT)
        ]
    );
}

#[test]
fn a_transaction_whose_account_cannot_be_stored_is_listed_without_it() {
    let psp = FakePsp::start();
    let related = "p".repeat(900);
    for (id, second, fields) in [
        (
            "named",
            0,
            json!({ "sourceAccountID": wide(), "destinationAccountID": "acc-1" }),
        ),
        ("related", 1, json!({ "relatedTransactionID": related })),
    ] {
        psp.add_raw_transaction(with(id, second, fields));
    }
    let long = "z".repeat(880);
    psp.add_raw_transaction(with(&long, 2, json!({ "relatedTransactionID": related })));
    let (listening, mut poller) = listening(&psp);
    poller.run(Stream::Transactions).unwrap();
    assert_eq!(
        poller.ids(Stream::Transactions),
        ["named".into(), "related".into()].into()
    );
    let shown: Value = serde_json::from_str(&poller.received(Stream::Transactions)[0]).unwrap();
    assert_eq!(shown["sourceAccountID"], Value::Null);
    assert_eq!(shown["destinationAccountID"], "acc-1");
    assert_eq!(
        left_out(&listening),
        [
            said("transactions", 1, LONG_ID),
            said(
                "transactions",
                1,
                &format!("accounts of transactions, which are listed without them, with {LONG_ID}")
            ),
        ]
    );
}

#[test]
fn balances_are_found_under_the_id_that_was_listed_and_the_others_are_counted() {
    let psp = FakePsp::start();
    let asked = ["plain", "a\0b", "c\u{fffd}\0", "d%2Fe", "f?g", "h i/j"];
    let not_asked = ["k#l", "m%", "n %20", "o\tp", "q\nr", "s\u{7f}"];
    for id in asked.iter().chain(&not_asked) {
        psp.add_account(id, &at(0));
    }
    psp.script(|target| {
        let account = target
            .strip_prefix("/accounts/")
            .and_then(|rest| rest.strip_suffix("/balances"));
        let Some(account) = account else {
            return Reply::Usual;
        };
        let account = percent_decode_str(account).decode_utf8().unwrap();
        let balances = json!({ "id": "b", "accountID": account, "at": at(0), "balances": [
            { "currency": "EUR/2", "amount": account.len().to_string() },
        ] });
        Reply::body(&balances.to_string())
    });
    let (listening, mut poller) = listening(&psp);
    poller.run(Stream::Accounts).unwrap();
    let ids = poller.ids(Stream::Accounts);
    assert_eq!(ids.len(), 12);
    for id in asked {
        let listed = id.replace('\0', "\u{fffd}");
        assert!(ids.contains(&listed), "{id:?}");
        poller.balances(&listed).unwrap();
        let amount = id.len().to_string();
        assert_eq!(poller.balance(&listed, "EUR/2"), Some(&*amount), "{id:?}");
    }
    for id in not_asked {
        assert!(ids.contains(id), "{id:?}");
        let _ = poller.balances(id);
        assert_eq!(poller.balance(id, "EUR/2"), None, "{id:?}");
    }
    let reason = "balances of accounts whose ids have \"#\", \"%\" or a control character, because Formance does not escape \
                  ids when it asks for balances";
    assert_eq!(left_out(&listening), [said("accounts", 6, reason)]);
    psp.change_account("k#l", json!({ "accountName": "renamed" }));
    listening.post("/sweep", "");
    listening.wait_for_line("sweep 1 complete");
    assert_eq!(left_out(&listening)[0].1, 6);
}
