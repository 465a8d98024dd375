//! Where secrets are kept: in the configuration itself, in files of their own, or among systemd's credentials.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::File;
use super::{Context, shown};
use crate::secret::{Rotating, Secret};

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

/// The path of one of systemd's credentials, which need not exist.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&directory).join(name))
}

/// Finds a secret that is required.
pub(super) fn require(
    source: SecretSource,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Rotating, String> {
    let key = source.key;
    find(source, credential(key), in_file, context)?.ok_or_else(|| {
        format!(
            "no key: set \"{key}\", or \"{key}File\" to a file that holds it, or give the systemd unit \
             LoadCredential={key}:/path/to/it"
        )
    })
}

/// Finds a secret. `credential` is where systemd may have put it. `in_file` takes it out of the configuration when that
/// is read again.
pub(super) fn find(
    SecretSource { key, inline, file }: SecretSource,
    credential: Option<PathBuf>,
    in_file: impl Fn(File) -> Option<Secret> + Send + Sync + 'static,
    context: &mut Context,
) -> Result<Option<Rotating>, String> {
    if inline.is_some() && file.is_some() {
        return Err(format!(
            "both \"{key}\" and \"{key}File\" are set: keep one"
        ));
    }
    if let Some(secret) = inline {
        check(&secret, &format!("\"{key}\""))?;
        if others_may_read(context.file) {
            context.warnings.push(format!(
                "\"{key}\" is in {}, which every user of this machine can read; run: chmod o-r {0}",
                shown(context.file)
            ));
        }
        let file = context.file.to_owned();
        let again = move || File::read(&file).ok().and_then(&in_file);
        return Ok(Some(Rotating::new(secret, again)));
    }
    let (path, name) = match (file, credential) {
        (Some(file), _) => {
            let path = context.folder.join(file);
            let name = format!("\"{key}File\" ({})", shown(&path));
            (path, name)
        }
        (None, Some(path)) => {
            let name = format!("the credential {}", shown(&path));
            (path, name)
        }
        (None, None) => return Ok(None),
    };
    let secret = read(&path).map_err(|error| format!("\"{key}File\": {error}"))?;
    if others_may_read(&path) {
        return Err(format!(
            "\"{key}File\": every user of this machine can read {}; run: chmod o-rwx {0}",
            shown(&path)
        ));
    }
    check(&secret, &name)?;
    Ok(Some(Rotating::new(secret, move || read(&path).ok())))
}

fn read(path: &Path) -> Result<Secret, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(error) => Err(format!("cannot read {}: {error}", shown(path))),
    }
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
