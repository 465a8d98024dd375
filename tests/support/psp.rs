use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use generic_connector::api::Timestamp;
use generic_connector::sandbox::HttpServer;
use serde_json::{Value, json};
use tiny_http::{Header, Request, Response};

use super::KEY;

/// A fake Integration Service whose data and behaviour the test sets.
pub struct FakePsp {
    server: HttpServer,
    inner: Arc<Mutex<Inner>>,
}

/// How the service departs from what one would hope for.
#[derive(Clone, Default)]
pub struct Manners {
    /// The most records that it puts on a page.
    pub cap: Option<usize>,
    /// It lists the newest records first.
    pub newest_first: bool,
    /// It lists records in an order that has nothing to do with their dates.
    pub shuffles: bool,
    pub ignores_filter: bool,
    pub excludes_bound: bool,
    /// It reads the filter's bound so many seconds later.
    pub shifts_bound: i64,
    /// It compares whole units of so many seconds; 0 compares instants.
    pub coarse: i64,
    pub ignores_page: bool,
}

/// A transaction that keeps the rules.
pub fn transaction(id: &str, updated_at: &str) -> Value {
    json!({
        "id": id, "createdAt": updated_at, "updatedAt": updated_at, "currency": "EUR/2", "type": "PAYIN",
        "status": "PENDING", "amount": "100", "sourceAccountID": null, "destinationAccountID": "acc-1",
    })
}

struct Inner {
    manners: Manners,
    accounts: Vec<Value>,
    beneficiaries: Vec<Value>,
    transactions: Vec<Value>,
    /// Looks at a request's path and query before it is answered as usual.
    script: Box<dyn FnMut(&str) -> Reply + Send>,
    requests: Vec<String>,
    /// The headers of the last request.
    headers: Vec<(String, String)>,
}

/// What the script says to a request.
#[derive(Clone)]
pub enum Reply {
    /// Answer it from the data.
    Usual,
    /// Answer it so: status, headers, body.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Answer it from the data, but so much later.
    After(Duration),
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::With(
            status,
            vec![],
            br#"{"Title":"Told so","Detail":"by the test"}"#.to_vec(),
        )
    }

    pub fn body(body: &str) -> Reply {
        Reply::With(200, vec![], body.as_bytes().to_vec())
    }
}

impl FakePsp {
    /// An empty service.
    pub fn start() -> FakePsp {
        let inner = Arc::new(Mutex::new(Inner {
            manners: Manners::default(),
            accounts: vec![],
            beneficiaries: vec![],
            transactions: vec![],
            script: Box::new(|_| Reply::Usual),
            requests: vec![],
            headers: vec![],
        }));
        let answering = inner.clone();
        let server = HttpServer::start(([127, 0, 0, 1], 0).into(), move |request| {
            answer(&answering, request)
        })
        .unwrap();
        FakePsp { server, inner }
    }

