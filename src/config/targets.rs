//! The list `publish`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Context;
use super::file::{File, PublishEntry, PublisherType};
use super::problems::Problems;
use super::schema::bad;
use super::secrets::{self, SecretSource};
use super::urls::{self, Url};
use super::values::{FileGroup, FileMode, Period};
use crate::publish::{self, Credentials};
use crate::secret::{Rotating, Secret, SecretUrl};
use crate::transport;

/// One entry of `publish`, checked.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// Unique. The offset is kept under it.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
}

/// What a publisher delivers to.
#[derive(Debug, Clone)]
pub enum TargetKind {
    /// A file, one change a line.
    NdjsonFile(publish::ChangeFile),
    /// Standard output, one change a line.
    NdjsonStdout,
    /// A URL that change lines are POSTed to.
    Http(publish::HttpSettings),
    /// The Payments API of a Formance stack.
    Formance(publish::FormanceSettings),
}

/// Checks the list. `request_timeout` is that of the service, and of a target that sets none.
pub(super) fn check(
    entries: Vec<PublishEntry>,
    request_timeout: Duration,
    context: &mut Context,
) -> Result<Vec<TargetConfig>, String> {
    if entries.is_empty() {
        return Err("\"publish\" is an empty list: add an entry, or remove the key".to_owned());
    }
    let mut targets: Vec<TargetConfig> = Vec::new();
    let mut problems = Problems::default();
    for entry in entries {
        targets.extend(problems.note(target(entry, &targets, request_timeout, context)));
    }
    if problems.is_empty() {
        Ok(targets)
    } else {
        Err(problems.text())
    }
}

/// Checks an entry. `others`: those before it.
fn target(
    entry: PublishEntry,
    others: &[TargetConfig],
    request_timeout: Duration,
    context: &mut Context,
) -> Result<TargetConfig, String> {
    let kind = entry.kind.ok_or(
        "\"publish\": an entry has no \"type\": set it to \"formance\", \"http\" or \"ndjson\"",
    )?;
    let name = name_of(&entry).unwrap_or_default();
    if name.is_empty()
        || name.contains(char::is_control)
        || others.iter().any(|target| target.name == name)
    {
        let fix = "each entry of \"publish\" needs a unique \"name\" without control characters";
        return Err(format!("publish: {}", bad::<String>("name", &name, fix)));
    }
    let kind = match kind {
        PublisherType::Ndjson => ndjson(&entry, others, context.folder)?,
        PublisherType::Http => http(entry, &name, request_timeout, context)?,
        PublisherType::Formance => formance(entry, &name, request_timeout, context)?,
    };
    Ok(TargetConfig { name, kind })
}

/// The name of an entry: without one, its type.
pub(super) fn name_of(entry: &PublishEntry) -> Option<String> {
    let default = entry.kind.map(|kind| kind.as_str().to_owned());
    entry.name.clone().or(default)
}

fn ndjson(
    entry: &PublishEntry,
    others: &[TargetConfig],
    folder: &Path,
) -> Result<TargetKind, String> {
    let path = entry.path.as_deref().unwrap_or(Path::new(""));
    let kind = match path.to_str() {
        Some("") => {
            return Err(
                "\"publish\": the ndjson entry needs a \"path\": a file, or \"-\" for stdout"
                    .to_owned(),
            );
        }
        Some("-") => TargetKind::NdjsonStdout,
        _ => TargetKind::NdjsonFile(publish::ChangeFile {
            path: folder.join(path),
            mode: entry
                .mode
                .map_or(publish::ChangeFile::OWNER_ONLY, |FileMode(mode)| mode),
            group: entry.group.map(|FileGroup(group)| group),
        }),
    };
    let writes_there = |other: &TargetConfig| match (&other.kind, &kind) {
        (TargetKind::NdjsonFile(other), TargetKind::NdjsonFile(file)) => other.path == file.path,
        (TargetKind::NdjsonStdout, TargetKind::NdjsonStdout) => true,
        _ => false,
    };
    if others.iter().any(writes_there) {
        let fix = "another entry of \"publish\" already writes there";
        let problem = bad::<PathBuf>("path", &path.to_string_lossy(), fix);
        return Err(format!("publish: {problem}"));
    }
    Ok(kind)
}

fn http(
    mut entry: PublishEntry,
    name: &str,
    request_timeout: Duration,
    context: &mut Context,
) -> Result<TargetKind, String> {
    let source = SecretSource {
        key: "apiKey",
        inline: entry.api_key.take(),
        file: entry.api_key_file.take(),
    };
    let Url(url) = url_of(&mut entry, name, "https://example.com/changes", context)?;
    // A fragment is never sent.
    let url = url.split('#').next().unwrap_or_default().to_owned();
    Ok(TargetKind::Http(publish::HttpSettings {
        transport: transport(entry, 1, request_timeout, context.folder)?,
        url: SecretUrl::new(url),
        key: secret(source, name, |entry| entry.api_key, context)?,
    }))
}

