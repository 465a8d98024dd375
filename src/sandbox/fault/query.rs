use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Fault;
use crate::api::{Stream, Timestamp};

/// Seconds.
const DAY: i64 = 86_400;

impl Fault {
    /// The query that a good service would have to be asked for the answer that this one gives.
    pub(in crate::sandbox) fn query(self, stream: Stream, query: &str) -> Cow<'_, str> {
        let mut pairs: Vec<(&str, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let value = percent_decode_str(value).decode_utf8_lossy();
                (key, value.into_owned())
            })
            .collect();
        let from = match stream.date_field() {
            "updatedAt" => "updatedAtFrom",
            _ => "createdAtFrom",
        };
        match self {
            Fault::Pages0 => self.counted_from_zero(&mut pairs),
            Fault::IgnorePage => pairs.retain(|(key, _)| *key != "page"),
            Fault::OneSize => pairs.retain(|(key, _)| *key != "pageSize"),
            Fault::Cap => cap(&mut pairs, 50),
            Fault::Max100 => cap(&mut pairs, 100),
            Fault::Default3 if !pairs.iter().any(|(key, _)| *key == "pageSize") => {
                pairs.push(("pageSize", "3".to_owned()));
            }
            Fault::LaxPage => pairs.retain(|(key, value)| {
                let is_number = value.parse::<u64>().is_ok_and(|number| number > 0);
                !matches!(*key, "page" | "pageSize") || is_number
            }),
            Fault::LaxFrom => {
                pairs.retain(|(key, value)| *key != from || Timestamp::parse(value).is_ok());
            }
            Fault::IgnoreFrom => {
                pairs.retain(|(key, value)| *key != from || Timestamp::parse(value).is_err());
            }
            Fault::Exclusive => shift(&mut pairs, from, |seconds| seconds + 1),
            Fault::Zone5 => shift(&mut pairs, from, |seconds| seconds + 5 * 3_600),
            Fault::Day => shift(&mut pairs, from, |seconds| seconds.div_euclid(DAY) * DAY),
            Fault::Desc | Fault::ByCreation => self.sorted(stream, &mut pairs),
            _ => return query.into(),
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join("&").into()
    }

    fn counted_from_zero(self, pairs: &mut [(&str, String)]) {
        for (key, value) in pairs {
            if *key == "page"
                && let Ok(page) = value.parse::<u64>()
            {
                *value = page.saturating_add(1).to_string();
            }
        }
    }

    fn sorted(self, stream: Stream, pairs: &mut Vec<(&str, String)>) {
        let date = stream.date_field();
        let sort = if self == Fault::Desc {
            format!("{date}:desc")
        } else {
            "createdAt:asc".to_owned()
        };
        pairs.retain(|(key, _)| *key != "sort");
        pairs.push(("sort", sort));
    }
}

fn cap(pairs: &mut [(&str, String)], most: u64) {
    for (key, value) in pairs {
        if *key == "pageSize" && value.parse::<u64>().is_ok_and(|size| size > most) {
            *value = most.to_string();
        }
    }
}

/// Moves the bound of the filter.
fn shift(pairs: &mut [(&str, String)], from: &str, moved: impl Fn(i64) -> i64) {
    for (key, value) in pairs {
        if *key == from
            && let Ok(bound) = Timestamp::parse(value)
        {
            let seconds = bound.nanoseconds().div_euclid(1_000_000_000);
            let nanoseconds = moved(seconds).saturating_mul(1_000_000_000);
            *value = Timestamp::from_nanoseconds(nanoseconds).to_string();
        }
    }
}
