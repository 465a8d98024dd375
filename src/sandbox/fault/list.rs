use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::{Fault, FaultMemory};
use crate::api::{ListRequest, Stream, Timestamp};
use crate::http::Response;
use crate::sandbox::data::SampleList;

/// The last page that a service with deep pages refused gives.
const DEEPEST: u64 = 2;
/// Nanoseconds.
const HOUR: i64 = 3_600_000_000_000;
/// With what the ids of invented accounts begin.
const INVENTED: &str = "endless-";

impl Fault {
    /// What is answered to a request for a page of a list instead, if this is the fault. `page` is what is due, `query` what
    /// was asked for.
    pub(in crate::sandbox) fn page(
        self,
        memory: &FaultMemory,
        list: &SampleList,
        (stream, query): (Stream, &str),
        asked: &ListRequest,
        page: &str,
    ) -> Option<Response> {
        match self {
            Fault::Past404 if page == "[]" && asked.page > 1 => {
                Some(Response::error(404, "Not Found", "There is no such page."))
            }
            Fault::PastNull if page == "[]" => Some(Response::json(200, b"null".to_vec())),
            Fault::PastRepeat if page == "[]" && asked.page > 1 => Some(last_page(list, asked)),
            Fault::Hides if asked.from.is_some() => Some(Response::json(200, b"[]".to_vec())),
            Fault::Deep if asked.page > DEEPEST => {
                let detail = "Pages after the second one are not given.";
                Some(Response::error(400, "Bad Request", detail))
            }
            Fault::Endless if stream == Stream::Accounts => Some(invented(asked)),
            Fault::Html200 => {
                let page = b"<!DOCTYPE html><title>Log in</title>".to_vec();
                Some(Response::new(200, "text/html", page))
            }
            Fault::Wrapped => Some(Response::json(
                200,
                format!("{{\"data\":{page}}}").into_bytes(),
            )),
            Fault::OffByOne if asked.page > 1 => Some(early(list, asked)),
            Fault::Ties if asked.page > 1 => Some(behind_the_last_date(list, stream, asked, page)),
            Fault::Late | Fault::GoBack | Fault::Vanish
                if stream == Stream::Accounts && memory.is_asked_often(query) =>
            {
                self.changed(page)
            }
            Fault::Unstable => Some(rotated(memory, stream, page)),
            Fault::FilterByCreation if stream == Stream::Transactions => {
                let from = asked.from?;
                let mut records = values(page);
                records.retain(|record| date(record, "createdAt").is_none_or(|made| made >= from));
                Some(array(&records))
            }
            Fault::NoFuture | Fault::NoEpoch | Fault::OnlyZulu => self.bound(query, asked),
            _ => self.records(list, stream, page),
        }
    }

    /// The page with one account changed in a way that no service should. It has a page of its own: the one behind is empty.
    fn changed(self, page: &str) -> Option<Response> {
        let mut accounts = values(page);
        let last = accounts.last()?.clone();
        let earlier = date(&last, "createdAt")?
            .plus_nanoseconds(-HOUR)
            .to_string();
        match self {
            Fault::Late => {
                let mut late = last.clone();
                late["id"] = json!("acc-late");
                late["createdAt"] = json!(earlier);
                accounts.insert(accounts.len() - 1, late);
            }
            Fault::GoBack => accounts.last_mut()?["createdAt"] = json!(earlier),
            _ => {
                accounts.pop();
            }
        }
        Some(array(&accounts))
    }

    /// What is answered because of the bound of the filter.
    fn bound(self, query: &str, asked: &ListRequest) -> Option<Response> {
        const YEAR_2000: i64 = 946_684_800_000_000_000;
        let from = asked.from?;
        let refusal = || {
            let detail = "The bound of the filter is not accepted.";
            Some(Response::error(400, "Bad Request", detail))
        };
        match self {
            Fault::NoFuture if from > Timestamp::now() => refusal(),
            Fault::NoEpoch if from.nanoseconds() < YEAR_2000 => Some(array(&[])),
            Fault::OnlyZulu if query.contains(".000Z") || query.contains("%2B00") => refusal(),
            _ => None,
        }
    }
}

/// The records of a page.
pub(super) fn values(page: &str) -> Vec<Value> {
    serde_json::from_str(page).unwrap_or_default()
}

/// A page of these records.
pub(super) fn array(records: &[Value]) -> Response {
    Response::json(200, json!(records).to_string().into_bytes())
}

fn date(record: &Value, field: &str) -> Option<Timestamp> {
    Timestamp::parse(record[field].as_str()?).ok()
}

/// Every record that the filter leaves, in order.
fn all(list: &SampleList, asked: &ListRequest) -> Vec<Value> {
    values(&list.page(&ListRequest {
        page: 1,
        page_size: u64::MAX,
        ..*asked
    }))
}

fn last_page(list: &SampleList, asked: &ListRequest) -> Response {
    let all = all(list, asked);
    let size = usize::try_from(asked.page_size).unwrap_or(usize::MAX);
    array(all.chunks(size).last().unwrap_or_default())
}

/// The page that begins a record too early.
fn early(list: &SampleList, asked: &ListRequest) -> Response {
    let all = all(list, asked);
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let first = number((asked.page - 1).saturating_mul(asked.page_size)).saturating_sub(1);
    let end = first.saturating_add(number(asked.page_size)).min(all.len());
    array(all.get(first..end).unwrap_or_default())
}

/// The page without the records that have the last date of the page before.
fn behind_the_last_date(
    list: &SampleList,
    stream: Stream,
    asked: &ListRequest,
    page: &str,
) -> Response {
    let before = values(&list.page(&ListRequest {
        page: asked.page - 1,
        ..*asked
    }));
    let field = stream.date_field();
    let last = before.last().and_then(|record| date(record, field));
    let mut records = values(page);
    records.retain(|record| last.is_none() || date(record, field) != last);
    array(&records)
}

/// The page with the records of each date in another order.
fn rotated(memory: &FaultMemory, stream: Stream, page: &str) -> Response {
    let turns = usize::try_from(memory.requests.fetch_add(1, Relaxed)).unwrap_or(0);
    let mut records = values(page);
    let field = stream.date_field();
    for tie in records.chunk_by_mut(|one, other| date(one, field) == date(other, field)) {
        tie.rotate_left(turns % tie.len());
    }
    array(&records)
}

/// Whether an account with this id is one that a service without an end invents.
pub(super) fn is_invented(account: &str) -> bool {
    account.starts_with(INVENTED)
}

/// A page of invented accounts, one created in each second since 1970.
fn invented(asked: &ListRequest) -> Response {
    let second = asked
        .from
        .map_or(0, |from| from.nanoseconds().div_euclid(1_000_000_000));
    let first = u64::try_from(second)
        .unwrap_or(0)
        .saturating_add((asked.page - 1).saturating_mul(asked.page_size));
    let accounts = (first..first.saturating_add(asked.page_size)).map(|number| {
        let created = Timestamp::from_nanoseconds(i64::try_from(number).unwrap_or(0).saturating_mul(1_000_000_000));
        json!({ "id": format!("{INVENTED}{number}"), "accountName": "Invented", "createdAt": created.to_string() })
    });
    array(&accounts.collect::<Vec<Value>>())
}
