use percent_encoding::percent_decode_str;

use super::{Invalid, Stream, Timestamp, escaped};

/// What the query of a request for a list asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRequest {
    /// Which page, from 1; 1 if it is not named.
    pub page: u64,
    /// How many records on a page, from 1; 100 if it is not named.
    pub page_size: u64,
    /// Only records dated then or later.
    pub from: Option<Timestamp>,
    /// Whether it names an order.
    pub names_order: bool,
    /// Whether it is sorted by `createdAt` though the stream is dated by another field.
    pub by_creation: bool,
    /// Whether the newest records come first.
    pub newest_first: bool,
}

impl ListRequest {
    /// Reads the query of a list request. Of a key that is given twice the first counts; unknown keys are passed over. The
    /// error is what to tell the client.
    pub fn read(stream: Stream, query: &str) -> Result<ListRequest, Invalid> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A plus stays a plus: offsets of dates are often sent unescaped.
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

/// Whether the list is sorted by `createdAt` though it is dated by another field, and whether newest first.
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
                _ => ", or by createdAt in the same way",
            }
        ))),
    }
}

fn whole(key: &str, value: Option<&str>, default: u64) -> Result<u64, Invalid> {
    let Some(text) = value else {
        return Ok(default);
    };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond 64 bits is still a page that exists nowhere.
    let number = is_digits.then(|| text.parse().unwrap_or(u64::MAX));
    number.filter(|number| *number > 0).ok_or_else(|| {
        Invalid(format!(
            "The parameter {key} is {:?}; it must be a whole number from 1.",
            escaped(text)
        ))
    })
}
