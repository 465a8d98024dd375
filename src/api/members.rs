use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Invalid;
use super::contract::{Text, text};

/// The members of a JSON object, in their order, whose values keep their text.
///
/// For what has to be changed in an object of which the rest shall stay as it was: numbers of any size, fields that this
/// program does not know.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    edited: bool,
}

impl<'a> Members<'a> {
    /// Go refuses a text that is nested deeper than 10,000, also where it would pass over it.
    pub const DEEPEST: usize = 1_000;

    /// Reads the text of one JSON object.
    pub fn read(json: &'a str) -> Result<Members<'a>, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The text of a member's value; of a name that is there twice, that of the last one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.members.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// A member that must be a string.
    pub fn text(&self, name: &str) -> Result<Cow<'_, str>, Invalid> {
        text(name, self.get(name)).map_err(Invalid)
    }

    /// Gives a member another value, or the object another member.
    pub fn set(&mut self, name: &'static str, value: &Value) {
        self.set_json(name, value.to_string());
    }

    /// As [`set`](Members::set), with the text of a value.
    pub fn set_json(&mut self, name: &'static str, json: String) {
        self.edited = true;
        let value = Cow::Owned(json);
        match self
            .members
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name)
        {
            Some((_, known)) => *known = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) {
        self.retain(|known, _| known != name);
    }

    /// Takes away the members that Go would take for one of these: it reads names without regard to case, and lets the
    /// last one count.
    pub fn drop_other_spellings(&mut self, of: &[&str]) {
        self.retain(|name, _| {
            !of.iter()
                .any(|known| name != *known && folds_to(name, known))
        });
    }

    /// Takes away the members whose values are nested deeper than so many arrays and objects.
    pub fn drop_deeper_than(&mut self, most: usize) {
        // A text that is no longer cannot be nested deeper.
        self.retain(|_, value| value.len() <= most || depth(value) <= most);
    }

    /// The first name that is there twice.
    pub fn duplicate(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }

    /// Whether it is no longer as it was read.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        let before = self.members.len();
        self.members.retain(|(name, value)| keep(name, value));
        self.edited |= self.members.len() < before;
    }

    /// The object as a text.
    pub fn write(&self) -> String {
        let lengths = self
            .members
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4);
        let mut text = String::with_capacity(lengths.sum::<usize>() + 2);
        text.push('{');
        for (name, value) in &self.members {
            if text.len() > 1 {
                text.push(',');
            }
            match name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                true => text.extend(["\"", name, "\""]),
                false => text += &Value::from(&**name).to_string(),
            }
            text.extend([":", value]);
        }
        text + "}"
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                /// A transaction of the API has twelve.
                const USUAL: usize = 16;
                let mut members = Members {
                    members: Vec::with_capacity(USUAL),
                    edited: false,
                };
                while let Some((Text(name), value)) =
                    map.next_entry::<Text<'de>, &'de RawValue>()?
                {
                    members.members.push((name, Cow::Borrowed(value.get())));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// A JSON text without the character U+0000, which Formance's database cannot store: U+FFFD stands for it.
pub fn without_nul(json: &str) -> Cow<'_, str> {
    const NUL: &str = r"\u0000";
    if !json.contains(NUL) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(place) = rest.find('\\') {
        let (before, escape) = rest.split_at(place);
        text += before;
        // A backslash that is escaped itself begins no other escape.
        let (written, length) = match escape.starts_with(NUL) {
            true => (r"\ufffd", NUL.len()),
            false => {
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                (&escape[..length], length)
            }
        };
        text += written;
        rest = &escape[length..];
    }
    Cow::Owned(text + rest)
}

/// How many arrays and objects of a JSON text lie within each other at most.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether Go's encoding/json takes a name for the known one, which is in ASCII.
fn folds_to(name: &str, known: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    let folded = name.chars().map(|character| match character {
        // The two letters beyond ASCII whose lower or upper case lies within it.
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        character => character.to_ascii_lowercase(),
    });
    folded.eq(known
        .chars()
        .map(|character| character.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text_and_members_their_order() {
        let json = r#"{ "b": 1e999, "a" :"x\u0041","c":{"d":[ 1 ]} ,"\"":null}"#;
        let mut members = Members::read(json).unwrap();
        assert_eq!(
            members.write(),
            r#"{"b":1e999,"a":"x\u0041","c":{"d":[ 1 ]},"\"":null}"#
        );
        members.set("a", &Value::from("y\n"));
        members.set("e", &Value::from(1));
        members.remove("c");
        assert_eq!(members.write(), r#"{"b":1e999,"a":"y\n","\"":null,"e":1}"#);
        assert_eq!(members.get("b"), Some("1e999"));
        assert_eq!(members.text("a").unwrap(), "y\n");
        assert!(members.text("b").is_err() && members.text("z").is_err());
        for json in ["[]", "7", "", r#"{"a":1"#] {
            assert!(Members::read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_nul_is_replaced_and_what_only_looks_like_one_is_not() {
        for (json, expected) in [
            (r#"{"a":"x\u0000y\u00001"}"#, r#"{"a":"x\ufffdy\ufffd1"}"#),
            (
                r#"{"a\u0000":"\\u0000","b":"\\\u0000\n"}"#,
                r#"{"a\ufffd":"\\u0000","b":"\\\ufffd\n"}"#,
            ),
            (r#"{"a":"\u0001é\\"}"#, r#"{"a":"\u0001é\\"}"#),
        ] {
            assert_eq!(without_nul(json), expected);
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_found() {
        assert_eq!(depth(r#"{"a":[1,{"b":"[[[\"[["}],"c":"\\"}"#), 3);
        let mut members = Members::read(r#"{"a":[[[1]]],"b":[["long"]],"c":"[[[[["}"#).unwrap();
        members.drop_deeper_than(2);
        assert_eq!(members.write(), r#"{"b":[["long"]],"c":"[[[[["}"#);
    }

    #[test]
    fn what_go_takes_for_a_known_name_is_found() {
        let json = r#"{"id":"a","ID":7,"Id":8,"\u017fcheme":1,"idx":2,"i d":3}"#;
        let mut members = Members::read(json).unwrap();
        assert_eq!(members.duplicate(), None);
        members.drop_other_spellings(&["id", "scheme"]);
        assert_eq!(members.write(), r#"{"id":"a","idx":2,"i d":3}"#);
        assert_eq!(
            Members::read(r#"{"a":1,"b":2,"a":3}"#).unwrap().duplicate(),
            Some("a")
        );
    }
}
