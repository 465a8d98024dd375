use std::time::Duration;

use super::html::Element;
use crate::api::Second;

pub(super) use crate::api::span;

/// A count with commas between its thousands.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-" } else { "" }.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what it counts, in the singular or the plural.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", count(number))
}

/// What is in quarantine, and what targets refuse; none if there is nothing.
pub(super) fn set_aside(records: i64, refused: i64) -> Option<String> {
    let part = |number: i64, one, many| (number > 0).then(|| counted(number, one, many));
    let records = part(
        records,
        "record that was not accepted",
        "records that were not accepted",
    );
    let refused = part(
        refused,
        "version that a target refuses",
        "versions that targets refuse",
    );
    let parts: Vec<String> = records.into_iter().chain(refused).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// A short time in the unit that suits it.
pub(super) fn short(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.1} ms"),
        10.0..1_000.0 => format!("{milliseconds:.0} ms"),
        1_000.0..100_000.0 => format!("{:.1} s", milliseconds / 1e3),
        _ => span(time.as_secs()),
    }
}

/// How long ago a moment was; its date as a hint.
pub(super) fn ago(moment: Second, now: Second) -> Element {
    time(moment).text(format_args!("{} ago", span(now.since(moment))))
}

/// How far away a moment is for which something is expected; its date as a hint.
pub(super) fn expected(moment: Second, now: Second) -> Element {
    let late = now.since(moment);
    if late > 0 {
        return time(moment).text(format_args!("{} late", span(late)));
    }
    time(moment).text(format_args!("in {}", span(moment.since(now))))
}

/// A moment by its date, with how long ago it was as a hint.
pub(super) fn date(moment: Second) -> Element {
    time(moment).text(moment)
}

/// A moment that the state keeps as text.
pub(super) fn second(text: &str) -> Option<Second> {
    Second::try_from(text.to_owned()).ok()
}

fn time(moment: Second) -> Element {
    let moment = moment.to_string();
    Element::new("time")
        .attribute("datetime", &moment)
        .attribute("title", &moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-1_234_567, "-1,234,567"),
            (i64::MIN, "-9,223,372,036,854,775,808"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(counted(1, "version", "versions"), "1 version");
        assert_eq!(counted(0, "version", "versions"), "0 versions");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), expected);
        }
        for (micros, expected) in [
            (300, "0.3 ms"),
            (21_400, "21 ms"),
            (1_500_000, "1.5 s"),
            (600_000_000, "10 min"),
        ] {
            assert_eq!(short(Duration::from_micros(micros)), expected);
        }
    }
}
