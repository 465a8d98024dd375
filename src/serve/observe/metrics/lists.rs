use std::sync::atomic::Ordering::Relaxed;

use super::gauge_by_stream;
use crate::api::{Second, Stream};
use crate::metrics::Kind::{Counter, Gauge};
use crate::metrics::{Counters, Exposition};
use crate::store::{Overview, QUIRK_IDS};

/// How far each list is read, what there is of each stream, and how the service departs from the API.
pub(super) fn lists(text: &mut Exposition, overview: &Overview) {
    let known = |stream: Stream| {
        let mut cursors = overview.cursors.iter();
        cursors.find(|cursor| cursor.stream == stream.name())
    };
    let date = |date: Option<&String>| {
        let date = date.and_then(|text| Second::try_from(text.clone()).ok());
        date.map_or(0, Second::unix)
    };
    gauge_by_stream(
        text,
        "list_ended_timestamp_seconds",
        "When the list was last read to its end; 0 before the first time.",
        &Stream::LISTED,
        |stream| date(known(stream).and_then(|cursor| cursor.ended_at.as_ref())),
    );
    gauge_by_stream(
        text,
        "cursor_timestamp_seconds",
        "The second before which every record of the list has been read; 0 before the first.",
        &Stream::LISTED,
        |stream| date(known(stream).and_then(|cursor| cursor.position.as_ref())),
    );
    gauge_by_stream(
        text,
        "cursor_stalled_polls",
        "Polls in a row that have read newer records and yet left the cursor where it was.",
        &Stream::LISTED,
        |stream| known(stream).map_or(0, |cursor| cursor.standing),
    );
    counts(text, overview);
    let quirks = text.metric(
        "service_quirk",
        Gauge,
        "1 while the service departs from the API in the way of that id, which explain describes.",
    );
    for stream in Stream::ALL {
        for id in QUIRK_IDS {
            let has = known(stream)
                .is_some_and(|cursor| cursor.quirks.iter().any(|quirk| quirk.id == id));
            quirks.sample(&[("stream", &stream), ("quirk", &id)], has);
        }
    }
}

fn counts(text: &mut Exposition, overview: &Overview) {
    let streams = &overview.streams;
    let failing = text.metric(
        "failing_polls",
        Gauge,
        "Polls in a row that have not read everything of the stream.",
    );
    for count in streams {
        let polls = count.failing.as_ref().map_or(0, |failing| failing.polls);
        failing.sample(&[("stream", &count.stream)], polls);
    }
    let records = text.metric("records", Gauge, "Records, each once.");
    for count in streams {
        records.sample(&[("stream", &count.stream)], count.records);
    }
    let versions = text.metric(
        "versions_total",
        Counter,
        "Versions of records, with those that were dropped. A restart does not reset it.",
    );
    for count in streams {
        let all = count.versions + count.dropped;
        versions.sample(&[("stream", &count.stream)], all);
    }
    let quarantined = text.metric("quarantined", Gauge, "Records in quarantine.");
    for count in streams {
        quarantined.sample(&[("stream", &count.stream)], count.quarantined);
    }
}

/// What sweeps have found.
pub(super) fn sweeps(text: &mut Exposition, counters: &Counters, overview: &Overview) {
    let ended = overview.sweeps.ended.as_ref();
    text.metric(
        "sweep_ended_timestamp_seconds",
        Gauge,
        "When the last sweep ended; 0 before the first.",
    )
    .value(
        ended
            .and_then(|sweep| sweep.ended_at)
            .map_or(0, Second::unix),
    );
    text.metric(
        "sweep_missed_total",
        Counter,
        "Records that sweeps have found and no poll had.",
    )
    .value(counters.polls.missed.load(Relaxed));
    text.metric(
        "sweep_lateness_seconds",
        Gauge,
        "How far behind the cursor the farthest record was that the last sweep has found and no poll had.",
    )
    .value(ended.map_or(0, |sweep| sweep.lateness));
}
