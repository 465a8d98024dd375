use percent_encoding::percent_decode_str;

use super::{Invalid, Stream, Timestamp, escaped};

/// A request for one page of a list, as a server of the API receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRequest {
    /// The number of the page, from 1; 1 if the query does not name it.
    pub page: u64,
    /// The number of records on a page, from 1; 100 if the query does not name it.
    pub page_size: u64,
    /// Asks only for records dated then or later.
    pub from: Option<Timestamp>,
    /// Whether the query names an order.
    pub names_order: bool,
    /// Whether the query sorts by `createdAt` although the stream is dated by another field.
    pub by_creation: bool,
    /// Whether the query wants the newest records first.
    pub newest_first: bool,
}

impl ListRequest {
    /// Reads the query of a list request. If a key is given twice, the first one wins; unknown keys are ignored. The error
    /// is written for the client.
    pub fn read(stream: Stream, query: &str) -> Result<ListRequest, Invalid> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A plus stays a plus, because clients often send a date's offset unescaped.
            let decoded = |text: &str| {
                let decoded = percent_decode_str(text).decode_utf8();
                decoded.map(String::from).map_err(|_| {
                    Invalid(format!(
                        "{:?} in the query is not UTF-8 when decoded.",
                        escaped(text)
                    ))
                })
            };
            parameters.push((decoded(key)?, decoded(value)?));
        }
        let value = |key: &str| {
            let found = parameters.iter().find(|(given, _)| given == key);
            found.map(|(_, value)| value.as_str())
        };
        let date = stream.date_field();
        let filter = format!("{date}From");
        let from = value(&filter).map(|text| {
            Timestamp::parse(text)
                .map_err(|invalid| Invalid(format!("The parameter {filter}: {invalid}.")))
        });
        let (by_creation, newest_first) = sort(stream, value("sort"))?;
        Ok(ListRequest {
            page: whole("page", value("page"), 1)?,
            page_size: whole("pageSize", value("pageSize"), 100)?,
            from: from.transpose()?,
            names_order: value("sort").is_some(),
            by_creation,
            newest_first,
        })
    }
}

/// Reads the parameter `sort`: [`ListRequest::by_creation`] and [`ListRequest::newest_first`].
fn sort(stream: Stream, value: Option<&str>) -> Result<(bool, bool), Invalid> {
    let Some(value) = value else {
        return Ok((false, false));
    };
    let date = stream.date_field();
    match value.split_once(':') {
        Some((field, order @ ("asc" | "desc"))) if field == date || field == "createdAt" => {
            Ok((field != date, order == "desc"))
        }
        _ => Err(Invalid(format!(
            "The parameter sort is {:?}; {stream} are sorted by {date}:asc or {date}:desc{}.",
            escaped(value),
            match date {
                "createdAt" => "",
                _ => ", or by createdAt",
            }
        ))),
    }
}

fn whole(key: &str, value: Option<&str>, default: u64) -> Result<u64, Invalid> {
    let Some(text) = value else {
        return Ok(default);
    };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond 64 bits is valid, too: no list has that page.
    let number = is_digits.then(|| text.parse().unwrap_or(u64::MAX));
    number.filter(|number| *number > 0).ok_or_else(|| {
        Invalid(format!(
            "The parameter {key} is {:?}; it must be a whole number, 1 or greater.",
            escaped(text)
        ))
    })
}
