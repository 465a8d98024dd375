use crate::api::{Members, Second, Timestamp};

/// The text of a date for Go, if Go does not read `text`, which means `date`.
///
/// Go knows no second 60 and no offset of a day or more, and its first day of the year 1 means that there is no date.
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
    // `observed_at` is known to the second.
    if date > observed_at.second().end() {
        observed_at
    } else {
        date
    }
}

/// Whether Go takes the date for none. [`Timestamp::EPOCH`] replaces it everywhere: Formance tells a payment's changes
/// apart by their dates, so the replacement must always be the same.
fn is_no_date(date: Timestamp) -> bool {
    date <= Second::MIN.start()
}
