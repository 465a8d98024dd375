use percent_encoding::percent_decode_str;

use super::observe::ObserveRoute;
use crate::api::{Initiation, Stream, escaped};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// What Connectivity asks for.
    Api(ApiRoute),
    /// What operators look at.
    Observe(ObserveRoute),
    Status,
    Health,
    Readiness,
}

/// What Connectivity asks for, and commands to the connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiRoute {
    List(Stream),
    /// The balances of the first account that has one of these ids.
    Balances(Vec<String>),
    Initiate(Initiation),
    Poll {
        wait: bool,
        /// Everything, or one list alone; an error is what is wrong with its name.
        list: Result<Option<Stream>, String>,
    },
    Sweep,
}

/// What is answered, as it is counted, and the status of its success.
pub const ANSWERS: [(&str, u16); 16] = [
    ("accounts", 200),
    ("balances", 200),
    ("beneficiaries", 200),
    ("healthz", 200),
    ("metrics", 200),
    (NOTHING, 404),
    ("page", 200),
    ("payouts", 201),
    ("poll", 200),
    ("quarantine", 200),
    ("readyz", 200),
    ("status", 200),
    ("style", 200),
    ("sweep", 200),
    ("transactions", 200),
    ("transfers", 201),
];

/// What a path is counted as that leads nowhere.
pub(super) const NOTHING: &str = "other";

impl Route {
    /// What its answer is counted as.
    pub fn label(&self) -> &'static str {
        match self {
            Route::Api(ApiRoute::List(stream)) => stream.name(),
            Route::Api(ApiRoute::Balances(_)) => Stream::Balances.name(),
            Route::Api(ApiRoute::Initiate(kind)) => kind.name(),
            Route::Api(ApiRoute::Poll { .. }) => "poll",
            Route::Api(ApiRoute::Sweep) => "sweep",
            Route::Observe(ObserveRoute::Metrics) => "metrics",
            Route::Observe(ObserveRoute::Page) => "page",
            Route::Observe(ObserveRoute::Quarantine | ObserveRoute::Quarantined(_)) => "quarantine",
            Route::Observe(ObserveRoute::Stylesheet) => "style",
            Route::Status => "status",
            Route::Health => "healthz",
            Route::Readiness => "readyz",
        }
    }

    /// The route of a path, if there is one.
    pub fn of(path: &str, query: &str) -> Option<Route> {
        // Formance sends two slashes if the endpoint that it was given ends with one.
        let name = path.strip_prefix('/')?.trim_start_matches('/');
        match name {
            "healthz" => Some(Route::Health),
            "readyz" => Some(Route::Readiness),
            "status" => Some(Route::Status),
            _ => ObserveRoute::of(name)
                .map(Route::Observe)
                .or_else(|| ApiRoute::of(name, query).map(Route::Api)),
        }
    }

    /// The method that it accepts.
    pub fn method(&self) -> &'static str {
        match self {
            Route::Api(ApiRoute::Initiate(_) | ApiRoute::Poll { .. } | ApiRoute::Sweep) => "POST",
            _ => "GET",
        }
    }
}

impl ApiRoute {
    fn of(name: &str, query: &str) -> Option<ApiRoute> {
        if let Some(stream) = Stream::LISTED
            .into_iter()
            .find(|stream| stream.name() == name)
        {
            return Some(ApiRoute::List(stream));
        }
        if let Some(initiation) = Initiation::from_name(name) {
            return Some(ApiRoute::Initiate(initiation));
        }
        match name {
            "poll" => Some(ApiRoute::Poll {
                wait: query.split('&').any(|pair| pair == "wait=true"),
                list: list_of(query),
            }),
            "sweep" => Some(ApiRoute::Sweep),
            _ => account_ids(name, query).map(ApiRoute::Balances),
        }
    }
}

/// The list that a query names.
fn list_of(query: &str) -> Result<Option<Stream>, String> {
    let mut pairs = query.split('&');
    let Some(name) = pairs.find_map(|pair| pair.strip_prefix("stream=")) else {
        return Ok(None);
    };
    let mut lists = Stream::LISTED.into_iter();
    let list = lists.find(|stream| stream.name() == name).map(Some);
    list.ok_or_else(|| {
        format!(
            "There is no list {:?}: name one of accounts, beneficiaries and transactions, or leave \"stream\" out to poll \
            everything.",
            escaped(name)
        )
    })
}

/// The ids that a request for an account's balances may mean.
///
/// Formance does not escape the id: a slash stays a slash, and the part after a question mark arrives as the query. So
/// the id is everything between the first and the last segment, escaped or not.
fn account_ids(name: &str, query: &str) -> Option<Vec<String>> {
    let between = |text: &str| {
        let id = text.strip_prefix("accounts/")?.strip_suffix("/balances")?;
        (!id.is_empty()).then(|| id.to_owned())
    };
    let mut ids = Vec::new();
    let with_query = (!query.is_empty()).then(|| format!("{name}?{query}"));
    for text in [Some(name), with_query.as_deref()].into_iter().flatten() {
        let Some(id) = between(text) else {
            continue;
        };
        if let Ok(decoded) = percent_decode_str(&id).decode_utf8() {
            ids.push(decoded.into_owned());
        }
        ids.push(id);
    }
    ids.dedup();
    (!ids.is_empty()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_id_escaped_or_not() {
        let ids = |path: &str, query: &str| match Route::of(path, query) {
            Some(Route::Api(ApiRoute::Balances(ids))) => ids,
            _ => Vec::new(),
        };
        assert_eq!(ids("/accounts/a/balances", ""), ["a"]);
        assert_eq!(
            ids("/accounts/a%2Fb%3Fc/balances", ""),
            ["a/b?c", "a%2Fb%3Fc"]
        );
        assert_eq!(ids("/accounts/a/b/balances", ""), ["a/b"]);
        assert_eq!(ids("/accounts/a/balances/balances", ""), ["a/balances"]);
        assert_eq!(ids("/accounts/a", "b=c/balances"), ["a?b=c"]);
        assert_eq!(ids("/accounts/a%20b/balances", ""), ["a b", "a%20b"]);
        assert_eq!(ids("/accounts/%ff/balances", ""), ["%ff"]);
        assert_eq!(ids("//accounts/a/balances", ""), ["a"]);
        for none in [
            "/accounts//balances",
            "/accounts/balances",
            "/accounts/a",
            "/accounts/a/",
            "accounts/a/balances",
        ] {
            assert!(ids(none, "").is_empty(), "{none}");
        }
    }
}