fn formance(
    mut entry: PublishEntry,
    name: &str,
    request_timeout: Duration,
    context: &mut Context,
) -> Result<TargetKind, String> {
    let url = url_of(&mut entry, name, "https://stack.example.com", context)?;
    let url =
        urls::base(&url).map_err(|fix| format!("publish: {}", bad::<Url>("url", &url.0, &fix)))?;
    let connector = entry
        .connector
        .take()
        .filter(|connector| !connector.is_empty())
        .ok_or(
            "\"publish\": the formance entry needs a \"connector\": the name or the id of a connector of provider generic \
             that is installed in the stack",
        )?;
    let credentials = credentials(&mut entry, name, context)?;
    let (url, token_url) = addresses(&url, credentials.is_some());
    let connections = publish::FORMANCE_CONNECTIONS;
    Ok(TargetKind::Formance(publish::FormanceSettings {
        transport: transport(entry, connections, request_timeout, context.folder)?,
        url,
        token_url,
        connector,
        credentials,
    }))
}

fn credentials(
    entry: &mut PublishEntry,
    name: &str,
    context: &mut Context,
) -> Result<Option<Credentials>, String> {
    let source = SecretSource {
        key: "clientSecret",
        inline: entry.client_secret.take(),
        file: entry.client_secret_file.take(),
    };
    let Some(id) = entry.client_id.take().filter(|id| !id.is_empty()) else {
        return match source.given() {
            None => Ok(None),
            Some(key) => Err(format!(
                "\"publish\": the formance entry has a \"{key}\" and no \"clientId\": set it to the id of the client"
            )),
        };
    };
    match secret(source, name, |entry| entry.client_secret, context)? {
        Some(secret) => Ok(Some(Credentials { id, secret })),
        None => Err(format!(
            "\"publish\": the formance entry has a \"clientId\" and no secret: set \"clientSecret\", or {}",
            secrets::elsewhere("clientSecret", &format!("{name}.clientSecret"))
        )),
    }
}

fn url_of(
    entry: &mut PublishEntry,
    name: &str,
    example: &str,
    context: &mut Context,
) -> Result<Url, String> {
    let url = entry.url.take().ok_or_else(|| {
        format!("\"publish\": the entry \"{name}\" needs a \"url\", such as \"{example}\"")
    })?;
    if urls::is_unencrypted(&url.0) {
        context.warnings.push(format!(
            "\"url\" of the publisher \"{name}\" begins with http: the key and the data cross the network unencrypted; use https"
        ));
    }
    Ok(url)
}

fn transport(
    entry: PublishEntry,
    connections: usize,
    request_timeout: Duration,
    folder: &Path,
) -> Result<transport::Settings, String> {
    Ok(transport::Settings {
        request_timeout: entry
            .request_timeout
            .map_or(request_timeout, |Period(timeout)| timeout),
        connections,
        trust: urls::trust(entry.ca_file.as_deref(), folder)
            .map_err(|problem| format!("publish: {problem}"))?,
        proxy: entry.proxy,
    })
}

/// A secret of an entry: in the file, in one of its own, or a credential of systemd, `<name>.<key>`.
fn secret(
    source: SecretSource,
    name: &str,
    in_entry: fn(PublishEntry) -> Option<Secret>,
    context: &mut Context,
) -> Result<Option<Rotating>, String> {
    let credential = secrets::credential(&format!("{name}.{}", source.key));
    let wanted = name.to_owned();
    let in_file = move |file: File| {
        let entries = file.entries().ok()??;
        let is_wanted = |entry: &PublishEntry| name_of(entry).as_ref() == Some(&wanted);
        entries.into_iter().find(is_wanted).and_then(in_entry)
    };
    secrets::find(source, credential, in_file, context)
        .map_err(|problem| format!("publisher \"{name}\": {problem}"))
}

/// Where the Payments API and its tokens are. A URL without a path is that of a stack, or of the service alone if it
/// wants no token; one with a path is where the API is, with or without its version.
fn addresses(url: &str, has_client: bool) -> (String, String) {
    let path_begins = url.find("://").map_or(0, |at| at + 3);
    let (origin, path) = match url[path_begins..].find('/') {
        Some(slash) => url.split_at(path_begins + slash),
        None => (url, ""),
    };
    let path = path.strip_suffix("/v3").unwrap_or(path);
    let api = match path {
        "" if has_client => "/api/payments",
        path => path,
    };
    let stack = api.strip_suffix("/api/payments").unwrap_or_default();
    (
        format!("{origin}{api}/v3"),
        format!("{origin}{stack}/api/auth/oauth/token"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_is_chosen_or_given() {
        for (url, has_client, api, stack) in [
            ("", true, "/api/payments/v3", ""),
            (":8080", false, ":8080/v3", ":8080"),
            ("/api/payments", true, "/api/payments/v3", ""),
            ("/x/api/payments/v3", true, "/x/api/payments/v3", "/x"),
            ("/api/payments", false, "/api/payments/v3", ""),
            (":8080/v3", false, ":8080/v3", ":8080"),
            ("/pay", true, "/pay/v3", ""),
        ] {
            let expected = (
                format!("https://a.b{api}"),
                format!("https://a.b{stack}/api/auth/oauth/token"),
            );
            let found = addresses(&format!("https://a.b{url}"), has_client);
            assert_eq!(found, expected, "{url}");
        }
    }
}
