use crate::api::{Members, Second, Timestamp};

/// Rewrites `text`, whose value is `date`, for Go; `None` if Go can read it as it is.
///
/// Go knows no second 60 and no offset of a day or more, and takes the first day of the year 1 for no date.
pub(super) fn rewritten(text: &str, date: Timestamp) -> Option<String> {
    // `2016-12-31T23:59:60+01:00`: the seconds are bytes 17 and 18, the offset's hours lie before its colon.
    let is_leap_second = text.get(17..19) == Some("60");
    let offset_hours = text
        .len()
        .checked_sub(5)
        .and_then(|start| text.get(start..start + 2));
    let is_far_offset = !text.ends_with('Z') && offset_hours.is_none_or(|hours| hours >= "24");
    if is_no_date(date) {
        Some(Timestamp::EPOCH.second().to_string())
    } else if is_leap_second || is_far_offset {
        Some(date.to_string())
    } else {
        None
    }
}

/// The date in a field of a record that was read at `observed_at`, as the Payments API accepts it: it rejects dates in
/// the future. A date that cannot be read counts as `observed_at`.
pub fn payment_date(record: &Members, field: &str, observed_at: Timestamp) -> Timestamp {
    let date = record
        .text(field)
        .and_then(|text| Timestamp::parse(&text))
        .unwrap_or(observed_at);
    let date = if is_no_date(date) {
        Timestamp::EPOCH
    } else {
        date
    };
    // The state keeps `observed_at` in whole seconds.
    if date > observed_at.second().end() {
        observed_at
    } else {
        date
    }
}

/// Whether Go takes the date for none. [`Timestamp::EPOCH`] always replaces such a date, because Formance tells a
/// payment's changes apart by their dates.
fn is_no_date(date: Timestamp) -> bool {
    date <= Second::MIN.start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_go_cannot_read_is_rewritten() {
        for (text, expected) in [
            ("2024-05-01T12:00:00.5+23:59", None),
            ("0001-01-01T00:00:00.1Z", None),
            ("0001-01-01T02:00:00+02:00", Some("1970-01-01T00:00:00Z")),
            ("0000-06-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            (
                "2016-12-31T23:59:60Z",
                Some("2016-12-31T23:59:59.000000000Z"),
            ),
            (
                "2024-05-01T12:00:00-24:00",
                Some("2024-05-02T12:00:00.000000000Z"),
            ),
        ] {
            let date = Timestamp::parse(text).unwrap();
            assert_eq!(rewritten(text, date).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_payment_is_never_dated_later_than_it_was_read() {
        let observed_at = Timestamp::parse("2024-05-01T12:00:00Z").unwrap();
        for (json, expected) in [
            (r#""2024-05-01T12:00:00.9Z""#, "2024-05-01T12:00:00.9Z"),
            (r#""2024-05-01T12:00:01Z""#, "2024-05-01T12:00:00Z"),
            (r#""0001-01-01T00:00:00Z""#, "1970-01-01T00:00:00Z"),
            (r#""yesterday""#, "2024-05-01T12:00:00Z"),
            ("null", "2024-05-01T12:00:00Z"),
        ] {
            let record = format!(r#"{{"at":{json}}}"#);
            let record = Members::read(&record).unwrap();
            let date = payment_date(&record, "at", observed_at);
            assert_eq!(date, Timestamp::parse(expected).unwrap(), "{json}");
        }
    }
}
