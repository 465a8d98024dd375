//! Connectors whose pages are looked at.

use serde_json::{Value, json};

use crate::formance::payout;
use crate::support::{
    FakePsp, LISTEN_KEY, Listening, Manners, OBSERVE_KEY, Place, Reply, run, transaction,
};

/// Ids and keys that would be markup, an attribute or the other direction of writing.
pub const HOSTILE: [&str; 3] = [
    "<script>alert(1)</script>",
    "\"onload=alert(1) x=",
    "\u{202e}gpj.exe",
];

/// A connector that operators look at, and the service behind it.
pub struct Observed {
    pub listening: Listening,
    pub psp: FakePsp,
}

/// A page as it was answered.
pub struct Page {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Observed {
    /// A connector to that service, with more keys in its configuration.
    pub fn start(psp: FakePsp, more: Value) -> Observed {
        let place = Observed::place(&psp, more);
        let listening = Listening::on(place, &[]);
        Observed { listening, psp }
    }

    fn place(psp: &FakePsp, more: Value) -> Place {
        let mut keys = json!({
            "name": "acme-bank", "pollingPeriod": "1h", "sweepPeriod": "1000h", "requestTimeout": "1s",
            "listen": "127.0.0.1:0", "listenKey": LISTEN_KEY, "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY,
        });
        let more = more.as_object().unwrap().clone();
        keys.as_object_mut().unwrap().extend(more);
        Place::new(&psp.url(), keys)
    }

    /// Of a service that has nothing.
    pub fn empty() -> Observed {
        let observed = Observed::start(FakePsp::start(), json!({}));
        observed.listening.wait_for_line("poll 1 complete");
        observed
    }

    /// Of a service with quirks and with records that break the API, beside a target that is down and payouts in every
    /// state. A hundred polls.
    pub fn busy() -> Observed {
        let psp = crate::cmd::poll::bad_bank();
        for (number, id) in HOSTILE.into_iter().enumerate() {
            let mut bad = transaction(id, &format!("2024-02-01T00:01:4{number}Z"));
            bad["amount"] = json!("many");
            bad["status"] = json!(id);
            psp.add_raw_transaction(bad);
        }
        psp.behave(Manners {
            cap: Some(40),
            excludes_bound: true,
            ..Manners::default()
        });
        let nowhere = json!({ "type": "http", "url": "http://127.0.0.1:9/changes" });
        let file = json!({ "type": "ndjson", "path": "changes.ndjson" });
        let place = Observed::place(&psp, json!({ "publish": [file, nowhere] }));
        run(place.command("poll --sweep --delivery-patience 10ms"));
        remember_polls(&place, 100);
        let listening = Listening::on(place, &[]);
        listening.wait_for_line("poll 101 ");
        listening.get("/transactions?page=1&pageSize=10&sort=updatedAt:asc");
        for (key, reply) in [
            ("made", Reply::Usual),
            ("refused", Reply::status(422)),
            ("not-made", Reply::status(401)),
            (HOSTILE[0], Reply::Cut),
        ] {
            psp.always("/payouts", reply);
            listening.post("/payouts", &payout(key, "100").to_string());
        }
        Observed { listening, psp }
    }

    /// Of a service that has stopped answering.
    pub fn failing() -> Observed {
        let psp = FakePsp::with_a_bank();
        let place = Observed::place(&psp, json!({}));
        place.poll_well();
        // The last good poll was days ago.
        place.age();
        let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
        let aged = "UPDATE poll SET started_at = '2024-03-01T00:00:00Z', ended_at = '2024-03-01T00:00:01Z'";
        state.execute_batch(aged).unwrap();
        drop(state);
        psp.script(|_| Reply::status(400));
        let listening = Listening::on(place, &[]);
        listening.wait_for_line("poll 2 failed");
        Observed { listening, psp }
    }

    /// With so many records in quarantine, and versions that a target refuses.
    pub fn with_quarantine(records: i64, refused: i64) -> Observed {
        let psp = FakePsp::with_a_bank();
        let nowhere =
            json!({ "type": "http", "name": "a/b & c", "url": "http://127.0.0.1:9/changes" });
        let place = Observed::place(&psp, json!({ "publish": [nowhere] }));
        run(place.command("poll --delivery-patience 10ms"));
        let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
        let text = r#"{"id":"bad","amount":"many"}"#;
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let fill = "
            INSERT INTO quarantine (stream, id, hash, kind, reason, first_seen, last_seen, retry, json)
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
            SELECT 'transactions', 'bad-' || n, ?2, 'contract', '\"amount\" is \"many\", not an integer',
                '2024-03-01T00:00:00Z', '2024-03-02T00:00:00Z', 0, ?3 FROM numbers";
        state
            .execute(fill, (records, &hash.as_ref()[..16], text))
            .unwrap();
        let refuse = "
            INSERT INTO refusal SELECT 'a/b & c', seq, 'the target answered 400', '2024-03-03T00:00:00Z', 0
            FROM version ORDER BY seq LIMIT ?1";
        state.execute(refuse, [refused]).unwrap();
        drop(state);
        let listening = Listening::on(place, &[]);
        listening.wait_for_line("poll 2 ");
        Observed { listening, psp }
    }

    /// The page at that path.
    pub fn page(&self, path: &str) -> Page {
        self.page_with(path, &[])
    }

    /// The page at that path, asked for with these headers.
    pub fn page_with(&self, path: &str, headers: &[(&str, &str)]) -> Page {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("{}{path}", self.listening.observe_url);
        let mut request = agent
            .get(url)
            .header("Authorization", format!("Bearer {OBSERVE_KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.call().unwrap();
        Page {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn has(&self, part: &str) {
        assert!(
            self.text.contains(part),
            "{part:?} is not in\n{}",
            self.text
        );
    }
}

/// Replaces the polls by so many, with every outcome and large figures.
fn remember_polls(place: &Place, polls: i64) {
    let state = rusqlite::Connection::open(place.state().join("state.sqlite3")).unwrap();
    let sql = format!(
        "DELETE FROM poll;
         INSERT INTO poll
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {polls})
         SELECT n, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', (n - {polls}) || ' minutes'),
             strftime('%Y-%m-%dT%H:%M:%SZ', 'now', (n - {polls}) || ' minutes'),
             CASE WHEN n % 29 = 0 THEN 'failed' WHEN n % 13 = 0 THEN 'partial' WHEN n = 40 THEN 'interrupted'
                 ELSE 'complete' END,
             14 + n % 9, n % 29 = 0, n % 17 = 0, 1 + n % 5, n % 31 = 0, iif(n = 50, 10000000, n * 7 % 23), 0,
             iif(n % 29 = 0, 'GET http://127.0.0.1/accounts: the service answered 503', NULL),
             150000 + n * 7919 % 90000, 20000 + n * 6007 % 9000, 40000 + n * 7919 % 60000, n * 11 % 19 / 6 FROM numbers;"
    );
    state.execute_batch(&sql).unwrap();
}
