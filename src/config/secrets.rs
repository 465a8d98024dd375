//! Where secrets are kept: in the configuration itself, in files of their own, or among systemd's credentials.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::File;
use super::text_file;
use super::{Context, shown};
use crate::secret::{AcceptedKeys, Rotating, Secret};

/// What the configuration says about a secret.
pub(super) struct SecretSource {
    /// The key of the secret itself. That of its file has `File` behind it.
    pub key: &'static str,
    /// The secret itself.
    pub inline: Option<Secret>,
    /// The path of a file that holds it.
    pub file: Option<PathBuf>,
}

impl SecretSource {
    /// The key that is given, if one is.
    pub fn given(&self) -> Option<String> {
        match (&self.inline, &self.file) {
            (Some(_), _) => Some(self.key.to_owned()),
            (None, Some(_)) => Some(format!("{}File", self.key)),
            (None, None) => None,
        }
    }
}

/// A secret where it was found.
struct Found {
    secret: Secret,
    /// How messages name it.
    name: String,
    home: Home,
    read: Box<ReadSecret>,
}

/// Reads a secret again where it was found.
type ReadSecret = dyn Fn() -> Result<Secret, String> + Send + Sync;

/// Where a secret is.
enum Home {
    /// In the configuration.
    Config(PathBuf),
    /// In a file of its own.
    File(PathBuf),
    /// Among systemd's credentials, which are copies made at the start.
    Credential,
}

/// The path of one of systemd's credentials, if it is there: one of its own, or else one of the folder that the unit loads
/// as `keys`.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY")?;
    let names = [name.to_owned(), format!("keys_{name}")];
    let mut paths = names.iter().map(|name| Path::new(&directory).join(name));
    paths.find(|path| path.exists())
}

/// Finds a key that is required.
pub(super) fn require(
    source: SecretSource,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Rotating, String> {
    let key = source.key;
    find(source, credential(key), in_file, context)?.ok_or_else(|| missing(key))
}

/// Finds a key that others send. A file may have two lines, the new key and the old one, so that both count until everybody
/// sends the new one.
pub(super) fn accept(
    source: SecretSource,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Option<AcceptedKeys>, String> {
    let credential = credential(source.key);
    let Some(found) = locate(source, credential, in_file, context)? else {
        return Ok(None);
    };
    let Found {
        name, home, read, ..
    } = found;
    let has_lines = !matches!(home, Home::Config(_));
    let watched = match home {
        Home::Config(path) | Home::File(path) => Some(path),
        Home::Credential => None,
    };
    AcceptedKeys::load(watched, move || {
        let secret = read()?;
        if !has_lines {
            check(&secret, &name)?;
            return Ok(vec![secret]);
        }
        lines(&secret, &name)
    })
    .map(Some)
}

/// The keys of a file, one a line.
fn lines(secret: &Secret, name: &str) -> Result<Vec<Secret>, String> {
    let lines = secret.expose().lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    let keys: Vec<Secret> = lines.map(|line| Secret::new(line.to_owned())).collect();
    if keys.len() > 2 {
        return Err(format!(
            "{name} has {} lines: keep the new key and, until everybody sends it, the old one",
            keys.len()
        ));
    }
    if keys.is_empty() {
        check(secret, name)?;
    }
    for key in &keys {
        check(key, name)?;
    }
    Ok(keys)
}

/// Finds a secret. `credential` is where systemd may have put it. `in_file` takes it out of the configuration when that
/// is read again.
pub(super) fn find(
    source: SecretSource,
    credential: Option<PathBuf>,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Option<Rotating>, String> {
    let Some(found) = locate(source, credential, in_file, context)? else {
        return Ok(None);
    };
    let Found {
        secret,
        name,
        home,
        read,
    } = found;
    check(&secret, &name)?;
    let stays = matches!(home, Home::Credential);
    let again = move || {
        if stays {
            return Ok(None);
        }
        let secret = read()?;
        check(&secret, &name)?;
        Ok(Some(secret))
    };
    Ok(Some(Rotating::new(secret, again)))
}

/// The message about a key that is required and not there.
pub(super) fn missing(key: &str) -> String {
    if let Some(folder) = env::var_os("CREDENTIALS_DIRECTORY")
        && let Err(error) = fs::read_dir(&folder)
    {
        return format!(
            "no key: {} in CREDENTIALS_DIRECTORY cannot be read: {error}; run the command as root, or name the folder of the keys",
            shown(Path::new(&folder))
        );
    }
    format!(
        "no key: set \"{key}\", or {}; a command outside of the unit finds it there with CREDENTIALS_DIRECTORY=<that folder>",
        elsewhere(key, key)
    )
}

/// Where else a secret can be: in a file, or among the credentials of the systemd unit under that name.
pub(super) fn elsewhere(key: &str, credential: &str) -> String {
    format!(
        "\"{key}File\" to a file that holds it, or put it in keys/{credential} beside the configuration, from where the \
         systemd unit passes it on (LoadCredential=keys:...)"
    )
}

fn locate(
    SecretSource { key, inline, file }: SecretSource,
    credential: Option<PathBuf>,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Option<Found>, String> {
    if inline.is_some() && file.is_some() {
        return Err(format!(
            "both \"{key}\" and \"{key}File\" are set: keep one"
        ));
    }
    if let Some(secret) = inline {
        if others_may_read(context.file) {
            context.warnings.push(format!(
                "\"{key}\" is in {}, which every user of this machine can read; run: chmod o-r {0}",
                shown(context.file)
            ));
        }
        let file = context.file.to_owned();
        let home = Home::Config(file.clone());
        let read = move || {
            let secret = in_file(File::read(&file)?);
            secret.ok_or_else(|| format!("\"{key}\" is no longer in the configuration"))
        };
        return Ok(Some(Found {
            secret,
            name: format!("\"{key}\""),
            home,
            read: Box::new(read),
        }));
    }
    let (path, name, home) = match (file, credential) {
        (Some(file), _) => {
            let path = context.folder.join(file);
            let name = format!("\"{key}File\" ({})", shown(&path));
            (path.clone(), name, Home::File(path))
        }
        (None, Some(path)) => {
            let name = format!("the credential {}", shown(&path));
            (path, name, Home::Credential)
        }
        (None, None) => return Ok(None),
    };
    // Nobody has written the key "apiKeyFile" where systemd has put the credential.
    let said = match home {
        Home::Credential => "a credential of the unit".to_owned(),
        _ => format!("\"{key}File\""),
    };
    let read_again = {
        let (path, said) = (path.clone(), said.clone());
        move || read(&path).map_err(|error| format!("{said}: {error}"))
    };
    let secret = read_again()?;
    Ok(Some(Found {
        secret,
        name,
        home,
        read: Box::new(read_again),
    }))
}

fn read(path: &Path) -> Result<Secret, String> {
    let text =
        text_file::read(path).map_err(|error| format!("cannot read {}: {error}", shown(path)))?;
    if others_may_read(path) {
        return Err(format!(
            "every user of this machine can read {}; run: chmod o-rwx {0}",
            shown(path)
        ));
    }
    Ok(Secret::new(Zeroizing::new(text).trim().to_owned()))
}

fn check(secret: &Secret, name: &str) -> Result<(), String> {
    match secret.problem() {
        Some(problem) => Err(format!("{name} {problem}")),
        None => Ok(()),
    }
}

/// Whether the mode lets others than the owner and the group read. The group may: systemd's credentials are like that.
fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
