//! How the fake Integration Service behaves.

use std::time::Duration;

use crossbeam_channel::Receiver;

/// The quirks of the service.
#[derive(Clone, Default)]
pub struct Manners {
    /// The most records that it puts on a page.
    pub cap: Option<usize>,
    /// It puts the second number of records on pages that are asked for with more than the first one.
    pub shortens: Option<(usize, usize)>,
    /// It lists the newest records first.
    pub newest_first: bool,
    /// It lists records in an order unrelated to their dates.
    pub shuffles: bool,
    pub ignores_filter: bool,
    pub excludes_bound: bool,
    /// It shifts the filter's bound by this many seconds.
    pub shifts_bound: i64,
    /// It compares whole units of this many seconds; 0 compares instants.
    pub coarse: i64,
    pub ignores_page: bool,
    /// It answers an empty page with `null`.
    pub null_pages: bool,
    /// It answers 404 to a page past the last one.
    pub refuses_past_end: bool,
    /// It answers 404 to a page past this one.
    pub deepest_page: Option<usize>,
    /// Its filter gives nothing.
    pub hides_all: bool,
    /// Its filter compares `createdAt`.
    pub filters_by_creation: bool,
    /// Its first page is number 0, also if the request names no page.
    pub counts_from_zero: bool,
    /// It fails if a request names no page.
    pub needs_page: bool,
    /// It redirects a path without a slash at its end to the same one with a slash.
    pub redirects: bool,
    /// Its clock, as `Date` shows it, is ahead by this many seconds.
    pub clock_ahead: i64,
    /// It answers 404 to a request for the balances of an account that it does not list.
    pub knows_its_accounts: bool,
    /// It does not list the payouts and transfers that it has made.
    pub hides_initiations: bool,
}

/// What the script decides about a request. A payout or transfer is made at once, except by [`With`](Reply::With).
#[derive(Clone)]
pub enum Reply {
    /// Answer it from the data.
    Usual,
    /// Answer with this status, these headers and this body.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Answer it from the data after this time.
    After(Duration),
    /// Answer it from the data when the test sends something, or has dropped the sender.
    When(Receiver<()>),
    /// Hold the connection without an answer.
    Never,
    /// Close the connection instead of answering.
    Cut,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::With(
            status,
            vec![],
            br#"{"Title":"Told so","Detail":"by the test"}"#.to_vec(),
        )
    }

    pub fn body(body: &str) -> Reply {
        Reply::With(200, vec![], body.as_bytes().to_vec())
    }
}
