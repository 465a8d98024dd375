use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::api::{ListRequest, Stream, Timestamp};
use crate::http::{Request, Response};

/// The last page that a service with deep pages refused gives.
const DEEPEST: u64 = 2;

/// A way in which a service departs from the API, for trying out what a client makes of it. The names are those of its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers 404 to a page past the last one.
    Past404,
    /// It answers an empty page with `null`.
    PastNull,
    /// It redirects each path to the same one with a slash behind it.
    Redirect,
    /// It answers each request with a filter with an empty page.
    Hides,
    /// Its first page is number 0.
    Pages0,
    /// It answers 400 to each page after the second one.
    Deep,
    /// It answers every second request for an account's balances with older ones.
    Replicas,
    /// It invents accounts without an end.
    Endless,
}

/// What the answers so far mean for the next one.
#[derive(Debug, Default)]
pub(super) struct FaultMemory {
    /// The accounts whose next balances are those of the replica that lags.
    lagging: Mutex<HashSet<String>>,
}

impl Fault {
    /// Each fault's name.
    pub const NAMES: [(&'static str, Fault); 8] = [
        ("past404", Fault::Past404),
        ("pastnull", Fault::PastNull),
        ("redirect", Fault::Redirect),
        ("hides", Fault::Hides),
        ("pages0", Fault::Pages0),
        ("deep", Fault::Deep),
        ("replicas", Fault::Replicas),
        ("endless", Fault::Endless),
    ];

    /// The fault of that name.
    pub fn from_name(name: &str) -> Option<Fault> {
        let found = Fault::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, fault)| *fault)
    }

    /// The redirect, if this is the fault and the path has no slash at its end.
    pub(super) fn redirect(self, Request { head, .. }: &Request) -> Option<Response> {
        if self != Fault::Redirect || head.path.ends_with('/') {
            return None;
        }
        let location = format!("{}/?{}", head.path, head.query);
        let redirect = Response::error(307, "Temporary Redirect", "Ask there.");
        Some(redirect.with_header("Location", location))
    }

    /// The query with the number of its page as a good service counts it.
    pub(super) fn query(self, query: &str) -> Cow<'_, str> {
        if self != Fault::Pages0 {
            return query.into();
        }
        let counted = |pair: &str| {
            let page = pair
                .strip_prefix("page=")
                .and_then(|page| page.parse::<u64>().ok());
            page.map_or(pair.to_owned(), |page| {
                format!("page={}", page.saturating_add(1))
            })
        };
        let pairs: Vec<String> = query.split('&').map(counted).collect();
        pairs.join("&").into()
    }

    /// What is answered to a request for a page of a list instead, if this is the fault. `page` is what is due.
    pub(super) fn page(self, stream: Stream, asked: &ListRequest, page: &str) -> Option<Response> {
        match self {
            Fault::Past404 if page == "[]" && asked.page > 1 => {
                Some(Response::error(404, "Not Found", "There is no such page."))
            }
            Fault::PastNull if page == "[]" => Some(Response::json(200, b"null".to_vec())),
            Fault::Hides if asked.from.is_some() => Some(Response::json(200, b"[]".to_vec())),
            Fault::Deep if asked.page > DEEPEST => {
                let detail = "Pages after the second one are not given.";
                Some(Response::error(400, "Bad Request", detail))
            }
            Fault::Endless if stream == Stream::Accounts => Some(invented(asked)),
            _ => None,
        }
    }

    /// What is answered to a request for an account's balances instead, if this is the fault. `balances` is what is due.
    pub(super) fn balances(
        self,
        memory: &FaultMemory,
        account: &str,
        balances: Option<&str>,
    ) -> Option<Response> {
        let answer = |balances: &Value| Response::json(200, balances.to_string().into_bytes());
        match self {
            Fault::Replicas => {
                let mut lagging = memory
                    .lagging
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if lagging.insert(account.to_owned()) {
                    return None;
                }
                lagging.remove(account);
                let mut older: Value = serde_json::from_str(balances?).ok()?;
                older["at"] = json!("2000-01-01T00:00:00Z");
                older["balances"] = json!([]);
                Some(answer(&older))
            }
            Fault::Endless if balances.is_none() => Some(answer(&json!({
                "id": format!("bal-{account}"),
                "accountID": account,
                "at": "2000-01-01T00:00:00Z",
                "balances": [],
            }))),
            _ => None,
        }
    }
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
        json!({ "id": format!("endless-{number}"), "accountName": "Invented", "createdAt": created.to_string() })
    });
    Response::json(
        200,
        json!(accounts.collect::<Vec<Value>>())
            .to_string()
            .into_bytes(),
    )
}
