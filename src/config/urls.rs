//! What the keys say about reaching a server: URLs, the certificates to trust, the proxy.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ureq::http::Uri;

use super::schema::{Form, bad};
use super::shown;
use super::values::text;
use crate::transport::{Origin, Proxy, Trust};

/// A URL with a host and without a user.
pub(super) struct Url(pub String);

impl Form for Url {
    const NAME: &'static str = "URL";

    fn read(json: &str) -> Result<Url, String> {
        let url = text(json)?;
        check(&url)?;
        Ok(Url(url))
    }

    fn is_secret(json: &str) -> bool {
        // A password may be before the host, and a token in the query. The text may have them escaped.
        text(json).is_ok_and(|url| url.contains(['@', '?']))
    }
}

/// A URL to which paths are appended, without slashes at its end.
pub(super) struct BaseUrl(pub String);

impl Form for BaseUrl {
    const NAME: &'static str = Url::NAME;

    fn read(json: &str) -> Result<BaseUrl, String> {
        base(&Url::read(json)?).map(BaseUrl)
    }

    fn is_secret(json: &str) -> bool {
        Url::is_secret(json)
    }
}

/// The URL without slashes at its end, to which paths are appended.
pub(super) fn base(Url(url): &Url) -> Result<String, String> {
    if url.contains(['?', '#']) {
        return Err(
            "remove the query and the fragment; paths are appended to this base URL".to_owned(),
        );
    }
    Ok(url.trim_end_matches('/').to_owned())
}

impl Form for Proxy {
    const NAME: &'static str = "URL";

    fn read(json: &str) -> Result<Proxy, String> {
        Proxy::parse(text(json)?.trim())
            .ok_or_else(|| "use a URL such as \"http://proxy.example.com:3128\"".to_owned())
    }

    fn is_secret(_json: &str) -> bool {
        true
    }
}

fn check(url: &str) -> Result<(), String> {
    const NO_HOST: &str = "name a host, as in \"https://integration.example.com\"";
    let uri: Uri = url
        .parse()
        .map_err(|_| "use a URL such as \"https://integration.example.com\"")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("start it with https:// (or http:// on this machine)".to_owned());
    }
    let authority = uri.authority().ok_or(NO_HOST)?;
    if authority.as_str().contains('@') {
        return Err(
            "remove the user and the password; put the key into \"apiKey\" or \"apiKeyFile\""
                .to_owned(),
        );
    }
    if authority.host().is_empty() {
        return Err(NO_HOST.to_owned());
    }
    if Origin::of(&uri).is_none() {
        return Err("use a port from 1 to 65535".to_owned());
    }
    Ok(())
}

/// Whether requests to the URL cross the network unencrypted.
pub(super) fn is_unencrypted(url: &str) -> bool {
    let uri: Uri = url.parse().unwrap_or_default();
    uri.scheme_str() != Some("https") && !is_loopback(&uri)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: Result<IpAddr, _> = host.parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What to trust: the certificates of the file `caFile`, if there is one.
pub(super) fn trust(file: Option<&Path>, folder: &Path) -> Result<Trust, String> {
    let Some(file) = file else {
        return Trust::in_public_authorities();
    };
    let path = folder.join(file);
    let read = fs::read(&path)
        .map_err(|error| format!("cannot read {}: {error}", shown(&path)))
        .and_then(|pem| {
            Trust::in_certificates(&pem).map_err(|problem| format!("{} {problem}", shown(&path)))
        });
    read.map_err(|fix| bad::<PathBuf>("caFile", &file.to_string_lossy(), &fix))
}
