use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Second, Stream};

/// What RFC 3986 lets stand unescaped everywhere.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One request for one page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Which page, from 1.
    pub page: u64,
    /// How many records the service is asked to put on a page.
    pub page_size: u32,
    /// Only records dated in this second or later; none asks for the list from its beginning.
    pub from: Option<Second>,
}

impl Query {
    /// The path and query of the request, from the endpoint on, in the form that Formance's own connector sends: keys
    /// in alphabetical order, oldest records first, whole seconds.
    pub fn path(&self, stream: Stream) -> String {
        let date = stream.date_field();
        let mut parameters = vec![
            ("page".to_owned(), self.page.to_string()),
            ("pageSize".to_owned(), self.page_size.to_string()),
            ("sort".to_owned(), format!("{date}:asc")),
        ];
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

/// The path of an account's balances. The id is percent-encoded: it may hold `/`, `?`, `#`, `%` or a space.
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
    fn is_written_as_formances_own_connector_writes_it() {
        let from = Some(Timestamp::parse("2024-05-01T12:00:00.9Z").unwrap().second());
        let path = |stream, from| {
            Query {
                page: 2,
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
