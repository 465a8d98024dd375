use super::{gauge_by_stream, seconds_in};
use crate::api::{Second, Stream, Timestamp};
use crate::metrics::Exposition;
use crate::status::Status;
use crate::store::{AskedLine, AskedRow, ListsLine};

/// The alarm that nobody else can give: whether Connectivity still asks, and whether it has what is here.
///
/// Before it has asked, it counts as if it had asked at the start, so that a restart raises no alarm.
pub(super) fn connectivity(text: &mut Exposition, started_at: Second, status: &Status) {
    let lists = &status.overview.lists;
    let line = |stream: Stream| lists.read.iter().find(|line| line.stream == stream);
    let asked = |stream: Stream| line(stream).and_then(|line| line.asked.as_ref());
    gauge_by_stream(
        text,
        "connectivity_last_request_timestamp_seconds",
        "When Connectivity last asked; before it has, when the program was started.",
        &Stream::ALL,
        |stream| {
            asked(stream)
                .map_or(started_at, |asked| asked.at.max(started_at))
                .unix()
        },
    );
    gauge_by_stream(
        text,
        "connectivity_expected_timestamp_seconds",
        "When Connectivity is expected to ask next, as its requests have shown; 0 while that is unknown.",
        &Stream::LISTED,
        |stream| {
            asked(stream)
                .and_then(AskedRow::expected_at)
                .map_or(0, Second::unix)
        },
    );
    gauge_by_stream(
        text,
        "connectivity_period_seconds",
        "How often Connectivity asks, as its requests have shown; 0 while that is unknown.",
        &Stream::LISTED,
        |stream| {
            asked(stream)
                .and_then(AskedRow::period)
                .map_or(0, seconds_in)
        },
    );
    gauge_by_stream(
        text,
        "connectivity_silent",
        "1 while Connectivity has not asked for the list for long, as status warns.",
        &Stream::LISTED,
        |stream| {
            let mut alarms = status.alarms.iter();
            i64::from(alarms.any(|alarm| alarm.is_silence_of(stream)))
        },
    );
    bounds(text, lists);
    unread(text, line);
}

/// From where it asks.
fn bounds(text: &mut Exposition, lists: &ListsLine) {
    let line = |stream: Stream| lists.read.iter().find(|line| line.stream == stream);
    let asked = |stream: Stream| line(stream).and_then(|line| line.asked.as_ref());
    gauge_by_stream(
        text,
        "connectivity_bound_timestamp_seconds",
        "The second from which Connectivity last asked for the list; 0 for its beginning.",
        &Stream::LISTED,
        |stream| {
            asked(stream)
                .and_then(|asked| asked.from)
                .map_or(0, Second::unix)
        },
    );
    gauge_by_stream(
        text,
        "connectivity_ahead",
        "1 while Connectivity has asked for more than the list was ever shown, so that it gets 503.",
        &Stream::LISTED,
        |stream| {
            let mut listings = lists.asked.iter();
            let listing = listings.find(|listing| listing.stream == stream.name());
            i64::from(listing.is_some_and(|listing| listing.ahead.is_some()))
        },
    );
}

fn unread<'a>(text: &mut Exposition, line: impl Fn(Stream) -> Option<&'a AskedLine>) {
    gauge_by_stream(
        text,
        "connectivity_unread_versions",
        "Versions in the list that Connectivity was not given.",
        &Stream::LISTED,
        |stream| line(stream).map_or(0, |line| line.unread),
    );
    let now = Timestamp::now().second();
    let age = |line: &AskedLine| line.unread_since.map_or(0, |since| now.since(since));
    gauge_by_stream(
        text,
        "connectivity_unread_seconds",
        "How long ago the first of those was read from the service; 0 if there is none.",
        &Stream::LISTED,
        |stream| line(stream).map_or(0, |line| seconds_in(age(line))),
    );
}
