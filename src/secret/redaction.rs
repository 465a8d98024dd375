//! Replaces the secrets of this program in what others send.
//!
//! A debug page, a proxy or a broken service may repeat what it was sent: in an error, in a header, in a record. From there
//! a key would get into the log, the state and the answers to Formance. So every secret is known here for as long as the
//! process holds it, and [`transport`](crate::transport) replaces it in all that it reads, plain or encoded: with the
//! escapes of JSON, URLs and HTML, and within base64, as in the credentials of Basic authentication.

use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use crate::sync::lock;

/// What a secret is replaced with.
pub const MARK: &str = "[redacted]";

/// Bytes. Records contain a shorter text by chance.
const SHORTEST_IN_RECORDS: usize = 8;

/// Characters. The least of a secret that is looked for in base64.
const SHORTEST_BASE64: usize = 4;

/// Bytes of the longest escape of one byte, such as `&quot;` or `\u002f`.
const LONGEST_ESCAPE: usize = 6;

static KNOWN: Mutex<Vec<Weak<KnownText>>> = Mutex::new(Vec::new());

/// A text that is replaced wherever it is found, for as long as somebody holds it. Then it is overwritten with zeros.
pub struct KnownText {
    text: Zeroizing<String>,
    needles: Vec<Needle>,
    in_records: bool,
}

/// A text to look for.
struct Needle {
    text: Zeroizing<Vec<u8>>,
    /// Its longest run of letters and digits, which no escape changes.
    anchor: Range<usize>,
}

impl KnownText {
    /// Makes a secret known.
    pub fn new(text: String) -> Arc<KnownText> {
        let is_long = text.len() >= SHORTEST_IN_RECORDS;
        // A number of eight digits may be an amount or a date.
        let in_records = is_long && !text.bytes().all(|byte| byte.is_ascii_digit());
        KnownText::known(text, in_records)
    }

    /// Makes a text known that may be a secret, and may be as common as a date. It is left alone in records.
    pub fn in_messages(text: String) -> Arc<KnownText> {
        KnownText::known(text, false)
    }

    fn known(text: String, in_records: bool) -> Arc<KnownText> {
        let text = Arc::new(KnownText {
            needles: needles(text.as_bytes()),
            text: Zeroizing::new(text),
            in_records,
        });
        let mut known = lock(&KNOWN);
        known.retain(|text| text.strong_count() > 0);
        known.push(Arc::downgrade(&text));
        text
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Replaces secrets in data that is kept. None if there are none. Those that data may contain by chance stay.
pub fn in_records(text: &[u8]) -> Option<Vec<u8>> {
    replaced(text, |known| known.in_records)
}

/// Replaces secrets in a text for people. None if there are none.
pub fn in_message(text: &[u8]) -> Option<Vec<u8>> {
    replaced(text, |_| true)
}

/// As [`in_message`], for a text that is passed on.
pub fn message(text: String) -> String {
    match in_message(text.as_bytes()) {
        Some(redacted) => String::from_utf8_lossy(&redacted).into_owned(),
        None => text,
    }
}

fn replaced(text: &[u8], is_wanted: impl Fn(&KnownText) -> bool) -> Option<Vec<u8>> {
    let known: Vec<Arc<KnownText>> = lock(&KNOWN).iter().filter_map(Weak::upgrade).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for known in known.iter().filter(|known| is_wanted(known)) {
        for needle in &known.needles {
            needle.find(text, &mut found);
        }
    }
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|range| range.start);
    let mut redacted = Vec::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        // One that begins within another belongs to it.
        if range.start >= end {
            redacted.extend_from_slice(&text[end..range.start]);
            redacted.extend_from_slice(MARK.as_bytes());
        }
        end = end.max(range.end);
    }
    redacted.extend_from_slice(&text[end..]);
    Some(redacted)
}

/// The secret itself, and what base64 makes of it at each of three distances from the start of a text, without the
/// characters that depend on what is around it.
fn needles(secret: &[u8]) -> Vec<Needle> {
    let mut texts = vec![Zeroizing::new(secret.to_vec())];
    for before in 0..3 {
        let whole = Zeroizing::new([&[0; 2][..before], secret].concat());
        // Each character has six bits.
        let (start, end) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
        for encoded in [
            STANDARD_NO_PAD.encode(&whole),
            URL_SAFE_NO_PAD.encode(&whole),
        ] {
            let encoded = Zeroizing::new(encoded.into_bytes());
            let inner = Zeroizing::new(encoded.get(start..end).unwrap_or_default().to_vec());
            if inner.len() >= SHORTEST_BASE64 && !texts.contains(&inner) {
                texts.push(inner);
            }
        }
    }
    texts.retain(|text| !text.is_empty());
    texts.into_iter().map(Needle::new).collect()
}

