use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};

use serde_json::json;

use crate::api::{ListRequest, Stream, Timestamp, escaped};
use crate::formance::readable;
use crate::http::Response;
use crate::store::{self, Listed, Listing, Selection};

/// More on one page is refused: a page is put together in memory.
const LARGEST_PAGE: u64 = 1_000;

/// Seconds, a hundred years. A list cannot be dated above a bound that lies farther in the future.
const FARTHEST_BOUND: u64 = 100 * 366 * 86_400;

/// The reading half of the API, from the store.
#[derive(Debug)]
pub(super) struct Lists {
    state_directory: PathBuf,
    /// Those that no thread reads now: as many as have ever been read at once.
    idle: Mutex<Vec<Listing>>,
    /// By stream: whether Connectivity is known to have asked for the list.
    asked_for: [AtomicBool; Stream::ALL.len()],
    /// By stream: whether it was said that Connectivity is ahead of the list.
    is_ahead: [AtomicBool; Stream::ALL.len()],
    /// Held while a list is stamped anew.
    adopting: Mutex<()>,
}

impl Lists {
    /// Of the state in that directory.
    pub fn new(state_directory: PathBuf) -> Lists {
        Lists {
            state_directory,
            idle: Mutex::default(),
            asked_for: Default::default(),
            is_ahead: Default::default(),
            adopting: Mutex::new(()),
        }
    }

    /// A page of a list.
    pub fn page(&self, stream: Stream, query: &str) -> Response {
        let asked = match ListRequest::read(stream, query) {
            Ok(asked) => asked,
            Err(invalid) => return bad_request(&invalid.to_string()),
        };
        let date = stream.date_field();
        if asked.by_creation {
            return bad_request(&format!(
                "{stream} are sorted by {date} here, and by nothing else."
            ));
        }
        if asked.page_size > LARGEST_PAGE {
            return bad_request(&format!(
                "pageSize is {}; {LARGEST_PAGE} is the most here.",
                asked.page_size
            ));
        }
        self.with_listing(|listing| {
            if !listing.is_ready()? {
                return Ok(not_ready(
                    "Nothing has been read from the Integration Service yet.",
                ));
            }
            // Formance begins so, and names an order in every request; a look at the list by hand need not.
            let begins = asked.names_order && !asked.newest_first && asked.page == 1;
            if begins && let Err(refusal) = self.note(listing, stream, &asked)? {
                return Ok(refusal);
            }
            let selection = Selection {
                page: asked.page,
                page_size: asked.page_size as u32,
                from: asked.from.map(|from| from.second()),
                newest_first: asked.newest_first,
            };
            let page = listing.page(stream, &selection)?;
            // Who has read here asks from the last version that it was shown, and is shown it again.
            if let Some(from) = asked.from
                && begins
                && page.is_empty()
                && listing.has_versions(stream)?
                && !self.is_ahead[stream as usize].swap(true, Relaxed)
            {
                log::warn!(
                    "{stream}: Connectivity asks for what is dated {} or later, where nothing is: it has not read that far \
                     here, and will miss what comes until then; reset its connector in Formance",
                    from.second()
                );
            }
            let mut body = String::from("[");
            for listed in &page {
                if body.len() > 1 {
                    body.push(',');
                }
                body += &shown(stream, listed);
            }
            body.push(']');
            Ok(Response::json(200, body.into_bytes()))
        })
    }

    /// Notes the first request for a list. The inner error is the answer while the list is stamped anew.
    fn note(
        &self,
        listing: &mut Listing,
        stream: Stream,
        asked: &ListRequest,
    ) -> Result<Result<(), Response>, store::Error> {
        if self.asked_for[stream as usize].load(Relaxed) {
            return Ok(Ok(()));
        }
        let adopting = self.adopting.try_lock();
        if let Err(TryLockError::WouldBlock) = adopting {
            return Ok(Err(not_ready("A list is being stamped anew.")));
        }
        if !listing.has_been_asked_for(stream)? {
            let from = asked.from.map(|from| from.second());
            if let Some(from) = from
                && from.since(Timestamp::now().second()) > FARTHEST_BOUND
            {
                log::error!(
                    "{stream}: Connectivity believes to have read everything until {from}, which no date can follow: \
                     uninstall its connector and install it anew"
                );
                let detail = format!("No date can follow {from}; install the connector anew.");
                return Ok(Err(bad_request(&detail)));
            }
            let stamped = listing.asked_for(stream, from)?;
            match from {
                Some(from) => log::info!(
                    "{stream}: Connectivity asks for the first time, and for what is dated {from} or later: it has polled the \
                     service itself before; {stamped} versions are listed anew above that date"
                ),
                None => log::info!("{stream}: Connectivity asks for the first time"),
            }
        }
        self.asked_for[stream as usize].store(true, Relaxed);
        Ok(Ok(()))
    }

    /// The balances of an account. `ids` are what its id may be, as the path can be read in more than one way.
    pub fn balances(&self, ids: &[String]) -> Response {
        self.with_listing(|listing| {
            if !listing.is_ready()? {
                return Ok(not_ready(
                    "Nothing has been read from the Integration Service yet.",
                ));
            }
            for id in ids {
                if let Some(listed) = listing.balances(id)? {
                    return Ok(Response::json(
                        200,
                        shown(Stream::Balances, &listed).into_bytes(),
                    ));
                }
            }
            for id in ids {
                match listing.account(id)? {
                    None => {}
                    // Formance would ask for ever for what there is not.
                    Some(true) => return Ok(Response::json(200, no_balances(id).into_bytes())),
                    Some(false) => {
                        return Ok(not_ready(
                            "The balances of this account have not been read yet.",
                        ));
                    }
                }
            }
            let id = ids.first().map_or("", String::as_str);
            let detail = format!("There is no account {:?}.", escaped(id));
            Ok(Response::error(404, "Not Found", &detail))
        })
    }

    /// Whether there is something to serve.
    pub fn readiness(&self) -> Response {
        self.with_listing(|listing| {
            Ok(match listing.is_ready()? {
                true => Response::json(200, br#"{"status":"ready"}"#.to_vec()),
                false => not_ready("Nothing has been read from the Integration Service yet."),
            })
        })
    }

    fn with_listing(
        &self,
        answer: impl FnOnce(&mut Listing) -> Result<Response, store::Error>,
    ) -> Response {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let answered = taken
            .map_or_else(|| Listing::open(&self.state_directory), Ok)
            .and_then(|mut listing| {
                let answered = answer(&mut listing);
                idle().push(listing);
                answered
            });
        answered.unwrap_or_else(|error| {
            log::error!("a request to the listener cannot be answered: {error}");
            not_ready(&error.to_string())
        })
    }
}

/// A version as Connectivity gets it.
fn shown(stream: Stream, listed: &Listed) -> String {
    let stamp = listed.stamp.timestamp();
    readable(stream, &listed.json, stamp, &listed.initiated_as)
}

/// The balances of an account for which the service gives none.
fn no_balances(account_id: &str) -> String {
    let at = Timestamp::now().second().to_string();
    json!({ "id": account_id, "accountID": account_id, "at": at, "balances": [] }).to_string()
}

/// Formance asks again when it is told so; after a 404 or a refused connection it waits for its whole period.
fn not_ready(detail: &str) -> Response {
    Response::error(503, "Not Ready", detail).with_header("Retry-After", "5")
}

fn bad_request(detail: &str) -> Response {
    Response::error(400, "Bad Request", detail)
}
