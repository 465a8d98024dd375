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
pub struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Members<'a> {
    /// Reads the text of one JSON object.
    pub fn read(json: &'a str) -> Result<Members<'a>, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The text of a member's value; of a name that is there twice, that of the last one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// A member that must be a string.
    pub fn text(&self, name: &str) -> Result<Cow<'_, str>, Invalid> {
        text(name, self.get(name)).map_err(Invalid)
    }

    /// Gives a member another value, or the object another member.
    pub fn set(&mut self, name: &'static str, value: &Value) {
        let value = Cow::Owned(value.to_string());
        match self.0.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((Cow::Borrowed(name), value)),
        }
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// The first name that is there twice.
    pub fn duplicate(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }

    /// Takes away the members that Go would take for one of these: it reads names without regard to case, and lets the
    /// last one count.
    pub fn drop_other_spellings(&mut self, of: &[&str]) {
        self.0.retain(|(name, _)| {
            !of.iter()
                .any(|known| name != known && folds_to(name, known))
        });
    }

    /// The object as a text.
    pub fn write(&self) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(&**name)))
            .collect();
        format!("{{{}}}", members.join(","))
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
                let mut members = Members::default();
                while let Some((Text(name), value)) =
                    map.next_entry::<Text<'de>, &'de RawValue>()?
                {
                    members.0.push((name, Cow::Borrowed(value.get())));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Whether Go's encoding/json takes a name for the known one, which is in ASCII.
fn folds_to(name: &str, known: &str) -> bool {
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
