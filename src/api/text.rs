use std::borrow::Cow;

use serde::Deserialize;

/// A JSON string, borrowed if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Reads the JSON of a field as a string. Half a surrogate pair counts as U+FFFD, as for Go.
pub(super) fn text<'a>(field: &str, json: Option<&'a str>) -> Result<Cow<'a, str>, String> {
    let Some(json) = json.filter(|json| *json != "null") else {
        return Err(format!("\"{field}\" is missing"));
    };
    if let Ok(Text(text)) = serde_json::from_str(json) {
        return Ok(text);
    }
    match serde_json::from_str(&without_half_pairs(json)) {
        Ok(Text(text)) => Ok(Cow::Owned(text.into_owned())),
        Err(_) => Err(format!(
            "\"{field}\" is {}, not a string",
            super::escaped(json)
        )),
    }
}

/// A JSON text in which U+FFFD replaces each half of a surrogate pair, as a text has that was cut within an emoji. Rust and
/// PostgreSQL cannot read the half; Go reads U+FFFD.
pub fn without_half_pairs(json: &str) -> Cow<'_, str> {
    let is_half = |escape: &str| {
        let unit = unit(escape)?;
        let follows = |range: std::ops::Range<u32>| {
            let next = escape.get(6..).and_then(self::unit);
            next.is_some_and(|next| range.contains(&next))
        };
        Some(match unit {
            0xd800..0xdc00 => !follows(0xdc00..0xe000),
            0xdc00..0xe000 => true,
            _ => false,
        })
    };
    replace_escapes(json, |escape| {
        if is_half(escape) == Some(true) {
            return Some((r"\ufffd", 6));
        }
        // Both halves of a pair are skipped together.
        let begins_pair = unit(escape).is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
        begins_pair.then(|| (&escape[..12], 12))
    })
}

/// The UTF-16 unit of an escape like `\ud83d`.
fn unit(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix(r"\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// Replaces escapes in a JSON text. `replace` gets the text from an escape on. It returns what to write instead, and how
/// many bytes that replaces; none if the escape stays.
pub fn replace_escapes<'a>(
    json: &'a str,
    replace: impl Fn(&'a str) -> Option<(&'a str, usize)>,
) -> Cow<'a, str> {
    let mut text = String::new();
    let (mut done, mut next) = (0, 0);
    while let Some(place) = json[next..].find('\\').map(|place| next + place) {
        let escape = &json[place..];
        // The character after a backslash is skipped with it: an escaped backslash begins no other escape.
        let length = escape.chars().take(2).map(char::len_utf8).sum();
        let (written, length) = replace(escape).unwrap_or((&escape[..length], length));
        next = place + length;
        if !escape.starts_with(written) {
            text += &json[done..place];
            text += written;
            done = next;
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    Cow::Owned(text + &json[done..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_a_whole_one_is_not() {
        for (json, expected) in [
            (r#""x\ud83d""#, r#""x\ufffd""#),
            (
                r#""\uDE00 \ud83d\ud83d\ude00""#,
                r#""\ufffd \ufffd\ud83d\ude00""#,
            ),
            (r#""\ud83d\n\\ud83d\u00e9""#, r#""\ufffd\n\\ud83d\u00e9""#),
            (r#""\ud83d\ude00\"""#, r#""\ud83d\ude00\"""#),
            (r#""\ud83"#, r#""\ud83"#),
        ] {
            assert_eq!(without_half_pairs(json), expected);
        }
        assert_eq!(text("a", Some(r#""x\ud83dy""#)).unwrap(), "x\u{fffd}y");
        assert!(text("a", Some("7")).is_err());
    }
}
