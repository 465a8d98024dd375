//! Records that are spelt otherwise than the specification says, and that Formance's client reads all the same: they are
//! read here, too, and it gets the same from the listener.

use generic_connector::Stream;
use serde_json::{Value, json};

use super::{Fields, GoType, Poller, poller_on};
use crate::support::{FakePsp, KEY, Listening, Reply, run, transaction};

/// A service whose list of transactions is this text. `@` is a byte that is not UTF-8.
fn service(page: &str) -> FakePsp {
    let service = FakePsp::start();
    let bytes = page
        .bytes()
        .map(|byte| if byte == b'@' { 0xe9 } else { byte });
    let page: Vec<u8> = bytes.collect();
    service.script(move |path| match path {
        path if path.starts_with("/transactions?page=1&") => Reply::With(200, vec![], page.clone()),
        path if path.starts_with("/transactions?") => Reply::body("[]"),
        _ => Reply::Usual,
    });
    service
}

/// What Formance's client has read from a list of transactions.
fn read(mut poller: Poller) -> Vec<Vec<String>> {
    poller.run(Stream::Transactions).unwrap();
    let known = [
        "id",
        "amount",
        "currency",
        "sourceAccountID",
        "destinationAccountID",
    ];
    let fields = known.map(|field| (field, GoType::OptionalText));
    let received = poller.received(Stream::Transactions).iter();
    let record = |json: &String| {
        let record = Fields::read(json, &fields).unwrap();
        known.map(|field| record.text(field).to_owned()).to_vec()
    };
    received.map(record).collect()
}

/// The list is read completely, and the listener shows the same as the service.
fn read_as_formance_does(change: impl Fn(String) -> String) {
    let records = [
        transaction("t-1", "2024-01-01T00:00:01Z"),
        transaction("t-2", "2024-01-01T00:00:02Z"),
    ];
    let page = change(json!(records).to_string());
    let service = service(&page);
    let directly = read(Poller::new(&service.url(), KEY));
    assert_eq!(directly.len(), 2, "{page}");
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let log = listening.log();
    assert!(!log.contains("quarantine"), "{log}");
    assert_eq!(read(poller_on(&listening)), directly, "{page}");
}

fn names_in_pascal_case(page: String) -> String {
    page.replace(",\"", ",\"^")
        .replace("{\"", "{\"^")
        .replace("^a", "A")
        .replace("^c", "C")
        .replace("^d", "D")
        .replace("^i", "I")
        .replace("^s", "S")
        .replace("^t", "T")
        .replace("^u", "U")
}

cases! {
    read_as_formance_does;
    names_in_pascal_case_are_read(names_in_pascal_case);
    ids_that_end_in_id_instead_of_i_d_are_read(|page| page.replace("AccountID", "AccountId"));
    nulls_in_metadata_are_read(|page| page.replace("\"id\"", "\"metadata\":{\"a\":null,\"b\":\"c\"},\"id\""));
    half_an_emoji_in_metadata_is_read(|page| page.replace("\"id\"", r#""metadata":{"a":"b\ud83d"},"id""#));
    half_an_emoji_in_a_link_is_read(|page| page.replace("acc-1", r"acc-1\ud83d"));
    a_byte_that_is_not_utf_8_in_a_link_is_read(|page| page.replace("acc-1", "acc-1@"));
}

#[test]
fn a_byte_that_is_not_utf_8_where_it_decides_something_affects_only_its_record() {
    let mut records: Vec<Value> = (0..6)
        .map(|number| {
            transaction(
                &format!("t-{number}"),
                &format!("2024-01-01T00:00:0{number}Z"),
            )
        })
        .collect();
    records[3]["metadata"] = json!({ "place": "Caf@" });
    let service = service(&json!(records).to_string());
    let listening = Listening::start(&service.url(), json!({}));
    listening.poll();
    let line = listening.wait_for_line("put into quarantine");
    assert!(
        line.contains(
            "\"t-3\" put into quarantine: \"metadata\" contains bytes that are not UTF-8"
        ),
        "{line}"
    );
    assert_eq!(read(poller_on(&listening)).len(), 5);
    let ran = run(listening.place.command("quarantine show 1"));
    assert!(ran.stdout.contains("Caf\u{fffd}"), "{ran}");
}
