use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::{Second, Stream};

/// Everything but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The query of a request for a page, which may be one that the API does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListQuery {
    stream: Stream,
    page: Option<String>,
    size: Option<String>,
    from: Option<String>,
    is_sorted: bool,
}

impl ListQuery {
    /// That page with 100 records, as a poll asks for it.
    pub fn page(stream: Stream, page: u64) -> ListQuery {
        ListQuery {
            stream,
            page: Some(page.to_string()),
            size: Some("100".to_owned()),
            from: None,
            is_sorted: true,
        }
    }

    /// No parameters.
    pub fn bare(stream: Stream) -> ListQuery {
        ListQuery {
            page: None,
            size: None,
            is_sorted: false,
            ..ListQuery::page(stream, 1)
        }
    }

    /// With that page, or without one.
    pub fn with_page(mut self, page: Option<&str>) -> ListQuery {
        self.page = page.map(str::to_owned);
        self
    }

    /// With that page size.
    pub fn with_size(mut self, size: usize) -> ListQuery {
        self.size = Some(size.to_string());
        self
    }

    /// With that bound of the filter.
    pub fn from(self, second: Second) -> ListQuery {
        self.with_bound(&second.to_string())
    }

    /// With any text as the bound of the filter.
    pub fn with_bound(mut self, text: &str) -> ListQuery {
        self.from = Some(text.to_owned());
        self
    }

    /// The path and query, with the parameters in alphabetical order as polls send them.
    pub fn path(&self) -> String {
        let date = self.stream.date_field();
        let sort = self.is_sorted.then(|| format!("{date}:asc"));
        let filter = format!("{date}From");
        let mut parameters: Vec<(&str, &String)> = [
            ("page", &self.page),
            ("pageSize", &self.size),
            ("sort", &sort),
            (filter.as_str(), &self.from),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)))
        .collect();
        parameters.sort_unstable();
        let parameters: Vec<String> = parameters
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, RESERVED)))
            .collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("/{}{mark}{}", self.stream, parameters.join("&"))
    }

    /// The list.
    pub fn stream(&self) -> Stream {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Query, Timestamp};

    #[test]
    fn a_usual_query_is_that_of_a_poll() {
        let second = Timestamp::parse("2024-05-01T12:00:00Z").unwrap().second();
        for stream in Stream::LISTED {
            let polled = Query {
                page: Some(3),
                page_size: 100,
                from: Some(second),
            };
            let asked = ListQuery::page(stream, 3).from(second);
            assert_eq!(asked.path(), polled.path(stream));
        }
        assert_eq!(ListQuery::bare(Stream::Accounts).path(), "/accounts");
    }
}
