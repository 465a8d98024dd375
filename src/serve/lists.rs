use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;

use super::asked::AskedStreams;
use super::bounds::{Bounds, being_dated};
use super::last_pages::LastPages;
use super::list_error::{ListError, bad_request, not_ready};
use crate::api::{ListRequest, Stream, Timestamp, escaped};
use crate::formance::{readable, storable_text};
use crate::http::Response;
use crate::store::{Listing, Selection, ShownVersion};
use crate::sync::lock;

/// Records on a page, however many are asked for: a page is built in memory.
const LARGEST_PAGE: u32 = 1_000;

/// The reading half of the API, from the store.
#[derive(Debug)]
pub(super) struct Lists {
    state_directory: PathBuf,
    /// Connections to the state that no thread uses now. Each request takes one, or opens one if there is none.
    idle: Mutex<Vec<Listing>>,
    /// What Connectivity asks each list for.
    bounds: Bounds,
    last_pages: LastPages,
    /// When Connectivity has asked for what.
    asked: AskedStreams,
}

impl Lists {
    /// The lists of the state in that directory.
    pub fn new(state_directory: PathBuf) -> Lists {
        Lists {
            bounds: Bounds::new(state_directory.clone()),
            state_directory,
            idle: Mutex::default(),
            last_pages: LastPages::default(),
            asked: AskedStreams::default(),
        }
    }

    /// A page of a list.
    pub fn page(&self, stream: Stream, query: &str) -> Response {
        let asked = match ListRequest::read(stream, query) {
            Ok(asked) => asked,
            Err(invalid) => return bad_request(&invalid.to_string()),
        };
        let mut selection = selection(&asked);
        selection.after = self.last_pages.before(stream, &selection);
        // Connectivity always names this order, which a person with curl need not, and begins each run with a first page.
        let is_run = asked.names_order && !asked.newest_first && !asked.by_creation;
        self.answer(|listing| {
            if is_run && asked.page == 1 {
                self.asked.begin(listing, stream, selection.from);
                self.bounds.check(listing, stream, selection.from)?;
            }
            let is_first = is_run && asked.page == 1;
            let Some(page) = listing.page(stream, &selection, is_first, &writer(stream))? else {
                return Err(ListError::Answer(being_dated()));
            };
            if is_run {
                self.bounds.show(listing, stream, page.stamp)?;
                self.asked
                    .given(listing, stream, page.stamp, page.last.is_none());
            }
            self.last_pages.note(stream, &selection, page.last);
            Ok(Response::json(200, page.json.into_bytes()))
        })
    }

    /// The balances of an account. `ids` are the ids that the path may mean.
    pub fn balances(&self, ids: &[String]) -> Response {
        self.answer(|listing| {
            self.asked.begin(listing, Stream::Balances, None);
            let mut listed_as = Vec::new();
            for id in ids {
                listed_as.extend(listing.listed_as(id)?);
            }
            let meant = || ids.iter().chain(&listed_as);
            for id in meant() {
                if let Some((body, is_old)) = listing.balances(id, &writer(Stream::Balances))? {
                    if is_old {
                        return Ok(not_ready(
                            "The balances of this account have not been read since the state was put back.",
                        ));
                    }
                    return Ok(Response::json(200, body.into_bytes()));
                }
            }
            for id in meant() {
                match listing.account(id)? {
                    None => {}
                    // The service has none. After an error, Formance would ask for them forever.
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
        self.answer(|_| Ok(Response::json(200, br#"{"status":"ready"}"#.to_vec())))
    }

    /// Answers from the state, once there is something in it.
    fn answer(&self, read: impl FnOnce(&mut Listing) -> Result<Response, ListError>) -> Response {
        let taken = lock(&self.idle).pop();
        let answered = taken
            .map_or_else(|| Listing::open(&self.state_directory), Ok)
            .map_err(ListError::State)
            .and_then(|mut listing| {
                let answered = ready(&listing).and_then(|()| read(&mut listing));
                lock(&self.idle).push(listing);
                answered
            });
        match answered {
            Ok(response) | Err(ListError::Answer(response)) => response,
            Err(ListError::State(error)) => {
                log::error!("a request to the listener cannot be answered: {error}");
                not_ready(&error.to_string())
            }
        }
    }
}

/// The part of a list that a request selects. A list has one order, by the date that the stream is sorted by: one by
/// creation is answered in it, too.
fn selection(asked: &ListRequest) -> Selection {
    let page_size = asked.page_size.min(LARGEST_PAGE.into());
    Selection {
        page: asked.page,
        page_size: u32::try_from(page_size).unwrap_or(LARGEST_PAGE),
        from: asked.from.map(Timestamp::second),
        newest_first: asked.newest_first,
        after: None,
    }
}

fn ready(listing: &Listing) -> Result<(), ListError> {
    if !listing.is_ready()? {
        let detail = "Nothing has been read from the Integration Service yet.";
        return Err(ListError::Answer(not_ready(detail)));
    }
    Ok(())
}

/// Writes versions as Formance can read them.
fn writer(stream: Stream) -> impl Fn(&mut String, &ShownVersion) {
    move |page, version| {
        page.push_str(&readable(
            stream,
            version.json,
            version.stamp.timestamp(),
            version.shown_as.as_ref(),
            &version.initiated_as,
        ));
    }
}

/// The balances of an account for which the service has none.
fn no_balances(account_id: &str) -> String {
    let at = Timestamp::now().second().to_string();
    let account_id = storable_text(account_id);
    json!({ "id": account_id, "accountID": account_id, "at": at, "balances": [] }).to_string()
}
