use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Invalid;
use super::text::{Text, text};

/// The members of a JSON object in their order, each value as its exact text.
///
/// Use it to change some members and leave the others exactly as the service sent them: numbers of any size, and fields
/// that this program does not know.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    edited: bool,
}

impl<'a> Members<'a> {
    /// Reads the text of one JSON object.
    pub fn read(json: &'a str) -> Result<Members<'a>, Invalid> {
        serde_json::from_str(json).map_err(|error| Invalid(error.to_string()))
    }

    /// The text of a member's value. If a name is given twice, the last one wins. If it is not given, the only one counts
    /// that differs from it in case alone, as for Go.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.place(name)?;
        Some(&self.members[place].1)
    }

    fn place(&self, name: &str) -> Option<usize> {
        let exact = self.members.iter().rposition(|(known, _)| known == name);
        exact.or_else(|| {
            let mut folded =
                (0..self.members.len()).filter(|place| folds_to(&self.members[*place].0, name));
            folded.next().filter(|_| folded.next().is_none())
        })
    }

    /// Writes a member under this name that counts as it, although it is spelt in another case.
    pub fn respell(&mut self, name: &'static str) {
        if let Some(place) = self.place(name)
            && self.members[place].0 != name
        {
            self.members[place].0 = Cow::Borrowed(name);
            self.edited = true;
        }
    }

    /// The string that a member holds; an error if it is missing or holds something else.
    pub fn text(&self, name: &str) -> Result<Cow<'_, str>, Invalid> {
        text(name, self.get(name)).map_err(Invalid)
    }

    /// Replaces or adds a member that holds a string.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.set_json(name, Value::from(value).to_string());
    }

    /// Replaces or adds a member, whose value is given as JSON text.
    pub fn set_json(&mut self, name: &'static str, json: String) {
        self.edited = true;
        let value = Cow::Owned(json);
        let member = (Cow::Borrowed(name), value);
        match self.place(name) {
            Some(place) => self.members[place] = member,
            None => self.members.push(member),
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) {
        self.retain(|known, _| known != name);
    }

    /// Removes the members of which `keep` does not want the name and the value's text.
    pub fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        let before = self.members.len();
        self.members.retain(|(name, value)| keep(name, value));
        self.edited |= self.members.len() < before;
    }

    /// A name that is given twice, if there is one.
    pub fn duplicate(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }

    /// The first name that is another spelling of one of these fields ([`is_other_spelling`]).
    pub fn other_spelling(&self, fields: &[&str]) -> Option<&str> {
        let mut names = self.members.iter().map(|(name, _)| &**name);
        names.find(|name| is_other_spelling(name, fields))
    }

    /// Each member: its name and the text of its value.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether a member has been set or removed since the object was read.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// The object as JSON text.
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
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                text.extend(["\"", name, "\""]);
            } else {
                text += &Value::from(&**name).to_string();
            }
            text.extend([":", value]);
        }
        text + "}"
    }
}

/// Whether a name differs from one of these fields, which are in ASCII, only in case.
///
/// Go's encoding/json, and other readers, take such a name for the field's, and the last one wins.
pub fn is_other_spelling(name: &str, fields: &[&str]) -> bool {
    fields
        .iter()
        .any(|field| name != *field && folds_to(name, field))
}

/// Whether a name is that of the field, which is in ASCII, but for case.
pub(super) fn folds_to(name: &str, field: &str) -> bool {
    // A letter outside ASCII has more bytes than the one of the field.
    if name.len() <= field.len() || name.is_ascii() {
        return name.eq_ignore_ascii_case(field);
    }
    let fold = |character| match character {
        // The two letters outside ASCII whose other case lies within it.
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        character => character.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(field.chars().map(fold))
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
                /// Members. A transaction of the API has twelve.
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
        members.set("a", "y\n");
        members.set_json("e", "1".to_owned());
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
    fn a_name_that_is_given_twice_is_found() {
        let duplicate = |json: &str| Members::read(json).unwrap().duplicate().map(str::to_owned);
        assert_eq!(duplicate(r#"{"a":1,"A":2,"b":3}"#), None);
        assert_eq!(duplicate(r#"{"a":1,"b":2,"a":3}"#).as_deref(), Some("a"));
    }
}
