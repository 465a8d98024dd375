use std::path::PathBuf;
use std::time::Duration;

use super::keys::Keys;
use super::secrets::{API_KEY, KeyNames, Origin};
use super::{Place, Target, TargetKind, check_endpoint, is_loopback};
use crate::publish::{self, Credentials};
use crate::secret::Rotating;

const CLIENT_SECRET: KeyNames = KeyNames {
    key: "clientSecret",
    key_file: "clientSecretFile",
};

/// The list `publish`. `request_timeout` is that of the service, and of a target that sets none.
pub(super) fn read(
    keys: &mut Keys,
    place: &Place,
    request_timeout: Duration,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<Target>>, String> {
    let Some(entries) = keys.objects("publish")? else {
        return Ok(None);
    };
    let mut targets: Vec<Target> = Vec::new();
    for mut entry in entries {
        let kind = entry.text("type")?.ok_or(
            "\"publish\": an entry has no \"type\": set it to \"formance\", \"http\" or \"ndjson\"",
        )?;
        let name = entry.text("name")?.unwrap_or_else(|| kind.clone());
        if name.is_empty()
            || name.contains(char::is_control)
            || targets.iter().any(|target| target.name == name)
        {
            return Err(entry.bad(
                "name",
                "each entry of \"publish\" needs a \"name\" that no other one has, without control characters",
            ));
        }
        let mut reader = Reader {
            entry: &mut entry,
            name: &name,
            place,
            request_timeout,
            warnings,
        };
        let kind = match kind.as_str() {
            "ndjson" => reader.ndjson(&targets)?,
            "http" => reader.http()?,
            "formance" => reader.formance()?,
            _ => {
                return Err(entry.bad(
                    "type",
                    "the known types are \"formance\", \"http\" and \"ndjson\"",
                ));
            }
        };
        entry.finish()?;
        targets.push(Target { name, kind });
    }
    if targets.is_empty() {
        return Err("\"publish\" is an empty list: add an entry, or leave the key out".to_owned());
    }
    Ok(Some(targets))
}

/// The names of the entries of `publish`, as far as they have one.
pub(super) fn names(keys: &mut Keys) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for mut entry in keys.objects("publish")?.unwrap_or_default() {
        let kind = entry.text("type")?;
        names.extend(entry.text("name")?.or(kind));
    }
    Ok(names)
}

