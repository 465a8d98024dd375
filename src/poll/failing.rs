use super::tally::Tally;
use crate::api::{PerStream, Second, Stream};
use crate::store::FailingStream;

/// What a poll has changed about a stream that polls do not read completely; none: it has read everything.
pub type FailingChange = (Stream, Option<FailingStream>);

/// How a stream fared in a poll.
#[derive(Debug)]
pub struct StreamEnd {
    /// The stream.
    pub stream: Stream,
    /// Whether everything that is due was asked for, the end of a list included.
    pub is_complete: bool,
    /// Whether the poll has read on in a list of which a later one will come to the end. A first import may take many polls.
    pub gets_on: bool,
    /// When the list was last read to its end before; none before the first time, and none of balances.
    pub ended_at: Option<Second>,
}

/// What a poll that has ended changes. One that was stopped says nothing, nor does one without any answer: the whole service
/// is down. `before`: what was known.
pub fn changes(
    before: &PerStream<Option<FailingStream>>,
    tally: &Tally,
    streams: impl Iterator<Item = StreamEnd>,
) -> Vec<FailingChange> {
    if tally.is_interrupted() || !tally.has_succeeded() {
        return Vec::new();
    }
    let change = |end: StreamEnd| {
        let known = before[end.stream].as_ref();
        let now = match tally.failure_of(end.stream) {
            Some((failed, reason)) if !end.gets_on => Some(FailingStream {
                since: known.map_or(tally.started_at(), |known| known.since),
                ended_at: end.ended_at,
                polls: known.map_or(0, |known| known.polls) + 1,
                failed,
                reason: reason.to_owned(),
            }),
            Some(_) => None,
            None if end.is_complete => None,
            // It was not asked for.
            None => return None,
        };
        (now.as_ref() != known).then_some((end.stream, now))
    };
    streams.filter_map(change).collect()
}
