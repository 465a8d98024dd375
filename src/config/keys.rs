use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use crate::api::escaped;

/// A JSON object whose keys are taken one by one. What is left at the end is unknown.
pub(super) struct Keys {
    /// How messages name the object: empty for the whole file.
    place: String,
    object: Map<String, Value>,
    asked: BTreeSet<&'static str>,
}

impl Keys {
    /// Reads a whole file's text.
    pub fn parse(text: &str) -> Result<Keys, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Keys {
                place: String::new(),
                object,
                asked: BTreeSet::new(),
            }),
            Ok(_) => Err(
                "the configuration is not a JSON object: begin it with { and end it with }"
                    .to_owned(),
            ),
            Err(error) => Err(format!("the configuration is not JSON: {error}")),
        }
    }

    /// A text, if the key is there.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.bad(key, "write a text in double quotes")),
        }
    }

    /// As [`text`](Keys::text), but no message ever shows the value.
    pub fn secret(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(_) => Err(self.bad_secret(key, "write a text in double quotes")),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn number(
        &mut self,
        key: &'static str,
        default: i64,
        least: i64,
        most: i64,
    ) -> Result<i64, String> {
        match self.value(key).map(Value::as_i64) {
            None => Ok(default),
            Some(Some(number)) if (least..=most).contains(&number) => Ok(number),
            Some(_) => Err(self.bad(key, format!("write a whole number from {least} to {most}"))),
        }
    }

    /// A number above zero, with or without decimals.
    pub fn rate(&mut self, key: &'static str) -> Result<Option<f64>, String> {
        match self.value(key).map(Value::as_f64) {
            None => Ok(None),
            Some(Some(rate)) if (0.001..=1e6).contains(&rate) => Ok(Some(rate)),
            Some(_) => Err(self.bad(
                key,
                "write a number from 0.001 to 1000000, such as 10 or 0.5",
            )),
        }
    }

    /// A duration above zero, as Go writes them: `500ms`, `30s`, `1h30m0s`.
    pub fn duration(&mut self, key: &'static str, default: Duration) -> Result<Duration, String> {
        match self.duration_or_zero(key, default)? {
            Duration::ZERO => Err(self.bad(key, "it must be longer than 0, such as \"30s\"")),
            duration => Ok(duration),
        }
    }

    /// A duration, zero included.
    pub fn duration_or_zero(
        &mut self,
        key: &'static str,
        default: Duration,
    ) -> Result<Duration, String> {
        /// Longer than any period, and short enough to be added to any clock.
        const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        let parsed = match value.as_str() {
            Some("0") => Some(SignedDuration::ZERO),
            Some(text) => text.parse().ok(),
            None => None,
        };
        match parsed.map(Duration::try_from) {
            Some(Ok(duration)) if duration <= LONGEST => Ok(duration),
            _ => Err(self.bad(
                key,
                "write a duration such as \"500ms\", \"30s\", \"2m\" or \"1h30m0s\"",
            )),
        }
    }

    /// A list of objects.
    pub fn objects(&mut self, key: &'static str) -> Result<Option<Vec<Keys>>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let objects: Option<Vec<Keys>> = value.as_array().and_then(|entries| {
            let object = |entry: &Value| match entry {
                Value::Object(object) => Some(Keys {
                    place: format!("{key}: "),
                    object: object.clone(),
                    asked: BTreeSet::new(),
                }),
                _ => None,
            };
            entries.iter().map(object).collect()
        });
        objects
            .map(Some)
            .ok_or_else(|| self.bad(key, "write a list of objects: [ { … } ]"))
    }

    /// The message about a bad value: key, value and fix.
    pub fn bad(&self, key: &str, fix: impl std::fmt::Display) -> String {
        let value = self
            .object
            .get(key)
            .map(Value::to_string)
            .unwrap_or_default();
        format!(
            "{}\"{key}\" is {}: {fix}",
            self.place,
            escaped(&value).replace("\\\"", "\"")
        )
    }

    /// The message about a bad value that must not be shown.
    pub fn bad_secret(&self, key: &str, fix: impl std::fmt::Display) -> String {
        format!("{}\"{key}\" has a bad value (not shown): {fix}", self.place)
    }

    /// An error if the object has a key that nobody asked for. Names the nearest one that exists.
    pub fn finish(self) -> Result<(), String> {
        let Some(unknown) = self
            .object
            .keys()
            .find(|key| !self.asked.contains(key.as_str()))
        else {
            return Ok(());
        };
        let distance = |known: &&&str| {
            strsim::damerau_levenshtein(&known.to_lowercase(), &unknown.to_lowercase())
        };
        let nearest = self.asked.iter().min_by_key(distance);
        let hint = match nearest.filter(|known| distance(known) <= 1 + known.len() / 3) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => format!(
                "the known keys are {}",
                self.asked.iter().copied().collect::<Vec<_>>().join(", ")
            ),
        };
        Err(format!(
            "{}unknown key \"{}\": {hint}",
            self.place,
            escaped(unknown)
        ))
    }

    fn value(&mut self, key: &'static str) -> Option<&Value> {
        self.asked.insert(key);
        self.object.get(key).filter(|value| !value.is_null())
    }
}