/// Reads one entry.
struct Reader<'a> {
    entry: &'a mut Keys,
    name: &'a str,
    place: &'a Place<'a>,
    request_timeout: Duration,
    warnings: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn ndjson(&mut self, others: &[Target]) -> Result<TargetKind, String> {
        let path = match self.entry.text("path")?.as_deref() {
            Some("-") => None,
            Some(path) if !path.is_empty() => Some(self.place.folder.join(path)),
            _ => {
                return Err(
                    "\"publish\": the ndjson entry needs a \"path\": a file, or \"-\" for stdout"
                        .into(),
                );
            }
        };
        let writes_there = |other: &Target| match (&other.kind, &path) {
            (TargetKind::NdjsonFile(other), Some(path)) => other == path,
            (TargetKind::NdjsonStdout, None) => true,
            _ => false,
        };
        if others.iter().any(writes_there) {
            return Err(self
                .entry
                .bad("path", "another entry of \"publish\" writes there already"));
        }
        Ok(path.map_or(TargetKind::NdjsonStdout, TargetKind::NdjsonFile))
    }

    fn http(&mut self) -> Result<TargetKind, String> {
        let mut target = self.target("https://example.com/changes", |url| {
            super::check_url(url).map(|()| url.to_owned())
        })?;
        // A fragment is never sent.
        target.url = target.url.split('#').next().unwrap_or_default().to_owned();
        let key = self.secret(&API_KEY)?;
        Ok(TargetKind::Http(publish::HttpSettings { target, key }))
    }

    fn formance(&mut self) -> Result<TargetKind, String> {
        let mut target = self.target("https://stack.example.com", check_endpoint)?;
        let connector = self
            .entry
            .text("connector")?
            .filter(|connector| !connector.is_empty())
            .ok_or(
                "\"publish\": the formance entry needs a \"connector\": the name or the id of a connector of provider generic \
                 that is installed in the stack",
            )?;
        let id = self.entry.text("clientId")?.filter(|id| !id.is_empty());
        let secret = match &id {
            Some(_) => self.secret(&CLIENT_SECRET)?,
            None => None,
        };
        let credentials = match (id, secret) {
            (Some(id), Some(secret)) => Some(Credentials { id, secret }),
            (Some(_), None) => {
                return Err(format!(
                    "\"publish\": the formance entry has a \"clientId\" and no secret: set \"clientSecret\", or \"clientSecretFile\" \
                     to a file that holds it, or give the systemd unit LoadCredential={}.clientSecret:/path/to/it",
                    self.name
                ));
            }
            (None, _) => {
                for name in [CLIENT_SECRET.key, CLIENT_SECRET.key_file] {
                    if self.entry.text(name).is_ok_and(|value| value.is_some()) {
                        return Err(format!(
                            "\"publish\": the formance entry has a \"{name}\" and no \"clientId\": set it to the id of the client"
                        ));
                    }
                }
                None
            }
        };
        let (base, token_url) = addresses(&target.url, credentials.is_some());
        target.url = base;
        Ok(TargetKind::Formance(publish::FormanceSettings {
            target,
            token_url,
            connector,
            credentials,
        }))
    }

    /// How to reach a target.
    fn target(
        &mut self,
        example: &str,
        check: impl Fn(&str) -> Result<String, &'static str>,
    ) -> Result<publish::TargetSettings, String> {
        let entry = &mut *self.entry;
        let url = entry.text("url")?.ok_or_else(|| {
            format!(
                "\"publish\": the entry \"{}\" needs a \"url\", such as \"{example}\"",
                self.name
            )
        })?;
        let url = check(&url).map_err(|fix| match url.contains(['@', '?']) {
            // A password may stand before it, or in the query.
            true => entry.bad_secret("url", fix),
            false => entry.bad("url", fix),
        })?;
        if !url.starts_with("https:") && !is_loopback(&url) {
            self.warnings.push(format!(
                "\"url\" of the publisher \"{}\" begins with http: the key and the data cross the network unencrypted; use https",
                self.name
            ));
        }
        Ok(publish::TargetSettings {
            url,
            request_timeout: entry.duration("requestTimeout", self.request_timeout)?,
            root_certificates: super::root_certificates(entry, self.place.folder)?,
            proxy: super::proxy(entry)?,
        })
    }

    /// A secret of this entry: in the file, in one of its own, or a credential of systemd, `<name>.<key>`.
    fn secret(&mut self, names: &KeyNames) -> Result<Option<Rotating>, String> {
        let inline_origin =
            Origin::EntryKey(self.place.file.to_owned(), self.name.to_owned(), names.key);
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| PathBuf::from(directory).join(format!("{}.{}", self.name, names.key)))
            .filter(|path| path.exists());
        names
            .find(
                self.entry,
                self.place,
                inline_origin,
                credential,
                self.warnings,
            )
            .map_err(|error| format!("publisher \"{}\": {error}", self.name))
    }
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
        for (url, has_client, base, token) in [
            (
                "https://a.b",
                true,
                "https://a.b/api/payments/v3",
                "https://a.b/api/auth/oauth/token",
            ),
            (
                "http://a:8080",
                false,
                "http://a:8080/v3",
                "http://a:8080/api/auth/oauth/token",
            ),
            (
                "https://a.b/api/payments",
                true,
                "https://a.b/api/payments/v3",
                "https://a.b/api/auth/oauth/token",
            ),
            (
                "https://a.b/x/api/payments/v3",
                true,
                "https://a.b/x/api/payments/v3",
                "https://a.b/x/api/auth/oauth/token",
            ),
            (
                "https://a.b/api/payments",
                false,
                "https://a.b/api/payments/v3",
                "https://a.b/api/auth/oauth/token",
            ),
            (
                "http://a:8080/v3",
                false,
                "http://a:8080/v3",
                "http://a:8080/api/auth/oauth/token",
            ),
            (
                "https://a.b/pay",
                true,
                "https://a.b/pay/v3",
                "https://a.b/api/auth/oauth/token",
            ),
        ] {
            assert_eq!(
                addresses(url, has_client),
                (base.to_owned(), token.to_owned()),
                "{url}"
            );
        }
    }
}
