//! How an object of the configuration is declared and read: one declaration is both the struct that serde fills and
//! the table of its keys, for messages and for the manual.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use crate::api::escaped;

/// One key of the configuration, as the manual shows it.
#[derive(Debug)]
pub struct ConfigKey {
    /// The key itself.
    pub name: &'static str,
    /// The type of its value, in words.
    pub form: &'static str,
    /// The least and the greatest value of a whole number.
    pub range: Option<(u32, u32)>,
    /// What applies without the key: a value, or words.
    pub default: &'static str,
    /// What a number counts.
    pub unit: &'static str,
    /// The types of publisher that have the key. Empty: all.
    pub of: &'static str,
    /// What the key is for.
    pub about: &'static str,
    /// Whether the JSON text of its value may hold a secret.
    pub is_secret: fn(&str) -> bool,
}

impl ConfigKey {
    /// What its value may be, in a line.
    pub fn facts(&self) -> String {
        let range = self.range.map(|(least, most)| format!("{least} to {most}"));
        let words =
            |before: &str, text: &str| (!text.is_empty()).then(|| format!("{before}{text}"));
        let default = match self.default {
            "required" => Some("required".to_owned()),
            default => words("default: ", default),
        };
        let facts = [
            Some(self.form.to_owned()),
            range,
            words("in ", self.unit),
            words("of ", self.of),
            default,
        ];
        facts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// A type of value that a key may have.
pub(super) trait Form: Sized {
    /// The type in words.
    const NAME: &'static str;

    /// The least and the greatest value of a whole number.
    const RANGE: Option<(u32, u32)> = None;

    /// Reads the JSON text of a value. The error says what to write instead.
    fn read(json: &str) -> Result<Self, String>;

    /// Whether a text that cannot be used may hold a secret, so that no message may show it.
    fn is_secret(_json: &str) -> bool {
        false
    }
}

/// An object of the configuration.
pub(super) trait Schema: DeserializeOwned {
    /// The keys that it may have.
    const KEYS: &'static [ConfigKey];

    /// The keys that it has.
    fn given(&self) -> Vec<&'static ConfigKey>;
}

/// Declares an object of the configuration. A row is the key's documentation, its name, its field and the type of its
/// value, then what it has of default, unit and types of publisher. Every key may be absent; null counts as absent.
macro_rules! object {
    (
        $(#[$attribute:meta])*
        $object:ident {
            $(
                $(#[doc = $about:literal])+
                $name:literal $field:ident: $form:ty
                    $(, default $default:literal)? $(, unit $unit:literal)? $(, of $of:literal)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $object {
            $(
                $(#[doc = $about])+
                #[serde(rename = $name, default, deserialize_with = "crate::config::schema::value")]
                pub $field: Option<$form>,
            )+
        }

        impl $crate::config::schema::Schema for $object {
            const KEYS: &'static [$crate::config::schema::ConfigKey] = &[
                $(
                    $crate::config::schema::ConfigKey {
                        name: $name,
                        form: <$form as $crate::config::schema::Form>::NAME,
                        range: <$form as $crate::config::schema::Form>::RANGE,
                        default: concat!($($default)?),
                        unit: concat!($($unit)?),
                        of: concat!($($of)?),
                        about: concat!($($about),+).trim_ascii_start(),
                        is_secret: <$form as $crate::config::schema::Form>::is_secret,
                    },
                )+
            ];

            fn given(&self) -> Vec<&'static $crate::config::schema::ConfigKey> {
                let given = [$(self.$field.is_some()),+];
                Self::KEYS.iter().zip(given).filter_map(|(key, given)| given.then_some(key)).collect()
            }
        }
    };
}
pub(super) use object;

/// Reads the JSON text of an object. It must be one: serde would take a list for an object, too.
pub(super) fn read<T: Schema>(json: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain::<T>(&error))
}

/// An error if the object has a key that is not among those.
pub(super) fn only<T: Schema>(object: &T, keys: &[&ConfigKey]) -> Result<(), String> {
    let is_known = |key: &ConfigKey| keys.iter().any(|known| known.name == key.name);
    match object.given().into_iter().find(|key| !is_known(key)) {
        Some(key) => Err(unknown(key.name, keys)),
        None => Ok(()),
    }
}

/// Reads the value of a key, for serde.
pub(super) fn value<'de, T: Form, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let Some(json) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(None);
    };
    T::read(json.get())
        .map(Some)
        .map_err(|fix| D::Error::custom(problem::<T>(json.get(), &fix)))
}

/// The message about a text that turns out later to be unusable.
pub(super) fn bad<T: Form>(key: &str, text: &str, fix: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    format!("\"{key}\" {}", problem::<T>(&json, fix))
}

/// What a message says of a value that cannot be used, behind the key.
fn problem<T: Form>(json: &str, fix: &str) -> String {
    // A brace in the wrong place puts other keys into a value, and their secrets with them.
    if T::is_secret(json) || json.starts_with(['{', '[']) {
        format!("has a bad value (not shown): {fix}")
    } else {
        format!("is {}: {fix}", escaped(json).replace("\\\"", "\""))
    }
}

/// The message about an object that serde cannot read. The text is JSON, so that a key is at fault.
fn explain<T: Schema>(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let problem = error.inner();
    let position = format!(" at line {} column {}", problem.line(), problem.column());
    let problem = problem.to_string();
    let problem = problem.strip_suffix(&position).unwrap_or(&problem);
    match error.path().iter().next_back() {
        Some(Segment::Map { key }) if T::KEYS.iter().any(|known| known.name == key) => {
            format!("\"{key}\" {problem}")
        }
        Some(Segment::Map { key }) => unknown(key, &T::KEYS.iter().collect::<Vec<_>>()),
        // serde names the key in its message only: duplicate field `name`.
        _ => match problem.split('`').nth(1) {
            Some(key) => format!("\"{key}\" is given twice: keep one"),
            None => problem.to_owned(),
        },
    }
}

/// The message about an unknown key: the nearest known one, or all.
fn unknown(key: &str, keys: &[&ConfigKey]) -> String {
    let mut known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    known.sort_unstable();
    let distance =
        |known: &&&str| strsim::damerau_levenshtein(&known.to_lowercase(), &key.to_lowercase());
    let nearest = known.iter().min_by_key(distance);
    let hint = match nearest.filter(|known| distance(known) <= 1 + known.len() / 3) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => format!("the known keys are {}", known.join(", ")),
    };
    format!("unknown key \"{}\": {hint}", escaped(key))
}
