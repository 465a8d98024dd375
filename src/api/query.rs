use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Second, Stream};

/// Everything but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request for one page of a list, as this program sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The number of the page, as the service counts; `None` names no page.
    pub page: Option<u64>,
    /// The number of records that the service is asked to put on a page.
    pub page_size: u32,
    /// Asks only for records dated in this second or later; `None` asks for the whole list.
    pub from: Option<Second>,
}

impl Query {
    /// The path and query of the request, relative to the endpoint. Keys are in alphabetical order and dates in whole
    /// seconds, because the requests that services are tested with look so.
    pub fn path(&self, stream: Stream) -> String {
        let date = stream.date_field();
        let mut parameters = vec![
            ("pageSize".to_owned(), self.page_size.to_string()),
            ("sort".to_owned(), format!("{date}:asc")),
        ];
        parameters.extend(self.page.map(|page| ("page".to_owned(), page.to_string())));
        parameters.extend(
            self.from
                .map(|second| (format!("{date}From"), second.to_string())),
        );
        parameters.sort();
        let parameters: Vec<String> = parameters
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, RESERVED)))
            .collect();
        format!("/{stream}?{}", parameters.join("&"))
    }
}

/// The path of an account's balances. The id is percent-encoded, because it may contain `/`, `?`, `#`, `%` or a space.
pub fn balances_path(account_id: &str) -> String {
    format!(
        "/accounts/{}/balances",
        utf8_percent_encode(account_id, RESERVED)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    #[test]
    fn keys_are_in_alphabetical_order_and_dates_are_whole_seconds() {
        let from = Some(Timestamp::parse("2024-05-01T12:00:00.9Z").unwrap().second());
        let path = |stream, from| {
            Query {
                page: Some(2),
                page_size: 100,
                from,
            }
            .path(stream)
        };
        assert_eq!(
            path(Stream::Accounts, None),
            "/accounts?page=2&pageSize=100&sort=createdAt%3Aasc"
        );
        assert_eq!(
            path(Stream::Beneficiaries, from),
            "/beneficiaries?createdAtFrom=2024-05-01T12%3A00%3A00Z&page=2&pageSize=100&sort=createdAt%3Aasc"
        );
        assert_eq!(
            path(Stream::Transactions, from),
            "/transactions?page=2&pageSize=100&sort=updatedAt%3Aasc&updatedAtFrom=2024-05-01T12%3A00%3A00Z"
        );
    }

    #[test]
    fn an_account_id_cannot_leave_its_path_segment() {
        assert_eq!(
            balances_path("a/b?c#d%e f"),
            "/accounts/a%2Fb%3Fc%23d%25e%20f/balances"
        );
        assert_eq!(
            balances_path("compte-é"),
            "/accounts/compte-%C3%A9/balances"
        );
    }
}
