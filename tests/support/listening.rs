use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::HeaderMap;

use super::{Place, Running};

/// The key of the listener.
pub const LISTEN_KEY: &str = "l1sten-key-of-the-test";

/// The key of operators.
pub const OBSERVE_KEY: &str = "0bserve-key-of-the-test";

/// What comes before an address in the log.
const LISTENING: &str = "listening on http://";
const OBSERVED: &str = "observed on http://";

/// The last line of a log.
const ENDED: &str = "(the process has ended)\n";

/// A connector that runs and listens.
pub struct Listening {
    pub place: Place,
    pub process: Running,
    /// Without a slash at its end.
    pub url: String,
    /// That of the operators' own address, if they have one.
    pub observe_url: String,
    log: Arc<(Mutex<String>, Condvar)>,
}

impl Listening {
    /// A connector to that service. It polls when it starts and when it is asked to.
    pub fn start(endpoint: &str, more: Value) -> Listening {
        let mut keys = json!({
            "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "pollingPeriod": "1h", "sweepPeriod": "1000h",
        });
        let given = more.as_object().unwrap().clone();
        keys.as_object_mut().unwrap().extend(given);
        Listening::on(Place::new(endpoint, keys), &[])
    }

    /// A connector in that place, with more variables in its environment.
    pub fn on(place: Place, variables: &[(&str, String)]) -> Listening {
        let listening = Listening::begin(place, variables);
        let log = listening.log();
        let answers = !(listening.url.is_empty() && listening.observe_url.is_empty());
        assert!(answers, "it does not listen:\n{log}");
        listening
    }

    /// As [`on`](Listening::on), but it may end before it listens; it has no URL then.
    pub fn begin(place: Place, variables: &[(&str, String)]) -> Listening {
        let mut command = place.command("run");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stderr(Stdio::piped());
        let mut process = Running::start(command);
        let stderr = process.0.stderr.take().unwrap();
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let writing = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *writing.0.lock().unwrap() += &format!("{line}\n");
                writing.1.notify_all();
            }
            *writing.0.lock().unwrap() += ENDED;
            writing.1.notify_all();
        });
        let mut listening = Listening {
            place,
            process,
            url: String::new(),
            observe_url: String::new(),
            log,
        };
        // The second one is logged last.
        let has_both = listening.place.has_key("observe");
        let last = if has_both { OBSERVED } else { LISTENING };
        listening.wait_for_any(&[last, ENDED]);
        let address = |begin: &str| {
            let log = listening.log();
            let line = log.lines().find_map(|line| line.split_once(begin));
            line.map_or_else(String::new, |(_, address)| format!("http://{address}"))
        };
        (listening.url, listening.observe_url) = (address(LISTENING), address(OBSERVED));
        listening
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    /// The same again, after this one has ended or is killed.
    pub fn restart(mut self, variables: &[(&str, String)]) -> Listening {
        self.kill();
        Listening::on(self.place, variables)
    }

    /// Polls the service, and waits for the end of that poll; its summary.
    pub fn poll(&self) -> Value {
        let (status, summary) = self.post("/poll?wait=true", "");
        let expected = if summary["outcome"] == "failed" {
            502
        } else {
            200
        };
        assert_eq!(status, expected, "{summary}\n{}", self.log());
        summary
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.ask("GET", path, Some(&format!("Bearer {LISTEN_KEY}")), "");
        (status, body)
    }

    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let bearer = format!("Bearer {LISTEN_KEY}");
        let (status, _, body) = self.ask("POST", path, Some(&bearer), body);
        (status, body)
    }

    /// As [`poll`](Listening::poll), from a thread of its own: status and body.
    pub fn polling(&self) -> JoinHandle<(u16, Value)> {
        let url = self.url.clone();
        std::thread::spawn(move || {
            let bearer = format!("Bearer {LISTEN_KEY}");
            let (status, _, body) = ask(&url, "POST", "/poll?wait=true", Some(&bearer), "");
            (status, body)
        })
    }

    /// Status, headers and body. The body is null if it is not JSON.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: &str,
    ) -> (u16, HeaderMap, Value) {
        ask(&self.url, method, path, authorization, body)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().replace(ENDED, "")
    }

    /// Waits for a line of the log that contains the text.
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    /// Waits for a line of the log that contains one of the texts.
    fn wait_for_any(&self, texts: &[&str]) -> String {
        let log = self.log.0.lock().unwrap();
        let patience = Duration::from_secs(30);
        let is_wanted = |line: &str| texts.iter().any(|text| line.contains(text.trim_end()));
        let is_missing = |log: &mut String| !log.lines().any(is_wanted);
        let (log, waited) = self
            .log
            .1
            .wait_timeout_while(log, patience, is_missing)
            .unwrap();
        assert!(!waited.timed_out(), "no {texts:?} in\n{log}");
        log.lines().find(|line| is_wanted(line)).unwrap().to_owned()
    }
}

/// Gets a path of that address: status, content type and text.
pub fn text_at(url: &str, path: &str, authorization: &str) -> (u16, String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let asked = agent
        .get(format!("{url}{path}"))
        .header("Authorization", authorization);
    let mut answer = asked.call().unwrap();
    let kind = answer.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), kind, text)
}

/// Asks that address: status, headers and body. The body is null if it is not JSON.
pub fn ask(
    url: &str,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: &str,
) -> (u16, HeaderMap, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}{path}"));
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    let mut answer = match method {
        "POST" => agent.run(request.body(body.to_owned()).unwrap()),
        _ => agent.run(request.body(()).unwrap()),
    }
    .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let headers = answer.headers().clone();
    let json = serde_json::from_str(&text).unwrap_or_default();
    (answer.status().as_u16(), headers, json)
}
