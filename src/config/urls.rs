//! What the keys say about reaching a server: URLs, the certificates to trust, the proxy.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ureq::http::Uri;

use super::schema::{Form, bad};
use super::shown;
use super::values::text;
use crate::transport::Proxy;

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
    Ok(())
}

/// Whether requests to the URL cross the network unencrypted.
pub(super) fn is_unencrypted(url: &str) -> bool {
    !url.starts_with("https:") && !is_loopback(url)
}

fn is_loopback(url: &str) -> bool {
    let uri: Uri = url.parse().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: Result<IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The certificates of the file `caFile`.
pub(super) fn root_certificates(
    file: Option<&Path>,
    folder: &Path,
) -> Result<Option<Vec<ureq::tls::Certificate<'static>>>, String> {
    let Some(file) = file else {
        return Ok(None);
    };
    certificates(&folder.join(file))
        .map(Some)
        .map_err(|fix| bad::<PathBuf>("caFile", &file.to_string_lossy(), &fix))
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let pem = fs::read(path).map_err(|error| format!("cannot read {}: {error}", shown(path)))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("{} is not a PEM file: {error}", shown(path))),
        }
    }
    if certificates.is_empty() {
        return Err(format!(
            "{} contains no certificate in PEM format (-----BEGIN CERTIFICATE-----)",
            shown(path)
        ));
    }
    Ok(certificates)
}
