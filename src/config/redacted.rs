use std::path::Path;

use serde_json::Value;

use super::file::{ENTRY_KEYS, FILE_KEYS};
use super::schema::ConfigKey;
use super::{Error, text_file};
use crate::secret::redaction::MARK;

/// The text of a configuration file without its secrets. The file need not be valid: values of keys that are for secrets, of
/// keys that are not known, and values in the wrong place are replaced. It is an error if it cannot be read, or is not JSON.
pub fn redacted(path: &Path) -> Result<String, Error> {
    let error = |problem: String| Error::new(path, problem);
    let text =
        text_file::read(path).map_err(|problem| error(format!("cannot read it: {problem}")))?;
    let file: Value = serde_json::from_str(&text)
        .map_err(|problem| error(format!("the configuration is not JSON: {problem}")))?;
    Ok(format!("{:#}\n", object(file, FILE_KEYS)))
}

fn object(value: Value, keys: &[ConfigKey]) -> Value {
    let Value::Object(object) = value else {
        return MARK.into();
    };
    let members = object.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Array(entries) if name == "publish" => entries
                .into_iter()
                .map(|entry| self::object(entry, ENTRY_KEYS))
                .collect(),
            value if may_be_shown(&name, &value, keys) => value,
            _ => MARK.into(),
        };
        (name, value)
    });
    members.collect::<serde_json::Map<_, _>>().into()
}

/// A brace in the wrong place puts other keys into a value, and their secrets with them.
fn may_be_shown(name: &str, value: &Value, keys: &[ConfigKey]) -> bool {
    let key = keys.iter().find(|key| key.name == name);
    let is_plain = !value.is_object() && !value.is_array();
    is_plain && key.is_some_and(|key| !(key.is_secret)(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_that_may_be_a_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generic.json");
        let text = r#"{
            "name": "shown", "endpoint": "https://a/?token=s3cret", "apiKey": "s3cret", "apikey": "s3cret",
            "proxy": "http://user:s3cret@proxy", "pageSize": "shown", "listenKey": { "x": "s3cret" }, "workers": ["s3cret"],
            "publish": [
                { "type": "shown", "url": "https://u:s3cret@b", "clientSecret": "s3cret", "clientId": "shown" },
                "s3cret"
            ]
        }"#;
        std::fs::write(&path, text).unwrap();
        let shown = redacted(&path).unwrap();
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(shown.matches("shown").count(), 4, "{shown}");
        assert_eq!(shown.matches(MARK).count(), 9, "{shown}");
        std::fs::write(&path, "{ \"apiKey\": \"s3cret\"").unwrap();
        assert!(!redacted(&path).unwrap_err().to_string().contains("s3cret"));
    }
}
