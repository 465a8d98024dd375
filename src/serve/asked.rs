use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::api::{PerStream, Second, Stream, Timestamp};
use crate::store::{AskedRow, Error, Listing, Stamp};
use crate::sync::lock;

/// That Connectivity asks is noted in the state no more often than this, unless it has come to the end of a list.
const NOTE_INTERVAL: Duration = Duration::from_secs(30);

/// When Connectivity has asked for each stream, and what it was given.
#[derive(Debug, Default)]
pub(super) struct AskedStreams(PerStream<Mutex<Option<AskedStream>>>);

#[derive(Debug)]
struct AskedStream {
    row: AskedRow,
    /// The greatest stamp that it was given, as the state has it.
    noted_until: Option<i64>,
    noted_at: Option<Instant>,
}

impl AskedStreams {
    /// Connectivity begins to read a list from there, or asks for balances.
    pub fn begin(&self, listing: &Listing, stream: Stream, from: Option<Second>) {
        let now = Timestamp::now().second();
        let first = || AskedRow::first(now, from);
        self.note(listing, stream, first, |asked| {
            asked.row.again(now, from);
            asked.is_due()
        });
    }

    /// Connectivity gets a page that ends with that stamp; none if it is empty. `is_last`: the list ends there.
    pub fn given(&self, listing: &Listing, stream: Stream, last: Option<Stamp>, is_last: bool) {
        let first = || AskedRow::first(Timestamp::now().second(), None);
        self.note(listing, stream, first, |asked| {
            asked.row.given(last);
            let is_news = asked.row.until != asked.noted_until;
            is_news && (is_last || asked.is_due())
        });
    }

    /// Changes what is known of a stream, and writes it down if that is wanted.
    fn note(
        &self,
        listing: &Listing,
        stream: Stream,
        first: impl FnOnce() -> AskedRow,
        change: impl FnOnce(&mut AskedStream) -> bool,
    ) {
        let noted = self
            .change(listing, stream, first, change)
            .and_then(|row| match row {
                Some(row) => listing.note_asked(stream, &row),
                None => Ok(()),
            });
        // What it asks for matters more than that it does.
        if let Err(error) = noted {
            log::warn!("{stream}: that Connectivity asks is not noted: {error}");
        }
    }

    /// The row to write down, if that is wanted. Nobody waits for a commit in here.
    fn change(
        &self,
        listing: &Listing,
        stream: Stream,
        first: impl FnOnce() -> AskedRow,
        change: impl FnOnce(&mut AskedStream) -> bool,
    ) -> Result<Option<AskedRow>, Error> {
        let mut known = lock(&self.0[stream]);
        let known = match &mut *known {
            Some(known) => known,
            None => {
                let row = listing.asked(stream)?.unwrap_or_else(first);
                known.insert(AskedStream {
                    noted_until: row.until,
                    row,
                    noted_at: None,
                })
            }
        };
        if !change(known) {
            return Ok(None);
        }
        known.noted_at = Some(Instant::now());
        known.noted_until = known.row.until;
        Ok(Some(known.row.clone()))
    }
}

impl AskedStream {
    fn is_due(&self) -> bool {
        self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_INTERVAL)
    }
}
