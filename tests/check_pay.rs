//! `check --pay`, asked about services that pay twice. Their server is made for this: it notices a client that has gone.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use generic_connector::Timestamp;
use serde_json::{Value, json};

use crate::check_service::ids;
use crate::support::{KEY, Place, Ran, run};

/// How long equal requests may wait for each other, and a payout for its client to go. A busy machine may hold up a process
/// for tenths of a second.
const MEETING: Duration = Duration::from_secs(1);

/// When a service pays twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Never,
    /// When a key is used again.
    Repeated,
    /// When a key is used at once: it looks for the key long before it stores it.
    AtOnce,
    /// When the client goes before it has the answer: it forgets the key.
    Cut,
}

#[derive(Default)]
struct Books {
    /// Each payout, with its key.
    payouts: Vec<(String, Value)>,
    /// The keys that the service remembers, with the number of the payout.
    keys: Vec<(String, usize)>,
    /// How many requests look for their key at the moment.
    looking: usize,
}

struct PayingService {
    url: String,
    books: Arc<(Mutex<Books>, Condvar)>,
}

impl PayingService {
    fn start(flaw: Flaw) -> PayingService {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::new((Mutex::new(Books::default()), Condvar::new()));
        let shared = books.clone();
        // They end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, books) = (stream.unwrap(), shared.clone());
                thread::spawn(move || serve(stream, &books, flaw));
            }
        });
        PayingService { url, books }
    }

    fn payouts(&self) -> usize {
        self.books.0.lock().unwrap().payouts.len()
    }
}

/// Answers the requests of a connection until it ends.
fn serve(mut stream: TcpStream, books: &(Mutex<Books>, Condvar), flaw: Flaw) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let header = |name: &str| {
            let found = lines.iter().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            });
            found.unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (status, answer) = if header("authorization") != format!("Bearer {KEY}") {
            (401, refusal("Who are you?"))
        } else if method == "POST" {
            pay(&stream, books, flaw, &body)
        } else {
            (200, list(&books.0.lock().unwrap(), target))
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).ok()?;
    }
}

fn refusal(detail: &str) -> Value {
    json!({ "Title": "Refused", "Detail": detail })
}

fn pay(
    client: &TcpStream,
    (books, changed): &(Mutex<Books>, Condvar),
    flaw: Flaw,
    body: &[u8],
) -> (u16, Value) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return (400, refusal("The body is no JSON."));
    };
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    let (key, amount) = (text("idempotencyKey"), text("amount"));
    let is_amount = amount.parse::<u64>().is_ok_and(|amount| amount > 0);
    if key.is_empty() || !is_amount || text("destinationAccountId") != "ben-1" {
        return (400, refusal("A field is wrong."));
    }
    let known = |books: &Books| {
        books
            .keys
            .iter()
            .find(|(one, _)| *one == key)
            .map(|(_, number)| *number)
    };
    let mut held = books.lock().unwrap();
    let found = known(&held).filter(|_| flaw != Flaw::Repeated);
    if flaw == Flaw::AtOnce {
        held.looking += 1;
        changed.notify_all();
        held = changed
            .wait_timeout_while(held, MEETING, |books| books.looking < 2)
            .unwrap()
            .0;
        held.looking -= 1;
    }
    if let Some(number) = found {
        let payout = &held.payouts[number].1;
        return if payout["amount"] == amount {
            (201, payout.clone())
        } else {
            (409, refusal("The key was used with another amount."))
        };
    }
    let now = Timestamp::now().to_string();
    let mut payout = request.clone();
    for (field, value) in [
        ("id", format!("po-{}", held.payouts.len())),
        ("status", "PENDING".to_owned()),
        ("createdAt", now),
    ] {
        payout[field] = json!(value);
    }
    let number = held.payouts.len();
    held.payouts.push((key.clone(), payout.clone()));
    held.keys.push((key.clone(), number));
    // Nobody reads the books meanwhile: the repetition comes at once.
    if flaw == Flaw::Cut {
        client.set_read_timeout(Some(MEETING)).unwrap();
        let left = client.peek(&mut [0]);
        client.set_read_timeout(None).unwrap();
        let stays = left.is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        });
        if !stays {
            held.keys.retain(|(one, _)| *one != key);
        }
    }
    (201, payout)
}