impl Needle {
    fn new(text: Zeroizing<Vec<u8>>) -> Needle {
        let mut longest = 0..0;
        let mut start = 0;
        for run in text.split(|byte| !byte.is_ascii_alphanumeric()) {
            if run.len() > longest.len() {
                longest = start..start + run.len();
            }
            start += run.len() + 1;
        }
        if longest.is_empty() {
            longest = 0..text.len();
        }
        Needle {
            anchor: longest,
            text,
        }
    }

    /// Adds every place of the needle, encoded or not.
    fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let finder = Finder::new(&self.text[self.anchor.clone()]);
        let mut from = 0;
        while let Some(at) = finder.find(&text[from..]) {
            found.extend(self.around(text, from + at));
            from += at + 1;
        }
    }

    /// The needle around its anchor.
    fn around(&self, text: &[u8], anchor: usize) -> Option<Range<usize>> {
        let before = self.anchor.start;
        let farthest = anchor.saturating_sub(before * LONGEST_ESCAPE);
        let starts = (farthest..=anchor.checked_sub(before)?).rev();
        let (mut start, end) = starts
            .filter_map(|start| Some((start, start + self.length_in(&text[start..])?)))
            .next()?;
        // Backslashes before it belong to it: alone they would break the JSON around it.
        while start > 0 && text[start - 1] == b'\\' {
            start -= 1;
        }
        Some(start..end)
    }

    /// How many bytes of the text spell the needle, if it begins with it.
    fn length_in(&self, text: &[u8]) -> Option<usize> {
        if text.starts_with(&self.text) {
            return Some(self.text.len());
        }
        // A run of backslashes is spelled by any other one, since JSON within JSON doubles them.
        let runs = self
            .text
            .chunk_by(|one, next| (*one, *next) == (b'\\', b'\\'));
        let mut lengths = vec![0];
        for byte in runs.map(|run| run[0]) {
            let ways = |length: usize| {
                let ways = spelled_both_ways(byte, &text[length..]);
                ways.map(move |more| length + more)
            };
            lengths = lengths.into_iter().flat_map(ways).collect();
            if byte == b'\\' {
                // More of the run, or what comes after it.
                for start in 0..lengths.len() {
                    let mut length = lengths[start];
                    while let Some(more) = spelled(byte, &text[length..]) {
                        length += more;
                        lengths.push(length);
                    }
                }
            }
            lengths.sort_unstable();
            lengths.dedup();
        }
        lengths.into_iter().max()
    }
}

/// How many bytes of the text spell that byte. `%25` is an escape of `%`, or the three characters themselves.
fn spelled_both_ways(byte: u8, text: &[u8]) -> impl Iterator<Item = usize> {
    let is_plain = matches!(byte, b'%' | b'&') && text.first() == Some(&byte);
    spelled(byte, text).into_iter().chain(is_plain.then_some(1))
}

/// How many bytes of the text spell that byte, if it begins with it: plain, or with an escape of JSON (several backslashes
/// where JSON is within JSON), URLs or HTML.
fn spelled(byte: u8, text: &[u8]) -> Option<usize> {
    let backslashes = text.iter().take_while(|found| **found == b'\\').count();
    let hexadecimal = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let length = match &text[backslashes..] {
        [b'u', b'0', b'0', digits @ ..] if backslashes > 0 => {
            let found = digits.get(..2).and_then(hexadecimal);
            match backslashes {
                _ if found == Some(byte) => 5,
                // The last backslash belongs to the next byte.
                2.. if byte == b'\\' => return Some(backslashes - 1),
                _ if byte == b'u' => 1,
                _ => return None,
            }
        }
        _ if byte == b'\\' && backslashes > 0 => 0,
        [b'%', a, b, ..] if hexadecimal(&[*a, *b]) == Some(byte) => 3,
        [b'&', rest @ ..] if entity(rest).is_some_and(|(found, _)| found == byte) => {
            1 + entity(rest)?.1
        }
        [found, ..] if *found == byte => 1,
        [b'+', ..] if byte == b' ' => 1,
        _ => return None,
    };
    Some(backslashes + length)
}

