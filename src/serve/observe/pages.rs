use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::api::{Second, Timestamp};
use crate::health::Alarm;
use crate::http::Response;
use crate::metrics::Counters;
use crate::page::{self, Model};
use crate::status::Status;
use crate::store::{self, QuarantineNumber, Snapshot, SweepTimes};
use crate::sync::lock;

/// How much of the quarantine is on a page.
const QUARANTINE_PAGE: usize = 50;

/// Seconds. A browser asks again no more often, and no less often.
const REFRESHES: std::ops::RangeInclusive<u64> = 5..=3_600;

/// Nothing is loaded but the stylesheet, nothing runs, nothing is sent anywhere, and no other page shows this one.
const SECURITY_HEADERS: [(&str, &str); 4] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

/// The pages for a browser.
#[derive(Debug)]
pub(in crate::serve) struct Pages {
    pub state_directory: PathBuf,
    pub polling_period: Duration,
    pub sweep_times: SweepTimes,
    /// Whether Connectivity can poll the connector.
    pub is_listening: bool,
    /// When this process began.
    pub started_at: Second,
    /// Whether the texts of records are shown.
    pub shows_records: bool,
    /// What is counted in this process.
    pub counters: Arc<Counters>,
    /// Why the state could not be read the last time, if it could not.
    pub fault: Mutex<Option<String>>,
}

impl Pages {
    /// The state and its alarms, with at most `polls` of the last polls.
    pub fn status(&self, polls: usize) -> Result<Status, store::Error> {
        let Pages {
            state_directory,
            polling_period,
            sweep_times,
            ..
        } = self;
        let read = Status::read(state_directory, *polling_period, *sweep_times, polls);
        let mut status = self.noted(read)?;
        let abort = lock(&self.counters.polls.abort).clone();
        let abort = abort.map(Alarm::PollAborted);
        status.alarms.splice(..0, abort);
        let now = Timestamp::now().second();
        let expiry = *lock(&self.counters.service.certificate_expiry);
        let expiry = expiry.filter(|at| Alarm::expires_soon(*at, now));
        let expiry = expiry.map(|at| Alarm::CertificateExpires { at });
        status.alarms.extend(expiry);
        Ok(status)
    }

    /// Says in the log why the state cannot be read, once: the answer is seen by whoever asks only.
    fn noted<T>(&self, read: Result<T, store::Error>) -> Result<T, store::Error> {
        let is_asked_wrong = |error: &store::Error| {
            matches!(
                error,
                store::Error::NotQuarantined(_) | store::Error::NotRefused { .. }
            )
        };
        let fault = read.as_ref().err().filter(|error| !is_asked_wrong(error));
        let fault = fault.map(store::Error::to_string);
        let mut known = lock(&self.fault);
        if let Some(fault) = &fault
            && known.as_ref() != Some(fault)
        {
            log::error!("the state cannot be shown: {fault}");
        }
        *known = fault;
        read
    }

    /// The page of the connector.
    pub fn overview(&self, query: &str) -> Response {
        let now = Timestamp::now().second();
        let refresh = value_of(query, "refresh").and_then(|seconds| seconds.parse().ok());
        let refresh = refresh.filter(|seconds| REFRESHES.contains(seconds));
        let html = self.status(page::POLLS).map(|status| {
            page::overview(&Model {
                status,
                is_listening: self.is_listening,
                now,
                started_at: self.started_at,
                polling_period: self.polling_period,
                refresh,
            })
        });
        let answer = answer(html);
        match refresh {
            Some(seconds) => answer.with_header("Refresh", seconds.to_string()),
            None => answer,
        }
    }

    /// A part of what is in quarantine.
    pub fn quarantine(&self, query: &str) -> Response {
        let after = match value_of(query, "after") {
            None => QuarantineNumber::FIRST,
            Some(after) => match decoded(after).parse() {
                Ok(after) => after,
                Err(fix) => return bad_number(fix),
            },
        };
        answer(self.read(|snapshot, name| {
            let shown = snapshot.quarantine_page(&after, QUARANTINE_PAGE)?;
            Ok(page::list(name, &shown))
        }))
    }

    /// One thing that is in quarantine. `number`: as the path has it.
    pub fn quarantined(&self, number: &str) -> Response {
        let number = match decoded(number).parse() {
            Ok(number) => number,
            Err(fix) => return bad_number(fix),
        };
        answer(self.read(|snapshot, name| match &number {
            QuarantineNumber::Record(number) => {
                let record = snapshot.quarantined(*number)?;
                Ok(page::record(name, &record, self.shows_records))
            }
            QuarantineNumber::Refused(publisher, seq) => {
                let refusal = snapshot.refused(publisher, *seq)?;
                Ok(page::refusal(name, &refusal, self.shows_records))
            }
        }))
    }

    /// `show` gets the state and the connector's name.
    fn read(
        &self,
        show: impl FnOnce(&Snapshot, &str) -> Result<String, store::Error>,
    ) -> Result<String, store::Error> {
        let read = Snapshot::open(&self.state_directory).and_then(|snapshot| {
            let name = snapshot.name()?;
            show(&snapshot, &name)
        });
        self.noted(read)
    }
}

/// The stylesheet, unless the browser has it. `known`: the entity tags that it names.
pub(super) fn stylesheet(known: Option<&str>) -> Response {
    let tag = page::style_tag();
    let is_known = known.is_some_and(|known| {
        let mut tags = known.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    });
    let answer = if is_known {
        Response::new(304, "text/css; charset=utf-8", Vec::new())
    } else {
        Response::new(
            200,
            "text/css; charset=utf-8",
            page::STYLE.as_bytes().to_vec(),
        )
    };
    answer
        .with_header("ETag", tag)
        .with_header("Cache-Control", "no-cache")
        .with_header("X-Content-Type-Options", "nosniff")
}

fn answer(html: Result<String, store::Error>) -> Response {
    let html = match html {
        Ok(html) => html,
        Err(error @ (store::Error::NotQuarantined(_) | store::Error::NotRefused { .. })) => {
            return Response::error(404, "Not Found", &error.to_string());
        }
        Err(error) => return Response::error(503, "State Unavailable", &error.to_string()),
    };
    let answer = Response::new(200, "text/html; charset=utf-8", html.into_bytes());
    let add = |answer: Response, (name, value)| answer.with_header(name, value);
    SECURITY_HEADERS.into_iter().fold(answer, add)
}

fn bad_number(fix: &str) -> Response {
    Response::error(
        400,
        "Bad Request",
        &format!("That is no number of the quarantine: {fix}."),
    )
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The value of a parameter.
fn value_of<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
