use ureq::http::Uri;
use ureq::http::uri::Authority;

/// Where a request goes, and with it the key: scheme, host and port. Requests to the same origin reach the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of a URL. None if it is no HTTP URL, names no host, or has a port out of range: requests would go to
    /// another port.
    pub fn of(uri: &Uri) -> Option<Origin> {
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return None;
        }
        let port = match port(authority) {
            "" if is_https => 443,
            "" => 80,
            port => port.parse().ok().filter(|port| *port > 0)?,
        };
        Some(Origin {
            is_https,
            host,
            port,
        })
    }
}

/// The port as the URL has it, empty if it has none.
fn port(authority: &Authority) -> &str {
    let address = authority.as_str();
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let behind_host = address.get(authority.host().len()..).unwrap_or_default();
    behind_host.strip_prefix(':').unwrap_or(behind_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Option<Origin> {
        Origin::of(&url.parse().ok()?)
    }

    #[test]
    fn an_origin_has_no_case_and_a_port() {
        for (one, other) in [
            ("http://a", "HTTP://A:80/x?y"),
            ("https://a.b", "https://A.B:443"),
            ("http://[::1]", "http://[::1]:80"),
            ("http://a:", "http://a:80"),
        ] {
            assert!(of(one).is_some() && of(one) == of(other), "{one} {other}");
        }
        for (one, other) in [
            ("http://a", "https://a"),
            ("http://a", "http://b"),
            ("http://a", "http://a:8080"),
            ("http://a:443", "https://a"),
        ] {
            assert!(of(one).is_some() && of(one) != of(other), "{one} {other}");
        }
        for none in [
            "ftp://a",
            "http://a:0",
            "http://a:65536",
            "http://a:99999",
            "http://[::1]:99999",
            "/a",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
