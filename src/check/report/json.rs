use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{percentile, reason, verdict, word};
use crate::api::Stream;
use crate::check::Level;
use crate::check::{CheckFinding, CheckResult, CheckRun, ShownExchange};

/// The report for a program. Its form is that of `packaging/check.schema.json`.
pub fn in_json(run: &CheckRun) -> Value {
    let results = run.results.iter();
    let count = |wanted: &str| {
        let words = results.clone().map(|result| word(&result.finding));
        words.filter(|word| *word == wanted).count()
    };
    let latency: Map<String, Value> = Stream::ALL
        .into_iter()
        .filter_map(|call| Some((call.to_string(), latency(&run.times(call))?)))
        .collect();
    json!({
        "format": 1,
        "program": concat!("generic-connector ", env!("CARGO_PKG_VERSION")),
        "endpoint": run.endpoint,
        "startedAt": run.started.second(),
        "seconds": (run.elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
        "requests": run.exchanges.len(),
        "verdict": verdict(run),
        "untestable": run.untestable,
        "counts": {
            "passed": count("pass"),
            "failed": count("FAIL"),
            "warnings": count("warn"),
            "infos": count("info"),
            "skipped": count("skip"),
            "mustFailed": run.failed(Level::Must),
            "notVerified": run.not_verified(),
        },
        "latency": latency,
        "checks": results.clone().map(|result| check(result, &run.exchanges)).collect::<Vec<_>>(),
    })
}

fn latency(times: &[Duration]) -> Option<Value> {
    let milliseconds = |percent| {
        let time = percentile(times, percent)?;
        Some((time.as_secs_f64() * 10_000.0).round() / 10.0)
    };
    Some(json!({
        "p50": milliseconds(50)?,
        "p95": milliseconds(95)?,
        "p99": milliseconds(99)?,
        "max": milliseconds(100)?,
    }))
}

fn check(result: &CheckResult, exchanges: &[ShownExchange]) -> Value {
    let CheckResult {
        entry,
        stream,
        finding,
    } = result;
    let (mut got, mut asked, mut skipped) = (None, Vec::new(), None);
    let mut level = entry.level;
    match finding {
        CheckFinding::Passed => {}
        CheckFinding::Skipped(why) => skipped = Some(reason(why)),
        CheckFinding::Wrong {
            level: of_finding,
            got: seen,
            exchanges: numbers,
        } => {
            level = *of_finding;
            got = Some(seen);
            let shown = numbers.iter().filter_map(|number| exchanges.get(*number));
            asked = shown.map(request).collect();
        }
    }
    json!({
        "id": entry.id,
        "name": entry.name,
        "stream": stream.map(Stream::name),
        "level": level.to_string(),
        "result": word(finding).to_lowercase(),
        "reason": skipped,
        "asked": asked,
        "got": got,
        "right": entry.right,
        "cost": entry.cost,
        "fix": entry.fix,
        "example": entry.example,
    })
}

fn request(exchange: &ShownExchange) -> Value {
    json!({ "curl": exchange.curl(), "answer": exchange.answered() })
}
