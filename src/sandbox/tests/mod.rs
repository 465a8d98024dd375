//! The service as its clients see it. The tests of its parts use the functions of this file as well.

mod initiations;
mod lists;
mod requests;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Sandbox, Settings};
use crate::api::{Page, Record, Stream};

const KEY: &str = "secret";

pub(super) fn settings(data: Option<&Path>) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: KEY.to_owned(),
        data: data.map(Path::to_owned),
        live: false,
        latency: Duration::ZERO,
        fault: None,
    }
}

fn bank() -> Sandbox {
    Sandbox::start(settings(None)).unwrap()
}

pub(super) struct SandboxAnswer {
    pub status: u16,
    pub body: String,
    pub headers: ureq::http::HeaderMap,
}

fn ask(sandbox: &Sandbox, method: &str, path: &str, key: Option<&str>) -> SandboxAnswer {
    send(sandbox, method, path, key, "")
}

fn send(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> SandboxAnswer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.url()));
    if let Some(key) = key {
        request = request.header("Authorization", key);
    }
    let mut response = match method {
        // Without a body of known length, ureq sends these in chunks, which the server does not take.
        "POST" | "PUT" => agent.run(request.body(body.to_owned()).unwrap()).unwrap(),
        _ => agent.run(request.body(()).unwrap()).unwrap(),
    };
    SandboxAnswer {
        status: response.status().as_u16(),
        body: response.body_mut().read_to_string().unwrap(),
        headers: response.headers().clone(),
    }
}

pub(super) fn get(sandbox: &Sandbox, path: &str) -> SandboxAnswer {
    ask(sandbox, "GET", path, Some(&format!("Bearer {KEY}")))
}

pub(super) fn list(sandbox: &Sandbox, stream: Stream, path: &str) -> Vec<Record> {
    let said = get(sandbox, path);
    assert_eq!(said.status, 200, "{path}: {}", said.body);
    let page = Page::read(stream, said.body.as_bytes()).unwrap();
    assert!(page.unusable.is_empty(), "{:?}", page.unusable);
    page.records
}

pub(super) fn transactions(sandbox: &Sandbox, query: &str) -> Vec<Record> {
    let path = format!("/transactions?{query}");
    list(sandbox, Stream::Transactions, &path)
}

pub(super) fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| &*record.id).collect()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}

/// A directory that holds those files.
pub(super) fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}