    /// A service with two accounts, a beneficiary, and 250 transactions, 150 of them in one second.
    pub fn with_a_bank() -> FakePsp {
        let psp = FakePsp::start();
        psp.add_account("acc-1", "2024-01-01T00:00:00Z");
        psp.add_account("acc-2", "2024-01-02T00:00:00Z");
        psp.add_beneficiary("ben-1", "2024-01-01T00:00:00Z");
        for number in 0..250 {
            let second = if number < 50 {
                number
            } else {
                50 + (number - 50) / 150 * (number - 199)
            };
            psp.add_transaction(
                &format!("tx-{number:03}"),
                &format!("2024-02-01T00:{:02}:{:02}Z", second / 60, second % 60),
            );
        }
        psp
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn add_account(&self, id: &str, created_at: &str) {
        let account =
            json!({ "id": id, "accountName": format!("Account {id}"), "createdAt": created_at });
        self.inner.lock().unwrap().accounts.push(account);
    }

    pub fn add_beneficiary(&self, id: &str, created_at: &str) {
        let beneficiary =
            json!({ "id": id, "ownerName": format!("Owner {id}"), "createdAt": created_at });
        self.inner.lock().unwrap().beneficiaries.push(beneficiary);
    }

    pub fn add_transaction(&self, id: &str, updated_at: &str) {
        self.add_raw_transaction(transaction(id, updated_at));
    }

    /// Departs from what one would hope for, from now on.
    pub fn behave(&self, manners: Manners) {
        self.inner.lock().unwrap().manners = manners;
    }

    /// Sets fields of an account.
    pub fn change_account(&self, id: &str, fields: Value) {
        change(&mut self.inner.lock().unwrap().accounts, id, fields);
    }

    /// Takes the transactions of that id from the list.
    pub fn remove_transaction(&self, id: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner
            .transactions
            .retain(|transaction| transaction["id"] != id);
    }

    /// Sets fields of a transaction.
    pub fn change_transaction(&self, id: &str, fields: Value) {
        change(&mut self.inner.lock().unwrap().transactions, id, fields);
    }

    /// Adds any JSON value to the list of transactions.
    pub fn add_raw_transaction(&self, transaction: Value) {
        self.inner.lock().unwrap().transactions.push(transaction);
    }

    pub fn script(&self, script: impl FnMut(&str) -> Reply + Send + 'static) {
        self.inner.lock().unwrap().script = Box::new(script);
    }

    /// Answers every request whose path starts so with that.
    pub fn always(&self, path: &'static str, reply: Reply) {
        self.script(move |asked| {
            if asked.starts_with(path) {
                reply.clone()
            } else {
                Reply::Usual
            }
        });
    }

    pub fn heal(&self) {
        self.script(|_| Reply::Usual);
    }

    /// The paths and queries asked so far.
    pub fn requests(&self) -> Vec<String> {
        self.inner.lock().unwrap().requests.clone()
    }

    /// A header of the last request.
    pub fn last_header(&self, name: &str) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        let found = inner
            .headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    pub fn forget_requests(&self) {
        self.inner.lock().unwrap().requests.clear();
    }
}

fn change(list: &mut [Value], id: &str, fields: Value) {
    let record = list.iter_mut().find(|record| record["id"] == id).unwrap();
    for (key, value) in fields.as_object().unwrap() {
        record[key] = value.clone();
    }
}

fn answer(inner: &Mutex<Inner>, request: Request) {
    let target = request.url().to_owned();
    let authorized = request.headers().iter().any(|header| {
        header.field.equiv("Authorization") && header.value.as_str() == format!("Bearer {KEY}")
    });
    let reply = {
        let mut inner = inner.lock().unwrap();
        inner.requests.push(target.clone());
        let headers = request.headers().iter();
        inner.headers = headers
            .map(|header| (header.field.to_string(), header.value.to_string()))
            .collect();
        (inner.script)(&target)
    };
    let (status, headers, body) = match reply {
        _ if !authorized => (
            401,
            vec![],
            br#"{"Title":"Unauthorized","Detail":"who are you?"}"#.to_vec(),
        ),
        Reply::With(status, headers, body) => (status, headers, body),
        Reply::After(delay) => {
            std::thread::sleep(delay);
            usual(&inner.lock().unwrap(), &target)
        }
        Reply::Usual => usual(&inner.lock().unwrap(), &target),
    };
    let mut response = Response::from_data(body)
        .with_status_code(status)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in headers {
        response.add_header(Header::from_bytes(name, value).unwrap());
    }
    // The client may have gone: that is for the test to judge.
    let _ = request.respond(response);
}

fn usual(inner: &Inner, target: &str) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameter = |name: &str| {
        let pair = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|value| value.replace("%3A", ":"))
    };
    let (list, date) = match path {
        "/accounts" => (&inner.accounts, "createdAt"),
        "/beneficiaries" => (&inner.beneficiaries, "createdAt"),
        "/transactions" => (&inner.transactions, "updatedAt"),
        _ => {
            let account = path
                .strip_prefix("/accounts/")
                .and_then(|path| path.strip_suffix("/balances"));
            return match account {
                Some(account) => (200, vec![], balances(&account.replace("%2F", "/"))),
                None => (404, vec![], br#"{"title":"Not found"}"#.to_vec()),
            };
        }
    };
    assert_eq!(parameter("sort").unwrap(), format!("{date}:asc"));
    let date_of = |record: &&Value| {
        record[date]
            .as_str()
            .and_then(|text| Timestamp::parse(text).ok())
    };
    let from = parameter(&format!("{date}From")).map(|text| Timestamp::parse(&text).unwrap());
    let manners = &inner.manners;
    let seconds = |timestamp: Timestamp| {
        let text = timestamp.second().to_string();
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    };
    let passes = |record: &&Value| match (from, date_of(record)) {
        _ if manners.ignores_filter => true,
        (None, _) => true,
        (Some(_), None) => false,
        (Some(from), Some(date)) => {
            let from = seconds(from) + manners.shifts_bound;
            let unit = manners.coarse.max(1);
            let (date, from) = (seconds(date).div_euclid(unit), from.div_euclid(unit));
            if manners.excludes_bound {
                date > from
            } else {
                date >= from
            }
        }
    };
    let mut listed: Vec<&Value> = list.iter().filter(passes).collect();
    listed.sort_by_key(date_of);
    if manners.newest_first {
        listed.reverse();
    }
    if manners.shuffles {
        // The ids backwards: "tx-012" is 210.
        listed.sort_by_key(|record| record["id"].to_string().chars().rev().collect::<String>());
    }
    let number = |name| parameter(name).unwrap().parse::<usize>().unwrap();
    let page = if manners.ignores_page {
        1
    } else {
        number("page")
    };
    let size = number("pageSize").min(manners.cap.unwrap_or(usize::MAX));
    let records: Vec<&Value> = listed
        .into_iter()
        .skip((page - 1) * size)
        .take(size)
        .collect();
    (200, vec![], serde_json::to_vec(&records).unwrap())
}

fn balances(account: &str) -> Vec<u8> {
    json!({
        "id": format!("bal-{account}"), "accountID": account, "at": "2024-03-01T00:00:00Z",
        "balances": [{ "amount": "12345678901234567890", "currency": "EUR/2" }],
    })
    .to_string()
    .into_bytes()
}