/// The byte that an entity of HTML means, and its length without the `&`.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let end = text
        .iter()
        .take(LONGEST_ESCAPE)
        .position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    let byte = match name {
        "amp" => b'&',
        "apos" => b'\'',
        "gt" => b'>',
        "lt" => b'<',
        "quot" => b'"',
        _ => {
            let number = name.strip_prefix('#')?;
            match number.strip_prefix(['x', 'X']) {
                Some(digits) => u8::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            }
        }
    };
    Some((byte, end + 1))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    /// What a needle of that secret leaves of a text.
    fn without(secret: &str, text: &str) -> String {
        let _known = KnownText::new(secret.to_owned());
        let redacted = in_records(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec());
        String::from_utf8(redacted).unwrap()
    }

    /// The ways in which programs write a text.
    fn spellings(text: &str) -> Vec<String> {
        let json = serde_json::Value::from(text).to_string();
        let json = &json[1..json.len() - 1];
        let upper = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let each = |escape: fn(char) -> String| -> String {
            let escaped = |c: char| match c {
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c => escape(c),
            };
            text.chars().map(escaped).collect()
        };
        vec![
            text.to_owned(),
            json.to_owned(),
            json.replace('/', "\\/"),
            json.replace('\\', "\\\\").replace('"', "\\\""),
            upper.replace("%20", "+"),
            each(|c| format!("%{:02x}", u32::from(c))),
            each(|c| format!("\\u{:04x}", u32::from(c))),
            each(|c| format!("\\u{:04X}", u32::from(c))),
            each(|c| format!("&#{};", u32::from(c))),
            each(|c| format!("&#x{:X};", u32::from(c))),
            text.replace('&', "&amp;")
                .replace('"', "&quot;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
            upper,
        ]
    }

    #[test]
    fn what_is_around_a_secret_stays() {
        let key = r#"k/"\ <+%&1-a"#;
        for spelled in spellings(key) {
            let text = format!(r#"{{"x": "a {spelled}! {spelled}", "y": 1}}"#);
            let expected = r#"{"x": "a [redacted]! [redacted]", "y": 1}"#;
            assert_eq!(without(key, &text), expected, "{spelled}");
        }
        for other in ["k/x", "", "a key of another one", "k%2Fk%2F"] {
            assert_eq!(without(key, other), other);
        }
        // Half of an escape would break the JSON.
        assert_eq!(without("/abcdefg", r#"["\/abcdefg"]"#), r#"["[redacted]"]"#);
        // The first of two overlapping runs is not the secret.
        assert_eq!(without("aaaa-bbbb", "aaaaaa-bbbb"), "aa[redacted]");
    }

    #[test]
    fn a_key_that_contains_escapes_is_found() {
        for key in [
            r"!aa0%25\A",
            r"k0&amp;\b%5c&#38;",
            r"a1%%2525\u0025",
            r#"\%5c0"Aa0!"#,
        ] {
            for spelled in spellings(key) {
                assert_eq!(without(key, &spelled), MARK, "{key}: {spelled}");
            }
        }
    }

    #[test]
    fn what_records_contain_by_chance_stays_in_them_and_not_in_messages() {
        for secret in ["key-123", "20240501"] {
            let known = KnownText::new(secret.to_owned());
            let text = format!("[\"{secret}\"]");
            assert_eq!(in_records(text.as_bytes()), None);
            assert_eq!(message(text.clone()), "[\"[redacted]\"]");
            drop(known);
            // Nobody has it any more, except a look of another test for a moment.
            let end = Instant::now() + Duration::from_secs(60);
            while message(text.clone()) != text {
                assert!(Instant::now() < end, "{secret}");
            }
        }
        let _date = KnownText::in_messages("2031-05-01T00:00:00Z".to_owned());
        assert_eq!(in_records(b"2031-05-01T00:00:00Z"), None);
        assert_eq!(
            in_message(b"2031-05-01T00:00:00Z").unwrap(),
            MARK.as_bytes()
        );
    }

    proptest! {
        #[test]
        fn every_spelling_of_any_key_is_found(
            key in "[!-~]{2,20}[a-z][0-9][ -~]{4,20}[!-~]", before in "[ -~]{0,9}", after in "[ -~]{0,9}",
        ) {
            for spelled in spellings(&key) {
                let text = format!("{before}{spelled}{after}");
                let redacted = without(&key, &text);
                prop_assert!(redacted.contains(MARK), "{text}");
                prop_assert!(!redacted.contains(&spelled) || before.contains(&spelled), "{text}");
            }
            for text in [STANDARD.encode(format!("{before}{key}{after}")), URL_SAFE_NO_PAD.encode(format!("{before}{key}{after}"))] {
                let redacted = without(&key, &text);
                prop_assert!(redacted.contains(MARK), "{text}");
                // Two characters on each side may be left, and bits of what is around it.
                let left = redacted.len() - MARK.len();
                prop_assert!(left * 6 <= (before.len() + after.len()) * 8 + 6 * 6, "{text} {redacted}");
            }
        }
    }
}