fn list(books: &Books, target: &str) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.replace("%3A", ":"));
        values.next()
    };
    let record = |id: &str, date: &str| json!({ "id": id, "createdAt": date, "updatedAt": date });
    let (mut all, date) = match path {
        "/accounts" | "/beneficiaries" => {
            let mut one = record(
                if path == "/accounts" {
                    "acc-1"
                } else {
                    "ben-1"
                },
                "2024-01-01T08:00:00Z",
            );
            one["accountName"] = json!("Main");
            one["ownerName"] = json!("Somebody");
            (vec![one], "createdAt")
        }
        _ => {
            let old = (1..10).map(|day| {
                let mut one = record(&format!("tx-{day}"), &format!("2024-02-0{day}T08:00:00Z"));
                for (field, value) in [
                    ("amount", "1"),
                    ("currency", "EUR/2"),
                    ("type", "PAYIN"),
                    ("status", "SUCCEEDED"),
                ] {
                    one[field] = json!(value);
                }
                one
            });
            let payouts = books.payouts.iter().map(|(key, payout)| {
                let date = payout["createdAt"].as_str().unwrap();
                let mut one = record(payout["id"].as_str().unwrap(), date);
                for (field, value) in [
                    ("amount", &payout["amount"]),
                    ("currency", &payout["currency"]),
                    ("type", &json!("PAYOUT")),
                    ("status", &json!("PENDING")),
                    ("sourceAccountID", &payout["sourceAccountId"]),
                    ("destinationAccountID", &payout["destinationAccountId"]),
                    ("relatedTransactionID", &json!(key)),
                ] {
                    one[field] = value.clone();
                }
                one
            });
            (old.chain(payouts).collect(), "updatedAt")
        }
    };
    if let Some(from) = parameter(&format!("{date}From")) {
        all.retain(|one| one[date].as_str().unwrap() >= from.trim_end_matches('Z'));
    }
    let number = |name, usual: usize| {
        parameter(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(usual)
    };
    let (page, size) = (number("page", 1).max(1), number("pageSize", 100));
    all.into_iter().skip((page - 1) * size).take(size).collect()
}

fn check(place: &Place, more: &[&str]) -> (Value, Ran) {
    let mut command = place.command(
        "check --json --only I --pay payouts --from acc-1 --to ben-1 --amount 100 --currency EUR/2",
    );
    command.args(more);
    let ran = run(command);
    assert!(!ran.to_string().contains(KEY), "{ran}");
    (serde_json::from_str(&ran.stdout).unwrap_or_default(), ran)
}

/// The check with that id fails, no other does, and so many payouts are made.
fn finds(flaw: Flaw, failed: &[&str], payouts: std::ops::RangeInclusive<usize>) {
    let service = PayingService::start(flaw);
    let place = Place::new(&service.url, json!({}));
    let (document, ran) = check(&place, &["--yes", "127.0.0.1"]);
    let failed: BTreeSet<String> = failed.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(ids(&document, &["fail", "warn"]), failed, "{ran}");
    let announced = "4 of 100 EUR/2 each, 400 EUR/2 in all, if the service is right. If it is not, at most 16 payouts";
    assert!(ran.stderr.contains(announced), "{ran}");
    assert!(
        payouts.contains(&service.payouts()),
        "{} payouts: {ran}",
        service.payouts()
    );
    assert_eq!(
        ran.code,
        Some(if failed.is_empty() { 0 } else { 2 }),
        "{ran}"
    );
}

cases! { finds;
    nothing_wrong_and_makes_four(Flaw::Never, &[], 4..=4);
    a_key_that_pays_again(Flaw::Repeated, &["I2"], 2..=2);
    a_race_that_pays_again(Flaw::AtOnce, &["I4"], 3..=6);
    a_cut_connection_that_pays_again(Flaw::Cut, &["I5"], 4..=4);
}

#[test]
fn nothing_is_paid_without_the_name_of_the_host() {
    let service = PayingService::start(Flaw::Never);
    let place = Place::new(&service.url, json!({}));
    let (_, ran) = check(&place, &["--yes", "example.com"]);
    assert_eq!(ran.code, Some(64), "{ran}");
    let (_, ran) = check(&place, &[]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("nothing was sent"), "{ran}");
    let (_, ran) = check(
        &place,
        &["--yes", "127.0.0.1", "--har", "/nowhere/check.har"],
    );
    assert_eq!(ran.code, Some(1), "{ran}");
    let (_, ran) = check(&place, &["--watch"]);
    assert_eq!(ran.code, Some(64), "{ran}");
    let mut command = place.command(
        "check --pay payouts --from acc-1 --to ben-1 --amount 0 --currency EUR/2 --yes 127.0.0.1",
    );
    command.stdout(Stdio::null());
    assert_eq!(run(command).code, Some(64));
    // Payouts are not among the usual checks.
    run(place.command("check"));
    assert_eq!(service.payouts(), 0);
}

#[test]
fn the_name_of_the_host_can_be_typed() {
    let service = PayingService::start(Flaw::Never);
    let place = Place::new(&service.url, json!({}));
    let mut command = place.command(
        "check --only I --pay payouts --from acc-1 --to ben-1 --amount 100 --currency EUR/2",
    );
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"127.0.0.1\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(
        report.contains(", making payouts\n") && report.contains("pass  I5"),
        "{report}"
    );
    assert_eq!(service.payouts(), 4);
}
