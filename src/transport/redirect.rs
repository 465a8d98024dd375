use ureq::http::Uri;

use super::Origin;

/// How many redirects in a row are followed.
pub const MOST_REDIRECTS: u32 = 3;

/// The URL that a redirect of a GET leads to. None if it leaves the origin of the request, where the key must not go, or
/// if the answer is no redirect to anywhere.
///
/// `url` is that of the request. Services append a slash to its path, and some of them forget the query.
pub(super) fn redirected(url: &str, status: u16, location: &str) -> Option<String> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let here: Uri = url.parse().ok()?;
    let location = location.split('#').next().unwrap_or_default().trim();
    let mut there = resolved(&here, location)?;
    if !there.contains('?')
        && let Some(query) = here.query()
    {
        there = format!("{there}?{query}");
    }
    let target: Uri = there.parse().ok()?;
    let names_user = target.authority()?.as_str().contains('@');
    let stays = Origin::of(&target)? == Origin::of(&here)?;
    (stays && !names_user).then_some(there)
}

/// The absolute form of a location. None if it is one of the forms that no service needs.
fn resolved(here: &Uri, location: &str) -> Option<String> {
    let has_scheme = location
        .split(['/', '?'])
        .next()
        .is_some_and(|first| first.contains(':'));
    if has_scheme {
        return Some(location.to_owned());
    }
    let origin = format!("{}://{}", here.scheme_str()?, here.authority()?);
    let path = here.path();
    let has_dots = location
        .split(['/', '?'])
        .any(|segment| matches!(segment, "." | ".."));
    match location.as_bytes() {
        [] | [b'/', b'/', ..] => None,
        _ if has_dots => None,
        [b'/', ..] => Some(format!("{origin}{location}")),
        [b'?', ..] => Some(format!("{origin}{path}{location}")),
        _ => {
            let (folder, _) = path.rsplit_once('/')?;
            Some(format!("{origin}{folder}/{location}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a.b:8443/v1/accounts?page=2";

    #[test]
    fn a_redirect_within_the_origin_is_followed() {
        for (location, target) in [
            ("/v1/accounts/", "https://a.b:8443/v1/accounts/?page=2"),
            (
                "/v1/accounts/?page=2&x=1",
                "https://a.b:8443/v1/accounts/?page=2&x=1",
            ),
            ("accounts/", "https://a.b:8443/v1/accounts/?page=2"),
            (
                "?page=2&size=1",
                "https://a.b:8443/v1/accounts?page=2&size=1",
            ),
            ("https://a.b:8443/x", "https://a.b:8443/x?page=2"),
            ("HTTPS://A.B:8443/x#y", "HTTPS://A.B:8443/x?page=2"),
            ("/v2/a:b", "https://a.b:8443/v2/a:b?page=2"),
        ] {
            let found = redirected(URL, 307, location);
            assert_eq!(found.as_deref(), Some(target), "{location}");
        }
    }

    #[test]
    fn no_other_redirect_is_followed() {
        for location in [
            "",
            "#top",
            "//a.b:8443/x",
            "//evil.example",
            "https://evil.example/x",
            "https://a.b/x",
            "https://a.b:8444/x",
            "http://a.b:8443/x",
            "https://a.b.evil.example:8443/x",
            "https://u:p@a.b:8443/x",
            "https://a.b:8443@evil.example/x",
            "https://evil.example\\@a.b:8443/x",
            "/\\evil.example/../..",
            "../x",
            "javascript:alert(1)",
            "https:///x",
            "https://a.b:99999/x",
            "/x y",
        ] {
            assert_eq!(redirected(URL, 302, location), None, "{location}");
        }
        for status in [200, 300, 304, 305, 404] {
            assert_eq!(redirected(URL, status, "/x"), None, "{status}");
        }
        assert_eq!(redirected("https://a", 301, "http://a/"), None);
        assert_eq!(redirected("https://a", 301, "http://a:443/"), None);
    }
}
