use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender};
use generic_connector::Timestamp;
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response};

use super::KEY;
use super::manners::{Manners, Reply};
use super::server::http_date;
use super::tiny::HttpServer;

/// A fake Integration Service whose data and behaviour the test sets.
pub struct FakePsp {
    /// Ends the requests that are held. Dropped before the server, which waits for its answers.
    _holding: Sender<()>,
    server: HttpServer,
    inner: Arc<Mutex<Inner>>,
}

/// This many seconds after the start of 2024-02-01.
pub fn at_second(second: usize) -> String {
    format!(
        "2024-02-01T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
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
    /// Number of requests without an answer, now and at most.
    under_way: usize,
    most_under_way: usize,
    /// The headers of the last request.
    headers: Vec<(String, String)>,
    /// The path and body of each POST.
    posts: Vec<(String, Value)>,
    /// What was made of a path and an idempotency key: the request and the answer.
    initiations: BTreeMap<(String, String), (Value, Value)>,
    /// Disconnected when the service ends.
    held: Receiver<()>,
}

impl FakePsp {
    /// An empty service.
    pub fn start() -> FakePsp {
        let (holding, held) = crossbeam_channel::bounded(0);
        let inner = Arc::new(Mutex::new(Inner {
            manners: Manners::default(),
            accounts: vec![],
            beneficiaries: vec![],
            transactions: vec![],
            script: Box::new(|_| Reply::Usual),
            requests: vec![],
            under_way: 0,
            most_under_way: 0,
            headers: vec![],
            posts: vec![],
            initiations: BTreeMap::new(),
            held,
        }));
        let answering = inner.clone();
        let server = HttpServer::start(([127, 0, 0, 1], 0).into(), move |request| {
            answer(&answering, request);
        })
        .unwrap();
        FakePsp {
            _holding: holding,
            server,
            inner,
        }
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

    /// Has these quirks from now on.
    pub fn behave(&self, manners: Manners) {
        self.inner.lock().unwrap().manners = manners;
    }

    /// Sets fields of an account.
    pub fn change_account(&self, id: &str, fields: Value) {
        change(&mut self.inner.lock().unwrap().accounts, id, fields);
    }

    /// Takes an account from the list.
    pub fn remove_account(&self, id: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.accounts.retain(|account| account["id"] != id);
    }

    /// Takes the transactions of that id from the list.
    pub fn remove_transaction(&self, id: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner
            .transactions
            .retain(|transaction| transaction["id"] != id);
    }

    /// Takes every transaction from the list.
    pub fn remove_transactions(&self) {
        self.inner.lock().unwrap().transactions.clear();
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

    /// Gives this reply to every request whose path starts with `path`.
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

    /// The highest number of requests under way at once. A request is under way until its answer is about to be sent,
    /// so a client that waits for each answer has one of them per thread.
    pub fn most_under_way(&self) -> usize {
        self.inner.lock().unwrap().most_under_way
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

    /// The path and body of each POST so far, whatever was answered.
    pub fn posts(&self) -> Vec<(String, Value)> {
        self.inner.lock().unwrap().posts.clone()
    }

    /// The transactions as they are now.
    pub fn transactions(&self) -> Vec<Value> {
        self.inner.lock().unwrap().transactions.clone()
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

fn answer(inner: &Mutex<Inner>, mut request: Request) {
    let target = request.url().to_owned();
    let authorized = request.headers().iter().any(|header| {
        header.field.equiv("Authorization") && header.value.as_str() == format!("Bearer {KEY}")
    });
    let mut body = String::new();
    // A request that breaks off is answered like an empty one.
    let _ = request.as_reader().read_to_string(&mut body);
    let is_post = *request.method() == Method::Post;
    let (reply, made, held) = {
        let mut inner = inner.lock().unwrap();
        inner.requests.push(target.clone());
        inner.under_way += 1;
        inner.most_under_way = inner.most_under_way.max(inner.under_way);
        let headers = request.headers().iter();
        inner.headers = headers
            .map(|header| (header.field.to_string(), header.value.to_string()))
            .collect();
        let reply = (inner.script)(&target);
        let mut made = None;
        if is_post && authorized {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            inner.posts.push((target.clone(), body.clone()));
            if !matches!(reply, Reply::With(..)) {
                made = Some(initiate(&mut inner, &target, &body));
            }
        }
        (reply, made, inner.held.clone())
    };
    let answered = || made.unwrap_or_else(|| usual(&inner.lock().unwrap(), &target));
    let said = match reply {
        _ if !authorized => Some((
            401,
            vec![],
            br#"{"Title":"Unauthorized","Detail":"who are you?"}"#.to_vec(),
        )),
        Reply::With(status, headers, body) => Some((status, headers, body)),
        Reply::After(delay) => {
            std::thread::sleep(delay);
            Some(answered())
        }
        Reply::When(released) => {
            crossbeam_channel::select! { recv(released) -> _ => {} recv(held) -> _ => {} }
            Some(answered())
        }
        Reply::Never => {
            let _ = held.recv();
            None
        }
        Reply::Cut => None,
        Reply::Usual => Some(answered()),
    };
    inner.lock().unwrap().under_way -= 1;
    let Some((status, headers, body)) = said else {
        return cut(&request);
    };
    let mut response = Response::from_data(body)
        .with_status_code(status)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in headers {
        response.add_header(Header::from_bytes(name, value).unwrap());
    }
    let ahead = inner.lock().unwrap().manners.clock_ahead;
    if ahead != 0 {
        let date = http_date(Timestamp::now().plus_nanoseconds(ahead * 1_000_000_000));
        response.add_header(Header::from_bytes("Date", date).unwrap());
    }
    // The client may have gone: that is for the test to judge.
    let _ = request.respond(response);
}

/// Ends the connection. tiny_http does not give it out, so it is found by its other end.
fn cut(request: &Request) {
    let client = *request.remote_addr().unwrap();
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.collect::<Vec<_>>() {
        if getpeername::<SockaddrStorage>(number).is_ok_and(|peer| peer == client.into()) {
            let _ = shutdown(number, Shutdown::Both);
        }
    }
}

/// Status, headers, body.
type Said = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Makes a payout or transfer, or finds the one of that key.
fn initiate(inner: &mut Inner, target: &str, request: &Value) -> Said {
    let kind = match target {
        "/payouts" => "PAYOUT",
        "/transfers" => "TRANSFER",
        _ => return (404, vec![], br#"{"title":"Not found"}"#.to_vec()),
    };
    let key = request["idempotencyKey"].as_str().unwrap_or_default();
    let place = (target.to_owned(), key.to_owned());
    let said = |status, body: &Value| (status, vec![], body.to_string().into_bytes());
    match inner.initiations.get(&place) {
        Some((before, object)) if before == request => return said(201, object),
        Some(_) => return said(409, &json!({ "title": "Another body under the same key" })),
        None => {}
    }
    let id = format!("{}-{key}", kind.to_lowercase());
    let now = Timestamp::now().to_string();
    let mut object = request.clone();
    for (field, value) in [
        ("id", &*id),
        ("status", "PENDING"),
        ("createdAt", &now),
        ("updatedAt", &now),
    ] {
        object[field] = json!(value);
    }
    if !inner.manners.hides_initiations {
        inner.transactions.push(json!({
            "id": id, "createdAt": now, "updatedAt": now, "currency": request["currency"], "type": kind,
            "status": "PENDING", "amount": request["amount"], "sourceAccountID": request["sourceAccountId"],
            "destinationAccountID": request["destinationAccountId"],
        }));
    }
    let answer = said(201, &object);
    inner.initiations.insert(place, (request.clone(), object));
    answer
}

fn usual(inner: &Inner, target: &str) -> Said {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let manners = &inner.manners;
    if manners.redirects && !path.ends_with('/') {
        let location = format!("{path}/?{query}");
        return (307, vec![("Location", location)], vec![]);
    }
    let path = path.trim_end_matches('/');
    let parameter = |name: &str| {
        let pair = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
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
                Some(account) => {
                    let account = percent_decode_str(account).decode_utf8_lossy();
                    let is_listed = inner.accounts.iter().any(|one| one["id"] == *account);
                    if manners.knows_its_accounts && !is_listed {
                        return refusal(404, "there is no such account");
                    }
                    (200, vec![], balances(&account))
                }
                None => refusal(404, "there is nothing here"),
            };
        }
    };
    if let Some(sort) = parameter("sort") {
        assert_eq!(sort, format!("{date}:asc"));
    }
    let date_of = |record: &&Value| {
        record[date]
            .as_str()
            .and_then(|text| Timestamp::parse(text).ok())
    };
    let from = parameter(&format!("{date}From")).map(|text| Timestamp::parse(&text));
    let Ok(from) = from.transpose() else {
        return refusal(400, "the bound is no date");
    };
    let seconds = |timestamp: Timestamp| {
        let text = timestamp.second().to_string();
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    };
    let filtered = |record: &&Value| {
        let field = if manners.filters_by_creation {
            "createdAt"
        } else {
            date
        };
        Timestamp::parse(record[field].as_str()?).ok()
    };
    let passes = |record: &&Value| match (from, filtered(record)) {
        _ if manners.ignores_filter => true,
        (Some(_), _) if manners.hides_all => false,
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
    listed.sort_by_cached_key(date_of);
    if manners.newest_first {
        listed.reverse();
    }
    if manners.shuffles {
        // The ids backwards: "tx-012" is 210.
        listed.sort_by_key(|record| record["id"].to_string().chars().rev().collect::<String>());
    }
    let number = |name| parameter(name).map(|text| text.parse::<usize>());
    let (Ok(page), Ok(size)) = (number("page").transpose(), number("pageSize").transpose()) else {
        return refusal(400, "page or pageSize is no number");
    };
    let page = match page {
        _ if manners.ignores_page => 1,
        None if manners.needs_page => return (500, vec![], vec![]),
        page if manners.counts_from_zero => page.unwrap_or(0) + 1,
        Some(0) => return refusal(400, "page is 0"),
        page => page.unwrap_or(1),
    };
    let size = size.unwrap_or(100).min(manners.cap.unwrap_or(usize::MAX));
    let size = match manners.shortens {
        Some((most, length)) if size > most => length,
        _ => size,
    };
    if size == 0 {
        return refusal(400, "pageSize is 0");
    }
    let rest = listed.into_iter().skip((page - 1) * size);
    let records: Vec<&Value> = rest.take(size).collect();
    let is_past_end = records.is_empty() && page > 1 && manners.refuses_past_end;
    if is_past_end || manners.deepest_page.is_some_and(|deepest| page > deepest) {
        return (404, vec![], br#"{"detail":"Invalid page."}"#.to_vec());
    }
    if records.is_empty() && manners.null_pages {
        return (200, vec![], b"null".to_vec());
    }
    (200, vec![], serde_json::to_vec(&records).unwrap())
}

fn refusal(status: u16, detail: &str) -> Said {
    let body = json!({ "title": "Refused", "detail": detail });
    (status, vec![], body.to_string().into_bytes())
}

fn balances(account: &str) -> Vec<u8> {
    json!({
        "id": format!("bal-{account}"), "accountID": account, "at": "2024-03-01T00:00:00Z",
        "balances": [{ "amount": "12345678901234567890", "currency": "EUR/2" }],
    })
    .to_string()
    .into_bytes()
}
