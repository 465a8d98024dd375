use std::io::Read;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{TestAnswer, TestRequest, TestServer};

pub const TARGET_KEY: &str = "key-of-the-target";

/// Some put their key into the URL.
pub const TARGET_TOKEN: &str = "t0k3n";

/// A target that keeps what it has acknowledged.
pub struct Receiver {
    pub server: TestServer,
    batches: Arc<Mutex<Vec<Batch>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub key: String,
    pub lines: Vec<Value>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let batches: Arc<Mutex<Vec<Batch>>> = Arc::default();
        let taken = batches.clone();
        let server = TestServer::start(move |request| {
            taken.lock().unwrap().push(Batch::of(request));
            TestAnswer::new(204, "")
        });
        Receiver { server, batches }
    }

    pub fn url(&self) -> String {
        format!("{}/changes/?token={TARGET_TOKEN}", self.server.url())
    }

    pub fn entry(&self) -> Value {
        json!({ "type": "http", "url": self.url(), "apiKey": TARGET_KEY, "requestTimeout": "5s" })
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().clone()
    }

    /// The seqs of all lines, in the order in which they came.
    pub fn seqs(&self) -> Vec<i64> {
        let batches = self.batches();
        let lines = batches.iter().flat_map(|batch| &batch.lines);
        lines.map(|line| line["seq"].as_i64().unwrap()).collect()
    }
}

impl Batch {
    /// The batch that a request POSTs. It must come as the documentation says.
    pub fn of(request: &TestRequest) -> Batch {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/changes/?token=t0k3n")
        );
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&request.body[..])
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.ends_with('\n'));
        Batch {
            key: request.header("idempotency-key").unwrap().to_owned(),
            lines: text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        }
    }
}
