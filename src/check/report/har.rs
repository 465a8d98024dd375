use serde_json::{Value, json};

use crate::check::exchange::ShownAnswer;
use crate::check::{CheckRun, ShownExchange};
use crate::secret::redaction;

/// Everything that was exchanged, as an HTTP Archive 1.2: browsers and proxies show it. The key is replaced.
pub fn in_har(run: &CheckRun) -> Value {
    let entries: Vec<Value> = run.exchanges.iter().map(entry).collect();
    json!({ "log": {
        "version": "1.2",
        "creator": { "name": "generic-connector", "version": env!("CARGO_PKG_VERSION") },
        "entries": entries,
    } })
}

fn entry(exchange: &ShownExchange) -> Value {
    let milliseconds = exchange.elapsed.as_secs_f64() * 1_000.0;
    let response = match &exchange.answer {
        Ok(answer) => response(answer),
        // The format has no other place for it; status 0 is what browsers write.
        Err(error) => json!({
            "status": 0, "statusText": error, "httpVersion": "", "cookies": [], "headers": [],
            "content": { "size": 0, "mimeType": "" }, "redirectURL": "", "headersSize": -1, "bodySize": -1,
        }),
    };
    json!({
        "startedDateTime": exchange.started.to_string(),
        "time": milliseconds,
        "request": request(exchange),
        "response": response,
        "cache": {},
        "timings": { "send": 0, "wait": milliseconds, "receive": 0 },
    })
}

fn request(exchange: &ShownExchange) -> Value {
    let mut headers = vec![("Accept-Encoding", exchange.accept_encoding.as_str())];
    headers.extend(exchange.key.header().map(|key| ("Authorization", key)));
    let is_sent = exchange.json.is_some();
    headers.extend(is_sent.then_some(("Content-Type", "application/json")));
    let headers = headers.iter().map(|(name, value)| header(name, value));
    let query = exchange.url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut request = json!({
        "method": if exchange.json.is_some() { "POST" } else { "GET" },
        "url": exchange.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers.collect::<Vec<_>>(),
        "queryString": pairs.map(|(name, value)| header(name, value)).collect::<Vec<_>>(),
        "headersSize": -1,
        "bodySize": exchange.json.as_ref().map_or(0, String::len),
    });
    if let Some(text) = &exchange.json {
        request["postData"] = json!({ "mimeType": "application/json", "text": text });
    }
    request
}

fn response(answer: &ShownAnswer) -> Value {
    let value = |wanted: &str| {
        let mut headers = answer.headers.iter();
        let found = headers.find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| header(name, value));
    json!({
        "status": answer.status,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers.collect::<Vec<_>>(),
        "content": {
            "size": answer.length,
            "mimeType": value("content-type"),
            "text": redaction::message(body),
        },
        "redirectURL": value("location"),
        "headersSize": answer.header_bytes,
        "bodySize": -1,
    })
}

fn header(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}
