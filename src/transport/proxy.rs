use crate::secret::Secret;

/// A configured proxy. Its password is a secret.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(super) address: ureq::Proxy,
    /// Held so that it is replaced if others repeat it.
    _password: Option<Secret>,
}

impl Proxy {
    /// Reads the URL of a proxy. None if it is not one.
    pub fn parse(url: &str) -> Option<Proxy> {
        let address = ureq::Proxy::new(url).ok()?;
        let password = address.password().filter(|password| !password.is_empty());
        Some(Proxy {
            _password: password.map(|password| Secret::new(password.to_owned())),
            address,
        })
    }
}
