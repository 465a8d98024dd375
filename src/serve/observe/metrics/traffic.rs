use std::sync::atomic::Ordering::Relaxed;

use super::seconds_in;
use crate::api::{Initiation, Timestamp};
use crate::metrics::Kind::{self, Counter, Gauge};
use crate::metrics::{Counters, Exposition, NO_STATUS};
use crate::status::Status;
use crate::store::{InitiationState, Overview};
use crate::sync::lock;

/// The requests to the service.
pub(super) fn service(text: &mut Exposition, counters: &Counters) {
    let service = &counters.service;
    let requests = text.metric(
        "service_requests_total",
        Counter,
        "Requests to the service, by the status of the answer; none if there was no answer.",
    );
    for ((call, status), count) in service.requests.read() {
        let status = match status {
            NO_STATUS => "none".to_owned(),
            status => status.to_string(),
        };
        requests.sample(&[("call", &call), ("status", &status)], count);
    }
    let took = text.metric(
        "service_request_duration_seconds",
        Kind::Histogram,
        "How long requests to the service took, to the last byte of the answer.",
    );
    for (call, histogram) in &service.took {
        took.histogram(("call", call), histogram);
    }
    let retries = text.metric(
        "service_retries_total",
        Counter,
        "Requests to the service that repeated one without a usable answer.",
    );
    for (call, count) in service.retries.read() {
        retries.sample(&[("call", &call)], count);
    }
    text.metric(
        "service_received_bytes_total",
        Counter,
        "Bytes of the bodies that the service has sent, decompressed.",
    )
    .value(service.received.load(Relaxed));
    text.metric(
        "service_clock_offset_seconds",
        Gauge,
        "How far the Date of the service's last answer was ahead of this machine's clock.",
    )
    .value(service.clock_offset.load(Relaxed));
    let expiry = *lock(&service.certificate_expiry);
    text.metric(
        "service_certificate_expiry_timestamp_seconds",
        Gauge,
        "When the certificate of the service expires; NaN while none was seen.",
    )
    // 0 would be an alarm.
    .value(expiry.map_or(f64::NAN, |at| at.unix() as f64));
}

/// The requests to the listener.
pub(super) fn listener(text: &mut Exposition, counters: &Counters) {
    let answers = text.metric(
        "listener_requests_total",
        Counter,
        "Requests to the listener, by the status of the answer.",
    );
    for ((route, status), count) in counters.answers.read() {
        answers.sample(&[("route", &route), ("status", &status)], count);
    }
    let open: u64 = counters
        .connections
        .iter()
        .map(|open| open.load(Relaxed))
        .sum();
    text.metric(
        "listener_connections",
        Gauge,
        "Connections to the listener that are open.",
    )
    .value(open);
    let rejected = text.metric(
        "listener_rejected_total",
        Counter,
        "Requests with a wrong key, connections beyond the limit, and what is no whole request.",
    );
    for (reason, count) in counters.turned_away.read() {
        rejected.sample(&[("reason", &reason)], count);
    }
}

/// What publishers deliver.
pub(super) fn publishers(text: &mut Exposition, counters: &Counters, status: &Status) {
    let now = Timestamp::now().second();
    let publishers = &status.overview.publishers;
    let mut each = |name, help, value: &dyn Fn(usize) -> i64| {
        let metric = text.metric(name, Gauge, help);
        for (index, publisher) in publishers.iter().enumerate() {
            metric.sample(&[("publisher", &publisher.name)], value(index));
        }
    };
    each(
        "publisher_lag_versions",
        "Versions that the publisher has not delivered yet.",
        &|index| publishers[index].lag,
    );
    each(
        "publisher_lag_seconds",
        "How long ago the first of those was read from the service; 0 if there is none.",
        &|index| {
            let since = publishers[index].lag_since;
            since.map_or(0, |since| seconds_in(now.since(since)))
        },
    );
    each("publisher_failing", "1 while delivery fails.", &|index| {
        i64::from(publishers[index].error.is_some())
    });
    each(
        "publisher_refused",
        "Versions that the target refuses for their content.",
        &|index| publishers[index].refused,
    );
    each(
        "publisher_waiting",
        "Versions that wait for the transaction that theirs relates to.",
        &|index| status.ledgers[index].waiting,
    );
    let skipped = text.metric(
        "publisher_skipped_total",
        Counter,
        "Versions that the target has no place for, or not for all of them. A restart does not reset it.",
    );
    for (publisher, ledger) in publishers.iter().zip(&status.ledgers) {
        let versions = ledger.skipped.iter().map(|skipped| skipped.versions);
        skipped.sample(&[("publisher", &publisher.name)], versions.sum::<i64>());
    }
    let delivered = text.metric(
        "publisher_delivered_total",
        Counter,
        "Versions that the target has taken, each as a whole.",
    );
    for (publisher, count) in counters.delivered.read() {
        delivered.sample(&[("publisher", &publisher)], count);
    }
}

/// Payouts and transfers.
pub(super) fn initiations(text: &mut Exposition, overview: &Overview) {
    use InitiationState::{Made, NotMade, Open, Refused, Unknown};
    let counts = &overview.initiations.counts;
    let metric = text.metric("initiations", Gauge, "Payouts and transfers, by state.");
    for kind in Initiation::ALL.map(Initiation::name) {
        for state in [Open, Made, Refused, NotMade, Unknown] {
            let found = counts
                .iter()
                .find(|of| of.kind == kind && of.state == state);
            let count = found.map_or(0, |found| found.count);
            metric.sample(&[("kind", &kind), ("state", &state.name())], count);
        }
    }
    let since = overview.initiations.unsettled_since;
    let now = Timestamp::now().second();
    text.metric(
        "initiation_oldest_unsettled_seconds",
        Gauge,
        "How long ago the service was asked for the first payout or transfer that is not settled; 0 if there is none.",
    )
    .value(since.map_or(0, |since| now.since(since)));
}
