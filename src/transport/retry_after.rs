use std::time::Duration;

use crate::api::Timestamp;

/// Reads a `Retry-After`: seconds, or an HTTP date, which is compared with the date of the answer.
pub fn retry_after(value: &str, answered_at: Timestamp) -> Option<Duration> {
    let value = value.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Timestamp::parse_http(value).map(|until| until.since(answered_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let now = Timestamp::parse("1994-11-06T08:49:07Z").unwrap();
        for (value, seconds) in [
            (" 30 ", 30),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 30),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ] {
            assert_eq!(retry_after(value, now), Some(Duration::from_secs(seconds)));
        }
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
