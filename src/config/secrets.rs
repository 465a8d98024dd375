use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::keys::Keys;
use super::{Place, others_may_read, shown};
use crate::api::escaped;
use crate::secret::{Rotating, Secret};

/// A secret, which may stand in the file itself, in a file of its own, or where systemd puts credentials.
pub(super) struct KeyNames {
    /// In the file itself; also the credential's name.
    pub key: &'static str,
    /// The path of a file of its own.
    pub key_file: &'static str,
}

pub(super) const API_KEY: KeyNames = KeyNames {
    key: "apiKey",
    key_file: "apiKeyFile",
};

pub(super) const LISTEN_KEY: KeyNames = KeyNames {
    key: "listenKey",
    key_file: "listenKeyFile",
};

impl KeyNames {
    pub fn read(
        &self,
        keys: &mut Keys,
        Place { file, folder }: &Place,
        warnings: &mut Vec<String>,
    ) -> Result<Rotating, String> {
        let KeyNames { key, key_file } = self;
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| Path::new(&directory).join(key));
        let inline_origin = Origin::Key((*file).to_owned(), key);
        self.find(keys, &Place { file, folder }, inline_origin, credential, warnings)?
            .ok_or_else(|| {
                format!(
                    "no key: set \"{key}\", or \"{key_file}\" to a file that holds it, or give the systemd unit \
                     LoadCredential={key}:/path/to/it"
                )
            })
    }

    /// The secret and where it stands. `credential` is where systemd may have put it.
    pub fn find(
        &self,
        keys: &mut Keys,
        Place { file, folder }: &Place,
        inline_origin: Origin,
        credential: Option<PathBuf>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Rotating>, String> {
        let KeyNames { key, key_file } = self;
        let inline = keys.secret(key)?;
        let named = keys.text(key_file)?;
        let (inline, origin, name) = match (inline, named) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "both \"{key}\" and \"{key_file}\" are set: keep one"
                ));
            }
            (Some(secret), None) => {
                if others_may_read(file) {
                    warnings.push(format!(
                        "\"{key}\" stands in {}, which every user of this machine can read; run: chmod o-r {0}",
                        shown(file)
                    ));
                }
                (
                    Some(Secret::new(secret)),
                    inline_origin,
                    format!("\"{key}\""),
                )
            }
            (None, Some(path)) => {
                let path = folder.join(path);
                let name = format!("\"{key_file}\" ({})", shown(&path));
                (None, Origin::File(path), name)
            }
            (None, None) => match credential {
                Some(path) => {
                    let name = format!("the credential {}", shown(&path));
                    (None, Origin::File(path), name)
                }
                None => return Ok(None),
            },
        };
        let secret = match inline {
            Some(secret) => secret,
            None => origin
                .read()
                .map_err(|error| format!("\"{key_file}\": {error}"))?,
        };
        if let Origin::File(path) = &origin
            && others_may_read(path)
        {
            return Err(format!(
                "\"{key_file}\": every user of this machine can read {}; run: chmod o-rwx {0}",
                shown(path)
            ));
        }
        match secret.problem() {
            Some(problem) => Err(format!("{name} {problem}")),
            None => Ok(Some(Rotating::new(secret, move || origin.read().ok()))),
        }
    }
}

/// Where a secret stands, so that it can be read again after it was rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file that holds nothing else.
    File(PathBuf),
    /// A key of a JSON file.
    Key(PathBuf, &'static str),
    /// A key of the entry of that name in the list `publish` of a JSON file.
    EntryKey(PathBuf, String, &'static str),
}

impl Origin {
    /// What stands there now, without the white space around it. The error names the file and never shows the text.
    pub fn read(&self) -> Result<Secret, String> {
        let (Origin::File(file) | Origin::Key(file, _) | Origin::EntryKey(file, ..)) = self;
        let shown = || escaped(&file.to_string_lossy());
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", shown()))?;
        let in_json = |find: &dyn Fn(&Value) -> Option<String>, key: &str| {
            serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|object| find(&object))
                .ok_or_else(|| format!("\"{key}\" of {} is no text", shown()))
        };
        let text_of = |object: &Value, key: &str| Some(object.get(key)?.as_str()?.to_owned());
        let secret = match self {
            Origin::File(_) => text,
            Origin::Key(_, key) => in_json(&|object| text_of(object, key), key)?,
            Origin::EntryKey(_, name, key) => in_json(
                &|object| {
                    let entries = object.get("publish")?.as_array()?;
                    let named = |entry: &&Value| {
                        let is = |key: &str| entry.get(key).and_then(Value::as_str) == Some(name);
                        // An entry without a name has its type's.
                        is("name") || (entry.get("name").is_none_or(Value::is_null) && is("type"))
                    };
                    text_of(entries.iter().find(named)?, key)
                },
                key,
            )?,
        };
        Ok(Secret::new(secret.trim().to_owned()))
    }
}
