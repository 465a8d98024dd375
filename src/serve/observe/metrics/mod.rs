//! The answer to `GET /metrics`: what the state says at the moment, and what was counted since the start.
//!
//! Every series of a closed set is there from the start, with 0: a rate needs the 0 before the first event, and an alarm
//! about what is missing cannot tell it from what has never happened.

mod connectivity;
mod lists;
mod traffic;

use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;

use super::Operators;
use crate::api::{Second, Stream};
use crate::metrics::Kind::{Counter, Gauge};
use crate::metrics::{Exposition, ProcessFigures};
use crate::status::Status;
use crate::store::Overview;
use connectivity::connectivity;
use lists::{lists, sweeps};
use traffic::{initiations, listener, publishers, service};

/// The whole answer.
pub(super) fn text(operators: &Operators, status: &Status) -> String {
    let Operators { counters, .. } = operators;
    let overview = &status.overview;
    let mut text = Exposition::default();
    identity(&mut text, overview);
    polls(&mut text, operators, overview);
    lists(&mut text, overview);
    sweeps(&mut text, counters, overview);
    service(&mut text, counters);
    if operators.pages.is_listening {
        connectivity(&mut text, counters.started_at, status);
    }
    listener(&mut text, counters);
    publishers(&mut text, counters, status);
    initiations(&mut text, overview);
    state(&mut text, status);
    process(&mut text, counters.started_at);
    text.text()
}

fn identity(text: &mut Exposition, overview: &Overview) {
    text.metric("build_info", Gauge, "The version of the program, 1.")
        .sample(&[("version", &env!("CARGO_PKG_VERSION"))], true);
    let state = &overview.state;
    let labels: &[(&str, &dyn Display)] =
        &[("connector", &state.identity.name), ("state_id", &state.id)];
    text.metric("info", Gauge, "The connector and the id of its state, 1.")
        .sample(labels, true);
}

fn polls(text: &mut Exposition, operators: &Operators, overview: &Overview) {
    let polls = &operators.counters.polls;
    let ended = text.metric("polls_total", Counter, "Polls that have ended.");
    for (outcome, count) in polls.ended.read() {
        ended.sample(&[("outcome", &outcome)], count);
    }
    text.metric(
        "poll_duration_seconds_total",
        Counter,
        "How long polls took in all.",
    )
    .value(seconds(polls.took.load(Relaxed)));
    let last_took = overview.polls.iter().find_map(|poll| poll.took);
    text.metric(
        "last_poll_duration_seconds",
        Gauge,
        "How long the last poll of all lists took. A restart does not reset it.",
    )
    .value(last_took.unwrap_or_default().as_secs_f64());
    text.metric(
        "polling_period_seconds",
        Gauge,
        "From the start of one poll to the start of the next.",
    )
    .value(operators.pages.polling_period.as_secs_f64());
    text.metric("poll_running", Gauge, "1 while a poll runs.")
        .value(polls.is_running.load(Relaxed));
    let started_at = operators.counters.started_at;
    let last_good = overview.last_good_poll.clone();
    let last_good = last_good.and_then(|text| Second::try_from(text).ok());
    text.metric(
        "last_good_poll_timestamp_seconds",
        Gauge,
        "When the last poll ended that was complete or partial; when the program was started, if that was later.",
    )
    .value(last_good.map_or(started_at, |last_good| last_good.max(started_at)).unix());
}

fn state(text: &mut Exposition, status: &Status) {
    let state = &status.overview.state;
    text.metric("state_bytes", Gauge, "The size of the state's file.")
        .value(state.room.file);
    text.metric(
        "state_wal_bytes",
        Gauge,
        "The size of the state's write-ahead log.",
    )
    .value(state.room.log);
    text.metric(
        "state_free_bytes",
        Gauge,
        "What the disk of the state has left.",
    )
    // 0 would be an alarm.
    .value(state.room.free.map_or(f64::NAN, |bytes| bytes as f64));
    text.metric(
        "state_restores_total",
        Counter,
        "How often the state was found to have been put back from an older copy. A restart does not reset it.",
    )
    .value(state.restores);
    text.metric(
        "backup_timestamp_seconds",
        Gauge,
        "When backup last copied the state; 0 before the first time.",
    )
    .value(state.backed_up_at.map_or(0, Second::unix));
    text.metric(
        "reconciliation_timestamp_seconds",
        Gauge,
        "When the records were last reconciled with another source; 0: never, since this version has no command for it.",
    )
    .value(0_u64);
    text.metric("warnings", Gauge, "Warnings that status shows.")
        .value(status.alarms.len() as u64);
}

fn process(text: &mut Exposition, started_at: Second) {
    let ProcessFigures {
        cpu,
        resident,
        open_files,
        most_files,
    } = ProcessFigures::read();
    text.standard(
        "process_start_time_seconds",
        Gauge,
        "When the process was started.",
    )
    .value(started_at.unix());
    text.standard(
        "process_cpu_seconds_total",
        Counter,
        "CPU time of the process.",
    )
    .value(cpu.as_secs_f64());
    text.standard(
        "process_resident_memory_bytes",
        Gauge,
        "Memory of the process that is in RAM.",
    )
    .value(resident);
    text.standard("process_open_fds", Gauge, "Open file descriptors.")
        .value(open_files);
    text.standard(
        "process_max_fds",
        Gauge,
        "File descriptors that may be open.",
    )
    .value(most_files);
}

/// A gauge with a series for each of those streams.
fn gauge_by_stream(
    text: &mut Exposition,
    name: &str,
    help: &str,
    streams: &[Stream],
    value: impl Fn(Stream) -> i64,
) {
    let metric = text.metric(name, Gauge, help);
    for stream in streams {
        metric.sample(&[("stream", stream)], value(*stream));
    }
}

/// Seconds since 1970-01-01T00:00:00Z.
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn seconds_in(age: u64) -> i64 {
    i64::try_from(age).unwrap_or(i64::MAX)
}
