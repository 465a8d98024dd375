use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde_json::json;

use super::check_run::{check_only, exit};
use super::terminal::{ask, style, unseen};
use super::{CommandError, Exit, print};
use crate::check::catalogue::BUILD_ORDER;
use crate::check::report;
use crate::cli::InitOptions;
use crate::config::{self, Config, text_file};
use crate::secret::Secret;
use crate::signals;
use crate::stop::Stop;

/// The file of the key, in the folder of the configuration.
const KEY_FILE: &str = "keys/apiKey";

/// Writes a configuration and the key's file, which must not exist, and asks the service for its lists.
pub(super) fn run(options: &InitOptions) -> Result<Exit, CommandError> {
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let file = &options.config.config;
    let folder = file.parent().unwrap_or(Path::new(""));
    let key_file = folder.join(KEY_FILE);
    let exists = |what: String| Err(CommandError::failed(what));
    if file.exists() {
        return exists(format!(
            "{} exists already: edit it, or name another configuration with --config",
            file.display()
        ));
    }
    if key_file.exists() {
        return exists(format!(
            "{} exists already: remove it if no configuration uses it, or name a configuration in another folder with --config",
            key_file.display()
        ));
    }
    let name = given(
        options.name.as_ref(),
        "The connector's name, such as acme-bank: ",
        &stop,
    )?;
    let endpoint = given(options.endpoint.as_ref(), "The service's URL: ", &stop)?;
    let key = key(options, &stop)?;
    // Nothing is written that cannot be used.
    let whole = json!({ "name": name, "endpoint": endpoint, "apiKey": key.expose() });
    let config = Config::parse(&whole.to_string(), file)?;
    // There, systemd passes the key to the service, whose user cannot read the file.
    let is_of_the_machine = config::state_of_unit(file).is_some();
    let mut written = json!({ "name": name, "endpoint": endpoint });
    if !is_of_the_machine {
        written["apiKeyFile"] = json!(KEY_FILE);
    }
    folder_for(&key_file, folder, is_of_the_machine)?;
    write(&key_file, key.expose(), 0o600)?;
    let mode = if is_of_the_machine { 0o644 } else { 0o600 };
    write(file, &format!("{written:#}"), mode).inspect_err(|_| {
        // The next try would find it there.
        let _ = fs::remove_file(&key_file);
    })?;
    print(&format!(
        "wrote {} and {}\n\n",
        file.display(),
        key_file.display()
    ));
    let run = check_only(&config, BUILD_ORDER[0].checks(), stop);
    print(&report::in_words(&run, config.polling.period, style()));
    let exit = exit(Some(&run), false, false);
    if exit == Exit::Done {
        let credentials = if is_of_the_machine {
            format!(
                "CREDENTIALS_DIRECTORY={} ",
                key_file.parent().unwrap_or(folder).display()
            )
        } else {
            String::new()
        };
        print(&format!(
            "\nThe service answers. Next: {credentials}generic-connector check --config {}\n",
            file.display()
        ));
    }
    Ok(exit)
}

fn given(option: Option<&String>, question: &str, stop: &Stop) -> Result<String, CommandError> {
    let text = option
        .cloned()
        .or_else(|| ask(question, stop))
        .unwrap_or_default();
    if stop.requested() {
        return Err(CommandError::failed(
            "interrupted; nothing was written".to_owned(),
        ));
    }
    match text.trim() {
        "" => Err(CommandError::new(
            Exit::Usage,
            "an answer is missing: give --name, --endpoint and --api-key-file, or answer on a terminal",
        )),
        text => Ok(text.to_owned()),
    }
}

/// The key, from its file or from the terminal, which does not show it.
fn key(options: &InitOptions, stop: &Stop) -> Result<Secret, CommandError> {
    let text = match &options.api_key_file {
        Some(file) => text_file::read(file).map_err(|error| {
            CommandError::failed(format!("cannot read {}: {error}", file.display()))
        })?,
        None => unseen(|| given(None, "The service's API key (it is not shown): ", stop))?,
    };
    let key = Secret::new(text.trim().to_owned());
    match key.problem() {
        Some(problem) => Err(CommandError::new(Exit::Usage, format!("the key {problem}"))),
        None => Ok(key),
    }
}

/// Makes the folder of the configuration, and in it the folder of the key. The user of a service of the machine must be able
/// to enter the first one, whatever the umask says.
fn folder_for(key_file: &Path, folder: &Path, is_of_the_machine: bool) -> Result<(), CommandError> {
    let failed = |path: &Path, error: std::io::Error| {
        CommandError::failed(format!("cannot make {}: {error}", path.display()))
    };
    if !folder.as_os_str().is_empty() {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .collect();
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        for made in missing.into_iter().filter(|_| is_of_the_machine) {
            fs::set_permissions(made, Permissions::from_mode(0o755))
                .map_err(|error| failed(made, error))?;
        }
    }
    let keys = key_file.parent().unwrap_or(folder);
    if keys.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().mode(0o700).create(keys);
    made.map_err(|error| failed(keys, error))
}

/// Writes a new file with that mode, whatever the umask says.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), CommandError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file);
    let written = opened.and_then(|mut file| {
        writeln!(file, "{text}")?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    });
    written
        .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", file.display())))
}
